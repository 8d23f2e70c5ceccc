"""Request weights and order counts, as Binance limits them: 429 first, 418 for who goes on.

Source: Binance spot, general information on limits. The windows are the exchange's minutes, ten
seconds and days; weights count per address, orders per account.
"""

from dataclasses import dataclass, field

from seawall.sandbox.refusals import TEAPOT, TOO_MANY, ApiError
from seawall.units import DAY_MS, MINUTE_MS, SECOND_MS

TEN_SECONDS_MS = 10 * SECOND_MS


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one address and one account may do.

    Attributes:
        weight_per_minute: sum of the requests' weights.
        orders_per_ten_seconds, orders_per_day: new orders.
        patience: requests that are answered 429 before the address is banned.
        ban_ms: how long the first ban lasts; each further one is twice as long, up to three days.
    """

    weight_per_minute: int = 6_000
    orders_per_ten_seconds: int = 100
    orders_per_day: int = 200_000
    patience: int = 10
    ban_ms: int = 2 * MINUTE_MS


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


@dataclass(slots=True)
class OrderMeter:
    """How many orders one account has sent."""

    limits: Limits
    ten_seconds: _Window = field(default_factory=lambda: _Window(TEN_SECONDS_MS))
    day: _Window = field(default_factory=lambda: _Window(DAY_MS))

    def add(self, now_ms: int) -> tuple[int, int]:
        """Count an order and return the counts of ten seconds and of the day.

        Raises:
            ApiError: it is one too many.
        """
        counts = self.ten_seconds.add(now_ms, 1), self.day.add(now_ms, 1)
        for count, limit, name, window in (
            (counts[0], self.limits.orders_per_ten_seconds, "10 SECOND", self.ten_seconds),
            (counts[1], self.limits.orders_per_day, "1 DAY", self.day),
        ):
            if count > limit:
                window.used -= 1  # a refused order does not count
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {name}.",
                    status=TOO_MANY,
                    headers={"Retry-After": str(window.seconds_left(now_ms))},
                )
        return counts
