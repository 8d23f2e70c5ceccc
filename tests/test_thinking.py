"""What thinking costs and how long it takes: off the equity, in the books, late at the market."""

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from seawall.action import Action, TargetWeight
from seawall.agent import AgentInfo, Decision, Wake
from seawall.analysis.report import write_report
from seawall.cli.loans import judge_guard
from seawall.engine.run import run_in
from seawall.engine.world import World, build_world
from seawall.errors import AgentError, RecordingError
from seawall.loan_action import TargetHealth
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.perpetual_action import TargetLeverage
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.thinking import Thinking
from seawall.units import HOUR_MS
from seawall.workspace import find_recipe

_WINDOWS = {
    "demo": ("2025-04-05", "2025-04-09"),
    "futures_demo": ("2025-04-05", "2025-04-09"),
    "loan_demo": ("2025-04-05", "2025-04-09"),
    "margin_demo": ("2025-04-05", "2025-04-09"),
    "hedged_loan_demo": ("2025-04-05", "2025-04-09"),
}
_ASKS: dict[str, Action] = {
    "demo": TargetWeight(symbol="ETH/USDT", weight=0.5),
    "loan_demo": TargetHealth(health=2.0),
    "hedged_loan_demo": TargetHealth(health=2.0),
}


@cache
def recipe_of(name: str) -> Recipe:
    """Return a few days of a simulated recipe."""
    values = json.loads(Recipe.from_file(find_recipe(name)).to_json())
    since, until = _WINDOWS[name]
    values["market"] |= {"since": since, "until": until}
    return Recipe.from_dict(values)


@cache
def world_of(name: str) -> World:
    """Return its world."""
    return build_world(recipe_of(name), Catalog(), offline=True)


@dataclass
class Thinker:
    """Asks for one action at a bar, and thinks as it is told; then it says nothing more."""

    action: Action | None = None
    bar: int = 3
    thinking: Thinking | None = None
    asked: list[int] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def __deepcopy__(self, memo: object) -> "Thinker":
        """Return itself, so that a test sees what it saw: of the last pass."""
        self.asked, self.seen = [], []
        return self

    def begin(self, info: AgentInfo) -> None:
        """Ask for what the market has, where nothing is named."""
        self.info = info
        symbol = next((s for s in info.symbols if ":" in s), info.symbols[0])
        if self.action is None:
            self.action = (
                TargetLeverage(symbol=symbol, leverage=1.0)
                if info.guarded
                else TargetWeight(symbol=symbol, weight=0.5)
            )

    def decide(self, observation: Observation) -> Decision | None:
        """Ask at the bar."""
        self.asked.append(observation.time_ms)
        self.seen.append(observation.equity)
        if len(self.asked) != self.bar + 1 or self.action is None:
            return None
        return Decision(actions=(self.action,), thinking=self.thinking)


def play(name: str, thinking: Thinking | None, **settings: object) -> tuple[Result, Thinker]:
    """Return a run of a thinker, and the thinker after its last pass."""
    recipe = recipe_of(name)
    if settings:
        recipe = recipe.with_settings({k.replace("__", "."): v for k, v in settings.items()})
    agent = Thinker(_ASKS.get(name), thinking=thinking)
    return run_in(world_of(name), recipe, agent=agent), agent


@pytest.mark.parametrize("name", _WINDOWS)
def test_a_bill_is_off_the_equity_from_its_decision_on_and_in_the_books(name: str) -> None:
    """The same run with and without a bill of 12.5: each later sample is that much lower."""
    free, _ = play(name, Thinking())
    dear, agent = play(name, Thinking(cost=12.5))
    gap = free.equity["equity"].to_numpy() - dear.equity["equity"].to_numpy()
    place = agent.bar  # sample 0 is the start, and the time of the first decision
    assert np.allclose(gap[:place], 0.0, atol=1e-9)
    assert np.allclose(gap[place:], 12.5, atol=1e-6)
    assert dear.metrics.thinking == 12.5
    booked = dear.ledger[dear.ledger["kind"] == "thinking"]
    assert booked["amount"].tolist() == [-12.5]
    assert booked["asset"].str.startswith("owed:").all()
    if dear.parts:
        change = dear.equity["equity"].iloc[-1] - dear.equity["equity"].iloc[0]
        assert dear.parts["thinking"] == -12.5
        assert sum(dear.parts.values()) == pytest.approx(change, abs=1e-6)
        assert "thinking" not in free.parts


