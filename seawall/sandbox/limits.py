"""Request weights and order counts, as Binance limits them: 429 first, 418 for who goes on.

Source: Binance spot and USD-M futures, general information on limits; each product counts for
itself. The windows are the exchange's minutes, ten seconds and days; weights count per address,
orders per account.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from seawall.sandbox.refusals import TEAPOT, TOO_MANY, ApiError
from seawall.units import DAY_MS, MINUTE_MS, SECOND_MS


class OrderLimit(NamedTuple):
    """How many new orders there may be in ``n`` seconds, minutes or days."""

    n: int
    interval: str  # SECOND, MINUTE or DAY
    most: int

    @property
    def length_ms(self) -> int:
        """Return how long its window is."""
        return self.n * {"SECOND": SECOND_MS, "MINUTE": MINUTE_MS, "DAY": DAY_MS}[self.interval]

    @property
    def header(self) -> str:
        """Return the name of the header that counts it."""
        return f"x-mbx-order-count-{self.n}{self.interval[0].lower()}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one address and one account may do with one product; by default with spot.

    Attributes:
        weight_per_minute: sum of the requests' weights.
        orders_per_ten_seconds, orders_per_minute, orders_per_day: new orders; None: not limited.
        patience: requests that are answered 429 before the address is banned.
        ban_ms: how long the first ban lasts; each further one is twice as long, up to three days.
    """

    weight_per_minute: int = 6_000
    orders_per_ten_seconds: int | None = 100
    orders_per_minute: int | None = None
    orders_per_day: int | None = 200_000
    patience: int = 10
    ban_ms: int = 2 * MINUTE_MS

    @property
    def orders(self) -> list[OrderLimit]:
        """Return the limits of new orders that there are."""
        given = (
            (10, "SECOND", self.orders_per_ten_seconds),
            (1, "MINUTE", self.orders_per_minute),
            (1, "DAY", self.orders_per_day),
        )
        return [OrderLimit(n, interval, most) for n, interval, most in given if most is not None]


LINEAR_LIMITS = Limits(
    weight_per_minute=2_400,
    orders_per_ten_seconds=300,
    orders_per_minute=1_200,
    orders_per_day=None,
)


@dataclass(slots=True)
class _Window:
    """What has been used since a window began."""

    length_ms: int
    start_ms: int = 0
    used: int = 0

    def add(self, now_ms: int, amount: int) -> int:
        """Count and return what is used of the window that holds ``now_ms``."""
        start_ms = now_ms - now_ms % self.length_ms
        if start_ms != self.start_ms:
            self.start_ms, self.used = start_ms, 0
        self.used += amount
        return self.used

    def seconds_left(self, now_ms: int) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        return max(1, -(-(self.start_ms + self.length_ms - now_ms) // SECOND_MS))


@dataclass(slots=True)
class Meter:
    """What one address has used, and whether it is banned."""

    limits: Limits
    minute: _Window = field(default_factory=lambda: _Window(MINUTE_MS))
    n_refused: int = 0
    n_bans: int = 0
    banned_until_ms: int = 0

    def add(self, now_ms: int, weight: int) -> int:
        """Count a request and return the minute's weight.

        Raises:
            ApiError: it is one too many; status 429, or 418 where the address is banned.
        """
        if now_ms < self.banned_until_ms:
            raise self._ban(now_ms)
        used = self.minute.add(now_ms, weight)
        if used == weight:
            self.n_refused = 0
        limit = self.limits.weight_per_minute
        if used <= limit:
            return used
        self.n_refused += 1
        if self.n_refused > self.limits.patience:
            length_ms = min(self.limits.ban_ms * 2**self.n_bans, 3 * DAY_MS)
            self.banned_until_ms, self.n_bans = now_ms + length_ms, self.n_bans + 1
            raise self._ban(now_ms)
        raise ApiError(
            -1003,
            f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            status=TOO_MANY,
            headers={
                "Retry-After": str(self.minute.seconds_left(now_ms)),
                "x-mbx-used-weight-1m": str(used),
            },
        )

    def _ban(self, now_ms: int) -> ApiError:
        left = -(-(self.banned_until_ms - now_ms) // SECOND_MS)
        return ApiError(
            -1003,
            f"Way too much request weight used; IP banned until {self.banned_until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            status=TEAPOT,
            headers={"Retry-After": str(left)},
        )


class OrderMeter:
    """How many orders one account has sent."""

    def __init__(self, limits: Limits) -> None:
        self._windows = [(limit, _Window(limit.length_ms)) for limit in limits.orders]

    def add(self, now_ms: int, n: int = 1) -> dict[str, str]:
        """Count ``n`` orders and return the headers that say how many there are in each window.

        Raises:
            ApiError: they are too many; none of them counts.
        """
        counts = [(limit, window, window.add(now_ms, n)) for limit, window in self._windows]
        for limit, full, count in counts:
            if count > limit.most:
                for window in (window for _, window in self._windows):
                    window.used -= n
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {limit.most} orders per "
                    f"{limit.n} {limit.interval}.",
                    status=TOO_MANY,
                    headers={"Retry-After": str(full.seconds_left(now_ms))},
                )
        return {limit.header: str(count) for limit, _, count in counts}
