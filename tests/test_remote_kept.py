"""A served agent sees all that it would see in the process, however much was sent before."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from remote_runs import abstentions, reasons, spot
from remote_servers import serving, serving_agent
from seawall.agents.policy import Policy

from seawall.engine.lockstep import Lockstep
from seawall.engine.run import run
from seawall.engine.world import World, build_world
from seawall.errors import AgentError, AgentLost
from seawall.market.catalog import Catalog
from seawall.market.texts import Texts
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.remote.form import MOST_TEXTS, PROTOCOL, Info, Question, read_from_world, schema
from seawall.remote.kept import Kept
from seawall.remote.link import Gone, Late, Link
from seawall.remote.rebuild import rebuild, rebuild_info
from seawall.remote.wire import NOTHING_HAD, Had, count, describe, describe_info, question, write
from seawall.units import HOUR_MS
from seawall.workspace import find_recipe

SPOT, NEWS = "ETH/USDT", "news/titles"
LONG = {"market.since": "2025-04-05", "market.until": "2025-04-09", "market.warmup": "30d"}
CROSS = {"name": "agents.sma_cross", "fast": 2, "slow": 5}


def check_same(here: Recipe, **parameters: object) -> None:
    """Compare a recipe with the same whose agent is served, to the bit."""
    assert here.agent is not None
    with serving(here.agent.name.removeprefix("agents."), dict(here.agent.parameters)) as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 20_000, **parameters}
        there = run(Recipe.from_dict({**here.to_dict(), "agent": agent}))
    alone = run(here)
    assert len(alone.journal) > 3
    assert abstentions(there) == []
    assert there.equity.equals(alone.equity)
    assert there.fills.equals(alone.fills)
    assert reasons(there) == reasons(alone)


def with_agent(name: str, agent: Mapping[str, object], settings: Mapping[str, object]) -> Recipe:
    """Return a shipped recipe with an agent in it."""
    recipe = Recipe.from_file(find_recipe(name)).with_settings(settings)
    return Recipe.from_dict({**recipe.to_dict(), "agent": dict(agent)})


@pytest.mark.parametrize("decide_at", ["close", "open"])
def test_a_served_rule_trades_behind_a_long_warm_up(decide_at: str) -> None:
    """720 bars before the first decision: it is told each new price as in the process."""
    recipe = with_agent("demo", CROSS, {**LONG, "execution.decide_at": decide_at})
    assert len(run(recipe).fills) > 5
    check_same(recipe)


def test_a_served_agent_draws_the_random_numbers_that_it_draws_here() -> None:
    """Their state goes along with the handshake."""
    agent = {"name": "agents.matched_random", "switches_per_bar": 0.3}
    check_same(with_agent("demo", agent, LONG))


class Quarter:
    """Answers a bare number, which travels as a target."""

    def decide(self, observation: Observation) -> float:
        """Hold a quarter."""
        del observation
        return 0.25


def test_a_target_from_elsewhere_is_leveraged_once() -> None:
    """The job makes weights of it for the link, and knows them again when they are handed in."""
    recipe = Recipe.from_file(find_recipe("futures_demo"))
    recipe = recipe.with_settings({**LONG, "strategy.leverage": 2.0})
    alone = run(recipe, agent=Quarter())
    with serving_agent(Quarter, name="quarter") as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 20_000}
        there = run(Recipe.from_dict({**recipe.to_dict(), "agent": agent}))
    assert len(alone.fills) > 0
    assert there.fills.equals(alone.fills)
    assert there.equity.equals(alone.equity)


def test_a_served_policy_sleeps_as_it_does_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was trained to answer every four hours: behind a server it lets the bars pass itself."""
    asked: list[int] = []

    def decode(_action: object, observation: Observation) -> float:
        asked.append(observation.time_ms)
        return 0.25 * (observation.time_ms // HOUR_MS % 3)

    trained = SimpleNamespace(
        encoding=SimpleNamespace(encode=lambda _seen: None, decode=decode),
        model=SimpleNamespace(predict=lambda _seen, *, deterministic: (deterministic, None)),
        every_ms=4 * HOUR_MS,
    )
    monkeypatch.setattr("seawall.agents.policy.load_policy", lambda _path: trained)
    monkeypatch.setattr("seawall.agents.policy.read_note", lambda _path: None)
    monkeypatch.setattr("seawall.agents.policy.find_path", lambda _path: tmp_path)
    monkeypatch.setattr("seawall.agents.policy.Encoding.of", lambda _info, _seen: None)
    monkeypatch.setattr("seawall.agents.policy.check_fits", lambda _told, _seen: None)
    recipe = Recipe.from_file(find_recipe("demo")).with_settings(LONG)
    alone = run(recipe, agent=Policy(path="policy.zip"))
    here = list(dict.fromkeys(asked))
    asked.clear()
    with serving_agent(lambda: Policy(path="policy.zip"), name="policy") as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 20_000}
        there = run(Recipe.from_dict({**recipe.to_dict(), "agent": agent}))
    assert list(dict.fromkeys(asked)) == here
    assert len(alone.fills) > 5
    assert there.fills.equals(alone.fills)
    assert there.equity.equals(alone.equity)


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent",
    [
        {"name": "agents.sma_cross", "fast": 24, "slow": 120},
        {"name": "agents.donchian", "entry_bars": 1_000, "exit_bars": 300},
        {"name": "agents.matched_random"},
    ],
)
def test_a_served_agent_gives_its_result_on_the_whole_of_demo(agent: Mapping[str, object]) -> None:
    """With the recipe's own settings, a state that is as old as the run, and long windows."""
    check_same(with_agent("demo", agent, {}))