def test_a_bill_of_the_very_first_decision_counts() -> None:
    """The start is valued before it: the return shows the bill."""
    symbol = "ETH/USDT"

    def thinks(observation: Observation) -> Decision | None:
        if observation.time_ms > recipe_of("demo").market.since_ms:
            return None
        action = TargetWeight(symbol=symbol, weight=0.0)
        return Decision(actions=(action,), thinking=Thinking(cost=1_000.0))

    result = run_in(world_of("demo"), recipe_of("demo"), agent=thinks)
    assert result.equity["equity"].iloc[0] == 100_000.0
    assert result.metrics.total_return == pytest.approx(-0.01)


@pytest.mark.parametrize("name", ["loan_demo", "margin_demo"])
def test_what_a_guards_thinking_cost_is_a_part_of_its_price(name: str, tmp_path: Path) -> None:
    """Against the same path without an agent, stored and read back, and in the report."""
    result, _ = play(name, Thinking(cost=12.5))
    judged = judge_guard(result)
    assert judged is not None
    assert judged.price.parts["thinking"] == -12.5
    stored = replace(result, judgement=judged.to_dict())
    folder = stored.save(tmp_path / "result")
    page = write_report(Result.load(folder), folder / "report.html").read_text(encoding="utf-8")
    assert "thinking" in page


def test_stock_fills_book_the_bill_too() -> None:
    """The broker of backtrader has no books of ours: they are made after the run."""
    free, _ = play("demo", Thinking(), execution__fills="stock")
    dear, _ = play("demo", Thinking(cost=7.0), execution__fills="stock")
    gap = free.equity["equity"].iloc[-1] - dear.equity["equity"].iloc[-1]
    assert gap == pytest.approx(7.0)
    assert dear.ledger.loc[dear.ledger["kind"] == "thinking", "amount"].sum() == -7.0


def test_the_agent_sees_its_equity_without_what_it_owes() -> None:
    """Before the order fills nothing else moves: all is cash."""
    _, agent = play("demo", Thinking(cost=100.0, latency_ms=2 * HOUR_MS))
    assert agent.seen[agent.bar] == 100_000.0
    assert agent.seen[agent.bar + 1] == pytest.approx(99_900.0)


@pytest.mark.parametrize(
    ("latency_ms", "bars_late"), [(0, 0), (1, 1), (HOUR_MS, 1), (HOUR_MS + 1, 2)]
)
@pytest.mark.parametrize("name", ["demo", "futures_demo"])
def test_an_order_leaves_when_its_thinking_is_over(
    name: str, latency_ms: int, bars_late: int
) -> None:
    """Bars of an hour: an order fills at the first open that is not before its arrival."""
    at_once, _ = play(name, None)
    late, agent = play(name, Thinking(latency_ms=latency_ms))
    gap_ms = int(late.fills["time_ms"].iloc[0]) - int(at_once.fills["time_ms"].iloc[0])
    assert gap_ms == bars_late * HOUR_MS
    assert agent.asked[agent.bar + 1] - agent.asked[agent.bar] == max(bars_late, 1) * HOUR_MS


def test_thinking_delays_as_the_recipes_latency_does() -> None:
    """The same fills to the bit, whoever the two hours belong to."""
    own, _ = play("demo", Thinking(latency_ms=2 * HOUR_MS))
    given, _ = play("demo", None, execution__latency="2h")
    assert own.fills["time_ms"].tolist() == given.fills["time_ms"].tolist()
    assert own.fills["price"].tolist() == given.fills["price"].tolist()


