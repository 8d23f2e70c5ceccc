"""What stands between a strategy and the venues of a shadow session, which are our own.

Orders and transactions are carried out by the same code as in a backtest, bar by bar; nothing
leaves the process. What the session's limits refuse, and what its kill switch does, is written
down, so that a restart, which runs the recorded bars once more, does the same again.
"""

from collections.abc import Callable
from math import inf
from typing import Any

from seawall.fill import Fill
from seawall.loan_action import LoanAction
from seawall.loan_view import LoanView
from seawall.paper.errors import JournalError
from seawall.paper.faults import ExchangeFault
from seawall.paper.gauges import DISTANCE, HEALTH, RATIO, gauges_of_futures, gauges_of_loan
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import Order, Stopped
from seawall.paper.limits import Breach, Exposure, LimitKeeper, is_reducing
from seawall.paper.order import OrderIntent, TradeFill
from seawall.paper.shadow_broker import ShadowBroker
from seawall.paper.shadow_loan import ShadowCombinedBroker, ShadowLoanBroker
from seawall.paper.supervisor import Supervisor
from seawall.perpetual_action import AddMargin, PerpetualAction, Transfer
from seawall.preview import preview
from seawall.rebalancing import close_loan, is_there
from seawall.units import to_time_text

FILL = "shadow fill"  # an event whose content is a ``seawall.fill.Fill``
LIQUIDATED, MARGIN_CALL = "liquidated", "margin call"  # kinds of notes
_REFUSED = "refused order"
_ENDED = "shadow end"
_CALL_RATIO, _CALL_HEALTH = 0.8, 1.1  # of margin, and of a loan: from there on it is noted
_MOST_CLOSINGS = 3  # times that a loan is tried to be closed
_LEAST = 1e-9  # USD
AnyShadow = ShadowBroker | ShadowLoanBroker | ShadowCombinedBroker