@pytest.mark.parametrize("name", ["loan_demo", "margin_demo", "hedged_loan_demo"])
@pytest.mark.slow
def test_a_served_guard_gives_its_result_on_a_whole_demo(name: str) -> None:
    """As the recipe is shipped, sleeping and all."""
    check_same(Recipe.from_file(find_recipe(name)))


def test_a_rule_follows_a_window_that_moves() -> None:
    """Where fewer bars are sent than it has been told of, the new ones are told apart by time."""
    recipe = with_agent("demo", CROSS, LONG)
    alone = run(recipe)
    with serving("sma_cross", {"fast": 2, "slow": 5}, bars=60) as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 20_000}
        there = run(Recipe.from_dict({**recipe.to_dict(), "agent": agent}))
    assert len(alone.fills) > 5
    assert list(there.fills.index) == list(alone.fills.index)


# What is sent -------------------------------------------------------------------------------------


class Scripted:
    """A way to an agent that keeps what it is sent; ``faults`` by number of the message."""

    name, pause_s = "the agent", 0.0

    def __init__(self, faults: Mapping[int, type[Exception]] | None = None) -> None:
        self.faults, self.sent = faults or {}, list[dict[str, Any]]()

    def open(self) -> None:
        """Be there."""

    def ask(self, message: bytes, sequence: int, timeout_s: float) -> bytes:
        """Answer nothing in particular."""
        del timeout_s
        if not sequence:
            return write({"type": "ready", "protocol": PROTOCOL, "keeps": True})
        self.sent.append(json.loads(message)["observation"])
        if fault := self.faults.get(len(self.sent)):
            raise fault
        return write({"type": "decision", "sequence": sequence})

    def close(self, farewell: bytes = b"") -> None:
        """Be gone."""


def sent_to(way: Scripted, n: int, **parameters: Any) -> list[tuple[int, int]]:
    """Return how many bars each question left out, and how many it brought."""
    link = Link(way, **parameters)
    recipe = spot(None)
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as game:
        link.begin(game.info)
        for _ in range(n):
            assert game.observation is not None
            game.answer(link.decide(game.observation))
    left_out = [one["before"]["candles"][SPOT] if "before" in one else -1 for one in way.sent]
    return [
        (n_before, len(one["candles"][SPOT]["close"]))
        for n_before, one in zip(left_out, way.sent, strict=True)
    ]


def test_everything_is_sent_once() -> None:
    """The warm-up of 48 bars at first, then one at a time."""
    assert sent_to(Scripted(), 3) == [(0, 48), (48, 1), (49, 1)]


def test_who_is_late_is_sent_again_what_it_may_have_missed() -> None:
    """It may never have read the second question."""
    assert sent_to(Scripted({2: Late}), 3) == [(0, 48), (48, 1), (48, 2)]


def test_who_is_started_again_is_sent_everything() -> None:
    """It has forgotten all."""
    assert sent_to(Scripted({2: Gone}), 3) == [(0, 48), (48, 1), (0, 49), (49, 1)]


def test_a_recipe_may_ask_for_fewer_bars() -> None:
    """Then a window is sent, and nothing is kept."""
    assert sent_to(Scripted(), 3, bars=5) == [(-1, 5)] * 3


def test_a_recording_of_one_that_keeps_is_replayed_and_carried_on(tmp_path: Path) -> None:
    """A new start is shown all that was recorded, in order; then comes what is new."""
    path = str(tmp_path / "answers.jsonl")
    assert sent_to(Scripted(), 2, recording=path) == [(0, 48), (48, 1)]
    assert sent_to(Scripted(), 2, recording=path, mode="replay") == []
    assert sent_to(Scripted(), 3, recording=path) == [(0, 48), (48, 1), (49, 1)]
    lame = Scripted({4: Gone})
    again = str(tmp_path / "again.jsonl")
    sent_to(Scripted(), 2, recording=again)
    assert sent_to(lame, 4, recording=again) == [(0, 48), (48, 1), (49, 1), (50, 1), (0, 51)]


