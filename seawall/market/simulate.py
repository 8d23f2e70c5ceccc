"""Simulated markets: a regime-switching jump-diffusion, seeded, calibrated to 5-minute ETH.

One path of ten-second steps is made per seed and symbol, and every timeframe is cut from it: the
same seed, symbol and start give 1-minute, 5-minute and daily candles of one and the same path, and
a longer series begins with the shorter one, to the bit.

The model, per block of five minutes (30 steps)::

    volatility = block_volatility * hour_profile * slot_profile * sqrt(product of the regimes)
    step       = drift - variance / 2 + volatility * normal / sqrt(30)  [+ ln(1 ± jump)]

- *Regimes*: independent two-state Markov chains that multiply the variance, from minutes to weeks
  long (a Markov-switching multifractal; Calvet and Fisher 2004, *How to forecast long-run
  volatility*). They belong to the market: all symbols of a seed share them.
- *Jumps*: at most one per block and cause, with sizes of a truncated Pareto law, as often up as
  down (Merton 1976, with other sizes).
- *Symbols*: ``correlation`` is the share of the variance, of the diffusion and of the jumps alike,
  that all symbols of a seed have in common.
- *Volume*: follows the length of the path, times log-normal noise.

Left out: an order book, ticks (prices are not rounded), a weekly cycle, and asymmetry: in truth
volatility rises more when prices fall.
"""

import math
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.kernel import kernel
from seawall.market.series import Candles, FloatArray, SeriesKey, TimeArray
from seawall.market.simulation_parameters import (
    N_HOURS,
    N_SLOTS_OF_HOUR,
    Crash,
    SimulatedMarket,
)
from seawall.units import MINUTE_MS, SECOND_MS, YEAR_MS

__all__ = ["VENUE", "Crash", "SimulatedMarket", "simulate"]

VENUE = "simulated"
STEP_MS = 10 * SECOND_MS
BLOCK_MS = 5 * MINUTE_MS
BLOCK_STEPS = BLOCK_MS // STEP_MS
NO_STEP = -1
DEFAULT_PARAMETERS = SimulatedMarket()
_MARKET = "market"  # the name of what all symbols share; no symbol can bear it (it has no quote)


class _Blocks(NamedTuple):
    """What is drawn per block of five minutes; all arrays of shape (n_blocks,) or (n_blocks, 2).

    Attributes:
        step_volatility: standard deviation of a step's log return.
        turnover: quote units traded per unit of absolute log return.
        jump_at: step within the block at which the market's (0) and the symbol's (1) jump comes,
            or ``NO_STEP``.
        jump: log size of that jump.
    """

    step_volatility: FloatArray
    turnover: FloatArray
    jump_at: NDArray[np.int64]
    jump: FloatArray


class _Start(NamedTuple):
    """Where the path starts, its steps per bar, and the log growth of E[price] per step."""

    log_price: float
    drift: float
    steps_per_bar: int


class _Noise(NamedTuple):
    """The two sources of a step's normal, and the market's share of its standard deviation."""

    market: np.random.Generator
    own: np.random.Generator
    loading: float


class _Fall(NamedTuple):
    """A crash in steps and log prices; a fall that never begins has ``begin = NO_STEP``."""

    begin: int
    bottom: int
    end: int
    log_depth: float
    log_recovered: float
    volatility_factor: float
    is_recovering: bool