class ShadowDesk:
    """What stands between a strategy and the shadow's venues.

    Args:
        broker, keeper, journal: of the session.
        clock: the exchange's time.

    Attributes:
        exchange, loan: the venues of the broker; ``None``: it has no such.
        supervisor: set by the session.
        stamp_ms: of the last step.

    Steps up to ``done_ms`` are run again: what was refused then is refused now, and an end that
    was carried out then is carried out again.
    """

    def __init__(
        self,
        broker: AnyShadow,
        keeper: LimitKeeper,
        journal: PaperJournal,
        clock: Callable[[], int],
        *,
        done_ms: int = 0,
    ) -> None:
        self._done_ms, self._n_fills = done_ms, 0
        self.broker, self._keeper, self._journal, self._clock = broker, keeper, journal, clock
        self.exchange, self.loan = find_venues(broker)
        self.supervisor: Supervisor | None = None
        self.stamp_ms = 0
        self._n_requests = self._n_transactions = self._n_closings = 0
        self._n_liquidations, self._is_called = 0, False
        self._refused = {
            key.removeprefix(f"{_REFUSED} "): why for key, why in journal.events(_REFUSED)
        }
        self._ends = {key: str(order) for key, order in journal.events(_ENDED)}
        self._values = journal.equities() if done_ms else {}
        if self.exchange is not None:
            self.exchange.refusal_of = self._refusal_of
            self.exchange.refusal_of_request = self._refusal_of_request
        if self.loan is not None:
            self.loan.refusal_of = self._refusal_of_transaction

    def turn(self) -> None:
        """Look after limits and the kill switch."""
        if self.supervisor is not None:
            self.supervisor.turn()

    def begin_step(self, stamp_ms: int) -> None:
        """Note where the market is."""
        self.stamp_ms = stamp_ms

    def end_step(self, stamp_ms: int) -> None:
        """Write down the fills of this step; one that is run again must come to the same.

        Raises:
            JournalError: it does not.
        """
        if self.exchange is not None:
            self._keep_fills(self.exchange, stamp_ms)
        self._look_at_margin(stamp_ms)
        if stamp_ms <= self._done_ms:
            self._check_value(stamp_ms)
            self._end_again()

    @staticmethod
    def look_last() -> bool:
        """Return false: nothing happens between two steps."""
        return False

    def gauges(self) -> dict[str, float]:
        """Return how near loan and positions are to their liquidation; coin is not liquidated."""
        found: dict[str, float] = {}
        view = None if self.exchange is None else self.exchange.peek_perpetual()
        if view is not None:
            found |= gauges_of_futures(view)
        if self.loan is not None and self.loan.is_open:
            loan = self.loan.now()
            found |= gauges_of_loan(loan)
            found.setdefault(DISTANCE, _distance(loan))
        return found

    def _keep_fills(self, exchange: ShadowBroker, stamp_ms: int) -> None:
        fills = exchange.fills
        if len(fills) > self._n_fills:
            fresh = list(enumerate(fills[self._n_fills :], self._n_fills + 1))
            quote = exchange.quote
            self._journal.add_fills([_to_trade(number, fill, quote) for number, fill in fresh])
            for number, fill in fresh:
                self._journal.see(f"{FILL} {number}", stamp_ms, FILL, fill)
            self._n_fills = len(fills)

    def _check_value(self, stamp_ms: int) -> None:
        """Compare what the account is worth with what it was worth when the step was run first.

        Raises:
            JournalError: it is not the same.
        """
        then, now = self._values.get(stamp_ms), float(self.broker.getvalue())
        if then is not None and then != now:
            raise JournalError(
                f"the recorded bars must lead to the same account, at {to_time_text(stamp_ms)} it "
                f"was worth {then!r} and is now {now!r}: go on with the Seawall that wrote the "
                "record, or begin in another folder"
            )

    def _look_at_margin(self, stamp_ms: int) -> None:
        """Note liquidations, and where one has come near."""
        venues = [one for one in (self.exchange, self.loan) if one is not None]
        n_all = sum(one.n_liquidations for one in venues)
        n_new, self._n_liquidations = n_all - self._n_liquidations, n_all
        gauges = self.gauges()
        ratio, health = gauges.get(RATIO, 0.0), gauges.get(HEALTH, inf)
        was_called, self._is_called = self._is_called, ratio >= _CALL_RATIO or health < _CALL_HEALTH
        if stamp_ms <= self._done_ms:
            return
        if n_new:
            told = [one for one in venues[0].journal.entries if one.kind == "liquidated"]
            for entry in told[-n_new:]:
                text = f"{entry.symbol} {entry.text}, {entry.reason}".strip(" ,")
                self._journal.note(stamp_ms, LIQUIDATED, text)
        if self._is_called and not was_called:
            parts = [f"margin ratio {ratio:.1%}"] * (ratio >= _CALL_RATIO)
            parts += [f"health factor {health:.4g}"] * (health < _CALL_HEALTH)
            self._journal.note(stamp_ms, MARGIN_CALL, f"a liquidation is near: {', '.join(parts)}")

    # What is refused ------------------------------------------------------------------------------

    def _refusal_of(self, order: Any) -> str:
        return self._decide(str(order.ref), lambda: self._why_not(order))

    def _refusal_of_request(self, action: PerpetualAction) -> str:
        """Return why a request is refused: nothing limits it, but an end or a doubt does."""
        self._n_requests += 1
        is_safe = isinstance(action, AddMargin) and action.amount > 0
        is_safe |= isinstance(action, Transfer) and action.target != "spot"
        key = f"request {self._n_requests}"
        return self._decide(key, lambda: "" if is_safe else self._doubt(), counts=False)

    def _refusal_of_transaction(self, action: LoanAction) -> str:
        self._n_transactions += 1
        return self._decide(
            f"transaction {self._n_transactions}", lambda: self._why_not_loan(action)
        )

    def _decide(self, key: str, find: Callable[[], str], *, counts: bool = True) -> str:
        """Return what was said when the step was run first, or what is found now."""
        if self.stamp_ms <= self._done_ms or key in self._refused:
            return str(self._refused.get(key, ""))
        why = find()
        if why:
            self._journal.see(f"{_REFUSED} {key}", self._clock(), _REFUSED, why)
        elif counts:
            self._keeper.note_sent(self._clock())
        return why

    def _doubt(self) -> str:
        return "" if self.supervisor is None else self.supervisor.refusal

    def _why_not(self, order: Any) -> str:
        data, is_buy = order.data, order.isbuy()
        intent = OrderIntent(
            client_id="", symbol=data._name,  # noqa: SLF001 - backtrader's public name of a feed
            side="buy" if is_buy else "sell", type="market", quantity=abs(order.created.size),
            reduce_only=bool(order.info.get("reduce_only")),
        )  # fmt: skip
        exchange = self.exchange
        if exchange is None:
            return ""
        resting = exchange.resting(data, is_buy=is_buy)
        exposure = Exposure(float(data.close[0]), exchange.getposition(data).size, resting)
        refusal = self._doubt()
        if refusal and not is_reducing(intent, exposure):
            return refusal
        return _to_text(self._keeper.check_order(intent, exposure, self._clock()))

    def _why_not_loan(self, action: LoanAction) -> str:
        """Return the limit that a transaction breaks; what makes the loan healthier breaks none.

        An order is the debt that it adds, a position the collateral, USD.
        """
        loan = self.loan
        if loan is None:
            return ""
        before = loan.now()
        after = preview(before, action)
        if after.health >= before.health:
            return ""
        if refusal := self._doubt():
            return refusal
        held = sum(tokens * after.prices[name] for name, tokens in after.collateral.items())
        added = max(after.debt_usd - before.debt_usd, _LEAST)
        intent = OrderIntent(
            client_id="", symbol=loan.world.loan.collateral, side="buy", type="market",
            quantity=added,
        )  # fmt: skip
        exposure = Exposure(1.0, before.collateral_usd, held - before.collateral_usd - added)
        return _to_text(self._keeper.check_order(intent, exposure, self._clock()))

    # The end --------------------------------------------------------------------------------------

    def end(self, order: Order) -> Stopped:
        """Do what an end asks for; may be called until it is done."""
        if order == "stop":
            return Stopped(True, "stopped; what is open stays open")
        key = f"{_ENDED} {self.stamp_ms} {order}"
        is_new = self._journal.see(key, self._clock(), _ENDED, order)
        return self._carry_out(order, is_new=is_new)

    def _end_again(self) -> None:
        """Do what was done at this step when it was run first."""
        for key, order in self._ends.items():
            if key.split()[2] == str(self.stamp_ms):
                self._carry_out("flatten" if order == "flatten" else "cancel", is_new=True)

    def _carry_out(self, order: Order, *, is_new: bool) -> Stopped:
        venues = [one for one in (self.exchange, self.loan) if one is not None and one.is_open]
        if order == "cancel":
            for venue in venues:
                venue.cancel_all()
            return Stopped(True, "all orders are cancelled")
        if not venues:
            return Stopped(True, "nothing was open yet")
        done = [
            self._close_loan(venue, is_new=is_new)
            if isinstance(venue, ShadowLoanBroker)
            else self._sell(venue, is_new=is_new)
            for venue in venues
        ]
        return Stopped(all(one.is_done for one in done), "; ".join(one.text for one in done))

    def _sell(self, exchange: ShadowBroker, *, is_new: bool) -> Stopped:
        held = exchange.held()
        if not held:
            return Stopped(True, "flat")
        if is_new:
            exchange.cancel_all()
            exchange.close_all(exchange.cerebro.runningstrats[0])
        names = ", ".join(data._name for data, _ in held)  # noqa: SLF001
        return Stopped(False, f"closed at the next open: {names}")

    def _close_loan(self, loan: ShadowLoanBroker, *, is_new: bool) -> Stopped:
        """Repay what is owed, selling as much collateral as that needs; the rest stays supplied."""
        view = loan.now()
        if is_there(view, inf):
            return Stopped(True, "nothing is owed")
        if self._n_closings and loan.is_waiting:
            return Stopped(False, "the loan is closed with the next block")
        if not is_new:
            return Stopped(False, "the loan is closed with the next block")
        loan.cancel_all()
        bundle = close_loan(view)
        if bundle is None or self._n_closings >= _MOST_CLOSINGS:
            return Stopped(True, f"the loan stays open: {view.debt_usd:,.2f} USD cannot be repaid "
                           "out of wallet and collateral")  # fmt: skip
        self._n_closings += 1
        loan.send_closing(bundle)
        return Stopped(False, "the loan is closed with the next block")


