"""Contracts and specification of an Aave market side by side: what they do, and where they differ.

After every step the whole of both is compared: indices, rates, balances, shares, flags, account
data, the treasury's fee, the deficit; and of every step what it gave, or by which rule it was
refused.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from seawall.verify.aave_market import (
    Difference,
    Outcome,
    Step,
    Verb,
    compare_outcomes,
    compare_states,
    perform,
)
from seawall.verify.aave_pool import DeployedMarket
from seawall.verify.aave_specified import SpecifiedMarket
from seawall.verify.aave_walks import Dice, Scene, opening, scenario

STEPS_A_WALK = 250
SCENARIOS_A_MARKET = 125


@dataclass
class Tally:
    """What was compared, and where the two differed."""

    steps: int = 0
    scenarios: int = 0
    diverged: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    liquidations: int = 0
    bad_debts: int = 0
    largest: int = 0
    first: str = ""

    def note(self, step: Step, outcome: Outcome, differences: Iterable[Difference]) -> bool:
        """Count one step that both markets have done; return whether they still agree."""
        self.steps += 1
        if outcome.refused:
            self.refusals[outcome.refused] += 1
        elif step.verb == "liquidate":
            self.liquidations += 1
        found = list(differences)
        if found and not self.first:
            where = "; ".join(f"{x.where}: {x.expected} is {x.found}" for x in found[:3])
            self.first = f"{step.to_row()}: {where}"
        self.largest = max([self.largest, *(x.size for x in found)])
        return not found


def describe(tally: Tally) -> str:
    """Return what a comparison has covered, in one line."""
    refusals = ", ".join(f"{name} {count}" for name, count in tally.refusals.most_common())
    return (
        f"{tally.scenarios} scenarios, {tally.liquidations} liquidations, "
        f"{tally.bad_debts} deficits; refused alike: {refusals or 'none'}"
    )


class Twins:
    """The contracts and the specification of one market, performing the same steps.

    Args:
        contracts, specification: both fresh, with the same users.
        compare: yields where two outcomes of a step differ.
        leaves_out: verbs that the contracts do not know; such steps are passed over.
    """

    def __init__(
        self,
        contracts: DeployedMarket,
        specification: SpecifiedMarket,
        *,
        compare: Callable[[Outcome, Outcome], Iterator[Difference]] = compare_outcomes,
        leaves_out: tuple[Verb, ...] = (),
    ) -> None:
        self.contracts = contracts
        self.specification = specification
        self._compare = compare
        self._leaves_out = leaves_out

    def follow(self, steps: Iterable[Step], tally: Tally) -> bool:
        """Perform steps until the two differ; return whether they never did."""
        return all(self._do(step, tally) for step in steps if step.verb not in self._leaves_out)

    def _do(self, step: Step, tally: Tally) -> bool:
        """Perform a step on both and compare all there is; return whether they agree."""
        theirs, ours = perform(self.contracts, step), perform(self.specification, step)
        return tally.note(step, theirs, self._differences(theirs, ours))

    def _differences(self, theirs: Outcome, ours: Outcome) -> Iterator[Difference]:
        yield from self._compare(theirs, ours)
        yield from compare_states(self.contracts, self.specification)


def sink_loans(
    open_twins: Callable[[], Twins],
    tally: Tally,
    scenarios: int,
    *,
    scene: Scene,
    rng: np.random.Generator,
    bad_debts: Callable[[DeployedMarket], int],
) -> None:
    """Sink loans one after the other, each in the same market as if there had been no other.

    Args:
        open_twins: opens a fresh market, one for every ``SCENARIOS_A_MARKET``.
        tally: what is counted.
        scenarios: how many loans.
        scene: who acts in which assets.
        rng: of the scenarios.
        bad_debts: counts what a market was left with.
    """
    for done in range(0, scenarios, SCENARIOS_A_MARKET):
        twins = open_twins()
        twins.follow(opening(scene), Tally())
        kept = twins.specification.keep()
        for _ in range(min(scenarios - done, SCENARIOS_A_MARKET)):
            point = twins.contracts.evm.snapshot()
            twins.specification.restore(kept)
            tally.scenarios += 1
            path = scenario(Dice(rng), scene, twins.contracts, dict(scene.prices))
            tally.diverged += not twins.follow(path, tally)
            tally.bad_debts += bad_debts(twins.contracts)
            twins.contracts.evm.revert(point)
