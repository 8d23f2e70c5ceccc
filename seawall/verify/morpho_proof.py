"""Proof that the specification of Morpho Blue does what the contract's bytecode does, to the wei.

Two kinds of walks, both with the contract and the specification side by side: random operations of
four users in a few markets, and liquidations: a loan near its limit, time, a price on either side
of the line, found to the last digit, and below it; then up to three liquidations of any size.

After every step the outcome (amounts, or the reason of the refusal) and the whole state are
compared: totals, shares and collateral of everybody, tokens held.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seawall.venues.lending.fixed import WAD, YEAR_S
from seawall.venues.lending.morpho import MorphoMarket
from seawall.verify.evm import Evm
from seawall.verify.morpho_contracts import PACKAGE, VERSION, DeployedMorpho, LinearRate
from seawall.verify.morpho_steps import (
    USERS,
    ContractSide,
    Difference,
    Outcome,
    SpecificationSide,
    Step,
    Verb,
    compare_outcomes,
    compare_states,
)
from seawall.verify.proof import Compared, Proof, prove_bytecode

START_S = 1_700_000_000
PRICE = 2_000 * 10**24  # 18 decimals of collateral, 6 of the loan
LLTVS = tuple(x * WAD // 1000 for x in (385, 625, 770, 860, 915, 945, 980))
STEPS_PER_MARKET = 250
BORROWERS = USERS[:3]
REFUSED = "refused: "
BAD_DEBT = "bad debt"
_WEIGHTS: dict[Verb, int] = {
    "supply": 2,
    "withdraw": 2,
    "borrow": 5,
    "repay": 3,
    "supply_collateral": 3,
    "withdraw_collateral": 2,
    "liquidate": 5,
    "set_price": 3,
    "set_rate": 1,
    "warp": 4,
    "accrue": 1,
}


@dataclass
class Twins:
    """Contract and specification of one market, and how far they have agreed.

    Attributes:
        lltv, fee: of the market; WAD.
        steps: what was performed so far.
        worst: the first of the largest differences.
        seen: what happened, by verb and reason of refusal.
    """

    lltv: int
    fee: int
    contract: ContractSide
    specification: SpecificationSide
    steps: list[Step] = field(default_factory=list)
    worst: Difference | None = None
    seen: Counter[str] = field(default_factory=Counter)

    def perform(self, step: Step) -> Outcome:
        """Perform a step on both and compare; return what the contract gave."""
        self.steps.append(step)
        expected, found = self.contract.perform(step), self.specification.perform(step)
        state = self.contract.read()
        differences = [
            *compare_outcomes(expected, found),
            *compare_states(state, self.specification.read()),
        ]
        self.seen[f"{REFUSED}{expected.refused}" if expected.refused else step.verb] += 1
        self.seen[BAD_DEBT] += step.verb == "liquidate" and sum(expected.gives[3:]) > 0
        for difference in differences:
            if self.worst is None or difference.size > self.worst.size:
                self.worst = difference
        return expected


def open_twins(*, lltv: int, fee: int, cache_folder: Path | None = None) -> Twins:
    """Return a fresh market in a fresh EVM, and its specification."""
    contract = open_contract(lltv=lltv, fee=fee, cache_folder=cache_folder)
    return Twins(lltv, fee, contract, open_specification(lltv=lltv, fee=fee))


def open_contract(*, lltv: int, fee: int, cache_folder: Path | None = None) -> ContractSide:
    """Return a fresh market in a fresh EVM."""
    return ContractSide(DeployedMorpho(Evm(START_S), lltv=lltv, fee=fee, cache_folder=cache_folder))


def open_specification(*, lltv: int, fee: int) -> SpecificationSide:
    """Return the specification of a fresh market."""
    rate = LinearRate(0, 0)
    market = MorphoMarket(lltv=lltv, rate_model=rate, price=0, now_s=START_S, fee=fee)
    return SpecificationSide(market)


def prove_morpho(
    *, steps: int = 2_000, scenarios: int = 1_000, seed: int = 0, cache_folder: Path | None = None
) -> Proof:
    """Hold the specification to the contract, in random walks and scenarios."""

    def compare() -> Compared:
        rng = np.random.default_rng(seed)
        walks = [
            walk(rng, cache_folder, min(STEPS_PER_MARKET, steps - done))
            for done in range(0, steps, STEPS_PER_MARKET)
        ]
        walks += [run_scenario(rng, cache_folder) for _ in range(scenarios)]
        n_steps = sum(len(x.steps) for x in walks)
        worst = max((x.worst for x in walks if x.worst), key=lambda x: x.size, default=None)
        if worst is None:
            return Compared(n_steps, 0, describe(walks, scenarios))
        return Compared(n_steps, worst.size, str(worst))

    return prove_bytecode("Morpho Blue", f"{PACKAGE} {VERSION}", compare)


def describe(walks: Sequence[Twins], scenarios: int) -> str:
    """Return what a comparison has covered, in one line."""
    seen = sum((x.seen for x in walks), Counter[str]())
    refusals = ", ".join(
        f"{name.removeprefix(REFUSED)} {count}"
        for name, count in seen.most_common()
        if name.startswith(REFUSED)
    )
    return (
        f"{scenarios} scenarios, {seen['liquidate']} liquidations, {seen[BAD_DEBT]} with bad debt; "
        f"refused alike: {refusals}"
    )


def walk(rng: np.random.Generator, cache_folder: Path | None, n_steps: int) -> Twins:
    """Return a market after random operations."""
    twins = open_twins(**_draw_market(rng), cache_folder=cache_folder)
    for step in _opening(rng, WAD):
        twins.perform(step)
    for _ in range(n_steps):
        twins.perform(draw_step(rng, twins.specification))
    return twins


def run_scenario(rng: np.random.Generator, cache_folder: Path | None) -> Twins:
    """Return a market after a loan, a fall of the price and up to three liquidations."""
    twins = open_twins(**_draw_market(rng), cache_folder=cache_folder)
    for step in _opening(rng, int(10 ** rng.uniform(12, 21))):
        twins.perform(step)
    specification = twins.specification
    twins.perform(Step(verb="borrow", user="ann", first=_find_limit(specification, "ann")))
    twins.perform(Step(verb="warp", first=int(10 ** rng.uniform(0, 7.6))))
    line = find_line(specification, "ann")
    for price in (line, line - 1, _scale(line, rng.uniform(0.3, 1.0))):
        twins.perform(Step(verb="set_price", first=price))
        for _ in range(1 + (price < line - 1)):
            twins.perform(_draw_liquidation(rng, specification, "ann"))
    return twins


def find_line(side: SpecificationSide, user: str) -> int:
    """Return the lowest price at which a user may not be liquidated."""
    market, price = side.market, side.market.price
    low, high = 0, price * 10**6
    while high - low > 1:
        market.set_price((low + high) // 2)
        if market.account(user, side.now_s).health < WAD:
            low = market.price
        else:
            high = market.price
    market.set_price(price)
    return high


def draw_step(rng: np.random.Generator, side: SpecificationSide) -> Step:
    """Return a random step, most of which the market allows."""
    weights = np.array(list(_WEIGHTS.values()), float)
    verb = list(_WEIGHTS)[rng.choice(len(weights), p=weights / weights.sum())]
    user = USERS[rng.integers(len(USERS))]
    match verb:
        case "warp":
            return Step(verb=verb, first=int(10 ** rng.uniform(0, 6.5)))
        case "set_price":
            price = _scale(side.market.price, rng.uniform(0.75, 1.35))
            return Step(verb=verb, first=min(max(price, PRICE // 20), PRICE * 20))
        case "set_rate":
            return _draw_rate(rng)
        case "accrue":
            return Step(verb=verb)
        case "liquidate":
            weakest = min(BORROWERS, key=lambda x: side.market.account(x, side.now_s).health)
            return _draw_liquidation(rng, side, weakest)
    amounts = _draw_amounts(rng, side, verb, user)
    return Step(verb=verb, user=user, first=amounts[0], second=amounts[1])


def _draw_market(rng: np.random.Generator) -> dict[str, int]:
    fee = (0, WAD // 20, WAD // 4)[rng.integers(3)]
    return {"lltv": LLTVS[rng.integers(len(LLTVS))], "fee": fee}


def _opening(rng: np.random.Generator, unit: int) -> list[Step]:
    """Return the steps that make a market: price and rate, lenders, collateral; ``unit`` in wei."""
    lent = 5 * unit * PRICE // 10**36 + 10**6
    steps = [
        Step(verb="set_price", first=PRICE),
        _draw_rate(rng),
        Step(verb="supply", user="lender", first=_scale(lent, rng.uniform(1, 3))),
    ]
    return steps + [
        Step(verb="supply_collateral", user=user, first=_scale(unit, rng.uniform(0.5, 1.5)))
        for user in BORROWERS
    ]


def _draw_rate(rng: np.random.Generator) -> Step:
    """Return a rate model's line: up to 30 % a year where nothing is borrowed, 100 % more else."""
    base = int(rng.uniform(0, 0.3) * WAD) // YEAR_S
    slope = int(rng.uniform(0, 1) * WAD) // YEAR_S
    return Step(verb="set_rate", first=base, second=slope)


