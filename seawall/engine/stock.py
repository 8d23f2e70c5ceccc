"""backtrader's own broker with its bookkeeping trimmed: ``fills = "stock"``.

Every rule is backtrader's and runs in backtrader's code: shorts and negative equity are allowed,
an order is checked against the cash at the close and may be refused at the next open (Margin),
a limit fills when touched, nothing is rounded or capped, orders of the last bar vanish.

What is trimmed is work without an effect: a bar without orders, interest or variation margin only
marks the value as out of date, and the value is computed when someone asks.

Left out: ``Position.datetime`` and ``Position.adjbase`` of a position whose commission scheme
charges no interest and settles no margin are those of its last fill, not of the last bar; and a
flat position in a feed with nan closes does not turn the value into nan.
"""

# ruff: noqa: SLF001, FBT001, FBT002, PLR0917 - backtrader's names and signatures

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import backtrader as bt
import numpy as np

from seawall.engine.feed import to_bt_time

_PLAIN_SCHEMES = (bt.CommInfoBase, bt.CommissionInfo)


class Execution(NamedTuple):
    """One execution, full or partial, as a ledger needs it.

    Attributes:
        dt: backtrader's date number of the bar that filled it (its close).
        data: the feed whose position changed.
        order_ref: ``Order.ref``.
        size: units, signed: > 0 bought.
        price: quote per unit.
        commission: quote units, >= 0, without accrued interest.
        pnl: quote units, of what was closed, before commission.
        cash_change: what the execution did to the cash, commission included.
    """

    dt: float
    data: Any
    order_ref: int
    size: float
    price: float
    commission: float
    pnl: float
    cash_change: float


class Adjustment(NamedTuple):
    """A change of the cash without an execution: interest and variation margin of one bar.

    Attributes:
        dt: backtrader's date number of the bar, of the first feed.
        cash_change: quote units.
    """

    dt: float
    cash_change: float


