"""Aave v2's specification against its bytecode: every number equal to the wei, or named.

The evidence is that of version 3 (``aave_v3_proof``): walks of several users, and loans that sink
and are liquidated up to three times, the whole of both markets compared after every step. Prices
are dollars here too; the contracts call them ether, and the arithmetic knows no difference.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seawall.verify.aave_market import (
    Difference,
    Outcome,
    Step,
    compare_outcomes,
    perform,
)
from seawall.verify.aave_pool import DeployedMarket
from seawall.verify.aave_specified import UNDERFLOW, Efficiency, Listing, SpecifiedMarket
from seawall.verify.aave_twins import STEPS_A_WALK, Tally, Twins, describe, sink_loans
from seawall.verify.aave_v2_contracts import PACKAGE, VERSION, deploy_aave_v2
from seawall.verify.aave_walks import Dice, Scene, opening, walk
from seawall.verify.evm import Evm
from seawall.verify.proof import Compared, Proof, prove_bytecode
from seawall.verify.recordings import flatten, to_outcome

START_S = 1_620_000_000  # May 2021


def _listed(
    symbol: str, decimals: int, price: int, risk: tuple[int, int, int, int], curve: tuple[int, ...]
) -> Listing:
    """Return a listing by ltv, threshold, bonus and reserve factor, and by its rate curve."""
    ltv_bps, threshold_bps, bonus_bps, reserve_factor_bps = risk
    optimal_bps, base_bps, slope1_bps, slope2_bps = curve
    return Listing(
        symbol=symbol,
        decimals=decimals,
        price=price,
        ltv_bps=ltv_bps,
        threshold_bps=threshold_bps,
        bonus_bps=bonus_bps,
        reserve_factor_bps=reserve_factor_bps,
        protocol_fee_bps=0,
        optimal_bps=optimal_bps,
        base_bps=base_bps,
        slope1_bps=slope1_bps,
        slope2_bps=slope2_bps,
    )


# About what held in May 2021, but for two: LINK without a reserve factor, WBTC with a base rate, so
# that both branches of both rules are walked.
LISTINGS = (
    _listed("WETH", 18, 345_612_345_678, (8000, 8250, 10_500, 1000), (6500, 0, 800, 10_000)),
    _listed("WBTC", 8, 5_512_389_012_345, (7000, 7500, 11_000, 2000), (6500, 100, 800, 10_000)),
    _listed("USDC", 6, 99_998_765, (8000, 8500, 10_500, 1000), (9000, 0, 400, 6000)),
    _listed("DAI", 18, 100_012_345, (7500, 8000, 10_500, 1000), (8000, 0, 400, 7500)),
    _listed("LINK", 18, 4_123_456_789, (7000, 7500, 11_000, 0), (4500, 0, 700, 30_000)),
)
SCENE = Scene(
    units={x.symbol: 10**x.decimals for x in LISTINGS},
    prices={x.symbol: x.price for x in LISTINGS},
    actors=("provider", "ann", "bob", "cat"),
)
# A liquidation runs in a contract of its own, and the pool does not pass on why that one reverted;
# and taking out more value than there is underflows before the health factor is looked at.
_UNTOLD = {
    ("LiquidationCallFailed", "InvalidBurnAmount"),
    ("LiquidationCallFailed", UNDERFLOW),
    ("NotEnoughLiquidityToLiquidate", UNDERFLOW),
    (UNDERFLOW, "TransferNotAllowed"),
}
WALK_USERS = (*SCENE.actors, SCENE.liquidator)
SCENARIO_USERS = (SCENE.provider, SCENE.borrower, SCENE.liquidator)
_NO_EMODE = Efficiency(ltv_bps=0, threshold_bps=0, bonus_bps=0)


def open_twins(users: Sequence[str], rules: str = "v2", cache_folder: Path | None = None) -> Twins:
    """Return the contracts and the specification of a fresh market.

    Raises:
        ToolError: the contracts cannot be fetched on this machine.
    """
    return Twins(
        open_contracts(users, cache_folder),
        open_specification(users, rules),
        compare=compare_told,
        leaves_out=("set_emode",),
    )


def compare_told(theirs: Outcome, ours: Outcome) -> Iterator[Difference]:
    """Yield where two outcomes differ, as far as version 2 tells why it refuses."""
    if (theirs.refused, ours.refused) not in _UNTOLD:
        yield from compare_outcomes(theirs, ours)


def open_contracts(users: Sequence[str], cache_folder: Path | None = None) -> DeployedMarket:
    """Return a fresh market in a fresh EVM.

    Raises:
        ToolError: the contracts cannot be fetched on this machine.
    """
    market = deploy_aave_v2(Evm(START_S), LISTINGS, cache_folder)
    for name in users:
        market.add_user(name)
    return market


def open_specification(users: Sequence[str], rules: str = "v2") -> SpecifiedMarket:
    """Return the specification of a fresh market."""
    return SpecifiedMarket(rules, LISTINGS, _NO_EMODE, users=users, now_s=START_S, is_synced=False)


def run_walks(
    tally: Tally, steps: int, rng: np.random.Generator, cache_folder: Path | None = None
) -> None:
    """Walk markets until so many steps are done, a fresh one every ``STEPS_A_WALK``."""
    for done in range(0, steps, STEPS_A_WALK):
        twins = open_twins(WALK_USERS, cache_folder=cache_folder)
        prices = dict(SCENE.prices)
        twins.follow(opening(SCENE), tally)
        count = min(steps - done, STEPS_A_WALK)
        path = walk(Dice(rng), SCENE, twins.contracts, count, prices)
        tally.diverged += not twins.follow(path, tally)


def run_scenarios(
    tally: Tally,
    scenarios: int,
    rng: np.random.Generator,
    *,
    rules: str = "v2",
    cache_folder: Path | None = None,
) -> None:
    """Sink loans one after the other, see ``sink_loans``."""
    sink_loans(
        lambda: open_twins(SCENARIO_USERS, rules, cache_folder),
        tally,
        scenarios,
        scene=SCENE,
        rng=rng,
        bad_debts=_has_bad_debt,
    )


def _has_bad_debt(contracts: DeployedMarket) -> bool:
    """Return whether the borrower owes and has nothing left; version 2 leaves it standing."""
    state = contracts.user(SCENE.borrower)
    return state.debt_base > 0 and not any(state.collateral.values())


def prove_aave_v2(
    *, steps: int = 2000, scenarios: int = 1000, seed: int = 0, cache_folder: Path | None = None
) -> Proof:
    """Hold the specification to the contracts, in random walks and scenarios."""

    def compare() -> Compared:
        tally, rng = Tally(), np.random.default_rng(seed)
        run_walks(tally, steps, rng, cache_folder)
        run_scenarios(tally, scenarios, rng, cache_folder=cache_folder)
        covered = describe(tally).replace("deficits", "loans without collateral left")
        return Compared(tally.steps, tally.largest, tally.first or covered)

    return prove_bytecode("Aave v2", f"{PACKAGE} {VERSION}", compare)


def record(
    users: Sequence[str], steps: Iterable[Step], cache_folder: Path | None = None
) -> dict[str, Any]:
    """Return what the contracts answer to some steps, ready for JSON.

    A row per step with what it gave or why it was refused, and the state at the end.
    """
    market = open_contracts(users, cache_folder)
    rows = []
    for step in steps:
        outcome = perform(market, step)
        rows.append([*step.to_row(), outcome.refused or list(outcome.gives)])
    return {"users": list(users), "rows": rows, "state": flatten(market, keeps_empty=True)}


def replay(recording: Mapping[str, Any]) -> list[Difference]:
    """Return where the specification differs from a recording of the contracts."""
    market = open_specification(recording["users"])
    differences: list[Difference] = []
    for *row, gave in recording["rows"]:
        found = perform(market, Step.from_row(row))
        differences += compare_told(to_outcome(gave), found)
    state = flatten(market, keeps_empty=True)
    for name, number in recording["state"].items():
        if state.get(name, 0) != number:
            differences.append(Difference(name, number, state.get(name, 0)))
    return differences