def _draw_amounts(
    rng: np.random.Generator, side: SpecificationSide, verb: Verb, user: str
) -> tuple[int, int]:
    """Return assets and shares for a verb: some part of what there is, all of it, or too much."""
    account = side.market.account(user, side.now_s)
    shares = side.market.positions.get(user)
    if verb == "borrow":
        return _draw_part(rng, _find_limit(side, user)), 0
    if verb in {"withdraw", "repay"} and rng.uniform() < 0.5:  # noqa: PLR2004 - by assets or shares
        is_lender = verb == "withdraw"
        held = (shares.supply_shares if is_lender else shares.borrow_shares) if shares else 0
        return 0, _draw_part(rng, held)
    whole = {
        "supply": 10**9,
        "withdraw": account.supplied,
        "repay": account.debt,
        "supply_collateral": WAD,
        "withdraw_collateral": account.collateral,
    }[verb]
    return _draw_part(rng, whole), 0


def _draw_liquidation(rng: np.random.Generator, side: SpecificationSide, user: str) -> Step:
    """Return a liquidation of some part, of all, or of more than there is."""
    by = USERS[rng.integers(len(USERS))]
    market = side.market
    whole = market.find_full_liquidation(user, side.now_s) if market.price else None
    position = market.positions.get(user)
    shares = position.borrow_shares if position else 0
    seized = whole.seized if whole and whole.seized else market.collateral(user)
    if rng.uniform() < 0.5:  # noqa: PLR2004 - by what is seized or by what is repaid
        return Step(verb="liquidate", user=user, first=_draw_part(rng, seized), by=by)
    return Step(verb="liquidate", user=user, second=_draw_part(rng, shares), by=by)


