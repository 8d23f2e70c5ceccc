"""The simulated market's parameters, and a crash on demand: values, checked, without any code.

The model is written down in ``seawall.market.simulate``. The defaults were fitted to 318,297
candles: 5-minute ETH/USDT of Binance spot, 2021-09-24 to 2026-02-19 (returns across gaps left out).
"""

import math
from dataclasses import dataclass

from seawall.errors import RecipeError

N_HOURS = 24
N_SLOTS_OF_HOUR = 12  # blocks of five minutes in an hour

HOUR_PROFILE = (
    *(1.091, 1.055, 0.931, 0.795, 0.758, 0.758, 0.776, 0.814),
    *(0.881, 0.841, 0.800, 0.812, 0.969, 1.161, 1.418, 1.310),
    *(1.217, 1.154, 1.086, 1.048, 1.047, 1.039, 0.978, 0.874),
)
SWITCH_RATES = (0.1759, 0.1057, 0.0636, 0.0382, 0.000975, 0.00057, 0.000333, 0.000195)
SLOT_PROFILE = (1.089, 1.066, 0.971, 1.066, 1.026, 0.927, 1.100, 1.017, 0.937, 0.996, 0.941, 0.828)


@dataclass(frozen=True, kw_only=True)
class SimulatedMarket:
    """The parameters of one simulated market.

    Attributes:
        block_volatility: standard deviation of the log return of five minutes where every
            multiplier is at its mean, without jumps; > 0. Fitted to 5-minute ETH/USDT of Binance
            spot.
        regime_high: variance multiplier of a regime in its high state, 1 to 2 (excluded); in its
            low state it is ``2 - regime_high``, so that the mean is 1. Fitted to 5-minute ETH/USDT
            of Binance spot.
        switch_rates: probability per five minutes that a regime changes its state, one per
            independent regime, from the fastest to the slowest, each in (0, 0.5]. Fitted to
            5-minute ETH/USDT of Binance spot.
        hour_profile: volatility by hour of the day in UTC, 24 values with a mean square of 1.
            Measured on 5-minute ETH/USDT of Binance spot.
        slot_profile: volatility by five minutes of the hour, 12 values with a mean square of 1.
            Measured on 5-minute ETH/USDT of Binance spot.
        jump_rate: probability of a jump per five minutes, 0 to 1. Fitted to 5-minute ETH/USDT of
            Binance spot.
        jump_smallest: smallest size of a jump as a fraction of the price. Chosen: smaller ones
            cannot be told from the diffusion.
        jump_largest: largest size of a jump as a fraction of the price, < 1. Chosen close to the
            largest return of 5-minute ETH/USDT of Binance spot (0.09), below it because a
            kurtosis made by one return says nothing.
        jump_tail: tail index of the sizes, > 0 (a truncated Pareto law). Fitted to 5-minute
            ETH/USDT of Binance spot.
        annual_drift: log growth of the EXPECTED price per year of 365 days. Chosen, not fitted: at
            0 the price is a martingale, so that no agent has an edge before costs.
        turnover_per_move: quote units traded per unit of absolute log return along the path of
            ten-second steps. Fitted to 5-minute ETH/USDT of Binance spot (median turnover).
        turnover_noise: standard deviation of the log of the turnover where the move is given.
            Measured on 5-minute ETH/USDT of Binance spot.
        correlation: of the returns of any two symbols of one seed, 0 to 1. Chosen: a usual value
            between large coins.

    Raises:
        RecipeError: a parameter is out of its range.
    """

    block_volatility: float = 0.0017983
    regime_high: float = 1.5642
    switch_rates: tuple[float, ...] = SWITCH_RATES
    hour_profile: tuple[float, ...] = HOUR_PROFILE
    slot_profile: tuple[float, ...] = SLOT_PROFILE
    jump_rate: float = 0.0011668
    jump_smallest: float = 0.01
    jump_largest: float = 0.07
    jump_tail: float = 2.2757
    annual_drift: float = 0.0
    turnover_per_move: float = 6.7e8
    turnover_noise: float = 0.62
    correlation: float = 0.7

    def __post_init__(self) -> None:
        _check_range("block_volatility", self.block_volatility, low=0.0, high=0.1, is_open=True)
        _check_range("regime_high - 1", self.regime_high - 1, low=0.0, high=0.999, is_open=True)
        for rate in self.switch_rates:
            _check_range("a switch rate", rate, low=0.0, high=0.5, is_open=True)
        _check_profile("hour_profile", self.hour_profile, N_HOURS)
        _check_profile("slot_profile", self.slot_profile, N_SLOTS_OF_HOUR)
        _check_range("jump_rate", self.jump_rate, low=0.0, high=1.0)
        _check_range(
            "jump_smallest", self.jump_smallest, low=0.0, high=self.jump_largest, is_open=True
        )
        _check_range("jump_largest", self.jump_largest, low=0.0, high=0.99, is_open=True)
        _check_range("jump_tail", self.jump_tail, low=0.0, high=100.0, is_open=True)
        _check_range("annual_drift", self.annual_drift, low=-10.0, high=10.0)
        _check_range("turnover_per_move", self.turnover_per_move, low=0.0, high=1e15, is_open=True)
        _check_range("turnover_noise", self.turnover_noise, low=0.0, high=5.0)
        _check_range("correlation", self.correlation, low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A crash put into a simulated path.

    The close of the crash's last bar is the open of its first times ``1 - depth``, to rounding;
    between the two the path is pulled there (a Brownian bridge), so that it may be lower for a
    while. Volatility, and with it volume, is ``volatility_factor`` times what it would be; in the
    ``duration_bars`` bars after the crash it comes back to 1 times, and where ``recovery`` is not 0
    the price climbs back in these bars.

    Attributes:
        start_bar: index of the crash's first bar, >= 0.
        depth: fraction of the price that is lost, 0 to 1 (excluded).
        duration_bars: bars that the fall takes, >= 1.
        recovery: fraction of the loss that is won back in as many bars again, 0 to 1; at 0 the
            price moves freely after the fall.
        volatility_factor: how much more volatile than without the crash, >= 1.

    Raises:
        RecipeError: a value is out of its range.
    """

    start_bar: int
    depth: float
    duration_bars: int
    recovery: float = 0.0
    volatility_factor: float = 3.0

    def __post_init__(self) -> None:
        _check_range("crash.start_bar", self.start_bar, low=0, high=1e12)
        _check_range("crash.depth", self.depth, low=0.0, high=0.999, is_open=True)
        _check_range("crash.duration_bars", self.duration_bars, low=1, high=1e12)
        _check_range("crash.recovery", self.recovery, low=0.0, high=1.0)
        _check_range("crash.volatility_factor", self.volatility_factor, low=1.0, high=100.0)


def _check_range(
    name: str, value: float, *, low: float, high: float, is_open: bool = False
) -> None:
    """Raise unless ``low <= value <= high``; where the range is open, ``low`` is not allowed."""
    if not low <= value <= high or (is_open and value == low):
        raise RecipeError(
            f"{name} of a simulated market must be {'>' if is_open else '>='} {low:g} and "
            f"<= {high:g}, is {value!r}: its meaning is in seawall/market/simulation_parameters.py"
        )


def _check_profile(name: str, values: tuple[float, ...], n_values: int) -> None:
    mean_square = math.fsum(value * value for value in values) / n_values
    if (
        len(values) != n_values
        or min(values) <= 0
        or not math.isclose(mean_square, 1, abs_tol=0.01)
    ):
        raise RecipeError(
            f"{name} of a simulated market must be {n_values} values > 0 with a mean square of 1, "
            f"is {len(values)} values with {mean_square:.4f}: divide them by its square root"
        )
