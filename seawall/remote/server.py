"""A Seawall agent offered over HTTP: what ``agents.http`` asks, and any other client of the form.

Every POST of ``application/json`` is a message, whatever its path. Runs are told apart by the
header ``X-Seawall-Run``: each has an agent of its own, which begins with its ``hello``.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from aiohttp import web

from seawall.agent import Agent, Answer, Decision, is_number
from seawall.errors import AgentError, SeawallError
from seawall.remote.form import LONGEST_MESSAGE, PROTOCOL, End, Hello, Question, read_from_world
from seawall.remote.http import RUN_HEADER
from seawall.remote.kept import Kept
from seawall.remote.rebuild import rebuild, rebuild_info
from seawall.remote.wire import Plain, to_form

MakeAgent = Callable[[], Agent]
_MOST_RUNS = 64  # the one that has not been asked for longest makes room


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run: its agent, and what it has been sent."""

    agent: Agent
    kept: Kept = field(default_factory=Kept)


class AgentServer:
    """Answers messages with agents of one kind.

    Args:
        make_agent: returns a new agent; called once here, and for each run.
        name: told in the handshake.
        bars: candles of each symbol that an agent is to see; ``None``: all, which are kept for it.
        host, port: where it listens; port 0 is any that is free.

    Raises:
        AgentError: the agent learns within a run, of what no message tells.
    """

    def __init__(
        self,
        make_agent: MakeAgent,
        *,
        name: str,
        bars: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        agent = make_agent()
        if hook := next((one for one in ("fit", "learn") if hasattr(agent, one)), None):
            raise AgentError(
                f"an agent that is served is asked and nothing else, {name} has {hook}(): run it "
                "in the recipe"
            )
        self._make_agent, self._name, self._bars = make_agent, name, bars
        self._host, self._port = host, port
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; ``url`` then says where.

        Raises:
            AgentError: the port is taken, or the host none of this machine.
        """
        app = web.Application(client_max_size=LONGEST_MESSAGE)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise AgentError(
                f"an agent is served where it can listen, {self._host}:{self._port} is not free "
                f"({error}): give another --port"
            ) from None
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and let every agent end."""
        if self._runner is not None:
            await self._runner.cleanup()
        for run in list(self._runs):
            self._end(run)

    async def _answer(self, request: web.Request) -> web.Response:
        # A page in a browser can post plain text to loopback, but not this without being asked.
        if request.content_type != "application/json":
            return _fail(415, "a message must be application/json: set Content-Type")
        try:
            message = read_from_world(await request.read())
            said = self._reply(request.headers.get(RUN_HEADER, ""), message)
        except SeawallError as error:
            return _fail(400, str(error))
        return web.json_response(said)

    def _reply(self, run: str, message: Hello | Question | End) -> Plain:
        if isinstance(message, Hello):
            return self._begin(run, message)
        if isinstance(message, End):
            self._end(run)
            return {"type": "end"}
        asked = self._runs.get(run)
        if asked is None:
            raise AgentError("a run begins with a hello, there was none: send it first")
        self._runs.move_to_end(run)
        return _decide(asked, message)

    def _begin(self, run: str, message: Hello) -> Plain:
        if message.protocol != PROTOCOL:
            raise AgentError(
                f"this server speaks protocol {PROTOCOL}, the hello {message.protocol}: take the "
                "same version of Seawall on both sides"
            )
        self._end(run)
        while len(self._runs) >= _MOST_RUNS:
            self._end(next(iter(self._runs)))
        agent = self._make_agent()
        _call(agent, "begin", rebuild_info(message.info))
        if message.state is not None and hasattr(agent, "restore"):
            _call(agent, "restore", _to_bytes(message.state))
        self._runs[run] = _Run(agent=agent)
        wanted: Plain = {"keeps": True} if self._bars is None else {"bars": self._bars}
        return {"type": "ready", "protocol": PROTOCOL, "name": self._name, **wanted}

    def _end(self, run: str) -> None:
        ended = self._runs.pop(run, None)
        if ended is not None:
            _call(ended.agent, "end")


def _decide(run: _Run, question: Question) -> Plain:
    """Return an agent's answer in the form; whatever it raises, it has abstained."""
    agent = run.agent
    observation = rebuild(question.observation, run.kept)
    try:
        said = to_plain_answer(question.sequence, agent.decide(observation))
        if hasattr(agent, "state") and hasattr(agent, "restore"):
            said["state"] = base64.b64encode(bytes(cast("Any", agent).state())).decode()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - recorded where it was asked
        error_text = f"{type(error).__name__}: {error}"
        return {"type": "decision", "sequence": question.sequence, "error": error_text}
    return said


def to_plain_answer(sequence: int, answer: Answer) -> Plain:
    """Return whatever an agent may answer in the form.

    Raises:
        AgentError: it is none of it.
    """
    said: Plain = {"type": "decision", "sequence": sequence}
    if answer is None:
        return said
    if isinstance(answer, Decision):
        return to_form(sequence, answer)
    if is_number(answer):
        number = float(cast("float", answer))
        return {**said, "target": "inf" if number == inf else number}
    if isinstance(answer, Mapping):
        return {**said, "weights": {str(s): float(w) for s, w in answer.items()}}
    if isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        return to_form(sequence, Decision(actions=tuple(answer)))
    raise AgentError(
        f"an answer is a Decision, actions, weights, a number or None, is {answer!r:.80}"
    )


def _call(agent: Agent, hook: str, *arguments: object) -> None:
    """Call a hook where the agent has it."""
    function = getattr(agent, hook, None)
    if function is None:
        return
    try:
        function(*arguments)
    except SeawallError:
        raise
    except (Exception, SystemExit) as error:
        raise AgentError(f"the agent's {hook}() failed: {type(error).__name__}: {error}") from error


def _to_bytes(state: str) -> bytes:
    try:
        return base64.b64decode(state, validate=True)
    except (binascii.Error, ValueError):
        raise AgentError("state must come back as it was given: it is no base64") from None


def _fail(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