def _draw_part(rng: np.random.Generator, whole: int) -> int:
    """Return an amount between nothing and a little more than the whole."""
    kind = rng.integers(8)
    if kind == 0:
        return whole
    if kind == 1:
        return whole + 1
    if kind == 2:  # noqa: PLR2004 - kinds of amounts
        return int(rng.integers(4))
    return _scale(whole, rng.uniform(0, 1.02))


def _find_limit(side: SpecificationSide, user: str) -> int:
    """Return how much more a user may borrow."""
    market = side.market
    account = market.account(user, side.now_s)
    free = market.totals.supplied - market.totals.borrowed
    return max(1, min(account.max_borrow - account.debt - 1, free))


def _scale(amount: int, factor: float) -> int:
    """Return a share of an amount, in integers."""
    return amount * int(factor * 10**9) // 10**9


def record(
    lltv: int, fee: int, steps: Iterable[Step], cache_folder: Path | None = None
) -> dict[str, Any]:
    """Return what the contract answers to some steps, ready for JSON.

    The market's parameters, a row per step with what it gave or why it was refused, and the state
    at the end.
    """
    side = open_contract(lltv=lltv, fee=fee, cache_folder=cache_folder)
    rows = []
    for step in steps:
        outcome = side.perform(step)
        rows.append([*step.to_row(), outcome.refused or list(outcome.gives)])
    return {"lltv": lltv, "fee": fee, "rows": rows, "state": side.read()}


def replay(recording: Mapping[str, Any]) -> list[Difference]:
    """Return where the specification differs from a recording of the contract."""
    side = open_specification(lltv=recording["lltv"], fee=recording["fee"])
    differences: list[Difference] = []
    for *row, gave in recording["rows"]:
        expected = Outcome((), gave) if isinstance(gave, str) else Outcome(tuple(gave), "")
        differences += compare_outcomes(expected, side.perform(Step.from_row(row)))
    return [*differences, *compare_states(recording["state"], side.read())]
