"""The JSON form of remote agents: what is written is what the schema says, and reads back equal."""

import json
import sys
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_runs import spot

from seawall.action import Order, TargetWeight
from seawall.agent import Agent, AgentInfo, Decision, Wake
from seawall.engine.components import make_agent
from seawall.engine.lockstep import Lockstep
from seawall.engine.world import build_world
from seawall.errors import AgentError, ToolError
from seawall.loan_action import Bundle, FlashLoan, Repay, Swap, TargetHealth, Withdraw
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.remote import form
from seawall.remote.form import Hello, Question, read_decision, read_from_world, read_ready
from seawall.remote.mcp import Game, make_server
from seawall.remote.rebuild import rebuild, rebuild_info
from seawall.remote.wire import (
    describe,
    describe_info,
    hello,
    plain,
    question,
    to_answer,
    to_form,
    write,
)
from seawall.workspace import find_recipe

SHORT = {"market.since": "2025-04-05", "market.until": "2025-04-09", "market.warmup": "7d"}
JOBS = ("demo", "futures_demo", "margin_demo", "carry_demo", "loan_demo", "hedged_loan_demo")
ALL = 10_000


def short(name: str) -> Recipe:
    """Return four days of a demo, its crash among them."""
    recipe = Recipe.from_file(find_recipe(name))
    return recipe.with_settings(SHORT)


def play(name: str, agent: Agent | None = None) -> list[tuple[Observation, AgentInfo]]:
    """Return what is seen in a demo, answered by its own agent."""
    recipe = short(name)
    decider = agent or make_agent(recipe)
    seen = []
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as run:
        if hasattr(decider, "begin"):
            decider.begin(run.info)
        while run.observation is not None:
            seen.append((run.observation, run.info))
            run.answer(decider.decide(run.observation))
    return seen


def to_question(observation: Observation, info: AgentInfo, bars: int = ALL) -> bytes:
    """Return an observation as it is sent."""
    return write(question(1, describe(observation, info, bars=bars)))


