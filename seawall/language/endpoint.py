"""An OpenAI-compatible endpoint over HTTP: one call, one reply, whatever goes wrong.

Address and key come from the environment alone, ``SEAWALL_LLM_URL`` and ``SEAWALL_LLM_KEY``, and
are never shown: not in an error, a recording or a report. What may pass by itself (a timeout, 429,
a server error, an answer that is none) is a reply without a message, and the agent abstains. What
does not (a refused key, an unknown model, nobody there) ends the run, and nothing is recorded;
after a first answer it is taken for something that may pass.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from math import ceil, isfinite
from threading import Thread
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests

from seawall.errors import RecordingError
from seawall.language.request import CHARACTERS_PER_TOKEN, Reply, Request
from seawall.units import SECOND_MS

URL_VARIABLE, KEY_VARIABLE = "SEAWALL_LLM_URL", "SEAWALL_LLM_KEY"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_TRIES = 3
_LONGEST_WAIT = 30.0  # seconds between two tries
_LARGEST_BODY, _CHUNK = 4 << 20, 64 << 10
_BUSY, _SERVER_ERROR, _MOVED = 429, 500, 300
_MOST_TOKENS = 10**9  # of one answer: who says more has not counted

_Sent = tuple[Reply, float | None]  # a reply, and the seconds until another try; None: no more


class _Key(requests.auth.AuthBase):
    """Puts the key into a request's header; it is not shown, and no ``.netrc`` replaces it."""

    def __init__(self, value: str) -> None:
        self.__value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.__value:
            request.headers["Authorization"] = f"Bearer {self.__value}"
        return request

    def cut_out(self, body: bytes) -> bytes:
        """Return a body without the key, which some endpoints repeat in what they say."""
        return body.replace(self.__value.encode(), b"***") if self.__value else body

    def __repr__(self) -> str:
        return "_Key(***)"

    def __reduce__(self) -> NoReturn:
        raise RecordingError("a key is not sent to another process: it finds its own")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an endpoint is waited for: seconds per try, and how often it is tried."""

    timeout_s: float = 60.0
    n_tries: int = MOST_TRIES


class Endpoint:
    """Where a model is asked.

    Args:
        url: base of the API, up to ``/v1``.
        key: sent as a bearer token; ``""``: none.
        patience: how long it is waited for.
        sleep: waits between two tries, seconds.

    Raises:
        RecordingError: the address is none, or would carry the key in the clear; the key is none.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = _split_url(url)
        path = parts.path.rstrip("/") + "/chat/completions"
        self._url = urlunsplit(parts._replace(path=path, fragment=""))
        self._auth = _Key(_check_key(key))
        self._patience = patience or Patience()
        self._sleep = sleep
        self._session = requests.Session()
        self._session.trust_env = parts.scheme == "https"  # else a proxy would read the key
        self._has_answered = False

    def __call__(self, request: Request) -> Reply:
        """Return what comes back of a request.

        Raises:
            RecordingError: what is wrong will not pass by itself.
        """
        start = time.perf_counter()
        reply = self._try(request)
        latency_ms = ceil((time.perf_counter() - start) * SECOND_MS)
        return Reply(**{**vars(reply), "latency_ms": latency_ms})

    def close(self) -> None:
        """Let go of its connections."""
        self._session.close()

    def _try(self, request: Request) -> Reply:
        reply = Reply(message={}, error="it was not tried")
        for attempt in range(self._patience.n_tries):
            reply, wait = self._send(request)
            if wait is None:
                break
            if attempt + 1 < self._patience.n_tries:
                self._sleep(min(wait or 2.0**attempt, _LONGEST_WAIT))
        return reply

    def _send(self, request: Request) -> _Sent:
        """Return what comes of one try, or that it is late.

        A socket's own timeout begins anew with each byte, so that a slow drip would never end:
        the exchange has a thread of its own, which is left to itself where it is late.
        """
        sent: Future[_Sent] = Future()
        Thread(target=self._fulfil, args=(sent, request), daemon=True).start()
        try:
            return sent.result(self._patience.timeout_s)
        except TimeoutError:
            return self._too_late(request), None

    def _fulfil(self, sent: "Future[_Sent]", request: Request) -> None:
        try:
            sent.set_result(self._exchange(request))
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            sent.set_exception(error)

    def _exchange(self, request: Request) -> _Sent:
        deadline = time.perf_counter() + self._patience.timeout_s
        try:
            with self._session.post(
                self._url,
                data=json.dumps(request.body()).encode(),
                headers={"Content-Type": "application/json"},
                auth=self._auth,
                timeout=self._patience.timeout_s,
                allow_redirects=False,  # the key stays with the host it is for
                stream=True,
            ) as answer:
                return self._judge(request, answer, deadline)
        except requests.Timeout:
            return self._too_late(request), None
        except requests.ConnectionError as error:
            if "Read timed out" in str(error):  # inside a body, it is no Timeout
                return self._too_late(request), None
            if _is_refused(error):
                return self._give_up(
                    request,
                    f"the endpoint in {URL_VARIABLE} must be reachable, nobody answers there: "
                    "start it, or correct the address",
                )
            return _failed(request, "the connection was lost"), 0.0
        except requests.RequestException as error:
            return _failed(request, f"the request failed: {type(error).__name__}"), None

    def _judge(self, request: Request, answer: requests.Response, deadline: float) -> _Sent:
        status = answer.status_code
        if status == _BUSY or status >= _SERVER_ERROR:
            return _failed(request, f"the endpoint said {status}"), _read_wait(answer)
        if status >= _MOVED:
            return self._give_up(
                request,
                f"the endpoint must take the request, says {status} for model {request.model!r}: "
                f"check {KEY_VARIABLE}, the model's name and the address in {URL_VARIABLE}",
            )
        self._has_answered = True
        body = b""
        for chunk in answer.iter_content(_CHUNK):
            body += chunk
            if time.perf_counter() > deadline:
                return self._too_late(request), None
            if len(body) > _LARGEST_BODY:
                return _failed(request, f"the body is larger than {_LARGEST_BODY:,} bytes"), None
        return read_body(request, self._auth.cut_out(body)), None

    def _give_up(self, request: Request, why: str) -> _Sent:
        """End the run where nothing has ever been answered; later it is a failure that may pass.

        Raises:
            RecordingError: no request has been answered yet: it is set up wrongly.
        """
        if not self._has_answered:
            raise RecordingError(why)
        return _failed(request, why.partition(":")[0]), None

    def _too_late(self, request: Request) -> Reply:
        return _failed(request, f"no answer within {self._patience.timeout_s:g} s")


