"""Limits of a paper session that its agent can neither see nor move.

They stand between the strategy and the exchange: what an agent asks for is checked against them
after everything else, and what the account has lost is counted over restarts. A breach names one
of three consequences: the order is refused, nothing new is sent for now, or the session ends.
Orders that make a position smaller pass all limits but those on the clock.

Equity, losses and sizes are in quote units; times in ms on the session's clock.
"""

from collections import deque
from dataclasses import dataclass, fields
from math import inf
from typing import Literal, NamedTuple

from seawall.errors import RecipeError
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent
from seawall.recipe import Recipe
from seawall.units import DAY_MS, MINUTE_MS

Consequence = Literal["refuse", "pause", "halt"]
_PEAK, _DAY, _DAY_START = "limits peak", "limits day", "limits day start"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a session may do at most; ``None`` is no limit.

    Attributes:
        max_order: quote units of one order.
        max_position: quote units held in one symbol, either way; of a perpetual its notional.
        max_leverage: all that is held, either way, in units of the equity.
        max_daily_loss: share of the equity with which the UTC day began, > 0 and <= 1.
        max_drawdown: share of the highest equity of the account's journal, > 0 and <= 1.
        max_orders_per_minute: in any minute.
        max_data_age_ms: since the last closed candle became known.
        max_clock_skew_ms: between our clock and the exchange's.
        max_silence_ms: since the agent was asked and has not answered, or abstained; one that
            sleeps because it said so is not silent.
    """

    max_order: float | None = None
    max_position: float | None = None
    max_leverage: float | None = None
    max_daily_loss: float | None = 0.2
    max_drawdown: float | None = 0.5
    max_orders_per_minute: int | None = 60
    max_data_age_ms: int | None = None
    max_clock_skew_ms: int | None = 2_000
    max_silence_ms: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise RecipeError(
                    f"limits.{field.name} must be > 0, is {value}: leave it out for no limit"
                )
        for name in ("max_daily_loss", "max_drawdown"):
            value = getattr(self, name)
            if value is not None and value > 1:
                raise RecipeError(f"limits.{name} is a share of the equity, <= 1, is {value}")


def guards(recipe: Recipe) -> bool:
    """Return whether a recipe's job is to guard a loan or a position that is there."""
    has_position = recipe.perpetual is not None and recipe.perpetual.position is not None
    return recipe.loan is not None or has_position


class Breach(NamedTuple):
    """A limit that is reached.

    Attributes:
        limit: its name.
        consequence: ``refuse`` the order, ``pause`` (send nothing new), or ``halt`` the session.
        text: rule, value and remedy.
    """

    limit: str
    consequence: Consequence
    text: str


class Exposure(NamedTuple):
    """What an order would act on.

    Attributes:
        price: of the symbol now, quote units.
        quantity: base units held, > 0 long.
        resting: base units of open orders on the order's own side, >= 0.
        gross: quote units held in all other symbols, either way.
        equity: of the account, quote units; 0.0 where it is not known.
    """

    price: float
    quantity: float
    resting: float = 0.0
    gross: float = 0.0
    equity: float = 0.0


class Pulse(NamedTuple):
    """The signs of life of a session, in ms; ``None`` where there has been none yet."""

    data_ms: int | None
    agent_ms: int | None
    skew_ms: int | None