class StockBroker(bt.brokers.BackBroker):
    """``bt.brokers.BackBroker``, faster, with a record of all that changed the cash.

    Attributes:
        executions: every execution since the start, in order.
        adjustments: every change of the cash by interest or variation margin.
        on_execution: called with each execution; ``None`` at first.
        since_ms: orders sent before are rejected: a warm-up is seen, not traded; ``None``: none.
        values_lazily: the value may wait until it is asked for. The trimmed loop of
            ``seawall.engine.cerebro`` sets it where no user code runs between the move of the
            feeds and ``next``; elsewhere each bar is valued at once, as backtrader does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_execution: Callable[[Execution], None] | None = None
        self.since_ms: int | None = None

    def init(self) -> None:
        """Forget positions, orders and records: the start of a run."""
        super().init()
        self.executions: list[Execution] = []
        self.adjustments: list[Adjustment] = []
        self.values_lazily = False
        self._is_stale = False
        self._charged: list[Any] | None = []

    @property
    def is_idle(self) -> bool:
        """Whether a bar can change nothing but the value: no orders, interest or margin."""
        return not (
            self.pending
            or self.submitted
            or self._toactivate
            or self.notifs
            or self._userhist
            or self._fundhist
            or self._cash_addition
            or self._find_charged()
        )

    def next(self) -> None:
        """Work one bar off: activate, check, charge, fill, settle, value; in this order."""
        if self._userhist or self._fundhist or self._cash_addition:
            self._charged = None
            super().next()
            return
        while self._toactivate:
            self._toactivate.popleft().activate()
        if self.submitted and self.p.checksubmit:
            self.check_submitted()
        cash = self.cash
        charged = self._find_charged()
        if charged:
            self._charge_interest(charged)
            cash = self._note_adjustment(cash)
        if self.pending:
            self._work_orders()
            charged = self._find_charged()
        if charged:
            cash = self.cash
            self._settle_margin(charged)
            self._note_adjustment(cash)
        self._is_stale = True
        if not self.values_lazily:
            self._get_value()

    def submit(self, order: bt.Order, check: bool = True) -> bt.Order:
        """Take an order, or reject one of the warm-up or for a feed that is only shown."""
        is_early = self.since_ms is not None and (
            order.data.datetime[0] < to_bt_time(np.array([self.since_ms]))[0]
        )
        if not is_early and not getattr(order.data, "only_shows", False):
            return super().submit(order, check)
        order.submit(self)
        order.reject(self)
        self.notify(order)
        return order

    def get_notification(self) -> bt.Order | None:
        """Return the next order to be told about, or ``None``."""
        return self.notifs.popleft() if self.notifs else None

    def get_cash(self) -> float:
        """Return the cash in quote units."""
        return self.cash

    getcash = get_cash

    def get_value(self, datas: Any = None, mkt: bool = False, lever: bool = False) -> float:
        """Return the account's value, or that of the given feeds' positions, in quote units."""
        if self._is_stale and datas is None:
            self._get_value()
        return super().get_value(datas, mkt, lever)

    getvalue = get_value

    def get_leverage(self) -> float:
        """Return the value at full price over the value after leverage."""
        self.revalue()
        return super().get_leverage()

    def get_fundvalue(self) -> float:
        """Return the value of one share of the account seen as a fund."""
        self.revalue()
        return self._fundval

    fundvalue = property(get_fundvalue)

    def set_cash(self, cash: float) -> None:
        """Set the cash; the value is the same until the next bar."""
        self._is_stale = False
        super().set_cash(cash)

    setcash = set_cash

    def add_cash(self, cash: float) -> None:
        """Add cash at the next bar, take it out where negative."""
        self.revalue()  # the shares it buys are priced at this bar's value, not the next one's
        super().add_cash(cash)

    def setcommission(self, *args: Any, **kwargs: Any) -> None:
        """Set the commission scheme of one feed, or of all that have none."""
        self._charged = None
        super().setcommission(*args, **kwargs)

    def addcommissioninfo(self, comminfo: bt.CommInfoBase, name: str | None = None) -> None:
        """Set a commission scheme object for one feed, or for all that have none."""
        self._charged = None
        super().addcommissioninfo(comminfo, name)

    def revalue(self) -> None:
        """Bring the value up to date with the last bar."""
        if self._is_stale:
            self._get_value()

    def _get_value(self, datas: Any = None, lever: bool = False) -> float:
        if datas is None:
            self._is_stale = False
            if not any(position.size for position in self.positions.values()):
                return self._value_flat()
        return super()._get_value(datas, lever)

    def _value_flat(self) -> float:
        """Value an account without a position: its cash."""
        if self._cash_addition or self._fundhist:
            return super()._get_value()
        self._value = self._valuelever = self.cash + 0.0
        self._fundval = self._value / self._fundshares
        self._valuemkt = self._valuemktlever = self._leverage = self._unrealized = 0.0
        return self._value

    def _find_charged(self) -> list[Any]:
        """Return the feeds with a position whose scheme moves cash by itself, bar by bar."""
        if self._charged is None:
            held = [data for data, position in self.positions.items() if position.size]
            self._charged = [data for data in held if self._is_charged(data)]
        return self._charged

    def _is_charged(self, data: Any) -> bool:
        scheme = self.getcommissioninfo(data)
        is_plain = type(scheme) in _PLAIN_SCHEMES and scheme._stocklike
        return not is_plain or scheme.p.interest != 0

    def _charge_interest(self, charged: list[Any]) -> None:
        credit = 0.0
        for data in charged:
            position = self.positions[data]
            now = data.datetime.datetime()
            due = self.getcommissioninfo(data).get_credit_interest(data, position, now)
            self.d_credit[data] += due
            credit += due
            position.datetime = now
        self.cash -= credit

    def _work_orders(self) -> None:
        """Try each waiting order once, in the order of their arrival.

        The marker tells them from those put back: a fill or an expiry may cancel any that wait.
        """
        waiting: deque[bt.Order | None] = self.pending  # type: ignore[assignment]
        waiting.append(None)
        while (order := waiting.popleft()) is not None:
            if order.expire():
                self.notify(order)
                self._ococheck(order)
                self._bracketize(order, cancel=True)
            elif not order.active():
                waiting.append(order)
            else:
                self._try_exec(order)
                if order.alive():
                    waiting.append(order)
                elif order.status == bt.Order.Completed:
                    self._bracketize(order)

    def _settle_margin(self, charged: list[Any]) -> None:
        for data in charged:
            position = self.positions[data]
            scheme = self.getcommissioninfo(data)
            close = data.close[0]
            self.cash += scheme.cashadjust(position.size, position.adjbase, close)
            position.adjbase = close

    def _note_adjustment(self, cash_before: float) -> float:
        if self.cash != cash_before:
            now = self.cerebro.datas[0].datetime[0]
            self.adjustments.append(Adjustment(now, self.cash - cash_before))
        return self.cash

    def _execute(
        self,
        order: bt.Order,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: bt.Position | None = None,
        dtcoc: float | None = None,
    ) -> float | None:
        before, bits = self.cash, order.executed.exbits
        n_before = len(bits)
        left = super()._execute(order, ago, price, cash, position, dtcoc)
        if len(bits) > n_before:
            self._charged = None
            self._record(order, self.cash - before)
        return left

    def _record(self, order: bt.Order, cash_change: float) -> None:
        bit = order.executed.exbits[-1]
        other = order.data._compensate
        data = order.data if other is None else other
        execution = Execution(
            bit.dt, data, order.ref, bit.size, bit.price, bit.comm, bit.pnl, cash_change
        )
        self.executions.append(execution)
        if self.on_execution is not None:
            self.on_execution(execution)
