"""Who hears of what happens at the futures desk: streams, and the file that survives a restart."""

from typing import Protocol

from seawall.sandbox.algo import AlgoOrder
from seawall.sandbox.decimals import ONE
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.seat import Income, Seat


class Witness(Protocol):
    """What hears of everything that changes at the desk, in order."""

    def on_order(self, seat: Seat, order: Order, kind: str, trade: Trade | None) -> None:
        """An order is new, filled (``TRADE``, ``CALCULATED``), canceled or expired."""

    def on_algo(self, seat: Seat, algo: AlgoOrder, status: str) -> None:
        """A conditional order has reached a status."""

    def on_account(self, seat: Seat, reason: str, rows: tuple[int, ...]) -> None:
        """The wallet, or the positions of some rows, have changed, for Binance's ``reason``."""

    def on_income(self, seat: Seat, income: Income) -> None:
        """The wallet has received or paid something."""


class Bulletin:
    """Tells every witness."""

    def __init__(self) -> None:
        self.witnesses: list[Witness] = []

    def order(self, seat: Seat, order: Order, kind: str, trade: Trade | None = None) -> None:
        """Tell of an order; where it is over, of the conditional one that it came from too."""
        for witness in self.witnesses:
            witness.on_order(seat, order, kind, trade)
        if order.is_open:
            return
        algo = seat.algos.by_client.get(order.client_id)
        if algo is not None and algo.status == "TRIGGERED" and algo.order_id == order.order_id:
            algo.status, algo.update_ms = "FINISHED", order.update_ms
            self.algo(seat, algo, "FINISHED")

    def algo(self, seat: Seat, algo: AlgoOrder, status: str) -> None:
        """Tell of a conditional order."""
        for witness in self.witnesses:
            witness.on_algo(seat, algo, status)

    def account(self, seat: Seat, reason: str, rows: tuple[int, ...] = ()) -> None:
        """Tell of a wallet and positions."""
        for witness in self.witnesses:
            witness.on_account(seat, reason, rows)

    def income(
        self,
        seat: Seat,
        kind: str,
        amount: float,
        time_ms: int,
        *,
        code: str = "",
        trade_id: int = 0,
    ) -> None:
        """Note a change of a wallet and tell of it; nothing where nothing has changed."""
        income = seat.receive(kind, amount, time_ms, code=code, trade_id=trade_id)
        if income is not None:
            for witness in self.witnesses:
                witness.on_income(seat, income)

    def earned(self, seat: Seat, trade: Trade, pnl: float, insured: float) -> None:
        """Tell what a trade did to the wallet: profit, fee, and what the insurance fund paid."""
        for kind, amount in (
            ("REALIZED_PNL", pnl),
            ("COMMISSION", -trade.fee / ONE),
            ("INSURANCE_CLEAR", insured),
        ):
            self.income(seat, kind, amount, trade.time_ms, code=trade.code, trade_id=trade.trade_id)