class LimitKeeper:
    """Holds a session to its limits; what it has counted survives a restart.

    Args:
        limits: the session's.
        journal: of the account: yesterday's start, the highest equity and recent orders are there.
    """

    def __init__(self, limits: Limits, journal: PaperJournal) -> None:
        self.limits, self._journal = limits, journal
        self._sent_ms: deque[int] = deque(
            one.intent_ms
            for one in journal.orders()
            if one.state != "rejected" and one.intent.client_id.startswith(journal.mark)
        )

    # Before an order ------------------------------------------------------------------------------

    def check_order(self, intent: OrderIntent, exposure: Exposure, now_ms: int) -> Breach | None:
        """Return the limit that forbids an order, ``None`` where it may be sent."""
        if is_reducing(intent, exposure):
            return None
        if not exposure.price > 0:
            text = f"an order needs a price to be measured with, is {exposure.price}"
            return Breach("max_order", "refuse", text)
        price = max(exposure.price, intent.price or 0.0)
        return self._check_size(intent, exposure, price) or self._check_rate(now_ms)

    def note_sent(self, now_ms: int) -> None:
        """Count an order that is sent."""
        self._sent_ms.append(now_ms)

    def _check_size(self, intent: OrderIntent, exposure: Exposure, price: float) -> Breach | None:
        limits, sign = self.limits, 1.0 if intent.side == "buy" else -1.0
        worth = intent.quantity * price
        if limits.max_order is not None and worth > limits.max_order:
            text = f"one order is worth at most {limits.max_order:g}, is {worth:g}: send less"
            return Breach("max_order", "refuse", text)
        after = abs(exposure.quantity + sign * (exposure.resting + intent.quantity)) * price
        if limits.max_position is not None and after > limits.max_position:
            text = (
                f"a position is worth at most {limits.max_position:g}, with its open orders it "
                f"would be {after:g}: send less or cancel"
            )
            return Breach("max_position", "refuse", text)
        leverage = (exposure.gross + after) / exposure.equity if exposure.equity > 0 else inf
        if limits.max_leverage is not None and leverage > limits.max_leverage:
            text = (
                f"all that is held is worth at most {limits.max_leverage:g} times the equity, with "
                f"open orders it would be {leverage:.4g} times: send less or cancel"
            )
            return Breach("max_leverage", "refuse", text)
        return None

    def _check_rate(self, now_ms: int) -> Breach | None:
        most = self.limits.max_orders_per_minute
        while self._sent_ms and self._sent_ms[0] <= now_ms - MINUTE_MS:
            self._sent_ms.popleft()
        if most is None or len(self._sent_ms) < most:
            return None
        text = f"at most {most} orders are sent in a minute, {len(self._sent_ms)} were: wait"
        return Breach("max_orders_per_minute", "refuse", text)

    # On every bar ---------------------------------------------------------------------------------

    def check_equity(self, equity: float, now_ms: int) -> Breach | None:
        """Return the loss that ends the session; ``equity`` of the whole account."""
        limits = self.limits
        peak, start = self._remember(equity, now_ms)
        lost = 1 - equity / peak if peak > 0 else 1.0
        if limits.max_drawdown is not None and lost >= limits.max_drawdown:
            text = (
                f"the account may fall {limits.max_drawdown:.1%} from its highest, {peak:g}, "
                f"is {equity:g}, {lost:.1%} below"
            )
            return Breach("max_drawdown", "halt", text)
        today = 1 - equity / start if start > 0 else 1.0
        if limits.max_daily_loss is not None and today >= limits.max_daily_loss:
            text = (
                f"a UTC day may lose {limits.max_daily_loss:.1%} of the {start:g} it began with, "
                f"is {equity:g}, {today:.1%} below"
            )
            return Breach("max_daily_loss", "halt", text)
        return None

    def check_pulse(self, pulse: Pulse, now_ms: int) -> Breach | None:
        """Return what has been silent too long, or is too far off, to send anything new."""
        limits = self.limits
        skew = abs(pulse.skew_ms or 0)
        if limits.max_clock_skew_ms is not None and skew > limits.max_clock_skew_ms:
            text = f"clocks may differ by {limits.max_clock_skew_ms} ms, differ by {skew}: set ours"
            return Breach("max_clock_skew_ms", "pause", text)
        for name, last_ms in (
            ("max_data_age_ms", pulse.data_ms),
            ("max_silence_ms", pulse.agent_ms),
        ):
            most = getattr(limits, name)
            if most is not None and last_ms is not None and now_ms - last_ms > most:
                what = "data" if name == "max_data_age_ms" else "the agent"
                text = f"{what} may be silent for {most} ms, is for {now_ms - last_ms}"
                return Breach(name, "pause" if what == "data" else "halt", text)
        return None

    def distances(self, equity: float, now_ms: int) -> dict[str, float]:
        """Return how much of each loss limit is left, as a share of the limit; 0 is reached."""
        peak, start = self._remember(equity, now_ms)
        left = {}
        for name, origin in (("max_drawdown", peak), ("max_daily_loss", start)):
            most = getattr(self.limits, name)
            if most is not None and origin > 0:
                left[name] = max(0.0, 1 - max(0.0, 1 - equity / origin) / most)
        return left

    def _remember(self, equity: float, now_ms: int) -> tuple[float, float]:
        """Return the highest equity, and that with which this UTC day began; both are kept."""
        journal, day = self._journal, now_ms // DAY_MS
        peak = journal.recall(_PEAK)
        if peak is None or equity > peak:
            journal.remember(_PEAK, equity)
            peak = equity
        start = journal.recall(_DAY_START)
        if start is None or journal.recall(_DAY) != day:
            journal.remember(_DAY_START, equity)
            journal.remember(_DAY, day)
            start = equity
        return peak, start


def is_reducing(intent: OrderIntent, exposure: Exposure) -> bool:
    """Return whether an order, with those that rest, can only make the position smaller."""
    if intent.reduce_only:
        return True
    sign = 1.0 if intent.side == "buy" else -1.0
    against = -sign * exposure.quantity
    return against > 0 and exposure.resting + intent.quantity <= against * (1 + 1e-12)
