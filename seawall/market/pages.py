"""One page of history from an exchange, asked for until it comes or it is clear that it will not.

Exchanges limit, stumble and drop connections; each request is tried a few times, as late as the
exchange says (``Retry-After``) or else with doubling pauses. What stays wrong becomes one line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import ccxt
import numpy as np

from seawall.errors import ExchangeError
from seawall.market.manifest import Interval
from seawall.market.series import FloatArray, Kind
from seawall.units import SECOND_MS

T = TypeVar("T")
Sleep = Callable[[float], None]

PAGE_ROWS = 1_000
ATTEMPTS = 5
LONGEST_WAIT_SECONDS = 300.0
LONGEST_TEXT = 200
_LIMITED = (ccxt.DDoSProtection, ccxt.RateLimitExceeded, ccxt.ExchangeNotAvailable)
# ccxt parses an answer before it checks it: a web page in place of JSON surfaces as one of these.
_NONSENSE = (TypeError, ValueError, KeyError, IndexError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """A ccxt client, and the patience to use it.

    Attributes:
        exchange: with its rate limit enabled: it spaces the requests.
        sleep: called with the seconds to wait between attempts.
        attempts: how often one request is tried.
    """

    exchange: ccxt.Exchange
    sleep: Sleep
    attempts: int = ATTEMPTS

    def ask(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns; ``call`` makes one request.

        Raises:
            ExchangeError: it failed for good, or as often as is tried.
        """
        pause_seconds = 1.0
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except (ccxt.OperationFailed, *_NONSENSE) as error:
                wait_seconds = max(pause_seconds, _retry_after_seconds(self.exchange, error))
                if attempt == self.attempts or wait_seconds > LONGEST_WAIT_SECONDS:
                    raise ExchangeError(self._give_up(error, attempt, wait_seconds)) from error
            except ccxt.BaseError as error:
                raise ExchangeError(
                    f"{self.exchange.id} refused a request: {_one_line(error)}; "
                    "check exchange, symbol and timeframe"
                ) from error
            self.sleep(wait_seconds)
            pause_seconds *= 2
        raise AssertionError  # pragma: no cover - the last attempt returned or raised

    def _give_up(self, error: Exception, attempt: int, wait_seconds: float) -> str:
        name, text = self.exchange.id, _one_line(error)
        if wait_seconds > LONGEST_WAIT_SECONDS:
            return f"{name} asks to wait {wait_seconds:.0f} s: run the same command again then"
        if " 451 " in text or "restricted location" in text:
            return f"{name} does not serve this location: take another exchange ({text})"
        kept = "what has come is stored, run the same command again later to go on"
        if isinstance(error, _NONSENSE):
            return f"{name} did not answer in its own format {attempt} times ({text}); {kept}"
        return f"{name} did not answer {attempt} times ({text}): check the network; {kept}"


def fetch_page(
    asker: Asker, kind: Kind, *, symbol: str, timeframe: str, window: Interval
) -> FloatArray:
    """Return at most one page of rows whose time is in ``window``, from its start on.

    Returns:
        float64, shape (n, 6) of time_ms, open, high, low, close, volume, or (n, 2) of time_ms and
        funding rate; strictly increasing in time; a missing value is nan.

    Raises:
        ExchangeError: the exchange does not answer.
    """
    start, stop = window
    exchange = asker.exchange
    params: dict[str, object] = {"until": stop - 1}

    def call() -> FloatArray:
        if kind == "funding":
            rates = exchange.fetch_funding_rate_history(symbol, start, PAGE_ROWS, params)
            return _to_funding_rows(checked(exchange, rates))
        price = {"price": "mark"} if kind == "mark" else {}
        candles = exchange.fetch_ohlcv(symbol, timeframe, start, PAGE_ROWS, params | price)
        return np.array(checked(exchange, candles), dtype=np.float64).reshape(-1, 6)

    rows = asker.ask(call)
    _, first = np.unique(rows[:, 0], return_index=True)  # sorted, each time once
    rows = rows[first]
    return rows[(rows[:, 0] >= start) & (rows[:, 0] < stop)]


def checked(exchange: ccxt.Exchange, answer: T) -> T:
    """Return what ccxt made of an answer, if the answer was JSON at all.

    ccxt reads a login page as a page without rows; taken for one, it would be noted as a gap that
    the exchange has nothing for.

    Raises:
        ValueError: it was not; the request is then repeated.
    """
    if exchange.last_json_response is None:
        raise ValueError("the answer is not JSON")
    return answer


def _to_funding_rows(rates: list[dict[str, object]]) -> FloatArray:
    """Return time and rate; settlement stamps come some ms late and are rounded to 1 s."""
    rows = np.array([[r["timestamp"], r["fundingRate"]] for r in rates], dtype=np.float64)
    rows = rows.reshape(-1, 2)
    rows[:, 0] = np.round(rows[:, 0] / SECOND_MS) * SECOND_MS
    return rows


def _retry_after_seconds(exchange: ccxt.Exchange, error: Exception) -> float:
    """Return the seconds that the exchange asks to wait, 0 where it does not say.

    Only an answer with an error status has headers of its own: after a dropped connection those of
    the answer before are still there.
    """
    if not isinstance(error, _LIMITED) or exchange.last_response_headers is None:
        return 0.0
    text = exchange.last_response_headers.get("Retry-After", "")
    return float(text) if text.strip().isdigit() else 0.0


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__} {error}".split())
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