def find_venues(broker: AnyShadow) -> tuple[ShadowBroker | None, ShadowLoanBroker | None]:
    """Return the exchange and the loan of a broker, ``None`` for what it has not."""
    if isinstance(broker, ShadowCombinedBroker):
        return broker.exchange, broker.loan
    if isinstance(broker, ShadowLoanBroker):
        return None, broker
    return broker, None


def _distance(loan: LoanView) -> float:
    """Return by which share the collateral's price may fall until the loan can be liquidated."""
    price = loan.prices[loan.terms.collateral]
    return 1.0 - loan.liquidation_price() / price if price > 0 else float("nan")


def _to_text(breach: Breach | None) -> str:
    return "" if breach is None else f"{breach.limit}: {breach.text}"


def _to_trade(number: int, fill: Fill, quote: str) -> TradeFill:
    return TradeFill(
        symbol=fill.symbol,
        trade_id=str(number),
        exchange_order_id=fill.order_id,
        side="buy" if fill.quantity > 0 else "sell",
        price=fill.price,
        quantity=abs(fill.quantity),
        fee=fill.fee,
        fee_asset=quote,
        time_ms=fill.time_ms,
        is_maker=fill.liquidity == "maker",
    )


class ShadowSupervisor(Supervisor):
    """Watches a shadow: there is no account to compare with, and its end is the desk's."""

    desk: ShadowDesk

    def _check_books(self) -> None:
        """Compare the clocks where it is time to."""
        now_ms = self._client.clock()
        if now_ms < self._next_check_ms:
            return
        self._next_check_ms = now_ms + self._watch.check_ms
        try:
            self._skew_ms = self._client.read_clock().skew_ms
        except ExchangeFault as error:
            self._note("fault", str(error))

    def _carry_on_ending(self) -> None:
        self._say_end(self.desk.end(self._end))
