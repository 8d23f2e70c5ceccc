"""Requests through a ccxt client: sent once, read with suspicion, understood where they fail."""

from collections.abc import Callable
from typing import Any, TypeVar

from seawall.paper.errors import GuardRefused
from seawall.paper.faults import ExchangeFault, Fault, read_fault
from seawall.paper.reading import Unreadable, check_list
from seawall.paper.redaction import Redactor

_T = TypeVar("_T")
Rows = list[Any]
Clock = Callable[[], int]


class Calls:
    """What sends the requests of one client.

    Args:
        exchange: a guarded synchronous ccxt client.
        clock: the time in ms, the exchange's where it runs on its own; also signs.
        redactor: cleans what errors say.

    Attributes:
        blocked_until_ms: before then nothing is sent: the exchange said so.
    """

    def __init__(self, exchange: Any, *, clock: Clock, redactor: Redactor | None = None) -> None:
        self.exchange, self.clock = exchange, clock
        self._redactor = redactor or Redactor()
        self.blocked_until_ms = 0
        exchange.enableLastJsonResponse = True
        exchange.maxRetriesOnFailure = 0
        exchange.options["maxRetriesOnFailure"] = 0
        exchange.milliseconds = clock

    def list(self, method: Callable[..., Any], *arguments: Any) -> Rows:
        """Return the rows of a list that was really sent.

        Raises:
            ExchangeFault: the request failed, or the answer is none.
        """
        answer = self.call(method, *arguments)
        return self.understand(check_list, answer, self.exchange.last_json_response)

    def call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Send one request, once, and return ccxt's answer.

        Raises:
            ExchangeFault: whatever went wrong with it.
            GuardRefused: it may not leave.
        """
        now_ms, exchange = self.clock(), self.exchange
        if now_ms < self.blocked_until_ms:
            wait_ms = self.blocked_until_ms - now_ms
            fault = Fault(cause="rate_limited", text="held back", retry_ms=wait_ms)
            raise ExchangeFault(fault, f"nothing is sent for another {wait_ms} ms: the exchange's")
        exchange.last_json_response = exchange.last_response_headers = None
        try:
            return method(*arguments)
        except GuardRefused:
            raise
        except Exception as error:  # noqa: BLE001 - ccxt raises anything on what it cannot parse
            fault = read_fault(error, exchange.last_response_headers, now_ms=self.clock())
            if fault.retry_ms:
                self.blocked_until_ms = self.clock() + fault.retry_ms
            raise ExchangeFault(fault, self._redactor.clean(fault.text)) from None

    def understand(self, read: Callable[..., _T], *answer: object) -> _T:
        """Return what ``read`` makes of an answer.

        Raises:
            ExchangeFault: it cannot be read; its cause is unknown.
        """
        try:
            return read(*answer)
        except (Unreadable, KeyError, TypeError, ValueError) as error:
            text = self._redactor.clean(f"the answer cannot be read: {error}")
            raise ExchangeFault(Fault(cause="unknown", text=text), text) from None
