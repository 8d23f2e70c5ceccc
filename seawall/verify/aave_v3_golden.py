"""Golden numbers of Aave v3: what the contracts answered to one walk and 40 sinking loans.

To record them again, with the extra ``evm`` and npm::

    from seawall.verify.aave_v3_golden import record_all
    record_all(Path("tests/golden/aave_v3.json"))
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seawall.verify.aave_market import Market, Step
from seawall.verify.aave_pool import DeployedMarket
from seawall.verify.aave_specified import SpecifiedMarket
from seawall.verify.aave_v3_contracts import Version
from seawall.verify.aave_v3_proof import SCENE, WALKERS, open_contracts, specify
from seawall.verify.aave_walks import Dice, opening, scenario, walk
from seawall.verify.recordings import record, write_recordings

WALK_STEPS = 60
SCENARIOS = 40
VERSIONS: tuple[Version, ...] = ("v3.0", "v3.6")
BORROWERS = tuple(f"borrower{number}" for number in range(SCENARIOS))


def record_all(path: Path, seed: int = 7, cache_folder: Path | None = None) -> None:
    """Run the contracts and write what they answer.

    Raises:
        ToolError: the contracts cannot be had on this machine.
    """
    content: dict[str, list[dict[str, Any]]] = {}
    for version in VERSIONS:
        dice = Dice(np.random.default_rng(seed))
        walked = open_contracts(version, WALKERS, cache_folder)
        sunk = open_contracts(version, (SCENE.provider, SCENE.liquidator, *BORROWERS), cache_folder)
        content[version] = [
            record(walked, _walk(dice, walked)),
            record(sunk, _sink_all(dice, sunk)),
        ]
    write_recordings(path, content)


def answer_again(
    version: Version, users: Sequence[str], steps: Sequence[Step], cache_folder: Path | None = None
) -> dict[str, Any]:
    """Return what the contracts answer today to the steps of a recording."""
    return record(open_contracts(version, users, cache_folder), steps)


def specified(version: Version, users: Sequence[str]) -> SpecifiedMarket:
    """Return the specification of the market that the recordings are of."""
    return specify(version, users=users, is_synced=version != "v3.0")


def _walk(dice: Dice, market: DeployedMarket) -> Iterator[Step]:
    yield from opening(SCENE)
    yield from walk(dice, SCENE, market, WALK_STEPS, dict(SCENE.prices))


def _sink_all(dice: Dice, market: Market) -> Iterator[Step]:
    """Yield one loan after the other in one market, each at the prices of the first."""
    yield from opening(SCENE)
    for borrower in BORROWERS:
        prices = dict(SCENE.prices)
        yield from scenario(dice, replace(SCENE, borrower=borrower), market, prices)
        for asset, price in SCENE.prices.items():
            if prices[asset] != price:
                yield Step(verb="set_price", asset=asset, amount=price)
