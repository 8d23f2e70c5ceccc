"""The exchange: markets, accounts and desks, moved along by one clock.

``catch_up`` brings everything to the clock's time: each market prints what has been traded since,
in order of time, and the desks match what waits. When it is called makes no difference to what
happens: the same seed and the same requests at the same times give the same fills.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from seawall.errors import DataError
from seawall.sandbox.accounts import Account, Accounts
from seawall.sandbox.book import Book
from seawall.sandbox.clock import Clock
from seawall.sandbox.decimals import from_float
from seawall.sandbox.limits import LINEAR_LIMITS, Limits
from seawall.sandbox.linear_account import pay
from seawall.sandbox.linear_desk import DeskTerms, LinearDesk
from seawall.sandbox.linear_floor import LinearFloor
from seawall.sandbox.listen_keys import ListenKeys
from seawall.sandbox.market import Market, Product
from seawall.sandbox.spot_desk import SpotDesk
from seawall.sandbox.tape import Print
from seawall.units import BPS

OnPrint = Callable[[Market, Print | None], None]  # None: a bar has ended


class Desk(Protocol):
    """What matches the orders of one product's markets.

    Attributes:
        books: by market code.
    """

    books: dict[str, Book]

    def on_print(self, market: Market, one: Print) -> None:
        """Let a market's new print meet what waits."""

    def is_idle(self, market: Market) -> bool:
        """Return whether nothing waits in a market, whatever its price does."""

    def is_out_of_reach(self, market: Market, low: int, high: int, end_ms: int) -> bool:
        """Return whether prices from ``low`` to ``high`` up to ``end_ms`` change nothing at all."""

    def refresh(self, market: Market) -> None:
        """Note that the market has moved on without its prints being looked at."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an exchange is like beside its markets.

    Attributes:
        maker_fee_bps, taker_fee_bps: of spot fills.
        futures_maker_fee_bps, futures_taker_fee_bps: of fills of perpetuals.
        liquidation_fee_bps: of the notional that a liquidation closes.
        leverage: of a perpetual that no leverage was chosen for.
        limits: request weights and order counts of spot; None for none, of perpetuals neither.
        linear_limits: those of perpetuals.
        kept: orders that are over, and trades, kept per account and market.
    """

    maker_fee_bps: float = 10.0
    taker_fee_bps: float = 10.0
    futures_maker_fee_bps: float = 2.0
    futures_taker_fee_bps: float = 5.0
    liquidation_fee_bps: float = 125.0
    leverage: float = 20.0
    limits: Limits | None = field(default_factory=Limits)
    linear_limits: Limits = LINEAR_LIMITS
    kept: int = 20_000

    def limits_of(self, product: Product) -> Limits | None:
        """Return the limits of a product, None where there are none."""
        return self.limits if self.limits is None or product == "spot" else self.linear_limits


