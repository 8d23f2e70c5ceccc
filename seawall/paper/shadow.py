"""The venue of a shadow session: our own, on live candles.

Orders are filled by the same code as in a backtest, bar by bar; no order leaves the process. What
the session's limits refuse, and what its kill switch does, is written down, so that a restart,
which runs the recorded bars once more, does the same again.
"""

from collections.abc import Callable
from typing import Any

import backtrader as bt

from seawall.engine.broker import ExchangeBroker
from seawall.engine.orders import copy_order
from seawall.fill import Fill
from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import Order, Stopped
from seawall.paper.limits import Exposure, LimitKeeper, is_reducing
from seawall.paper.order import OrderIntent, TradeFill
from seawall.paper.supervisor import Supervisor

FILL = "shadow fill"  # an event whose content is a ``seawall.fill.Fill``
_REFUSED = "refused order"
_ENDED = "shadow end"


class ShadowBroker(ExchangeBroker):
    """The exchange of a backtest, with somebody who may refuse an order before it is sent.

    Attributes:
        refusal_of: returns why an order is refused, or ``""``.
    """

    refusal_of: Callable[[Any], str] | None = None

    @property
    def quote(self) -> str:
        """The asset of cash and fees."""
        return self._quote

    def cancel_all(self) -> None:
        """Cancel every order that is alive."""
        for order in list(self._exchange.orders):
            self._exchange.cancel(order)

    def close_all(self, owner: Any) -> int:
        """Send a market order against every position; return how many there are."""
        held = [(data, self.getposition(data).size) for data in self.cerebro.datas]
        positions = [(data, size) for data, size in held if size]
        refusal_of, self.refusal_of = self.refusal_of, None
        for data, size in positions:
            send = self.sell if size > 0 else self.buy
            send(owner, data, abs(size), reason="the kill switch: flatten")
        self.refusal_of = refusal_of
        return len(positions)

    def resting(self, data: Any, *, is_buy: bool) -> float:
        """Return what living orders of one side may still fill, base units."""
        book, side = self._feeds.books[data], 1.0 if is_buy else -1.0
        return sum(
            one.quantity for one in self._exchange.orders if one.book is book and one.side == side
        )

    def _transmit(self, order: bt.Order) -> None:
        why = self.refusal_of(order) if self.refusal_of is not None else ""
        if not why:
            super()._transmit(order)
            return
        order.submit(self)
        self._notifications.append(copy_order(order))
        self._exchange.step_ms = self._feeds.now_ms()
        self._exchange.close(self._venue_orders[order.ref], "rejected", why)


class ShadowDesk:
    """What stands between a strategy and the shadow's venue.

    Args:
        broker, keeper, journal: of the session.
        clock: the exchange's time.

    Attributes:
        supervisor: set by the session.
        stamp_ms: of the last step.

    Steps up to ``done_ms`` are run again: what was refused then is refused now, and an end that
    was carried out then is carried out again.
    """

    def __init__(
        self,
        broker: ShadowBroker,
        keeper: LimitKeeper,
        journal: PaperJournal,
        clock: Callable[[], int],
        *,
        done_ms: int = 0,
    ) -> None:
        self._done_ms, self._n_fills = done_ms, 0
        self.broker, self._keeper, self._journal, self._clock = broker, keeper, journal, clock
        self.supervisor: Supervisor | None = None
        self.stamp_ms = 0
        self._refused = {
            key.removeprefix(f"{_REFUSED} "): why for key, why in journal.events(_REFUSED)
        }
        self._ends = {key: str(order) for key, order in journal.events(_ENDED)}
        broker.refusal_of = self._refusal_of

    def turn(self) -> None:
        """Look after limits and the kill switch."""
        if self.supervisor is not None:
            self.supervisor.turn()

    def begin_step(self, stamp_ms: int) -> None:
        """Note where the market is."""
        self.stamp_ms = stamp_ms

    def end_step(self, stamp_ms: int) -> None:
        """Write down the fills of this step; a fill of a step that is run again must be the same.

        Raises:
            JournalError: it is not.
        """
        fills = self.broker.fills
        if len(fills) > self._n_fills:
            fresh = list(enumerate(fills[self._n_fills :], self._n_fills + 1))
            quote = self.broker.quote
            self._journal.add_fills([_to_trade(number, fill, quote) for number, fill in fresh])
            for number, fill in fresh:
                self._journal.see(f"{FILL} {number}", stamp_ms, FILL, fill)
            self._n_fills = len(fills)
        if stamp_ms <= self._done_ms:
            self._end_again()

    def _refusal_of(self, order: Any) -> str:
        ref = str(order.ref)
        if self.stamp_ms <= self._done_ms:
            return str(self._refused.get(ref, ""))
        why = self._why_not(order)
        if why:
            self._journal.see(f"{_REFUSED} {ref}", self._clock(), _REFUSED, why)
        else:
            self._keeper.note_sent(self._clock())
        return why

    def _why_not(self, order: Any) -> str:
        data, is_buy = order.data, order.isbuy()
        intent = OrderIntent(
            client_id="", symbol=data._name,  # noqa: SLF001 - backtrader's public name of a feed
            side="buy" if is_buy else "sell", type="market", quantity=abs(order.created.size),
        )  # fmt: skip
        broker = self.broker
        resting = broker.resting(data, is_buy=is_buy)
        exposure = Exposure(float(data.close[0]), broker.getposition(data).size, resting)
        refusal = "" if self.supervisor is None else self.supervisor.refusal
        if refusal and not is_reducing(intent, exposure):
            return refusal
        breach = self._keeper.check_order(intent, exposure, self._clock())
        return "" if breach is None else f"{breach.limit}: {breach.text}"

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
        broker = self.broker
        if order == "cancel":
            broker.cancel_all()
            return Stopped(True, "all orders are cancelled")
        held = [data for data in broker.cerebro.datas if broker.getposition(data).size]
        if not held:
            return Stopped(True, "flat")
        if is_new:
            broker.cancel_all()
            broker.close_all(broker.cerebro.runningstrats[0])
        return Stopped(False, "sold at the next open: " + ", ".join(one._name for one in held))  # noqa: SLF001


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
        stopped = self.desk.end(self._end)
        self._note("ending", stopped.text)
        self.is_over = stopped.is_done
