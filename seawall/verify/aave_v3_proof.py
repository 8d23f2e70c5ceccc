"""Aave v3's specification against its bytecode: every number equal to the wei, or named.

Two kinds of evidence. A walk is a long life of one market: several users supply, borrow, repay,
withdraw, liquidate each other, change e-mode and collateral, while time and prices jump. A
scenario is one loan that sinks and is liquidated up to three times. After every step the whole of
both markets is compared (``aave_twins``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seawall.verify.aave_pool import DeployedMarket
from seawall.verify.aave_specified import Efficiency, Listing, SpecifiedMarket
from seawall.verify.aave_twins import STEPS_A_WALK, Tally, Twins, describe, sink_loans
from seawall.verify.aave_v3_contracts import Version, deploy_aave_v3
from seawall.verify.aave_walks import Dice, Scene, opening, walk
from seawall.verify.evm import Evm
from seawall.verify.proof import Compared, Proof, prove_bytecode

START_S = 1_700_000_000
PACKAGES: Mapping[Version, str] = {
    "v3.0": "@aave/core-v3 1.19.3",
    "v3.6": "@aave-dao/aave-v3-origin 3.6.0",
}

# Ethereum's parameters of 2023-10-31, but for LINK without a protocol fee and DAI without a reserve
# factor, so that both branches of both rules are walked; LINK has caps within reach of the walks.
LISTINGS = (
    Listing(
        symbol="WETH",
        decimals=18,
        price=1_815 * 10**8 + 12_345_678,
        ltv_bps=8050,
        threshold_bps=8300,
        bonus_bps=10_500,
        reserve_factor_bps=1500,
        protocol_fee_bps=1000,
        optimal_bps=8000,
        base_bps=0,
        slope1_bps=280,
        slope2_bps=8000,
        in_emode=True,
    ),
    Listing(
        symbol="wstETH",
        decimals=18,
        price=2_078 * 10**8 + 98_765_432,
        ltv_bps=7850,
        threshold_bps=8100,
        bonus_bps=10_600,
        reserve_factor_bps=1500,
        protocol_fee_bps=1000,
        optimal_bps=4500,
        base_bps=25,
        slope1_bps=450,
        slope2_bps=8000,
        in_emode=True,
    ),
    Listing(
        symbol="WBTC",
        decimals=8,
        price=34_567 * 10**8 + 89_012_345,
        ltv_bps=7300,
        threshold_bps=7800,
        bonus_bps=10_500,
        reserve_factor_bps=2000,
        protocol_fee_bps=1000,
        optimal_bps=4500,
        base_bps=0,
        slope1_bps=400,
        slope2_bps=30_000,
    ),
    Listing(
        symbol="USDC",
        decimals=6,
        price=99_998_765,
        ltv_bps=7700,
        threshold_bps=8000,
        bonus_bps=10_450,
        reserve_factor_bps=1000,
        protocol_fee_bps=2000,
        optimal_bps=9000,
        base_bps=0,
        slope1_bps=350,
        slope2_bps=6000,
    ),
    Listing(
        symbol="DAI",
        decimals=18,
        price=100_012_345,
        ltv_bps=7700,
        threshold_bps=8000,
        bonus_bps=10_500,
        reserve_factor_bps=0,
        protocol_fee_bps=2000,
        optimal_bps=9000,
        base_bps=0,
        slope1_bps=500,
        slope2_bps=7500,
    ),
    Listing(
        symbol="LINK",
        decimals=18,
        price=11 * 10**8 + 23_456_789,
        ltv_bps=5300,
        threshold_bps=6800,
        bonus_bps=10_700,
        reserve_factor_bps=2000,
        protocol_fee_bps=0,
        optimal_bps=4500,
        base_bps=0,
        slope1_bps=700,
        slope2_bps=30_000,
        supply_cap=4_900_000,
        borrow_cap=3_200_000,
    ),
)
EFFICIENCY = Efficiency(ltv_bps=9000, threshold_bps=9300, bonus_bps=10_100)
SCENE = Scene(
    units={x.symbol: 10**x.decimals for x in LISTINGS},
    prices={x.symbol: x.price for x in LISTINGS},
    actors=("provider", "ann", "bob", "cat"),
    correlated=tuple(x.symbol for x in LISTINGS if x.in_emode),
)
WALKERS = (*SCENE.actors, SCENE.liquidator)
PARTIES = (SCENE.provider, SCENE.borrower, SCENE.liquidator)


class Pair(NamedTuple):
    """What is compared: the contracts of one version, and the rules of the same or another."""

    contracts: Version
    rules: str


def open_twins(pair: Pair, users: Sequence[str], cache_folder: Path | None = None) -> Twins:
    """Return the contracts and the specification of a fresh market.

    Raises:
        ToolError: the contracts cannot be had on this machine.
    """
    return Twins(
        open_contracts(pair.contracts, users, cache_folder),
        specify(pair.rules, users=users, is_synced=pair.contracts != "v3.0"),
    )


def open_contracts(
    version: Version, users: Sequence[str], cache_folder: Path | None = None
) -> DeployedMarket:
    """Return a fresh market of ``LISTINGS`` in a fresh EVM.

    Raises:
        ToolError: the contracts cannot be had on this machine.
    """
    market = deploy_aave_v3(Evm(START_S), version, LISTINGS, EFFICIENCY, cache_folder)
    for name in users:
        market.add_user(name)
    return market


def specify(rules: str, *, users: Sequence[str], is_synced: bool) -> SpecifiedMarket:
    """Return a fresh market of ``LISTINGS`` by the specification."""
    return SpecifiedMarket(
        rules, LISTINGS, EFFICIENCY, users=users, now_s=START_S, is_synced=is_synced
    )


def run_walks(
    tally: Tally,
    pair: Pair,
    steps: int,
    rng: np.random.Generator,
    cache_folder: Path | None = None,
) -> None:
    """Walk markets until so many steps are done, a fresh one every ``STEPS_A_WALK``."""
    left = steps
    while left > 0:
        twins, prices = open_twins(pair, WALKERS, cache_folder), dict(SCENE.prices)
        agree = twins.follow(opening(SCENE), tally)
        count = min(left, STEPS_A_WALK)
        left -= count
        path = walk(Dice(rng), SCENE, twins.contracts, count, prices)
        tally.diverged += not (agree and twins.follow(path, tally))
        tally.bad_debts += _count_deficits(twins.contracts)


def run_scenarios(
    tally: Tally,
    pair: Pair,
    scenarios: int,
    rng: np.random.Generator,
    cache_folder: Path | None = None,
) -> None:
    """Sink loans one after the other, see ``sink_loans``."""
    sink_loans(
        lambda: open_twins(pair, PARTIES, cache_folder),
        tally,
        scenarios,
        scene=SCENE,
        rng=rng,
        bad_debts=_count_deficits,
    )


def _count_deficits(contracts: DeployedMarket) -> int:
    """Return how many reserves have a deficit."""
    return sum(bool(contracts.reserve(asset).deficit) for asset in contracts.symbols)


def prove_aave_v3(
    version: Version,
    *,
    steps: int = 2000,
    scenarios: int = 1000,
    seed: int = 0,
    cache_folder: Path | None = None,
) -> Proof:
    """Hold the specification of one version to its contracts, in random walks and scenarios."""

    def compare() -> Compared:
        tally, pair = Tally(), Pair(version, version)
        rng = np.random.default_rng(seed)
        run_walks(tally, pair, steps, rng, cache_folder)
        run_scenarios(tally, pair, scenarios, rng, cache_folder)
        return Compared(tally.steps, tally.largest, tally.first or describe(tally))

    return prove_bytecode(f"Aave {version}", PACKAGES[version], compare)


def count_caught(
    pair: Pair, scenarios: int, seed: int = 0, cache_folder: Path | None = None
) -> int:
    """Return in how many scenarios rules differ from the contracts of another version.

    The negative control: a comparison that cannot fail proves nothing.
    """
    tally = Tally()
    run_scenarios(tally, pair, scenarios, np.random.default_rng(seed), cache_folder)
    return tally.diverged
