"""A run answered from outside: the same run, bar by bar, and closed without trace."""

import gc
import threading

import pytest
from remote_runs import spot

from seawall.engine.components import make_agent
from seawall.engine.lockstep import OUTSIDE, Lockstep
from seawall.engine.run import run_in
from seawall.engine.world import build_world
from seawall.errors import AgentError, DataError, RecipeError
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.workspace import find_recipe

SHORT = {"market.since": "2025-04-05", "market.until": "2025-04-09", "market.warmup": "7d"}


def begin(recipe: Recipe) -> Lockstep:
    """Return a run of a recipe."""
    return Lockstep(recipe, build_world(recipe, Catalog(), offline=True))


@pytest.mark.parametrize("name", ["demo", "futures_demo", "margin_demo", "loan_demo"])
def test_it_is_the_run_that_an_agent_would_have_had(name: str) -> None:
    """The recipe's own agent, asked from outside, leaves what it leaves inside."""
    recipe = Recipe.from_file(find_recipe(name)).with_settings(SHORT)
    world = build_world(recipe, Catalog(), offline=True)
    inside, agent = run_in(world, recipe), make_agent(recipe)
    with Lockstep(recipe, world) as run:
        if hasattr(agent, "begin"):
            agent.begin(run.info)
        while run.observation is not None:
            run.answer(agent.decide(run.observation))
        result = run.result("me")
    assert result.equity["equity"].equals(inside.equity["equity"])
    assert result.journal.equals(inside.journal)
    assert result.agent == "me"
    assert OUTSIDE in result.labels


def test_time_moves_with_an_answer_alone() -> None:
    """The observation stays until it is answered; the news are told once."""
    with begin(spot(None)) as run:
        first = run.observation
        assert first is not None
        assert run.observation is first
        assert run.news() == []
        second = run.answer(1.0)
        assert second is not None
        assert second.time_ms == first.time_ms + 3_600_000
        assert [entry.kind for entry in run.news()] == ["decision", "ordered", "filled"]
        assert run.news() == []


def test_a_closed_run_leaves_no_thread_and_gives_no_result() -> None:
    """In the middle, at the start, or forgotten without a word."""
    before, thresholds = threading.active_count(), gc.get_threshold()
    with begin(spot(None)) as run:
        run.answer(None)
    with pytest.raises(AgentError, match="takes no answer"):
        run.answer(None)
    with pytest.raises(AgentError, match="it is not over"):
        run.result("me")
    run.close()
    forgotten = begin(spot(None))
    thread = forgotten._thread
    del forgotten
    gc.collect()
    thread.join(30)
    assert threading.active_count() == before
    assert gc.get_threshold() == thresholds


def test_overlapping_runs_put_the_collector_back() -> None:
    """The first to begin is not the last to end."""
    thresholds = gc.get_threshold()
    first, second = begin(spot(None)), begin(spot(None))
    first.close()
    assert gc.get_threshold() != thresholds
    second.close()
    assert gc.get_threshold() == thresholds


def test_what_fails_inside_is_raised_outside() -> None:
    """A fault of the engine does not hang whoever waits."""
    recipe = spot(None)
    world = build_world(recipe, Catalog(), offline=True)
    with Lockstep(recipe, world) as run:
        assert run.observation is not None

        class Fails:
            """Fails when it is looked at."""

            def __getattribute__(self, name: str) -> object:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.answer(Fails())  # type: ignore[arg-type]


def test_a_job_without_an_agent_is_refused() -> None:
    """A plain backtrader strategy asks nobody."""
    recipe = spot(None, strategy={"name": "strategies.golden_cross"})
    with pytest.raises(RecipeError, match="golden_cross is a plain backtrader strategy"):
        begin(recipe)
    with pytest.raises((RecipeError, DataError)):
        begin(spot(None, strategy={"name": "strategies.liquidation_protection"}))