@pytest.mark.parametrize("name", JOBS)
def test_what_is_sent_is_what_the_schema_says_and_reads_back_equal(name: str) -> None:
    """Of every job, at every moment: an unknown or missing key would be an error."""
    seen = play(name)
    assert len(seen) > 3
    for observation, info in seen[:: max(len(seen) // 12, 1)]:
        sent = to_question(observation, info)
        read = read_from_world(sent)
        assert isinstance(read, Question)
        again = to_question(rebuild(read.observation), info)
        assert json.loads(again) == json.loads(sent)


@pytest.mark.parametrize("name", [name for name in JOBS if name != "carry_demo"])
def test_an_agent_answers_alike_to_what_was_sent(name: str) -> None:
    """The recipe's own agent, asked with what came over the wire, decides as it would here."""
    recipe = short(name)
    seen = play(name)
    here, there = make_agent(recipe), make_agent(recipe)
    info = seen[0][1]
    told = read_from_world(write(hello(describe_info(info))))
    assert isinstance(told, Hello)
    for agent, said in ((here, info), (there, rebuild_info(told.info))):
        if hasattr(agent, "begin"):
            agent.begin(said)
    acted = 0
    for observation, _ in seen:
        read = read_from_world(to_question(observation, info))
        assert isinstance(read, Question)
        answer = here.decide(observation)
        assert answer == there.decide(rebuild(read.observation))
        acted += answer is not None and answer != Decision()
    assert acted


def test_at_the_open_the_bar_about_to_trade_is_one_longer() -> None:
    """Its open and time are known, and nothing else of it; read back it is the same."""
    recipe = spot(None, execution={"decide_at": "open"})
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as run:
        run.answer(None)
        assert run.observation is not None
        sent = to_question(run.observation, run.info, bars=4)
    read = read_from_world(sent)
    assert isinstance(read, Question)
    candles = read.observation.candles["ETH/USDT"]
    assert (len(candles.open), len(candles.time_ms), len(candles.close)) == (5, 5, 4)
    assert candles.time_ms[-1] == read.observation.time_ms
    again = rebuild(read.observation)
    assert again.price() == candles.open[-1]
    assert len(again.history()) == 4


def test_only_the_last_bars_are_sent() -> None:
    """As many as are asked for, none at all too."""
    observation, info = play("demo")[0]
    sent = describe(observation, info, bars=3)
    (candles,) = sent["candles"].values()  # type: ignore[attr-defined]
    assert candles["close"] == observation.history().close[-3:].tolist()
    (none,) = describe(observation, info, bars=0)["candles"].values()  # type: ignore[attr-defined]
    assert none["close"] == none["time_ms"] == []


def test_numbers_that_json_has_not_are_null_and_text() -> None:
    """Python's own NaN and Infinity would be no JSON."""
    assert (plain(nan), plain(inf), plain(-inf), plain(1.5)) == (None, "inf", "-inf", 1.5)
    observation, info = play("loan_demo")[0]
    sent = to_question(observation, info)
    assert b"NaN" not in sent
    assert b"Infinity" not in sent


# What is answered ---------------------------------------------------------------------------------


def info_of(name: str) -> AgentInfo:
    """Return what an agent is told in a demo."""
    recipe = short(name)
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as run:
        return run.info


def answer(text: str, name: str = "demo") -> Decision:
    """Return the decision that a line stands for, in the job of a demo."""
    return to_answer(read_decision(text.encode()), info_of(name))


def test_a_target_is_read_by_the_job() -> None:
    """The same number is a weight, a health factor or a leverage."""
    text = '{"type":"decision","sequence":1,"target":1.5,"reason":"why","wake":{"after_ms":5}}'
    health = Decision(actions=(TargetHealth(health=1.5),), reason="why", wake=Wake(after_ms=5))
    assert answer(text, "loan_demo") == health
    assert answer(text).actions == (TargetWeight(symbol="ETH/USDT", weight=1.5),)
    (action,) = answer(text, "margin_demo").actions
    assert action.kind == "target_leverage"


def test_nulls_count_as_left_out() -> None:
    """A client with typed models sends every key it has, in actions and wakes too."""
    text = json.dumps({
        "type": "decision", "sequence": 1, "weights": None, "target": None, "error": None,
        "reason": None, "state": None,
        "wake": {"after_ms": 60_000, "above": None, "health_below": None},
        "actions": [
            {"kind": "order", "symbol": "ETH/USDT", "side": "buy", "cash": 10, "quantity": None}
        ],
    })  # fmt: skip
    order = Order(symbol="ETH/USDT", side="buy", cash=10.0)
    assert answer(text) == Decision(actions=(order,), wake=Wake(after_ms=60_000))


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "7", "{", '{"type":"decision"}', '{"sequence":0}',
        '{"type":"decision","sequence":1,"target":NaN}',
        '{"type":"ready","sequence":1}', '{"type":"decision","sequence":1,"sequence2":2}',
        '{"type":"decision","sequence":1,"actions":[{"kind":"target_weight"}]}',
        '{"type":"decision","sequence":1,"actions":{}}',
        '{"type":"decision","sequence":1,"wake":{"after":1}}',
    ],
)  # fmt: skip
def test_what_is_no_decision_is_named_and_quoted(text: str) -> None:
    """Never anything but an AgentError, whatever a process prints."""
    with pytest.raises(AgentError, match=r"must be|finite"):
        answer(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_no_more_than_an_error(data: bytes) -> None:
    """Of a decision, a handshake, or a message to a server."""
    for read in (read_decision, read_ready, read_from_world):
        with pytest.raises(AgentError) as raised:
            read(data)
        assert len(str(raised.value)) < 2_000


DECISIONS = st.builds(
    Decision,
    actions=st.lists(
        st.one_of(
            st.builds(TargetWeight, symbol=st.just("ETH/USDT"), weight=st.floats(-3, 3)),
            st.builds(
                Order, symbol=st.just("ETH/USDT"), side=st.sampled_from(["buy", "sell"]),
                quantity=st.floats(1e-6, 1e6), client_id=st.text(max_size=8),
            ),
            st.builds(TargetHealth, health=st.one_of(st.floats(1.01, 9), st.just(inf))),
            st.builds(
                Bundle,
                actions=st.just((
                    Repay(asset="USDC", amount=inf), Withdraw(asset="WETH", amount=1.0),
                    Swap(sell="WETH", buy="USDC", amount=0.5),
                )),
                flash_loan=st.one_of(st.none(), st.just(FlashLoan(asset="USDC", amount=5.0))),
                max_gas_usd=st.one_of(st.just(inf), st.floats(1, 100)),
            ),
        ),
        max_size=4,
    ).map(tuple),
    reason=st.text(max_size=20),
    wake=st.one_of(
        st.none(),
        st.builds(
            Wake, after_ms=st.integers(0, 10**9), at_fill=st.booleans(),
            above=st.dictionaries(st.just("ETH/USDT"), st.floats(1, 9)),
            health_below=st.one_of(st.none(), st.floats(1, 9)),
        ),
    ),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(DECISIONS, st.integers(1, 10**9))
def test_a_decision_reads_back_equal(decision: Decision, sequence: int) -> None:
    """Whatever an agent behind a server may decide arrives as it was."""
    read = read_decision(write(to_form(sequence, decision)))
    assert read.sequence == sequence
    info = AgentInfo(
        symbols=("ETH/USDT",), timeframe_ms=1, decide_at="close", taker_fee_bps=0.0,
        rng=None,  # type: ignore[arg-type]  # nothing is drawn
    )  # fmt: skip
    assert to_answer(read, info) == decision


# The schema ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["all", "observation", "decision", "action", "handshake"])
def test_the_schema_is_json(what: str) -> None:
    """Without the infinities that Python would write, and with a dialect that tools know."""
    text = json.dumps(form.schema(what), allow_nan=False)
    assert "json-schema.org" in text


def test_a_schema_that_is_not_there_is_named() -> None:
    """With those that are."""
    with pytest.raises(AgentError, match=r"is one of all, observation, .*, is 'orders'"):
        form.schema("orders")


def test_an_mcp_server_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line, before anything is played."""
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    recipe = spot(None)
    game = Game(recipe, build_world(recipe, Catalog(), offline=True))
    with pytest.raises(ToolError, match=r"pip install 'seawall\[mcp\]'"):
        make_server(game, recipe)
    game.close()
