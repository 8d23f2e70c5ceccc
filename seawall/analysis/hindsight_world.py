"""From the world of a loan to what ``hindsight`` reads, each assumption on the generous side.

- A move costs the gas of one transaction with one swap, the least that changes leverage.
- Where the coin that pays gas is neither the collateral's nor the debt's kind, it counts at the
  highest price that it ever had since the start.
- Rates are those of the pool without the loan in it: own size only makes them worse.
- Where the account has an exchange too, its money lies in the wallet from the start. A hedge there
  is none of hindsight's: it is no bound for who sold short.
"""

from dataclasses import replace

import numpy as np

from seawall.analysis.hindsight import Hindsight, HindsightLoan, HindsightPath, hindsight
from seawall.engine.loan.terms import NATIVE
from seawall.engine.loan.world import LoanWorld, open_loan
from seawall.engine.world import World
from seawall.errors import ResultError
from seawall.market.series import FloatArray
from seawall.recipe import Recipe
from seawall.venues.gas import count_gas
from seawall.venues.lending import layout
from seawall.venues.parameters import Ambiguity

_GWEI = 1e-9
_WRAPPED = "WETH"


def find_hindsight(
    world: World, recipe: Recipe, intrabar: Ambiguity, *, n_states: int | None = None
) -> Hindsight:
    """Return the best policy for a recipe's loan in its world, with bars resolved one way.

    Raises:
        ResultError: the recipe has no loan.
    """
    if world.loan is None:
        raise ResultError(f"hindsight needs a loan, {recipe.name} has none: add [loan]")
    loan = world.loan
    path = to_path(loan, intrabar, latency_ms=recipe.execution.latency_ms)
    own = to_loan(loan)
    if world.perpetual is not None:
        own = replace(own, wallet_debt=own.wallet_debt + _on_exchange(loan, recipe))
    found = hindsight(path, own, n_states=n_states)
    apart = _apart(loan)
    if not apart.any():
        return found
    curve = found.curve + apart
    return replace(found, curve=curve, final_equity_usd=float(curve[-1]))


def to_path(world: LoanWorld, intrabar: Ambiguity, *, latency_ms: int) -> HindsightPath:
    """Return what happened as ``hindsight`` reads it."""
    rows, n, n_feeds = world.rows(intrabar), len(world.names), len(world.feeds)
    i, j = _places(world)

    def of(place: int, k: int) -> FloatArray:
        return rows[:, layout.N_WORLD + place * n + k]

    def feed(place: int, k: int) -> FloatArray:
        first = layout.N_WORLD + 5 * n + place * n_feeds
        return rows[:, first + world.assets[k].feed]

    # Two assets of one feed move together: it is low for both or high for both.
    is_one = world.assets[i].feed == world.assets[j].feed
    ratio = of(layout.RATIO, i) / of(layout.RATIO, j)
    high, close_high = layout.FEED_HIGH, layout.FEED_CLOSE_HIGH
    worst = ratio if is_one else ratio * feed(layout.FEED_LOW, i) / feed(high, j)
    standing = ratio if is_one else ratio * feed(layout.FEED_CLOSE_LOW, i) / feed(close_high, j)
    rates = (world.supply_rate[:, i], world.borrow_rate[:, j], world.supply_rate[:, j])
    units = count_gas(["swap"])
    return HindsightPath(
        opens=of(layout.OPEN, i)[1:],
        closes=of(layout.CLOSE, i)[1:],
        debt_opens=of(layout.OPEN, j)[1:],
        debt_closes=of(layout.CLOSE, j)[1:],
        standing=standing,
        worst=worst[1:],
        is_safe=rows[1:, layout.IS_DARK] > 0,
        threshold=_per_bar(world, layout.THRESHOLD, i),
        max_ltv=_per_bar(world, layout.MAX_LTV, i),
        bonus=_bonus(world, i),
        supply_rate=rates[0],
        borrow_rate=rates[1],
        debt_supply_rate=rates[2],
        gas_usd=units * _GWEI * rows[1:, layout.GAS_PRICE] * rows[1:, layout.NATIVE_OPEN],
        bar_s=rows[1:, layout.SECONDS],
        first_bar=_first_bar(world, intrabar, latency_ms),
    )


def to_loan(world: LoanWorld) -> HindsightLoan:
    """Return the loan as it is taken; ETH counts with the asset whose price it has."""
    opening, (i, j) = open_loan(world), _places(world)
    names, native = world.names, world.native
    wallet = opening.wallet.copy()
    for k in (i, j):
        if names[k] == _WRAPPED and k != native:
            wallet[k] += wallet[native]
    rules = world.terms.epochs[0].rules
    return HindsightLoan(
        collateral=float(opening.collateral[i]),
        debt=float(opening.debt[j]),
        wallet_collateral=float(wallet[i]),
        wallet_debt=float(wallet[j]),
        swap_fee=float(rules[layout.SWAP_FEE]),
        depth_usd=float(rules[layout.DEPTH_USD]),
    )


def _on_exchange(world: LoanWorld, recipe: Recipe) -> float:
    """Return the money of the account's exchange as debt tokens: at once, and free of charge."""
    section = recipe.perpetual
    wallet = 0.0 if section is None or section.wallet is None else section.wallet
    return (recipe.account.cash + wallet) / world.assets[_places(world)[1]].start


def _places(world: LoanWorld) -> tuple[int, int]:
    return world.names.index(world.loan.collateral), world.names.index(world.loan.debt)


def _per_bar(world: LoanWorld, place: int, k: int) -> FloatArray:
    """Return one parameter of one asset in every bar."""
    values = np.empty(len(world))
    for first, epoch in zip(world.epoch_bars(), world.terms.epochs, strict=True):
        values[first:] = epoch.risk[k, place]
    return values


def _bonus(world: LoanWorld, k: int) -> FloatArray:
    """Return what is seized per debt repaid; Compound gives a credit of its own instead."""
    if world.terms.epochs[0].rules[layout.PROTOCOL] == layout.COMET:
        return np.maximum(1.0, 1.0 / _per_bar(world, layout.LIQUIDATION_FACTOR, k))
    return np.maximum(1.0, _per_bar(world, layout.BONUS, k))


def _first_bar(world: LoanWorld, intrabar: Ambiguity, latency_ms: int) -> int:
    """Return the bar at whose open a transaction sent at the first close is carried out."""
    lands_ms = int(world.close_ms[0]) + latency_ms + world.loan.block_ms
    if intrabar == "worst":
        found = int(np.searchsorted(world.open_ms, lands_ms, "left"))
    else:
        found = int(np.searchsorted(world.close_ms, lands_ms, "right"))
    return max(found, 1)


def _apart(world: LoanWorld) -> FloatArray:
    """Return the wallet's coins for gas where no other asset is of their kind, USD over time."""
    i, j = _places(world)
    if {world.names[i], world.names[j]} & {_WRAPPED, NATIVE}:
        return np.zeros(len(world) + 1)
    native = world.assets[world.native]
    held = float(open_loan(world).wallet[world.native])
    return held * np.maximum.accumulate(np.append(native.start, native.close))
