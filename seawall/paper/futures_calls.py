"""What is asked of a futures account beside orders and trades, through the client's own calls.

Source: Binance USD-M futures; the endpoints are asked as they are, without ccxt's parsers, which
take an answer that is cut short for a flat account.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from seawall.market.brackets import Brackets
from seawall.paper.calls import Calls
from seawall.paper.futures_reading import (
    Income,
    Premium,
    Setting,
    ToldAccount,
    read_account,
    read_brackets,
    read_incomes,
    read_mode,
    read_premium,
    read_settings,
)
from seawall.paper.reading import Unreadable, to_number
from seawall.units import DAY_MS, HOUR_MS

_T = TypeVar("_T")
_PAGE = 1_000
_OVERLAP_MS = 60_000  # incomes may be listed late, and in another order
_SPAN_MS = 6 * DAY_MS
_ADD, _TAKE = "1", "2"
_DONE = "200"


class FuturesCalls:
    """Asks about one futures account.

    Args:
        calls: of a guarded client of Binance's USD-M futures.
        asset: of the margin.
    """

    def __init__(self, calls: Calls, *, asset: str) -> None:
        self._calls, self.asset = calls, asset
        self._exchange = calls.exchange

    # What is there --------------------------------------------------------------------------------

    def account(self) -> ToldAccount:
        """Return the account, positions among it.

        Raises:
            ExchangeFault: it cannot be asked for, or two answers about it differ.
        """
        risks = self._calls.list(self._exchange.fapiPrivateV3GetPositionRisk)
        account = self._calls.call(self._exchange.fapiPrivateV3GetAccount)
        return self._understand(
            lambda told: read_account(told, risks, asset=self.asset, to_symbol=self._to_symbol),
            account,
        )

    def settings(self) -> dict[str, Setting]:
        """Return leverage and margin mode of every contract.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        rows = self._calls.list(self._exchange.fapiPrivateGetSymbolConfig)
        return self._understand(lambda told: read_settings(told, self._to_symbol), rows)

    def mode(self) -> str:
        """Return why the account's mode cannot be traded in, ``""`` where it can.

        Raises:
            ExchangeFault: it cannot be asked for.
        """
        answer = self._calls.call(self._exchange.fapiPrivateGetAccountConfig)
        return self._understand(read_mode, answer)

    def incomes(self, since_ms: int) -> list[Income]:
        """Return all changes of the wallet since a time, a minute of those before among them.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        found: dict[str, Income] = {}
        cursor, now_ms = since_ms - _OVERLAP_MS, self._calls.clock()
        while cursor <= now_ms:
            wishes = {"startTime": cursor, "limit": _PAGE}
            rows = self._calls.list(self._exchange.fapiPrivateGetIncome, wishes)
            page = self._understand(
                lambda told: read_incomes(told, self._to_symbol, self.asset), rows
            )
            found |= {one.key: one for one in page}
            if len(rows) < _PAGE:
                cursor += _SPAN_MS
            else:
                cursor = max(cursor + 1, *(one.time_ms for one in page))
        return list(found.values())

    def brackets(self, symbol: str) -> Brackets:
        """Return the brackets of a contract.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        answer = self._calls.call(self._exchange.fetch_leverage_tiers, [symbol])
        now_ms = self._calls.clock()
        return self._understand(lambda told: read_brackets(told, symbol, now_ms), answer)

    def premium(self, symbol: str) -> Premium:
        """Return mark and next settlement of a contract.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        return self._understand(
            read_premium, self._calls.call(self._exchange.fetch_funding_rate, symbol)
        )

    def last_rate(self, symbol: str) -> float | None:
        """Return the funding rate that was settled last; ``None`` before the first.

        Raises:
            ExchangeFault: it cannot be asked for.
        """
        rows = self._calls.list(self._exchange.fetch_funding_rate_history, symbol, None, 1)
        return self._understand(_read_last_rate, rows)

    def fees(self, symbol: str) -> tuple[float, float]:
        """Return maker's and taker's fee of a contract, fractions.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        wishes = {"symbol": self._exchange.market(symbol)["id"]}
        answer = self._calls.call(self._exchange.fapiPrivateGetCommissionRate, wishes)
        return self._understand(_read_fees, answer)

    def interval_ms(self, symbol: str) -> int:
        """Return the time between two settlements; the exchange names it where it is not 8 h.

        Raises:
            ExchangeFault: it cannot be asked for.
        """
        rows = self._calls.call(self._exchange.fapiPublicGetFundingInfo)
        code = self._exchange.market(symbol)["id"]
        return self._understand(lambda told: _read_interval_ms(told, code), rows)

    # What is changed ------------------------------------------------------------------------------

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of a contract; to do it twice is no harm.

        Raises:
            ExchangeFault: it was refused, or nobody knows whether it is set.
        """
        wishes = {"symbol": self._exchange.market(symbol)["id"], "leverage": leverage}
        answer = self._calls.call(self._exchange.fapiPrivatePostLeverage, wishes)
        self._understand(lambda told: _check_leverage(told, leverage), answer)

    def set_mode(self, symbol: str, *, is_isolated: bool) -> None:
        """Set the margin mode of a contract; to do it twice is no harm.

        Raises:
            ExchangeFault: it was refused, or nobody knows whether it is set.
        """
        kind = "ISOLATED" if is_isolated else "CROSSED"
        wishes = {"symbol": self._exchange.market(symbol)["id"], "marginType": kind}
        answer = self._calls.call(self._exchange.fapiPrivatePostMarginType, wishes)
        self._understand(_check_done, answer)

    def move_margin(self, symbol: str, amount: float) -> None:
        """Move margin into (> 0) or out of an isolated position, once.

        Raises:
            ExchangeFault: it was refused, or nobody knows whether it was moved: it is never sent
                again before that is known.
        """
        wishes = {
            "symbol": self._exchange.market(symbol)["id"],
            "amount": to_text(abs(amount)),
            "type": _ADD if amount > 0 else _TAKE,
        }
        answer = self._calls.call(self._exchange.fapiPrivatePostPositionMargin, wishes)
        self._understand(_check_done, answer)

    def moves(self, symbol: str, since_ms: int) -> list[tuple[int, float]]:
        """Return the times and amounts of all margin that was moved by hand since a time.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        wishes = {"symbol": self._exchange.market(symbol)["id"], "startTime": since_ms}
        rows = self._calls.list(self._exchange.fapiPrivateGetPositionMarginHistory, wishes)
        return self._understand(_read_moves, rows)

    def _to_symbol(self, code: str) -> str:
        return str(self._exchange.safe_symbol(code, None, None, "swap"))

    def _understand(self, read: Callable[[Any], _T], answer: object) -> _T:
        return self._calls.understand(read, answer)


