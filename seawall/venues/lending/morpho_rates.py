"""What borrowing costs on Morpho Blue: a rate per second, scaled by 1e18 (WAD).

A model answers one question: how much was borrowing per second, on average, since the market was
last touched? It may hand one number to its later self (the adaptive curve: the rate at target);
that number is kept by the market, so a model has no state of its own.

Sources: ``AdaptiveCurveIrm.sol`` and ``ExpLib.sol`` of morpho-blue-irm.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from seawall.venues.lending.fixed import WAD, YEAR_S

TARGET_UTILIZATION = 9 * 10**17
STEEPNESS = 4 * WAD
SPEED = 50 * WAD // YEAR_S
INITIAL_RATE_AT_TARGET = 4 * 10**16 // YEAR_S
MIN_RATE_AT_TARGET = 10**15 // YEAR_S
MAX_RATE_AT_TARGET = 2 * WAD // YEAR_S

LN_2 = 693_147_180_559_945_309
LN_WEI = -41_446_531_673_892_822_312
EXP_UPPER_BOUND = 93_859_467_695_000_404_319
EXP_UPPER_VALUE = 57716089161558943949701069502944508345128_422502756744429568


class RateQuote(NamedTuple):
    """The average borrow rate per second (WAD) and what the model wants to be told next time."""

    average: int
    memory: int


class RateModel(Protocol):
    """Anything that prices borrowing in a Morpho market."""

    def quote(self, memory: int, utilization: int, elapsed_s: int) -> RateQuote:
        """Return the rate of the last ``elapsed_s`` seconds.

        ``memory``: what the last quote returned, 0 at first; ``utilization``: borrowed over
        supplied, WAD, as the period began.
        """
        ...


@dataclass(frozen=True)
class FixedRate:
    """The same rate whatever is borrowed: ``rate_per_second`` is a WAD."""

    rate_per_second: int

    def quote(self, memory: int, utilization: int, elapsed_s: int) -> RateQuote:  # noqa: ARG002
        """Return the fixed rate."""
        return RateQuote(self.rate_per_second, memory)


@dataclass(frozen=True)
class AdaptiveCurve:
    """A curve through the rate at 90 % utilisation, which itself drifts towards that target.

    The rate at target grows or shrinks at up to 50 a year (continuously compounded, in proportion
    to the distance from the target), between 0.1 % and 200 %, from 4 % at the start. The rate is
    four times that at full utilisation and a quarter of it in an empty market.
    """

    def quote(self, memory: int, utilization: int, elapsed_s: int) -> RateQuote:
        """Return the average rate over the period and the rate at target as it ends."""
        error = _measure_error(utilization)
        if memory == 0:
            start = middle = end = INITIAL_RATE_AT_TARGET
        else:
            start = memory
            drift = _multiply(SPEED, error) * elapsed_s
            middle = _drift(start, _divide(drift, 2))
            end = _drift(start, drift)
        average = (start + end + 2 * middle) // 4
        return RateQuote(_bend(average, error), end)


def exponentiate(x: int) -> int:
    """Return e^x as the contract approximates it: a power of two times a parabola; WAD.

    Up to 0.9 % beside the true value; zero below ln(1e-18), clipped above 93.86.
    """
    if x < LN_WEI:
        return 0
    if x >= EXP_UPPER_BOUND:
        return EXP_UPPER_VALUE
    half = LN_2 // 2 if x >= 0 else -(LN_2 // 2)
    power = _divide(x + half, LN_2)
    rest = x - power * LN_2
    mantissa = WAD + rest + rest * rest // WAD // 2
    return mantissa << power if power >= 0 else mantissa >> -power


def _measure_error(utilization: int) -> int:
    """Return the distance from the target, -1 (nothing borrowed) to 1 (everything); WAD."""
    distance = utilization - TARGET_UTILIZATION
    room = WAD - TARGET_UTILIZATION if distance > 0 else TARGET_UTILIZATION
    return _divide(distance * WAD, room)


def _drift(start: int, drift: int) -> int:
    """Return ``start * e^drift``, within the bounds of the rate at target."""
    if drift == 0:
        return start
    moved = start * exponentiate(drift) // WAD
    return min(max(moved, MIN_RATE_AT_TARGET), MAX_RATE_AT_TARGET)


def _bend(rate_at_target: int, error: int) -> int:
    """Return the rate on the curve through ``rate_at_target``."""
    slope = WAD - WAD * WAD // STEEPNESS if error < 0 else STEEPNESS - WAD
    return (_multiply(slope, error) + WAD) * rate_at_target // WAD


def _multiply(x: int, y: int) -> int:
    """Return x * y of two WADs, rounded towards zero."""
    return _divide(x * y, WAD)


def _divide(x: int, y: int) -> int:
    """Return x / y rounded towards zero, as the EVM divides signed numbers; y > 0."""
    return x // y if x >= 0 else -(-x // y)
