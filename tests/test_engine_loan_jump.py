"""An agent that sleeps, and the engine that jumps with it: the same run as bar by bar."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from falling_loans import Timetable, falling_catalog, falling_recipe

from seawall.agent import Wake
from seawall.engine.cerebro import Cerebro
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.run import run_in
from seawall.engine.world import World, build_world
from seawall.loan_action import Borrow, Repay, Supply, Withdraw
from seawall.result import Result

ACTIONS = {
    10: (Repay(asset="USDC", amount=10_000.0), Borrow(asset="USDC", amount=9e6)),
    40: (Supply(asset="WETH", amount=12.0),),
    130: (Withdraw(asset="WETH", amount=4.0), Repay(asset="USDC", amount=15_000.0)),
}
# Transactions take seven hours into a block: they land while the agent sleeps.
SLOW_CHAIN = {"loan.block_time": "7h"}
CASES: dict[str, dict[str, object]] = {
    "aave dated": {},
    "aave v2": {"loan.rules": "v2"},
    "aave v3.6": {"loan.rules": "v3.6"},
    "compound": {"loan.protocol": "compound"},
    "morpho": {"loan.protocol": "morpho"},
}
WISHES = {
    "by the clock": Wake(),
    "at health": Wake(health_below=1.03, health_above=1.3),
    "at events": Wake(at_fill=True),
}
TABLES = ("equity", "loan", "journal", "ledger", "liquidations", "transactions")


class Calls:
    """Counts how the broker lives: bars in all, and calls that did it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_calls = self.n_bars = 0
        lives: Callable[[LoanBroker, int], bool] = LoanBroker._live

        def counted(broker: LoanBroker, stop: int) -> bool:
            before = broker._lived
            woken = lives(broker, stop)
            self.n_calls, self.n_bars = self.n_calls + 1, self.n_bars + broker._lived - before
            return woken

        monkeypatch.setattr(LoanBroker, "_live", counted)


def _stay_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every bar pass one by one, whatever is wished."""
    monkeypatch.setattr(Cerebro, "grants_sleep", property(lambda _: False))


def _assert_same(jumped: Result, walked: Result) -> None:
    """Compare every table, entry by entry and to the bit."""
    for name in TABLES:
        pd.testing.assert_frame_equal(
            getattr(jumped, name), getattr(walked, name), check_exact=True, obj=name
        )
    assert jumped.parts == walked.parts
    assert jumped.metrics == walked.metrics
    if jumped.other is not None and walked.other is not None:
        _assert_same(jumped.other, walked.other)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """Return the world of one case."""
    recipe = falling_recipe(**SLOW_CHAIN, **request.param)
    return build_world(recipe, falling_catalog(tmp_path), offline=True)


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("world", CASES.values(), ids=CASES, indirect=True)
def test_a_jump_equals_the_bars_it_jumps_over(
    world: World, wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journal, ledger, trace, equity and tables of a jumping run are those of the walking one."""
    recipe = falling_recipe(**SLOW_CHAIN)
    agent = Timetable(ACTIONS, wake=WISHES[wish])
    with monkeypatch.context() as patched:
        jumps = Calls(patched)
        jumped = run_in(world, recipe, agent=agent)
    with monkeypatch.context() as patched:
        _stay_awake(patched)
        steps = Calls(patched)
        walked = run_in(world, recipe, agent=agent)
    _assert_same(jumped, walked)
    assert jumps.n_bars == steps.n_bars == steps.n_calls
    if not (jumped.loan["debt_usd"] == 0).any():  # without debt it wakes above 1.3 at every bar
        assert jumps.n_calls < steps.n_calls / 3


@pytest.mark.parametrize("world", CASES.values(), ids=CASES, indirect=True)
def test_a_sleeper_equals_one_who_is_asked_at_every_bar(world: World) -> None:
    """Who decides the same at the same hours leaves the same run, asleep in between or not."""
    recipe = falling_recipe(**SLOW_CHAIN)
    asleep = run_in(world, recipe, agent=Timetable(ACTIONS))
    awake = run_in(world, recipe, agent=Timetable(ACTIONS, sleeps=False))
    _assert_same(asleep, awake)
    assert asleep.counts["decisions"] < awake.counts["decisions"] / 10


def test_the_window_holds_what_a_jump_could_miss(tmp_path: Path) -> None:
    """Several liquidations, a change of rules, transactions that land and fail: all in sleeps."""
    recipe = falling_recipe(**SLOW_CHAIN)
    world = build_world(recipe, falling_catalog(tmp_path), offline=True)
    result = run_in(world, recipe, agent=Timetable(ACTIONS))
    kinds = result.journal["kind"].value_counts()
    assert kinds["liquidated"] >= 3
    assert kinds["note"] == 1
    assert kinds["done"] >= 3
    assert kinds["failed"] >= 1
    asked = set(result.journal.loc[result.journal["kind"] == "decision", "time"])
    landed = result.journal.loc[result.journal["kind"].isin(["done", "failed", "note"]), "time"]
    assert not asked & set(landed)


def test_a_jump_on_integers_equals_its_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exact arithmetic too."""
    recipe = falling_recipe(**SLOW_CHAIN)
    world = build_world(recipe, falling_catalog(tmp_path), offline=True)
    assert world.loan is not None
    loan = world.loan.loan.model_copy(update={"exact": True})
    world = replace(world, loan=replace(world.loan, loan=loan))
    agent = Timetable(ACTIONS, wake=Wake(health_below=1.03))
    jumped = run_in(world, recipe, agent=agent)
    _stay_awake(monkeypatch)
    _assert_same(jumped, run_in(world, recipe, agent=agent))
