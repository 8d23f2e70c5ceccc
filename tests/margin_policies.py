"""Futures positions played by plain rules, one bar after the other, for tests of the bound."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seawall.analysis.margin_hindsight import MarginPath, MarginStart
from seawall.venues.perpetual.layout import AMOUNT, CAP, FLOOR, MAX_LEVERAGE, N_TIER, RATE

Array = NDArray[np.float64]


def make_tables() -> Array:
    """Return two brackets: 1 % up to a notional of 10,000, 5 % beyond, 400 less."""
    table = np.zeros((1, 2, N_TIER))
    table[0, :, FLOOR] = 0.0, 10_000.0
    table[0, :, CAP] = 10_000.0, 1e9
    table[0, :, RATE] = 0.01, 0.05
    table[0, :, AMOUNT] = 0.0, 400.0
    table[0, :, MAX_LEVERAGE] = 50.0, 10.0
    return table


def make_margin_path(
    prices: Sequence[float] | Array, *, reach: float = 0.0, basis: float = 0.0, **given: object
) -> MarginPath:
    """Return bars that open and close at ``prices``, marks that reach a share beyond both.

    ``basis``: the last price lies a share above the mark at every other open, below at the rest.
    """
    path = np.asarray(prices, dtype=np.float64)
    opens, closes = path[:-1], path[1:]
    n = len(opens)
    values: dict[str, object] = {
        "opens": opens * (1 + basis * np.where(np.arange(n) % 2, 1.0, -1.0)),
        "mark_opens": opens,
        "mark_closes": closes,
        "mark_lows": np.minimum(opens, closes) * (1 - reach),
        "mark_highs": np.maximum(opens, closes) * (1 + reach),
        "funding": np.zeros(n),
        "tables": make_tables(),
        "epochs": np.zeros(n, np.int64),
    }
    return MarginPath(**{**values, **given})  # type: ignore[arg-type]  # all by name


def make_random_path(rng: np.random.Generator, n_bars: int, *, gaps: bool = True) -> MarginPath:
    """Return bars in turmoil: 3 % each, gaps between close and open, funding now and then."""
    closes = 100 * np.exp(np.cumsum(rng.standard_t(4, n_bars) * 0.03))
    before = np.concatenate([[100.0], closes[:-1]])
    opens = before * np.exp(rng.normal(0, 0.01 * gaps, n_bars))
    base = make_margin_path(np.concatenate([opens, closes[-1:]]), basis=0.001)
    reach = rng.exponential(0.01, (2, n_bars))
    return replace(
        base,
        mark_closes=closes,
        mark_lows=np.minimum(opens, closes) * (1 - reach[0]),
        mark_highs=np.maximum(opens, closes) * (1 + reach[1]),
        funding=np.where(rng.random(n_bars) < 0.3, opens * rng.normal(0, 1e-3, n_bars), 0.0),
    )


def play(path: MarginPath, start: MarginStart, wanted: Sequence[float | None]) -> float:
    """Return the final equity of a policy: the quantity to hold from each open, ``None`` to stay.

    All wealth is margin. At the mark where it no longer exceeds the maintenance margin everything
    is closed, for the liquidation fee; what is below 0 the insurance fund pays.
    """
    cash, held = start.cash, start.quantity
    for bar, target in enumerate(wanted):
        cash -= held * path.funding[bar]
        cash, held = _survive(path, start, bar, cash, held, (path.mark_opens[bar],) * 2)
        if target is not None and not np.isnan(path.opens[bar]):
            side = np.sign(target - held)
            price = path.opens[bar] * (1 + side * start.half_spread)
            traded = abs(target - held) * price
            cash -= (target - held) * price + traded * start.taker_fee
            held = target
        worst = path.mark_lows[bar] if held > 0 else path.mark_highs[bar]
        way = path.mark_opens[bar], worst
        cash, held = _survive(path, start, bar, cash, held, way)
    return float(cash + held * path.mark_closes[-1])


def find_needed(path: MarginPath, bar: int, notional: float) -> float:
    """Return the maintenance margin of a notional: the highest line of all brackets."""
    table = path.tables[path.epochs[bar]]
    return float(max(notional * row[RATE] - row[AMOUNT] for row in table))


def _survive(  # noqa: PLR0917 - private, in one place
    path: MarginPath,
    start: MarginStart,
    bar: int,
    cash: float,
    held: float,
    way: tuple[float, float],
) -> tuple[float, float]:
    """Return cash and position after the mark has gone from one price to another."""

    def is_alive(mark: float) -> bool:
        return cash + held * mark > find_needed(path, bar, abs(held) * mark)

    first, last = way
    if held == 0.0 or (is_alive(first) and is_alive(last)):
        return cash, held
    if not is_alive(first):
        last = first
    for _ in range(60):
        middle = (first + last) / 2
        first, last = (middle, last) if is_alive(middle) else (first, middle)
    fee = abs(held) * last * start.liquidation_fee
    return max(cash + held * last - fee, 0.0), 0.0