def test_a_question_that_is_too_long_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it."""
    monkeypatch.setattr("seawall.remote.link.LONGEST_MESSAGE", 1_000)
    with pytest.raises(AgentLost, match=r"at most 1,000 bytes.*agent\.bars"):
        sent_to(Scripted(), 1)


def to_form(observation: Observation, info: Any, had: Had) -> Any:
    """Return an observation as it is read by a server."""
    read = read_from_world(write(question(1, describe(observation, info, bars=0, had=had))))
    assert isinstance(read, Question)
    return read.observation


def test_what_is_kept_is_what_is_seen_here() -> None:
    """Candles and signals, grown by what is new; an older observation stays as it was."""
    recipe = Recipe.from_file(find_recipe("carry_demo")).with_settings(LONG)
    kept, had, shown = Kept(), NOTHING_HAD, []
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as game:
        for _ in range(12):
            seen = game.observation
            assert seen is not None
            shown.append((seen, rebuild(to_form(seen, game.info, had), kept)))
            had = count(seen)
            game.answer(None)
    for here, there in shown:
        for symbol in here.symbols:
            ours, theirs = here.history(symbol), there.history(symbol)
            for field in ("time_ms", "open", "high", "low", "close", "volume"):
                assert np.array_equal(getattr(ours, field), getattr(theirs, field))
        for name in here.signal_names:
            pairs = zip(here.signal_history(name), there.signal_history(name), strict=True)
            assert all(np.array_equal(our, their) for our, their in pairs)


def test_what_is_not_listed_yet_is_kept_as_nothing() -> None:
    """There is no bar at all, and then there are some."""
    recipe, kept = spot(None), Kept()
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as game:
        seen, info = game.observation, game.info
        assert seen is not None
        there = rebuild(to_form(seen.until(0, HOUR_MS), info, NOTHING_HAD), kept)
        assert len(there.history()) == 0
        assert len(rebuild(to_form(seen, info, NOTHING_HAD), kept).history()) == len(seen.history())


def test_a_question_that_leaves_out_what_never_came_is_refused() -> None:
    """A server that was started again in the middle of a run says so."""
    recipe = spot(None)
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as game:
        seen, info = game.observation, game.info
        assert seen is not None
        had = Had({SPOT: 7}, {}, {})
        with pytest.raises(AgentError, match="leaves out 7 and 0 have come"):
            rebuild(to_form(seen, info, had), Kept())


def test_random_numbers_that_were_tampered_with_are_refused() -> None:
    """Without a state those of the seed are taken."""
    with Lockstep(spot(None), build_world(spot(None), Catalog(), offline=True)) as game:
        told = Info.model_validate(describe_info(game.info))
    assert rebuild_info(told.model_copy(update={"rng": ""})).rng.integers(9) >= 0
    with pytest.raises(AgentError, match=r"info\.rng must come back as it was sent"):
        rebuild_info(told.model_copy(update={"rng": '{"state": 1}'}))


# Texts --------------------------------------------------------------------------------------------


def with_texts(n: int) -> tuple[Recipe, World]:
    """Return a day with news: so many before it, and one an hour."""
    recipe = spot(None)
    world = build_world(recipe, Catalog(), offline=True)
    since_ms = recipe.market.since_ms
    known = since_ms + np.arange(-n, 24) * HOUR_MS
    texts = Texts(name=NEWS, known_ms=known, texts=tuple(f"news {k}" for k in range(len(known))))
    return recipe, replace(world, texts={NEWS: texts})


def test_the_newest_texts_are_sent_with_the_time_from_which_they_were_known() -> None:
    """20 of each series, oldest first, and none that is not known yet; read back they are equal."""
    recipe, world = with_texts(50)
    with Lockstep(recipe, world) as game:
        seen = game.observation
        assert seen is not None
        shown = describe(seen, game.info, bars=3)
        sent = json.loads(write(shown))["texts"][NEWS]
        read = read_from_world(write(question(1, shown)))
    assert [one["text"] for one in sent] == [one.text for one in seen.texts(NEWS, 20)]
    assert len(sent) == MOST_TEXTS
    assert sent[-1]["known_ms"] <= seen.time_ms
    assert isinstance(read, Question)
    assert rebuild(read.observation).texts(NEWS) == seen.texts(NEWS)


def test_texts_are_left_out_where_the_recipe_names_none() -> None:
    """A child of before sees what it has always seen; the schema does not ask for them."""
    with Lockstep(spot(None), build_world(spot(None), Catalog(), offline=True)) as game:
        assert game.observation is not None
        shown = describe(game.observation, game.info, bars=3)
    assert "texts" not in shown
    assert "before" not in shown
    asked: Any = schema("observation")["$defs"]
    assert "texts" in asked["ObservationForm"]["properties"]
    assert "texts" not in asked["ObservationForm"]["required"]


def test_who_keeps_texts_has_more_than_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number at first, each new one once, and all of these stay."""
    monkeypatch.setattr("seawall.remote.wire.MOST_TEXTS_AT_FIRST", 30)
    recipe, world = with_texts(50)
    kept, had = Kept(), NOTHING_HAD
    with Lockstep(recipe, world) as game:
        for n in range(10):
            seen = game.observation
            assert seen is not None
            form = to_form(seen, game.info, had)
            there = rebuild(form, kept)
            assert len(form.texts[NEWS]) == (1 if n else 30)
            assert there.texts(NEWS, 30 + n) == seen.texts(NEWS, 30 + n)
            assert there.n_texts(NEWS) == 30 + n
            had = count(seen)
            game.answer(None)