def _split_url(url: str) -> SplitResult:
    wrong = RecordingError(
        f"{URL_VARIABLE} must be an https address (http on this machine only), is none: "
        "set it to the base of the API, up to /v1"
    )
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an address in brackets that is none
        raise wrong from None
    schemes = ("https", "http") if parts.hostname in LOOPBACK else ("https",)
    if not is_sound or parts.scheme not in schemes:
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise RecordingError(
            f"{URL_VARIABLE} must hold no user and password, holds one: set {KEY_VARIABLE} instead"
        )
    return parts


def _check_key(key: str) -> str:
    if not (key.isascii() and key.isprintable()):  # an empty one is both
        raise RecordingError(
            f"{KEY_VARIABLE} must be printable ASCII, is not: copy it again, without line breaks"
        )
    return key


def load_endpoint(
    environment: Mapping[str, str] | None = None, *, patience: Patience | None = None
) -> Endpoint:
    """Return the endpoint that the environment names.

    Raises:
        RecordingError: it names none.
    """
    given = os.environ if environment is None else environment
    url = given.get(URL_VARIABLE, "")
    if not url:
        raise RecordingError(
            f"a language model is asked at an endpoint, {URL_VARIABLE} names none: set it (and "
            f'{KEY_VARIABLE}), or replay a recording with agent.mode = "replay"'
        )
    return Endpoint(url, given.get(KEY_VARIABLE, ""), patience=patience)


def read_body(request: Request, body: bytes) -> Reply:
    """Return the reply that a response's body makes; never raises."""
    try:
        found = json.loads(body)
        choice = found["choices"][0]
        message = dict(choice["message"].items())
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        shown = f"{type(error).__name__}" if body else "it is empty"
        return _failed(request, f"the body is no chat completion ({shown})")
    usage = found.get("usage")
    counted = [_to_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
    guessed = (
        request.n_tokens_guessed,
        ceil(len(json.dumps(message)) / CHARACTERS_PER_TOKEN),
    )
    tokens = [guess if n is None else n for n, guess in zip(counted, guessed, strict=True)]
    kept = ("role", "content", "tool_calls", "refusal")
    return Reply(
        message={name: message[name] for name in kept if message.get(name) is not None},
        finish=str(choice.get("finish_reason") or ""),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        is_guessed=None in counted,
    )


def _to_count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _MOST_TOKENS else None


def _failed(request: Request, why: str) -> Reply:
    """Return a reply without a message; what was sent may have been charged, so it counts."""
    return Reply(message={}, error=why, input_tokens=request.n_tokens_guessed, is_guessed=True)


def _read_wait(answer: requests.Response) -> float:
    """Return the seconds that a busy endpoint asks for; 0.0 where it asks for none."""
    try:
        wait = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
    return max(wait, 0.0) if isfinite(wait) else 0.0


def _is_refused(error: BaseException) -> bool:
    """Return whether nobody listens, or there is no such host."""
    text = repr(error)
    return "NewConnectionError" in text or "NameResolutionError" in text