def to_text(amount: float) -> str:
    """Return money with eight decimals, rounded down: more than that is not asked for."""
    return f"{int(amount * 1e8 + 1e-3) / 1e8:.8f}"


def _check_leverage(answer: Any, wanted: int) -> None:
    if not isinstance(answer, dict) or to_number(answer.get("leverage")) != wanted:
        raise Unreadable(f"a leverage of {wanted} was asked for, the answer is {answer!r}")


def _check_done(answer: Any) -> None:
    if not isinstance(answer, dict) or str(answer.get("code")) != _DONE:
        raise Unreadable(f"the answer does not say that it is done: {answer!r}")


def _read_fees(answer: Any) -> tuple[float, float]:
    if not isinstance(answer, dict):
        raise Unreadable("fees must be a row")
    return (
        to_number(answer.get("makerCommissionRate")),
        to_number(answer.get("takerCommissionRate")),
    )


def _read_interval_ms(rows: Any, code: str) -> int:
    if not isinstance(rows, list):
        raise Unreadable("funding intervals must be a list")
    for row in rows:
        if isinstance(row, dict) and row.get("symbol") == code:
            return int(to_number(row.get("fundingIntervalHours"))) * HOUR_MS
    return 8 * HOUR_MS


def _read_last_rate(rows: Iterable[Any]) -> float | None:
    rates = [to_number(row.get("fundingRate")) for row in rows if isinstance(row, dict)]
    return rates[-1] if rates else None


def _read_moves(rows: Iterable[Any]) -> list[tuple[int, float]]:
    found = []
    for row in rows:
        if not isinstance(row, dict) or row.get("type") is None:
            raise Unreadable("margin that was moved without a type is no answer")
        sign = 1.0 if str(row["type"]) == _ADD else -1.0
        found.append((int(to_number(row.get("time"))), sign * to_number(row.get("amount"))))
    return found
