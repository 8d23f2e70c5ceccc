"""From the world of a futures position to what ``margin_hindsight`` reads.

Coins that are held at the start are kept as they are: what they are worth is added to its equity.
"""

from dataclasses import replace

import numpy as np

from seawall.analysis.guarded import guarded_symbol
from seawall.analysis.margin_hindsight import (
    MarginHindsight,
    MarginPath,
    MarginStart,
    margin_hindsight,
)
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.engine.world import World
from seawall.errors import ResultError
from seawall.market.series import FloatArray
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import BPS, split_symbol
from seawall.venues.parameters import Ambiguity
from seawall.venues.perpetual.layout import FLOOR, N_TIER

_OPEN, _HIGH, _LOW, _CLOSE = range(4)


def find_margin_hindsight(
    world: World,
    recipe: Recipe,
    untouched: Result,
    intrabar: Ambiguity,
    *,
    n_states: int | None = None,
) -> MarginHindsight:
    """Return the best policy for a recipe's position in its world, with bars resolved one way.

    ``untouched``: a run of the recipe by any agent; what it started with is read from it.

    Raises:
        ResultError: the recipe has no position to guard.
    """
    path = to_margin_path(world, recipe, intrabar)
    found = margin_hindsight(path, to_margin_start(recipe, untouched), n_states=n_states)
    apart = _coins(recipe, untouched)
    if not apart.any():
        return found
    curve = found.curve + apart
    return replace(found, curve=curve, final_equity_usd=float(curve[-1]))


def to_margin_path(world: World, recipe: Recipe, intrabar: Ambiguity) -> MarginPath:
    """Return what happened as ``margin_hindsight`` reads it, from the first bar that trades."""
    perpetual, symbol = _find(world, recipe)
    row = perpetual.symbols.index(symbol)
    first = int(np.searchsorted(world.clock_ms, world.since_ms, "right"))
    marks = perpetual.marks[first:, row]
    ends = marks[:, (_OPEN, _CLOSE)]
    is_worst = intrabar == "worst"
    stamps = perpetual.stamps
    is_ours = (stamps.row == row) & (stamps.step >= first)
    funding = np.zeros(len(marks))
    np.add.at(funding, stamps.step[is_ours] - first, (stamps.rate * stamps.mark)[is_ours])
    return MarginPath(
        opens=_opens(world, symbol, first),
        mark_opens=marks[:, _OPEN].copy(),
        mark_lows=marks[:, _LOW].copy() if is_worst else ends.min(axis=1),
        mark_highs=marks[:, _HIGH].copy() if is_worst else ends.max(axis=1),
        mark_closes=marks[:, _CLOSE].copy(),
        funding=funding,
        **_brackets(perpetual, row, first, len(marks)),
    )


def to_margin_start(recipe: Recipe, untouched: Result) -> MarginStart:
    """Return what a run started with, and what trading the guarded contract costs."""
    symbol, section = guarded_symbol(recipe), recipe.perpetual
    if symbol is None or section is None:
        raise ResultError(_NONE.format(recipe.name))
    frame = untouched.perpetual
    quantity = float(frame[f"quantity:{symbol}"].iloc[0])
    mark = float(frame[f"mark:{symbol}"].iloc[0])
    coins = float(_coins(recipe, untouched)[0])
    equity = float(untouched.equity["equity"].iloc[0])
    _, taker_bps, liquidation_bps = section.fees_of(symbol)
    return MarginStart(
        quantity=quantity,
        cash=equity - coins - quantity * mark,
        reserve=max(float(frame["equity_spot"].iloc[0]) - coins, 0.0),
        taker_fee=taker_bps * BPS,
        half_spread=recipe.costs.half_spread_bps * BPS,
        liquidation_fee=liquidation_bps * BPS,
        may_turn=len(recipe.market.symbols) > 1,
    )


def _find(world: World, recipe: Recipe) -> tuple[PerpetualWorld, str]:
    symbol = guarded_symbol(recipe)
    if world.perpetual is None or symbol is None:
        raise ResultError(_NONE.format(recipe.name))
    return world.perpetual, symbol


_NONE = "hindsight needs a position, {} guards none: add [perpetual.position]"


def _opens(world: World, symbol: str, first: int) -> FloatArray:
    """Return where orders are carried out in each step; nan where the contract has no bar."""
    candles, clock_ms = world.candles[symbol], world.clock_ms[first:]
    place = np.minimum(np.searchsorted(candles.close_ms, clock_ms), len(candles) - 1)
    return np.where(candles.close_ms[place] == clock_ms, candles.open[place], np.nan)


def _brackets(
    perpetual: PerpetualWorld, row: int, first: int, n_bars: int
) -> dict[str, np.ndarray]:
    """Return the tables of one contract, equally long, and which of them holds in each bar."""
    own = [epoch.tables[row] for epoch in perpetual.epochs]
    tables = np.zeros((len(own), max(len(table) for table in own), N_TIER))
    tables[:, :, FLOOR] = np.inf
    epochs = np.zeros(n_bars, np.int64)
    for place, (table, epoch) in enumerate(zip(own, perpetual.epochs, strict=True)):
        tables[place, : len(table)] = table
        epochs[max(epoch.first_step - first, 0) :] = place
    return {"tables": tables, "epochs": epochs}


def _coins(recipe: Recipe, result: Result) -> FloatArray:
    """Return what the coins of the start are worth at the start and at each close."""
    worth = np.zeros(len(result.equity))
    initial = result.ledger[result.ledger["kind"] == "initial"]
    for symbol in recipe.market.symbols:
        base = split_symbol(symbol)[0]
        held = float(initial.loc[initial["asset"] == base, "amount"].astype(float).sum())
        is_spot = ":" not in symbol
        if held and is_spot:
            worth += held * result.prices[symbol].to_numpy(dtype=np.float64)
    return worth
