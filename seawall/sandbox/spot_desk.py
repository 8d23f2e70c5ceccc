"""The spot desk: takes orders, locks what they need, matches them and settles the fills.

Nothing appears or vanishes: what accounts hold, what the market on the other side (``house``) is
owed, and the fees always add up to what was paid in, asset by asset, to the unit.

Fees are taken from what is received, as Binance does without its own token. An order that would
trade with another of its account lets it expire (``EXPIRE_MAKER``, Binance's default).
"""

from collections import Counter
from collections.abc import Callable, Mapping

from seawall.sandbox.accounts import Account, Accounts
from seawall.sandbox.book import Book, Plan, Take, Want
from seawall.sandbox.decimals import ONE, multiply_down, multiply_up
from seawall.sandbox.filters import check_count, check_order
from seawall.sandbox.market import Market
from seawall.sandbox.order_lists import OrderList, read_pair
from seawall.sandbox.orders import STOP_TYPES, Order, Status, Trade
from seawall.sandbox.refusals import insufficient_balance, invalid_symbol, rejected, unknown_order
from seawall.sandbox.tape import Print

Report = Callable[[Account, Order, str, Trade | None], None]
ReportList = Callable[[Account, OrderList], None]


class SpotDesk:
    """All spot markets of an exchange."""

    def __init__(self, markets: Mapping[str, Market], accounts: Accounts) -> None:
        """Open the desk; ``markets`` by code."""
        self.markets, self.accounts = dict(markets), accounts
        self.books = {code: Book(market) for code, market in markets.items()}
        self.house: Counter[str] = Counter()
        self.fees: Counter[str] = Counter()
        self.reports: list[Report] = []
        self.list_reports: list[ReportList] = []  # a list has begun, or is over
        self.n_orders: Counter[str] = Counter()
        self.n_lists: Counter[str] = Counter()  # by account
        self.n_trades: Counter[str] = Counter()

    def market(self, code: str) -> Market:
        """Return a market by its code.

        Raises:
            ApiError: it is not listed.
        """
        found = self.markets.get(code)
        if found is None:
            raise invalid_symbol()
        return found

    def check(self, account: Account, order: Order) -> Plan:
        """Return what a new order would take at once; nothing changes.

        Raises:
            ApiError: a filter, the book or the balance forbids it.
        """
        market, book = self.market(order.code), self.books[order.code]
        check_order(market, order)
        history = account.history(order.code)
        check_count(market, order, list(history.open.values()))
        namesake = history.by_client.get(order.client_id)
        if namesake is not None and namesake.is_open:
            raise rejected("Duplicate order sent.")
        if order.type in STOP_TYPES:
            self._aim(order, market.price)
            plan = Plan([], [])
        else:
            plan = book.plan(_want(order))
        if order.type == "LIMIT_MAKER" and (plan.takes or plan.own):
            raise rejected("Order would immediately match and take.")
        asset, need = _need(market, order, plan)
        if need > account.balance(asset).free:
            raise insufficient_balance()
        return plan

    def place(self, account: Account, order: Order) -> list[Trade]:
        """Accept a new order, match it and return its trades; ``order`` gets number and state.

        Raises:
            ApiError: it is refused; then nothing has changed.
        """
        return self._accept(account, order, self.check(account, order))

    def place_pair(self, account: Account, above: Order, below: Order, client_id: str) -> OrderList:
        """Accept two orders of which one cancels the other, and return their list.

        Raises:
            ApiError: one of them is refused, or they are no such pair; then nothing has changed.
        """
        profit, loss = read_pair(above, below, self.market(above.code).price)
        plans = [self.check(account, leg) for leg in (profit, loss)]
        if above.client_id and above.client_id == below.client_id:
            raise rejected("Duplicate order sent.")
        self.n_lists[account.name] += 1
        number = self.n_lists[account.name]
        made = OrderList(
            number=number,
            client_id=client_id or f"sandboxlist{number:09d}",
            code=above.code,
            time_ms=above.time_ms,
            legs=(above, below),
        )
        for leg in made.legs:
            leg.list_id, leg.list_client_id = number, made.client_id
        account.add_list(made)
        self._accept(account, profit, plans[0])
        self._accept(account, loss, plans[1], covered=profit.locked)
        self._report_list(account, made)
        return made

    def _accept(
        self, account: Account, order: Order, plan: Plan, *, covered: int = 0
    ) -> list[Trade]:
        """Take an order that was checked; ``covered`` of what it needs is locked already."""
        market = self.markets[order.code]
        self.n_orders[order.code] += 1
        order.order_id = self.n_orders[order.code]
        order.client_id = order.client_id or f"sandbox{order.code}{order.order_id:09d}"
        order.update_ms = order.time_ms
        account.history(order.code).add(order)
        asset, need = _need(market, order, plan)
        self._lock(account, order, asset, max(0, need - covered))
        self._report(account, order, "NEW")
        if order.type in STOP_TYPES:
            order.is_working = False
            self.books[order.code].stops.append(order)
            return []
        order.working_ms = order.time_ms
        return self._work(account, order, plan)

    def cancel(self, account: Account, order: Order, now_ms: int) -> None:
        """Cancel an open order.

        Raises:
            ApiError: it is not open.
        """
        if not order.is_open:
            raise unknown_order()
        self.books[order.code].remove(order)
        self._end(account, order, "CANCELED", now_ms)

    def on_print(self, market: Market, one: Print) -> None:
        """Let the market's new print meet what waits in its book."""
        book = self.books[market.code]
        book.refresh()
        if book.is_empty:
            return
        for take in book.meet(one):
            if take.maker is not None:
                self.n_trades[market.code] += 1
                self._give(take.maker, take, one.time_ms)
        for order in book.triggered():
            if order in book.stops:
                book.stops.remove(order)
                self._trigger(order, one.time_ms)

    def is_idle(self, market: Market) -> bool:
        """Return whether no account has an order in a market."""
        return self.books[market.code].is_empty

    def refresh(self, market: Market) -> None:
        """Make the book anew: the market has moved on."""
        self.books[market.code].refresh()

    def is_out_of_reach(self, market: Market, low: int, high: int, _end_ms: int) -> bool:
        """Return whether prices between ``low`` and ``high`` meet no order."""
        return self.books[market.code].is_out_of_reach(low, high)

    def _aim(self, order: Order, price: int) -> None:
        """Find from which side a stop is reached; refuse it where it is reached already."""
        is_stop = order.type.startswith("STOP_LOSS")
        order.stop_is_up = order.is_buy == is_stop
        is_reached = price >= order.stop_price if order.stop_is_up else price <= order.stop_price
        if is_reached:
            raise rejected("Stop price would trigger immediately.")

    def _trigger(self, order: Order, now_ms: int) -> None:
        """Let a stop become the order it stands for."""
        account = self.accounts.by_name[order.account]
        market = self.markets[order.code]
        self._end_other(account, order, "EXPIRED", now_ms)
        order.is_working, order.working_ms = True, now_ms
        order.update_ms = now_ms
        plan = self.books[order.code].plan(_want(order))
        asset, need = _need(market, order, plan)
        more = need - order.locked
        if more > account.balance(asset).free:
            self._end(account, order, "EXPIRED", now_ms)
            return
        if more > 0:
            self._lock(account, order, asset, more)
        self._report(account, order, "NEW")
        self._work(account, order, plan)

    def _work(self, account: Account, order: Order, plan: Plan) -> list[Trade]:
        """Match a working order, then rest or end what is left of it."""
        now_ms, book = order.working_ms, self.books[order.code]
        if order.time_in_force == "FOK" and plan.quantity < order.quantity:
            self._end(account, order, "EXPIRED", now_ms)
            return []
        for rival in plan.own:
            book.remove(rival)
            self._end(account, rival, "EXPIRED_IN_MATCH", now_ms)
        if order.quote_quantity:
            order.quantity = plan.quantity
        trades = self._match(account, order, plan, now_ms) if plan.takes else []
        if order.status == "FILLED":
            return trades
        if order.is_market or order.time_in_force == "IOC":
            self._end(account, order, "EXPIRED", now_ms)
        else:
            book.rest(order)
        return trades

    def _match(self, account: Account, order: Order, plan: Plan, now_ms: int) -> list[Trade]:
        self.books[order.code].apply(_want(order), plan)
        trades = []
        for take in plan.takes:
            self.n_trades[order.code] += 1
            if take.maker is not None:
                self._give(take.maker, take, now_ms)
            trades.append(self._fill(account, order, take, now_ms))
        return trades

    def _give(self, order: Order, take: Take, now_ms: int) -> None:
        """Fill a resting order."""
        account = self.accounts.by_name[order.account]
        self._fill(account, order, take, now_ms, is_maker=True)
        if not order.is_open:
            self.books[order.code].remove(order)

    def _fill(
        self, account: Account, order: Order, take: Take, now_ms: int, *, is_maker: bool = False
    ) -> Trade:
        """Settle one fill of one order."""
        quote = multiply_down(take.price, take.quantity)
        market = self.markets[order.code]
        received = take.quantity if order.is_buy else quote
        trade = Trade(
            code=order.code,
            trade_id=self.n_trades[order.code],
            order_id=order.order_id,
            price=take.price,
            quantity=take.quantity,
            quote=quote,
            fee=received * (account.maker_fee if is_maker else account.taker_fee) // ONE,
            fee_asset=market.base if order.is_buy else market.quote,
            time_ms=now_ms,
            is_buyer=order.is_buy,
            is_maker=is_maker,
        )
        self._pay(account, order, trade)
        order.filled += trade.quantity
        order.filled_quote += trade.quote
        order.update_ms = account.update_ms = now_ms
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        account.history(order.code).trades.append(trade)
        if order.is_buy and order.left and not order.is_market:
            self._unlock(account, order, order.locked - multiply_up(order.price, order.left))
        elif not order.left:
            self._unlock(account, order, order.locked)
            account.history(order.code).close(order)
        self._report(account, order, "TRADE", trade)
        self._end_other(account, order, "EXPIRED", now_ms)
        return trade

    def _pay(self, account: Account, order: Order, trade: Trade) -> None:
        """Move what a fill costs and brings, between the account, the other side and the fees."""
        paid, received = trade.quote, trade.quantity
        if not order.is_buy:
            paid, received = received, paid
        order.locked -= paid
        account.balance(order.locked_asset).locked -= paid
        account.balance(trade.fee_asset).free += received - trade.fee
        self.house[order.locked_asset] += paid
        self.house[trade.fee_asset] -= received
        self.fees[trade.fee_asset] += trade.fee

    def _end(self, account: Account, order: Order, status: Status, now_ms: int) -> None:
        """Close an order that will fill no more, and the other of its list with it."""
        self._close(account, order, status, now_ms)
        self._end_other(account, order, "CANCELED" if status == "CANCELED" else "EXPIRED", now_ms)

    def _close(self, account: Account, order: Order, status: Status, now_ms: int) -> None:
        order.status, order.update_ms = status, now_ms
        self._unlock(account, order, order.locked)
        account.history(order.code).close(order)
        kinds = {"CANCELED": "CANCELED", "EXPIRED_IN_MATCH": "TRADE_PREVENTION"}
        self._report(account, order, kinds.get(status, "EXPIRED"))

    def _end_other(self, account: Account, order: Order, status: Status, now_ms: int) -> None:
        """End the order that this one cancels, and say so when a list is over."""
        pair = account.order_lists.get(order.list_id)
        if pair is None:
            return
        other = pair.other(order)
        if other.is_open:
            self.books[order.code].remove(other)
            self._close(account, other, status, now_ms)
        if pair.is_over:
            self._report_list(account, pair)

    def _lock(self, account: Account, order: Order, asset: str, amount: int) -> None:
        balance = account.balance(asset)
        balance.free -= amount
        balance.locked += amount
        order.locked_asset = asset
        order.locked += amount

    def _unlock(self, account: Account, order: Order, amount: int) -> None:
        if amount:
            balance = account.balance(order.locked_asset)
            balance.free += amount
            balance.locked -= amount
            order.locked -= amount

    def _report(
        self, account: Account, order: Order, kind: str, trade: Trade | None = None
    ) -> None:
        for report in self.reports:
            report(account, order, kind, trade)

    def _report_list(self, account: Account, made: OrderList) -> None:
        for report in self.list_reports:
            report(account, made)


def _want(order: Order) -> Want:
    return Want(order.side, order.account, order.left, order.quote_quantity, order.price)


def _need(market: Market, order: Order, plan: Plan) -> tuple[str, int]:
    """Return which asset and how much of it an order needs."""
    if not order.is_buy:
        return market.base, plan.quantity if order.quote_quantity else order.left
    if order.price:
        return market.quote, multiply_up(order.price, order.left)
    if order.type in STOP_TYPES and not plan.takes:
        return market.quote, multiply_up(order.stop_price, order.left)
    return market.quote, max(plan.quote, order.quote_quantity)