class Exchange:
    """Everything that a request can see or change."""

    def __init__(
        self, clock: Clock, markets: Iterable[Market], *, settings: Settings | None = None
    ) -> None:
        """Open an exchange.

        Raises:
            DataError: two markets have one code, or there is none; perpetuals have two margins.
        """
        self.clock, self.settings = clock, settings or Settings()
        self.accounts = Accounts()
        self.markets: dict[Product, dict[str, Market]] = {"spot": {}, "linear": {}}
        for market in markets:
            listed = self.markets[market.product]
            if market.code in listed:
                raise DataError(f"a market is listed once, {market.symbol} is twice: remove one")
            listed[market.code] = market
        if not any(self.markets.values()):
            raise DataError("an exchange must list a market, it has none: add simulated:ETH/USDT")
        self.spot = SpotDesk(self.markets["spot"], self.accounts)
        self.linear = LinearDesk(self.markets["linear"], self.accounts, self._desk_terms())
        self.desks: dict[Product, Desk] = {"spot": self.spot, "linear": LinearFloor(self.linear)}
        self.watchers: list[OnPrint] = []
        self.audiences: list[Callable[[Market], bool]] = []  # whether somebody listens to a market
        self.listen_keys = ListenKeys()
        self._all = [market for listed in self.markets.values() for market in listed.values()]
        self.skew_ms = 0  # a fault: by how much its time is shown and checked wrongly
        self.is_in_maintenance = False
        self._next_ms = -inf
        self.event_ms = clock.now_ms()  # the time of what happens now, for events

    @property
    def all_markets(self) -> list[Market]:
        """Every market, spot first."""
        return list(self._all)

    def _desk_terms(self) -> DeskTerms:
        settings = self.settings
        return DeskTerms(
            maker_fee=from_float(settings.futures_maker_fee_bps * BPS),
            taker_fee=from_float(settings.futures_taker_fee_bps * BPS),
            liquidation_fee=settings.liquidation_fee_bps * BPS,
            leverage=settings.leverage,
            kept=settings.kept,
        )

    def book(self, market: Market) -> Book:
        """Return the order book of a market."""
        return self.desks[market.product].books[market.code]

    def assets(self) -> list[str]:
        """Return all assets that are traded or held, sorted."""
        traded = {asset for market in self._all for asset in (market.base, market.quote)}
        held = {asset for one in self.accounts.by_name.values() for asset in one.balances}
        return sorted(traded | held)

    def open_account(
        self,
        name: str,
        *,
        key: str,
        secret: str,
        balances: Mapping[str, float],
        futures: float = 0.0,
    ) -> Account:
        """Open an account with spot balances, and money in its futures wallet, in plain units.

        Raises:
            RecipeError: its name or key is taken.
        """
        fees = (self.settings.maker_fee_bps, self.settings.taker_fee_bps)
        account = self.accounts.open(
            name,
            key=key,
            secret=secret,
            balances={asset: from_float(amount) for asset, amount in balances.items()},
            fees=(from_float(fees[0] * BPS), from_float(fees[1] * BPS)),
            kept=self.settings.kept,
        )
        seat = self.linear.seat(account)  # all in the order of the accounts, for who comes first
        if futures > 0.0:
            pay(self.linear, seat, from_float(futures), self.clock.now_ms())
        return account

    def catch_up(self, *, most_ms: float = inf) -> int:
        """Bring all markets to the clock's time, and return it; by ``most_ms`` at the most."""
        now_ms = self.clock.now_ms()
        if now_ms - self.event_ms > most_ms:
            now_ms = self.event_ms + int(most_ms)
        if now_ms >= self._next_ms:
            self._walk(now_ms)
            self._next_ms = min(market.next_ms for market in self._all)
        self.event_ms = now_ms
        self.listen_keys.expire(now_ms)
        return now_ms

    def _walk(self, now_ms: int) -> None:
        for market in self._all:
            self._skip_quiet(market, now_ms)
        while True:
            market = min(self._all, key=lambda one: one.next_ms)
            if market.next_ms > now_ms:
                return
            self.event_ms = int(market.next_ms)
            one = market.step()
            if one is not None:
                self.desks[market.product].on_print(market, one)
            for watcher in self.watchers:
                watcher(market, one)
            if one is None:
                self._skip_quiet(market, now_ms)

    def _skip_quiet(self, market: Market, now_ms: int) -> None:
        """Pass over the bars in which nothing can happen and that nobody watches."""
        if market.next_ms > now_ms or any(is_watched(market) for is_watched in self.audiences):
            return
        desk = self.desks[market.product]
        if desk.is_idle(market):
            market.jump(now_ms)
        elif not self._skip_bars(market, desk, now_ms):
            return
        desk.refresh(market)

    def _skip_bars(self, market: Market, desk: Desk, now_ms: int) -> bool:
        reached = None
        for low, high, bar in market.bars_ahead(now_ms):
            end_ms = int(market.candles.time_ms[bar]) + market.timeframe_ms
            if end_ms > now_ms or not desk.is_out_of_reach(market, low, high, end_ms):
                break
            reached = bar
        if reached is None:
            return False
        market.skip_to_end_of(reached)
        return True
