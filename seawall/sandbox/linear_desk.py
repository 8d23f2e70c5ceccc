"""The futures desk: takes orders for perpetuals, matches them, and keeps what accounts have.

All money changes in the project's own kernels (``venues.perpetual``); the desk says when. One
position per account and market (one-way mode), one margin asset. A fill's price and quantity are
exact and its fee is rounded down to 1e-8; money is float64, shown as the nearest eight decimals.

Left out: hedge mode, multi-asset margin, auto-deleveraging, price protection.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seawall.errors import DataError
from seawall.market.series import FloatArray
from seawall.sandbox.accounts import Account, Accounts
from seawall.sandbox.algo import AlgoOrder
from seawall.sandbox.book import Book, Plan, Take, Want
from seawall.sandbox.bulletin import Bulletin
from seawall.sandbox.contract import Contract, make_contract
from seawall.sandbox.decimals import ONE, multiply_down
from seawall.sandbox.house import House
from seawall.sandbox.linear_filters import check_order
from seawall.sandbox.linear_refusals import (
    duplicate_client_id,
    not_fillable,
    nothing_to_reduce,
    too_many_orders,
    would_take,
)
from seawall.sandbox.market import Market
from seawall.sandbox.order_margin import Standing, check_margin, has_margin_for
from seawall.sandbox.orders import Order, Status, Trade
from seawall.sandbox.refusals import ApiError, invalid_symbol, unknown_order
from seawall.sandbox.seat import Seat
from seawall.sandbox.tape import Print
from seawall.venues.perpetual import layout, liquidation, positions
from seawall.venues.perpetual.tables import to_table


@dataclass(frozen=True, kw_only=True)
class DeskTerms:
    """What new accounts get: fee rates in 1e-8 units, and what a liquidation costs.

    Attributes:
        maker_fee, taker_fee: of the notional; ``liquidation_fee``: likewise, a fraction.
        leverage: of a market that no leverage was chosen for.
        kept: orders, trades and incomes kept per account.
    """

    maker_fee: int
    taker_fee: int
    liquidation_fee: float
    leverage: float
    kept: int


class LinearDesk:
    """All markets of perpetuals of an exchange.

    Attributes:
        codes: the markets, by row of all arrays; ``rows``: the reverse.
        marks: float64, shape (n,), where each mark stands.
        tables: float64, shape (n, n_tiers, N_TIER), the brackets in force; ``brackets_end_ms``:
            until when, by row.
        terms: float64, shape (n, N_TERM), of liquidations.
        n_settled: funding stamps that are settled, by row.
        seats: by account name.
        waiting: conditional orders, by market code, in order of arrival.
        forced: the orders by which positions were liquidated, with the account's name.
    """

    def __init__(self, markets: Mapping[str, Market], accounts: Accounts, terms: DeskTerms) -> None:
        """Open the desk; ``markets`` by code.

        Raises:
            DataError: they have more than one margin asset.
        """
        assets = sorted({market.quote for market in markets.values()})
        if len(assets) > 1:
            raise DataError(
                f"perpetuals of one exchange share a margin asset, there are {', '.join(assets)}: "
                "list those of one"
            )
        self.asset = assets[0] if assets else "USDT"
        self.markets, self.accounts, self._terms = dict(markets), accounts, terms
        self.codes = tuple(markets)
        self.rows = {code: row for row, code in enumerate(self.codes)}
        self.books = {code: Book(market) for code, market in markets.items()}
        self.contracts = [market.contract or make_contract(market.candles)
                          for market in markets.values()]  # fmt: skip
        self.seats: dict[str, Seat] = {}
        self.tell = Bulletin()
        self.waiting: dict[str, list[AlgoOrder]] = {code: [] for code in markets}
        self.n_orders: Counter[str] = Counter()
        self.n_trades: Counter[str] = Counter()
        self.n_algos = 0
        self.forced: deque[tuple[str, Order]] = deque(maxlen=terms.kept)
        self.house = House(len(markets))
        self._set_up(list(markets.values()))

    def _set_up(self, markets: list[Market]) -> None:
        """Make the arrays that the kernels read."""
        self.marks: FloatArray = np.array([one.mark_price / ONE for one in markets])
        self.terms: FloatArray = np.zeros((len(markets), liquidation.N_TERM))
        self.terms[:, liquidation.FEE_RATE] = self._terms.liquidation_fee
        self.terms[:, liquidation.LOT_SIZE] = [one.terms.lot / ONE for one in markets]
        n_tiers = [len(table.tiers) for one in self.contracts for table in one.brackets]
        self.tables: FloatArray = np.zeros((len(markets), max(n_tiers, default=1), layout.N_TIER))
        self.brackets_end_ms = [-np.inf] * len(markets)
        self.n_settled = [0] * len(markets)
        for row, market in enumerate(markets):
            self.load_brackets(row, market.last.time_ms)
            self.n_settled[row] = self.contracts[row].n_settled(market.last.time_ms)

    # Who and where --------------------------------------------------------------------------------

    def market(self, code: str) -> Market:
        """Return a market by its code.

        Raises:
            ApiError: it is not listed.
        """
        found = self.markets.get(code)
        if found is None:
            raise invalid_symbol()
        return found

    def contract(self, code: str) -> Contract:
        """Return the terms of a market."""
        return self.contracts[self.rows[code]]

    def seat(self, account: Account) -> Seat:
        """Return what an account has here, made where there is nothing."""
        found = self.seats.get(account.name)
        if found is None:
            terms = self._terms
            found = self.seats[account.name] = Seat(
                account, len(self.codes), fees=(terms.maker_fee, terms.taker_fee), kept=terms.kept
            )
            found.positions[:, layout.LEVERAGE] = np.minimum(
                terms.leverage, self.tables[:, 0, layout.MAX_LEVERAGE]
            )
        return found

    @property
    def standing(self) -> Standing:
        """Marks and brackets as they are."""
        return Standing(self.codes, self.marks, self.tables)

    def load_brackets(self, row: int, time_ms: int) -> None:
        """Take the brackets that are in force at a time."""
        if self.brackets_end_ms[row] <= time_ms:
            contract = self.contracts[row]
            n_tiers = self.tables.shape[1]
            (self.tables[row],) = to_table([contract.brackets_at(time_ms)], n_tiers)
            self.brackets_end_ms[row] = contract.brackets_end_ms(time_ms)

    # Orders ---------------------------------------------------------------------------------------

    def check(self, seat: Seat, order: Order) -> Plan:
        """Return what a new order would take at once; it may be cut to what it can reduce.

        Raises:
            ApiError: a filter, the book, the position or the margin forbids it.
        """
        market = self.market(order.code)
        check_order(market, order)
        history = seat.history(order.code)
        if len(history.open) >= market.terms.max_orders:
            raise too_many_orders()
        namesake = history.by_client.get(order.client_id)
        if namesake is not None and namesake is not order and namesake.is_open:
            raise duplicate_client_id()
        if order.is_reduce_only:
            closable = seat.closable(self.rows[order.code], order.side)
            if not closable:
                raise nothing_to_reduce()
            order.quantity = min(order.quantity, closable)
        plan = self.books[order.code].plan(_want(order))
        if order.time_in_force == "GTX" and (plan.takes or plan.own):
            raise would_take()
        if order.time_in_force == "FOK" and plan.quantity < order.quantity:
            raise not_fillable()
        if not order.is_reduce_only:
            price = order.price / ONE or market.price / ONE
            if not order.price and plan.quantity:
                price = plan.quote / plan.quantity
            check_margin(seat, self.rows[order.code], order, price, self.standing)
        return plan

    def place(self, seat: Seat, order: Order) -> list[Trade]:
        """Accept a new order, match it and return its trades; ``order`` gets number and state.

        Raises:
            ApiError: it is refused; then nothing has changed.
        """
        plan = self.check(seat, order)
        self.enter(seat, order)
        return self.work(seat, order, plan)

    def enter(self, seat: Seat, order: Order) -> None:
        """Give a new order its number and times, and tell of it."""
        self.n_orders[order.code] += 1
        order.order_id = self.n_orders[order.code]
        order.client_id = order.client_id or f"sandbox{order.code}{order.order_id:09d}"
        order.original_type = order.original_type or order.type
        order.update_ms = order.working_ms = order.time_ms
        seat.history(order.code).add(order)
        self.tell.order(seat, order, "NEW")

    def cancel(self, seat: Seat, order: Order, now_ms: int) -> None:
        """Cancel an open order.

        Raises:
            ApiError: it is not open.
        """
        if not order.is_open:
            raise unknown_order()
        self._end(seat, order, "CANCELED", now_ms)

    def amend(self, seat: Seat, order: Order, price: int, quantity: int, now_ms: int) -> None:
        """Change a resting order; it goes behind the others of its price.

        Raises:
            ApiError: it is refused so; then it rests as it was.
        """
        if quantity <= order.filled:
            self.cancel(seat, order, now_ms)
            return
        before = order.price, order.quantity
        book, history = self.books[order.code], seat.history(order.code)
        book.remove(order)
        del history.open[order.order_id]
        order.price, order.quantity = price, quantity
        try:
            plan = self.check(seat, order)
        except ApiError:
            order.price, order.quantity = before
            history.open[order.order_id] = order
            book.rest(order)
            raise
        history.open[order.order_id] = order
        order.update_ms = order.working_ms = now_ms
        self.tell.order(seat, order, "AMENDMENT")
        self.work(seat, order, plan)

    def work(self, seat: Seat, order: Order, plan: Plan) -> list[Trade]:
        """Match an order, then rest or end what is left of it."""
        now_ms, book = order.working_ms, self.books[order.code]
        for rival in plan.own:
            self._end(seat, rival, "EXPIRED_IN_MATCH", now_ms)
        trades: list[Trade] = []
        if plan.takes:
            book.apply(_want(order), plan)
        for take in plan.takes:
            self.n_trades[order.code] += 1
            taken = take
            if take.maker is not None:
                taken = take._replace(quantity=self._give(take.maker, take, now_ms))
            if taken.quantity and order.is_open:
                trades.append(self._fill(seat, order, taken, now_ms))
        if order.is_open and (order.is_market or order.time_in_force == "IOC"):
            self._end(seat, order, "EXPIRED", now_ms)
        elif order.is_open:
            book.rest(order)
        self._trim(seat, order.code, now_ms)
        return trades

    def meet(self, market: Market, one: Print) -> None:
        """Let a print meet what rests in the market's book."""
        for take in self.books[market.code].meet(one):
            if take.maker is not None:
                self.n_trades[market.code] += 1
                self._give(take.maker, take, one.time_ms)

    def _give(self, order: Order, take: Take, now_ms: int) -> int:
        """Fill a resting order, as far as it still may; return how much it gave."""
        seat, quantity = self.seats[order.account], take.quantity
        if not order.is_open:
            return 0
        if order.is_reduce_only:
            quantity = min(quantity, seat.closable(self.rows[order.code], order.side))
        if quantity and not has_margin_for(seat, self.rows[order.code], order, quantity):
            self._end(seat, order, "EXPIRED", now_ms)
            return 0
        if quantity:
            given = take._replace(quantity=quantity)
            self._fill(seat, order, given, now_ms, is_maker=True)
            if not order.is_open:
                self.books[order.code].remove(order)
        self._trim(seat, order.code, now_ms)
        return quantity

    def _fill(
        self, seat: Seat, order: Order, take: Take, now_ms: int, *, is_maker: bool = False
    ) -> Trade:
        """Book one fill of one order."""
        row, quote = self.rows[order.code], multiply_down(take.price, take.quantity)
        fee = quote * (seat.maker_fee if is_maker else seat.taker_fee) // ONE
        signed = take.quantity / ONE if order.is_buy else -take.quantity / ONE
        insured = float(seat.wallet[layout.INSURED])
        pnl = positions.trade(seat.wallet, seat.positions, row, signed, take.price / ONE, fee / ONE)
        insured = float(seat.wallet[layout.INSURED]) - insured
        self.house.give(row, signed, take.price / ONE)
        self.house.fees += fee / ONE
        self.house.insurance -= insured
        trade = Trade(
            code=order.code,
            trade_id=self.n_trades[order.code],
            order_id=order.order_id,
            price=take.price,
            quantity=take.quantity,
            quote=quote,
            fee=fee,
            fee_asset=self.asset,
            time_ms=now_ms,
            is_buyer=order.is_buy,
            is_maker=is_maker,
            realised=round(pnl * ONE),
        )
        self.book(seat, order, trade)
        self.tell.earned(seat, trade, pnl, insured)
        self.tell.account(seat, "ORDER", (row,))
        self.tell.order(seat, order, "TRADE", trade)
        return trade

    def book(self, seat: Seat, order: Order, trade: Trade) -> None:
        """Enter a trade in its order and the account's history."""
        row, history = self.rows[order.code], seat.history(order.code)
        seat.settle_grid(row)
        order.filled += trade.quantity
        order.filled_quote += trade.quote
        order.update_ms = seat.update_ms[row] = trade.time_ms
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        history.trades.append(trade)
        if not order.left:
            history.close(order)

    def _trim(self, seat: Seat, code: str, now_ms: int) -> None:
        """Let orders expire that only reduce and have nothing to reduce any more."""
        for order in list(seat.history(code).open.values()):
            if order.is_reduce_only and not seat.closable(self.rows[code], order.side):
                self._end(seat, order, "EXPIRED", now_ms)

    def _end(self, seat: Seat, order: Order, status: Status, now_ms: int) -> None:
        """Close an order that will fill no more."""
        self.books[order.code].remove(order)
        order.status, order.update_ms = status, now_ms
        seat.history(order.code).close(order)
        self.tell.order(seat, order, "CANCELED" if status == "CANCELED" else "EXPIRED")


def _want(order: Order) -> Want:
    return Want(order.side, order.account, order.left, 0, order.price)
