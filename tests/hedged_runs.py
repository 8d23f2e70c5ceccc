"""A loan and an exchange in one account on made markets, for tests: agents by the hour."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from perpetual_runs import ETH, SINCE, SPOT, fill_catalog, make_recipe

from seawall.action import Action
from seawall.agent import Decision
from seawall.engine.run import run
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import HOUR_MS, to_time_ms

START_MS = to_time_ms(SINCE)
LOAN: dict[str, object] = {
    "loan.amount": 10.0,
    "loan.debt_amount": 10_000.0,
    "loan.wallet": {"USDC": 5_000.0},
    "loan.gas.source": "model",
    "loan.gas.baseline_gwei": 20.0,
    "loan.rates.source": "strategy",
    "perpetual.wallet": 10_000.0,
    "account.cash": 2_000.0,
}
Plan = Mapping[int, Sequence[Action] | Callable[[Observation], Sequence[Action]]]


@dataclass
class Hours:
    """An agent that does at the close of an hour what the plan says; it notes what it sees."""

    plan: Plan = field(default_factory=dict)
    seen: list[Observation] = field(default_factory=list)
    equities: list[float] = field(default_factory=list)

    def __deepcopy__(self, memo: object) -> "Hours":
        """Return itself: what the first pass saw is looked at."""
        return self

    def decide(self, observation: Observation) -> Decision:
        """Return this hour's actions, 0 being the first bar."""
        hour = (observation.time_ms - START_MS) // HOUR_MS - 1
        if hour == 0:
            self.seen, self.equities = [], []
        self.seen.append(observation)
        self.equities.append(observation.equity)
        found = self.plan.get(hour, ())
        return Decision(actions=tuple(found(observation) if callable(found) else found))


def hedged_recipe(n_bars: int, settings: Mapping[str, object] | None = None) -> Recipe:
    """Return a loan of 10,000 USDC on 10 WETH, with 12,000 USDT on an exchange without costs."""
    return make_recipe("hedged_loan", n_bars, (SPOT, ETH), {**LOAN, **(settings or {})})


def play(
    folder: Path,
    spot: Sequence[float],
    plan: Plan,
    perpetual: Sequence[float] | None = None,
    *,
    settings: Mapping[str, object] | None = None,
) -> tuple[Result, Hours]:
    """Return the run through these closes, and the agent as the second pass left it."""
    catalog = fill_catalog(folder, {SPOT: spot, ETH: spot if perpetual is None else perpetual})
    agent = Hours(plan)
    return run(hedged_recipe(len(spot), settings), agent=agent, catalog=catalog), agent


def texts(result: Result, kind: str) -> list[str]:
    """Return texts and reasons of all journal entries of one kind."""
    found = result.journal[result.journal["kind"] == kind]
    return [f"{text} | {why}" for text, why in zip(found["text"], found["reason"], strict=True)]


def balances(result: Result) -> "pd.Series[float]":
    """Return what the ledger's entries add up to, by asset."""
    return result.ledger.groupby("asset")["amount"].sum()