@pytest.mark.parametrize("name", ["loan_demo", "hedged_loan_demo"])
def test_a_transaction_is_sent_when_its_thinking_is_over(name: str) -> None:
    """Two hours of thinking land two bars later."""
    at_once, _ = play(name, None)
    late, _ = play(name, Thinking(latency_ms=2 * HOUR_MS))
    gap = late.transactions["time"].iloc[0] - at_once.transactions["time"].iloc[0]
    assert gap.total_seconds() == 2 * 3_600


def test_only_what_was_thought_about_is_late() -> None:
    """The next decision without thinking is carried out at once again."""

    class Twice:
        def __init__(self) -> None:
            self.n = 0

        def decide(self, observation: Observation) -> Decision | None:
            self.n += 1
            symbol = observation.symbols[0]
            if self.n == 2:
                slow = Thinking(latency_ms=3 * HOUR_MS)
                return Decision(actions=(TargetWeight(symbol=symbol, weight=0.5),), thinking=slow)
            if self.n == 6:
                return Decision(actions=(TargetWeight(symbol=symbol, weight=0.0),))
            return None

    result = run_in(world_of("demo"), recipe_of("demo"), agent=Twice())
    asked = result.journal.loc[result.journal["kind"] == "decision", "time_ms"].tolist()
    filled = result.fills["time_ms"].tolist()
    assert [f - a for f, a in zip(filled, asked, strict=True)] == [3 * HOUR_MS, 0]


def test_an_abstention_with_a_bill_is_charged_and_keeps_its_wake() -> None:
    """It is in the journal with its reason, costs what it costs, and sleeps as long as it said."""

    class Abstains:
        asked: list[int] = []  # noqa: RUF012 - one run, looked at afterwards

        def decide(self, observation: Observation) -> Decision:
            self.asked.append(observation.time_ms)
            bill = Thinking(cost=1.0, n_calls=2)
            sleep = Wake(after_ms=24 * HOUR_MS)
            return Decision(abstained="it spoke in riddles", thinking=bill, wake=sleep)

    result = run_in(world_of("demo"), recipe_of("demo"), agent=Abstains())
    told = result.journal[result.journal["kind"] == "abstained"]
    assert told["text"].tolist() == ["it spoke in riddles"] * 5  # a day's end is a decision too
    assert result.metrics.thinking == 5.0
    assert set(np.diff(Abstains.asked)) == {24 * HOUR_MS}


def test_a_replay_that_lacks_something_ends_the_run() -> None:
    """It is no abstention: the run would go on as another one."""

    def lacks(_observation: Observation) -> None:
        raise RecordingError("a replay must hold every request: record it")

    with pytest.raises(RecordingError, match="every request"):
        run_in(world_of("demo"), recipe_of("demo"), agent=lacks)


def test_the_agent_is_told_what_the_job_takes() -> None:
    """Kinds, assets of a loan, and who reads an answer."""
    told = {name: play(name, None)[1].info for name in ("demo", "futures_demo", "loan_demo")}
    assert told["demo"].actions == ("target_weight", "order", "cancel")
    assert "target_leverage" in told["futures_demo"].actions
    assert told["loan_demo"].actions[0] == "supply"
    assert told["loan_demo"].assets == ("WETH", "USDC", "ETH")
    read = told["demo"].read
    assert read is not None
    with pytest.raises(AgentError, match="there is no symbol"):
        read({"SOL/USDT": 1.0})


@pytest.mark.parametrize(
    "given",
    [{"cost": -1.0}, {"cost": float("nan")}, {"latency_ms": -1}, {"latency_ms": 1.5},
     {"n_calls": -1}, {"input_tokens": 0.5}],
)  # fmt: skip
def test_thinking_takes_numbers_that_can_be(given: dict[str, float]) -> None:
    """A bill that pays the agent, or an answer before its question, is refused."""
    with pytest.raises(AgentError, match="must be"):
        Thinking(**given)  # type: ignore[arg-type]  # that is the test


def test_who_abstains_asks_for_nothing() -> None:
    """Both at once would have two meanings."""
    with pytest.raises(AgentError, match="abstains"):
        Decision(actions=(TargetHealth(health=2.0),), abstained="no")