def simulate(
    key: SeriesKey,
    *,
    seed: int,
    n_bars: int,
    since_ms: int,
    start_price: float,
    crash: Crash | None = None,
    parameters: SimulatedMarket = DEFAULT_PARAMETERS,
) -> Candles:
    """Return ``n_bars`` simulated candles of ``key``, the first opening at ``start_price``.

    Args:
        key: kind ``candles``, venue ``simulated``; the symbol's name is part of the seed; the
            timeframe is a multiple of ten seconds.
        seed: >= 0; the same seed gives the same bits in every process (of one version of numpy
            and numba), and symbols of one seed are correlated.
        n_bars: >= 1; a longer series starts with the shorter one.
        since_ms: open time of the first candle.
        start_price: open of the first candle, quote units per base unit, > 0.
        crash: counted in bars of ``key``; the path before it is the one without it.
        parameters: the model's; the default is the fit to ETH.

    Raises:
        DataError: an argument is out of its range.
    """
    _check_arguments(key, seed=seed, n_bars=n_bars, start_price=start_price, crash=crash)
    steps_per_bar = key.timeframe_ms // STEP_MS
    n_blocks = -(-n_bars * steps_per_bar // BLOCK_STEPS)
    bars = np.empty((5, n_bars))
    _walk(
        bars,
        _Start(np.log(start_price), parameters.annual_drift * STEP_MS / YEAR_MS, steps_per_bar),
        noise=_Noise(
            market=stream(seed, _MARKET, "steps"),
            own=stream(seed, key.symbol, "steps"),
            loading=np.sqrt(parameters.correlation),
        ),
        blocks=_draw_blocks(parameters, seed, key.symbol, since_ms=since_ms, n_blocks=n_blocks),
        fall=_to_fall(crash, steps_per_bar),
    )
    # The first open is what was asked for, not what is left of it after a logarithm.
    bars[0, 0] = start_price
    time_ms = since_ms + key.timeframe_ms * np.arange(n_bars, dtype=np.int64)
    return _to_candles(key, time_ms, bars, source=_describe(seed, crash, parameters))


def _check_arguments(
    key: SeriesKey, *, seed: int, n_bars: int, start_price: float, crash: Crash | None
) -> None:
    if key.kind != "candles" or key.venue != VENUE:
        raise DataError(f"a simulated series is candles/{VENUE}/..., is {key}: change its name")
    if key.timeframe_ms % STEP_MS:
        raise DataError(
            f"the timeframe of a simulated series must be a multiple of 10s, is {key.timeframe}: "
            "take 10s, 1m or 5m"
        )
    if seed < 0:
        raise DataError(f"the seed of a simulated series must be >= 0, is {seed}: take 1")
    if n_bars < 1:
        raise DataError(f"a simulated series must have >= 1 bars, has {n_bars}: widen the window")
    if not (np.isfinite(start_price) and start_price > 0):
        raise DataError(f"start_price must be finite and > 0, is {start_price}: take 100")
    if crash is not None and crash.start_bar >= n_bars:
        raise DataError(
            f"crash.start_bar must be < n_bars, is {crash.start_bar} of {n_bars}: start it earlier"
        )


def stream(seed: int, name: str, purpose: str) -> np.random.Generator:
    """Return the random stream of one purpose: the same in every process, unlike ``hash()``."""
    digest = sha256(f"{name}:{purpose}".encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def _draw_blocks(
    parameters: SimulatedMarket, seed: int, symbol: str, *, since_ms: int, n_blocks: int
) -> _Blocks:
    """Draw what is constant within five minutes; each stream yields a prefix of a longer draw."""
    block_index = since_ms // BLOCK_MS + np.arange(n_blocks, dtype=np.int64)
    regimes = _draw_regimes(parameters, stream(seed, _MARKET, "regimes"), n_blocks)
    hour = np.array(parameters.hour_profile)[block_index // N_SLOTS_OF_HOUR % N_HOURS]
    slot = np.array(parameters.slot_profile)[block_index % N_SLOTS_OF_HOUR]
    volatility = parameters.block_volatility * hour * slot * np.sqrt(regimes)
    noise = stream(seed, symbol, "turnover").standard_normal(n_blocks)
    shared = parameters.correlation
    market = _draw_jumps(parameters, stream(seed, _MARKET, "jumps"), n_blocks, share=shared)
    own = _draw_jumps(parameters, stream(seed, symbol, "jumps"), n_blocks, share=1 - shared)
    return _Blocks(
        step_volatility=volatility / np.sqrt(BLOCK_STEPS),
        turnover=parameters.turnover_per_move * np.exp(parameters.turnover_noise * noise),
        jump_at=np.column_stack([market[0], own[0]]),
        jump=np.column_stack([market[1], own[1]]),
    )


def _draw_regimes(
    parameters: SimulatedMarket, stream: np.random.Generator, n_blocks: int
) -> FloatArray:
    """Return the product of the regimes' variance multipliers, shape (n_blocks,), mean 1."""
    rates = np.array(parameters.switch_rates)
    draws = stream.random((n_blocks, len(rates)))
    changes = draws < rates
    changes[0] = draws[0] < 0.5  # noqa: PLR2004 - each state is equally likely at the start
    is_high = np.bitwise_xor.accumulate(changes, axis=0)
    n_high = is_high.sum(axis=1)
    high, low = parameters.regime_high, 2 - parameters.regime_high
    product = high ** np.arange(len(rates) + 1) * low ** np.arange(len(rates) + 1)[::-1]
    return np.asarray(product[n_high], dtype=np.float64)


def _draw_jumps(
    parameters: SimulatedMarket, stream: np.random.Generator, n_blocks: int, *, share: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the step and the log size of one cause's jumps, two arrays of shape (n_blocks,)."""
    chance, when, size, sign = stream.random((n_blocks, 4)).T
    tail = -parameters.jump_tail
    smallest, largest = parameters.jump_smallest**tail, parameters.jump_largest**tail
    fraction = (smallest - size * (smallest - largest)) ** (1 / tail)
    # Symmetric in the price, not in its log: a jump does not move the expected price.
    jump = np.log1p(np.where(sign < 0.5, -fraction, fraction))  # noqa: PLR2004 - up or down
    happens = chance < parameters.jump_rate * share
    at = np.where(happens, (when * BLOCK_STEPS).astype(np.int64), NO_STEP)
    return at, jump


def _to_fall(crash: Crash | None, steps_per_bar: int) -> _Fall:
    if crash is None:
        return _Fall(NO_STEP, NO_STEP, NO_STEP, 0.0, 0.0, 1.0, is_recovering=False)
    begin = crash.start_bar * steps_per_bar
    duration = crash.duration_bars * steps_per_bar
    return _Fall(
        begin=begin,
        bottom=begin + duration,
        end=begin + 2 * duration,
        log_depth=np.log1p(-crash.depth),
        log_recovered=np.log1p(-crash.depth * (1 - crash.recovery)),
        volatility_factor=float(crash.volatility_factor),
        is_recovering=crash.recovery > 0,
    )


@kernel
def _jump(blocks: _Blocks, block: int, within: int) -> float:
    """Return the log size of the jumps at one step of a block, 0 where there is none."""
    size = 0.0
    for cause in range(2):
        if blocks.jump_at[block, cause] == within:
            size += blocks.jump[block, cause]
    return size


@kernel
def _stress(fall: _Fall, step: int) -> float:
    """Return how much more volatile a step is for the crash, >= 1."""
    if not fall.begin <= step < fall.end:
        return 1.0
    if step < fall.bottom:
        return fall.volatility_factor
    left = (fall.end - step) / (fall.end - fall.bottom)
    return 1.0 + (fall.volatility_factor - 1.0) * left


@kernel
def _pull(fall: _Fall, step: int, move: float, gone: float) -> float:
    """Return a step's log return under the crash: one step of a Brownian bridge to its target.

    ``gone`` is the log return from the crash's start to here, ``move`` the step without the crash.
    """
    if step < fall.bottom:
        target, steps_left = fall.log_depth, fall.bottom - step
    elif fall.is_recovering:
        target, steps_left = fall.log_recovered, fall.end - step
    else:
        return move
    return (target - gone) / steps_left + move * math.sqrt((steps_left - 1) / steps_left)


@kernel
def _walk(bars: FloatArray, start: _Start, noise: _Noise, blocks: _Blocks, fall: _Fall) -> None:
    """Walk the path; write open, high, low, close, volume into ``bars``, shape (5, n_bars)."""
    own_loading = math.sqrt(1.0 - noise.loading**2)
    log_price = log_start = start.log_price
    step = 0
    price = np.exp(log_price)
    per_move = 0.0
    for bar in range(bars.shape[1]):
        log_high = log_low = log_price
        bars[0, bar] = price
        volume = 0.0
        for _ in range(start.steps_per_bar):
            block = step // BLOCK_STEPS
            within = step - block * BLOCK_STEPS
            if within == 0:
                per_move = blocks.turnover[block] / np.exp(log_price)
            if step == fall.begin:
                log_start = log_price
            stress = _stress(fall, step)
            volatility = blocks.step_volatility[block] * stress
            normal = noise.loading * noise.market.standard_normal()
            normal += own_loading * noise.own.standard_normal()
            move = start.drift - 0.5 * volatility * volatility + volatility * normal
            move += _jump(blocks, block, within)
            if fall.begin <= step < fall.end:
                move = _pull(fall, step, move, log_price - log_start)
            log_price += move
            log_high = max(log_high, log_price)
            log_low = min(log_low, log_price)
            volume += abs(move) * per_move
            step += 1
        price = np.exp(log_price)
        # exp is monotone but for its last bit: the extremes must not be inside open and close.
        bars[1, bar] = max(np.exp(log_high), bars[0, bar], price)
        bars[2, bar] = min(np.exp(log_low), bars[0, bar], price)
        bars[3, bar] = price
        bars[4, bar] = volume


def _describe(seed: int, crash: Crash | None, parameters: SimulatedMarket) -> str:
    text = f"simulated: regime-switching jump-diffusion, seed {seed}"
    text += (
        ", fitted to 5-minute ETH/USDT" if parameters == DEFAULT_PARAMETERS else ", own parameters"
    )
    if crash is None:
        return text
    return f"{text}, with a crash of {crash.depth:.0%} within {crash.duration_bars} bars"


def _to_candles(key: SeriesKey, time_ms: TimeArray, bars: FloatArray, *, source: str) -> Candles:
    opens, highs, lows, closes, volume = bars
    return Candles(
        key=key,
        time_ms=time_ms,
        open=opens,
        high=np.maximum(highs, opens),
        low=np.minimum(lows, opens),
        close=closes,
        volume=volume,
        source=source,
        is_simulated=True,
    )
