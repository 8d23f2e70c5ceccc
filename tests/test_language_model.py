"""The agent that asks a model: answers, repairs, budgets, sleep, masks, and its recording."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from language_server import (
    Answer,
    Body,
    LanguageServer,
    call,
    complete,
    first_symbol,
    follow_trend,
    in_turn,
    refuse,
    serving,
    shown,
    speak,
    weigh,
)
from record_language_demo import LABEL, SHIPPED, record
from test_thinking import recipe_of, world_of

from seawall.agent import AgentInfo, to_decision
from seawall.analysis.report import write_report
from seawall.engine.components import make_agent
from seawall.engine.run import run, run_in
from seawall.errors import RecipeError, RecordingError
from seawall.language.answer import Read, read_reply
from seawall.language.cassette import Cassette, read_cassette
from seawall.language.cutoff import exposure_of, refuse_rank
from seawall.language.endpoint import KEY_VARIABLE, URL_VARIABLE, read_body
from seawall.language.masks import Mask, MaskTerms
from seawall.language.request import Request
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import HOUR_MS
from seawall.workspace import find_recipe, load

KEY = "sk-marked-0123456789"
SPOT = "ETH/USDT"
NAME = "agents.language_model"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LanguageServer]:
    """Return a scripted server that the environment names."""
    with serving(follow_trend) as one:
        monkeypatch.setenv(URL_VARIABLE, one.url)
        monkeypatch.setenv(KEY_VARIABLE, KEY)
        monkeypatch.setenv("SEAWALL_DATA", str(tmp_path / "data"))
        yield one


def to_recipe(name: str = "demo", **parameters: Any) -> Recipe:
    """Return a few simulated days with the agent: a call each half day, two seconds each."""
    given: dict[str, object] = {
        "name": NAME, "model": "m", "cassette": "tape", "min_sleep": "12h", "max_sleep": "12h",
        "move": 0.0, "latency": "2s",
    }  # fmt: skip
    values = json.loads(recipe_of(name).to_json())
    return Recipe.from_dict(values | {"agent": given | parameters})


def play(name: str = "demo", **parameters: Any) -> Result:
    """Return a run of it."""
    return run_in(world_of(name), to_recipe(name, **parameters))


def follow_tick(body: Body) -> Answer:
    """Hold three quarters after a rise of the last close that is shown, else one quarter."""
    found = re.search(r"closes over \w+: ([\d.e+ ]+)", shown(body))
    assert found is not None
    before, last = (float(one) for one in found[1].split()[-2:])
    return call(weigh(first_symbol(body), 0.75 if last > before else 0.25))


def rows(result: Result, kind: str) -> list[str]:
    """Return the texts of the journal's entries of one kind."""
    texts: list[str] = result.journal.loc[result.journal["kind"] == kind, "text"].tolist()
    return texts


# A run and its recording --------------------------------------------------------------------------


def test_a_replay_is_the_run_to_the_bit_without_key_or_network(
    server: LanguageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured latencies and bills too: they come from the recording."""
    server.script = follow_tick
    recorded = play(latency="measured", input_usd=2.0, output_usd=8.0)
    n_asked = len(server.requests)
    for name in (URL_VARIABLE, KEY_VARIABLE):
        monkeypatch.delenv(name)
    replayed = play(latency="measured", input_usd=2.0, output_usd=8.0, mode="replay")
    assert 5 <= n_asked <= 10
    assert len(server.requests) == n_asked
    assert recorded.metrics.thinking > 0
    assert len(recorded.fills)
    for table in ("equity", "fills", "ledger", "journal"):
        assert getattr(recorded, table).equals(getattr(replayed, table)), table


def test_a_replay_of_something_else_stops(server: LanguageServer) -> None:
    """Another prompt, another model, other settings of what is shown."""
    play()
    assert server.requests
    for change in ({"prompt": "v2"}, {"model": "n"}, {"points": 5}):
        with pytest.raises(RecordingError, match="a replay must hold every request"):
            play(mode="replay", **change)


def test_without_an_endpoint_a_recording_run_says_what_to_set(
    server: LanguageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no abstention."""
    monkeypatch.delenv(URL_VARIABLE)
    with pytest.raises(RecordingError, match=URL_VARIABLE):
        play()
    assert not server.requests


def test_the_bill_and_the_tokens_are_in_the_journal_and_the_metrics(
    server: LanguageServer,
) -> None:
    """400 tokens at 2 USD and 40 at 8 USD a million: 0.00112 USD a call."""
    server.script = lambda body: call(weigh(first_symbol(body), 0.5))
    result = play(input_usd=2.0, output_usd=8.0)
    n = len(server.requests)
    assert result.metrics.thinking == pytest.approx(n * 0.00112)
    assert rows(result, "thought") == ["1 calls, 400 + 40 tokens, 2,000 ms"] * n


def test_key_and_address_are_in_nothing_that_is_kept(
    server: LanguageServer, tmp_path: Path
) -> None:
    """Result, report, cassette, recipe: every byte of them."""
    result = play(input_usd=1.0)
    folder = result.save(tmp_path / "result")
    write_report(Result.load(folder), folder / "report.html")
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} >= {".cassette", ".html", ".json", ".parquet"}
    for path in kept:
        found = path.read_bytes()
        assert KEY.encode() not in found, path
        assert server.url.encode() not in found, path
    assert server.keys[0] == f"Bearer {KEY}"


# Answers that are none ----------------------------------------------------------------------------

WRONG = {
    "bad JSON": (call("{actions: "), "with JSON"),
    "prose": (speak("I would buy."), "with JSON"),
    "nothing": (complete({"role": "assistant", "content": None}), "says nothing"),
    "wrong symbol": (call(weigh("SOL/USDT", 1.0)), "there is no symbol 'SOL/USDT'"),
    "wrong kind": (call({"actions": [{"kind": "borrow", "asset": "ETH", "amount": 1}]}),
                   "this job takes target_weight"),
    "a weight that is none": (call(weigh(SPOT, "all")), "not an action"),  # type: ignore[arg-type]
    "infinity": (call('{"actions": [{"kind": "target_weight", "symbol": "ETH/USDT", '
                      '"weight": Infinity}], "reason": ""}'), "with JSON"),
    "another key": (call({"do": "buy"}), "has actions, reason, wake"),
    "a list": (call([]), "a JSON object"),
    "nested beyond reason": (call('{"actions": ' + "[" * 50_000), "with JSON"),
    "a number of 400 digits": (
        call('{"actions": [{"kind": "order", "symbol": "ETH/USDT", "side": "buy", "quantity": 1'
             + "0" * 400 + "}]}"),
        "not an a",
    ),
    "a strange wake": (call({"actions": [], "wake": {"when": 1}}), "wake has"),
    "a wake for another symbol": (call({"actions": [], "wake": {"above": {"X/Y": 1}}}),
                                  "there is no symbol 'X/Y' to wake for"),
    "cut off": (complete({"role": "assistant", "content": '{"actions"'}, finish="length"),
                "longer than agent.max_tokens"),
    "too many": (call({"actions": [{"kind": "cancel", "order_id": "all"}] * 21}), "at most 20"),
}  # fmt: skip


REFUSED = {
    "it refuses": refuse(),
    "it is empty": Answer(),
    "no chat completion": Answer(body=b"<html>"),
    "filtered": complete({"role": "assistant", "content": ""}, finish="content_filter"),
}


def read(answer: Answer) -> Read:
    """Return what an answer says to a spot job."""
    info = AgentInfo(
        symbols=(SPOT,), timeframe_ms=HOUR_MS, decide_at="close", taker_fee_bps=0.0,
        rng=np.random.default_rng(1), actions=("target_weight", "order", "cancel"),
        read=lambda given: to_decision(given, (SPOT,)),
    )  # fmt: skip
    asked = Request(model="m", messages=(), tools=(), temperature=0.0, max_tokens=5, prompt="v1")
    return read_reply(read_body(asked, answer.body), info, Mask(MaskTerms(), (SPOT,)))


@pytest.mark.parametrize("case", WRONG)
def test_an_answer_that_is_none_is_no_decision_and_says_why(case: str) -> None:
    """Whatever it is: it is never carried out, and nothing is raised."""
    wrong, why = WRONG[case]
    found = read(wrong)
    assert found.decision is None
    assert why in found.fault
    assert not found.is_refusal


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_is_told_from_a_mistake(why: str) -> None:
    """Who will not answer is not pressed; what did not come is not asked for again."""
    found = read(REFUSED[why])
    assert found.decision is None
    assert why in found.fault
    assert found.is_refusal == (why in ("it refuses", "filtered"))


def test_a_wrong_answer_is_asked_for_once_more_and_then_abstained_from(
    server: LanguageServer,
) -> None:
    """The second request holds the first answer and what is wrong with it."""
    server.script = in_turn([call(weigh("SOL/USDT", 1.0))])
    result = play(max_sleep="4d", min_sleep="4d")
    assert len(server.requests) == 4  # two decisions
    assert all("there is no symbol" in text for text in rows(result, "abstained"))
    assert len(rows(result, "abstained")) == 2
    repair = server.requests[1]["messages"]
    assert isinstance(repair, list)
    assert [one["role"] for one in repair] == ["system", "user", "assistant", "user"]
    assert "That was no valid answer" in repair[-1]["content"]
    assert rows(result, "thought")[0].startswith("2 calls")


def test_a_repaired_answer_is_carried_out(server: LanguageServer) -> None:
    """Both calls are charged; the run can be replayed."""
    server.script = in_turn([call("{"), call(weigh(SPOT, 0.5))])
    result = play()
    assert rows(result, "abstained") == []
    assert rows(result, "thought")[0] == "2 calls, 800 + 80 tokens, 4,000 ms"
    assert play(mode="replay").equity.equals(result.equity)


def test_who_refuses_or_says_nothing_is_not_pressed(server: LanguageServer) -> None:
    """One call each, an abstention, and the replay abstains alike."""
    server.script = in_turn([refuse(), Answer(body=b"<html>")])
    result = play(max_sleep="4d", min_sleep="4d")
    assert len(server.requests) == 2
    assert [text[:10] for text in rows(result, "abstained")] == ["it refuses", "the body i"]
    assert play(max_sleep="4d", min_sleep="4d", mode="replay").journal.equals(result.journal)


# Budgets and sleep --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "name"),
    [({"budget_calls": 3}, "budget_calls"), ({"budget_tokens": 4_000}, "budget_tokens"),
     ({"budget_usd": 0.004, "input_usd": 1.0, "output_usd": 1.0}, "budget_usd")],
)  # fmt: skip
def test_a_spent_budget_ends_the_asking_and_says_so(
    server: LanguageServer, budget: dict[str, Any], name: str
) -> None:
    """One abstention with the reason; no call goes beyond the limit."""
    result = play(**budget)
    assert 0 < len(server.requests) < 7
    (why,) = rows(result, "abstained")
    assert why.startswith(f"the budget is spent: agent.{name}")
    if name == "budget_calls":
        assert len(server.requests) == 3
    if name == "budget_usd":
        assert result.metrics.thinking <= 0.004


def asked_hours(result: Result) -> list[float]:
    """Return the hours between calls."""
    times = result.journal.loc[result.journal["kind"] == "thought", "time_ms"].to_numpy()
    return [float(one) for one in np.diff(times) / HOUR_MS]


@pytest.mark.slow
def test_it_sleeps_as_long_as_it_asks_within_the_limits(server: LanguageServer) -> None:
    """Ten hours are granted; one minute and a month are cut to the limits."""
    for minutes, hours in ((600, 10.0), (1, 4.0), (43_200, 24.0)):
        server.script = in_turn([call(weigh(SPOT, 0.5, after_minutes=minutes))])
        result = play(min_sleep="4h", max_sleep="24h", cassette=f"tape{minutes}")
        assert set(asked_hours(result)) == {hours}


@pytest.mark.slow
def test_a_price_that_moves_wakes_it(server: LanguageServer) -> None:
    """The window has a crash of a third: asked again there, and not before min_sleep."""
    server.script = lambda body: call({"actions": [], "reason": first_symbol(body)})
    result = play(min_sleep="1h", max_sleep="4d", move=0.05)
    hours = asked_hours(result)
    assert len(hours) >= 4
    assert min(hours) >= 1.0
    assert len(play(min_sleep="1h", max_sleep="4d", cassette="still").journal) < 5


def test_its_last_decisions_are_shown_and_a_level_does_not_put_off_the_next_call(
    server: LanguageServer,
) -> None:
    """Three notes from the fourth call on; a day after a call it is asked, whatever woke it."""
    above_all = {SPOT: 1.0}  # crossed at every bar: it wakes each hour, and has to wait
    server.script = in_turn(
        [call({"actions": [], "reason": "x", "wake": {"after_minutes": 1440, "above": above_all}})]
    )
    result = play(min_sleep="20h", max_sleep="1d")
    assert set(asked_hours(result)) == {20.0}
    notes = [shown(body).count('"reason": "x"') for body in server.requests]
    assert notes[:5] == [0, 1, 2, 3, 3]


# What is shown ------------------------------------------------------------------------------------


def test_the_tool_holds_what_the_job_takes_and_nothing_else(server: LanguageServer) -> None:
    """Symbols and assets are enumerated, kinds are those of the job."""

    def kinds(body: Body) -> set[str]:
        tools: Any = body["tools"]
        items = tools[0]["function"]["parameters"]["properties"]["actions"]["items"]["anyOf"]
        return {one["properties"]["kind"]["const"] for one in items}

    play(min_sleep="4d", max_sleep="4d")
    assert kinds(server.requests[-1]) == {"target_weight", "order", "cancel"}
    assert "'enum': ['ETH/USDT']" in str(server.requests[-1]["tools"])
    server.script = in_turn([call({"actions": [], "reason": "wait"})])
    play("loan_demo", min_sleep="4d", max_sleep="4d")
    assert kinds(server.requests[-1]) == {
        "supply", "withdraw", "borrow", "repay", "swap", "bundle", "target_health",
    }  # fmt: skip
    assert "health factor" in shown(server.requests[-1])
    play("margin_demo", min_sleep="4d", max_sleep="4d")
    assert "target_leverage" in kinds(server.requests[-1])
    assert "liquidation price" in shown(server.requests[-2])  # it is gone in the end


@pytest.mark.slow
def test_json_and_text_show_the_same_numbers(server: LanguageServer) -> None:
    """The JSON can be read as such."""
    play(min_sleep="4d", max_sleep="4d")
    text = shown(server.requests[0])
    server.script = in_turn([call({"actions": [], "reason": "wait"})])
    play(min_sleep="4d", max_sleep="4d", form="json", cassette="json")
    found = json.loads(shown(server.requests[2]).split("\n\n")[0])
    assert f"price: {found['market'][SPOT]['price']:.6g}" in text
    assert found["account"]["cash"] == 100_000


def test_a_loan_is_guarded_by_what_the_model_calls(server: LanguageServer) -> None:
    """Below 1.5 it asks for 1.8; its bill is a part of the account's change."""

    def guard(body: Body) -> Answer:
        found = re.search(r"health factor: ([\d.]+)", shown(body))
        assert found is not None
        low = float(found[1]) < 1.5
        actions = [{"kind": "target_health", "health": 1.8}] if low else []
        return call({"actions": actions, "reason": f"health {found[1]}"})

    server.script = guard
    result = play("loan_demo", min_sleep="1h", max_sleep="12h", input_usd=1.0)
    assert "done" in set(result.journal["kind"])
    change = result.equity["equity"].iloc[-1] - result.equity["equity"].iloc[0]
    assert sum(result.parts.values()) == pytest.approx(change, abs=1e-6)
    assert result.parts["thinking"] < 0


# Masks --------------------------------------------------------------------------------------------


def test_a_mask_hides_the_market_and_changes_nothing_for_who_reasons(
    server: LanguageServer,
) -> None:
    """Names, dates and prices are gone; the same weights come back, so the runs are one."""
    server.script = follow_tick
    plain = play()
    n = len(server.requests)
    masked = play(mask=["names", "dates", "scale"])
    told = "\n".join(str(body) for body in server.requests[n:])
    for word in ("ETH", "USDT", "2025", "Ethereum"):
        assert word not in told, word
    assert "COIN1/USD1" in told
    assert "day 0 00:00" in told
    assert len(plain.fills) > 2
    assert plain.equity["equity"].equals(masked.equity["equity"])
    assert any(label.startswith("masked from the model") for label in masked.labels)


@pytest.mark.slow
def test_masked_orders_come_back_in_real_units(server: LanguageServer) -> None:
    """A limit at 99 % of the shown price rests at 99 % of the real one; its value is the same."""

    def bid(body: Body) -> Answer:
        price = float(re.findall(r"price: ([\d.e+]+)", shown(body))[0])
        order = {"kind": "order", "symbol": first_symbol(body), "side": "buy", "type": "limit",
                 "quantity": 1_000 / price, "limit_price": 0.99 * price}  # fmt: skip
        return call({"actions": [order], "reason": "bid"})

    server.script = bid
    given = {"min_sleep": "4d", "max_sleep": "4d"}
    plain = play(cassette="p", **given)
    masked = play(cassette="q", mask=["names", "scale"], mask_seed=7, **given)
    real, back = (rows(one, "decision")[0] for one in (plain, masked))
    numbers = [[float(x) for x in re.findall(r"[\d.]+", one)] for one in (real, back)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)


def test_a_mirror_turns_every_return_and_every_weight(server: LanguageServer) -> None:
    """What rises falls; all of the coin there is all cash here."""
    seen: list[list[float]] = []

    def script(body: Body) -> Answer:
        found = re.search(r"closes over \w+: ([\d.e+ ]+)", shown(body))
        assert found is not None
        seen.append([float(one) for one in found[1].split()])
        return call(weigh(first_symbol(body), 1.0))

    server.script = script
    given = {"min_sleep": "4d", "max_sleep": "4d"}
    plain = play(cassette="p", **given)
    mirrored = play(cassette="q", mask=["mirror"], **given)
    real, turned = (np.diff(np.log(one)) for one in (seen[0], seen[2]))
    assert np.allclose(real, -turned, atol=2e-5)
    assert rows(plain, "decision")[0] == "ETH/USDT to weight 1"
    assert rows(mirrored, "decision")[0] == "ETH/USDT to weight 0"
    with pytest.raises(RecipeError, match="a mirror is for one symbol"):
        play("loan_demo", mask=["mirror"])


# Labels, and what ships ---------------------------------------------------------------------------


def test_the_cutoff_says_whether_a_result_may_be_ranked() -> None:
    """After it, or masked: yes. A rule agent is no model, a simulated market never was printed."""
    values = json.loads(to_recipe().to_json())
    values["market"] |= {"venue": "binance", "crash": None}
    values["market"] = {k: v for k, v in values["market"].items() if v is not None}

    def told(**parameters: object) -> tuple[object, bool]:
        recipe = Recipe.from_dict(values | {"agent": values["agent"] | parameters})
        return exposure_of(recipe), bool(refuse_rank(recipe))

    assert told() == ("unknown", True)
    assert told(cutoff="2025-01-01") == ("after", False)
    assert told(cutoff="2025-04-07") == ("across", True)
    assert told(cutoff="2026-01-01") == ("before", True)
    assert told(cutoff="2026-01-01", mask=["names", "dates", "scale"]) == ("before", False)
    assert told(cutoff="2026-01-01", mask=["names"]) == ("before", True)
    assert told(model="fitted.npz") == (None, True)  # no language model, and what does it know?
    assert exposure_of(to_recipe()) == "after"
    assert exposure_of(recipe_of("demo")) is None


def test_the_shipped_recording_is_what_the_scripted_server_says(tmp_path: Path) -> None:
    """Whoever changes what is asked records it again: ``python tests/record_language_demo.py``."""
    fresh = tmp_path / "fresh.cassette"
    record(fresh)
    ours, theirs = (list(read_cassette(path).rows()) for path in (SHIPPED, fresh))
    assert [row.key for row in ours] == [row.key for row in theirs]
    assert [row.reply for row in ours] == [row.reply for row in theirs]


def test_the_shipped_demo_replays_without_key_or_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says that its model is a script."""
    monkeypatch.setenv("SEAWALL_DATA", str(tmp_path))
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    result = run(Recipe.from_file(find_recipe("language_demo")))
    assert LABEL in result.labels
    assert result.counts["thought"] == Cassette(SHIPPED, "replay").summary().n_calls
    assert result.metrics.thinking > 0


@pytest.mark.parametrize(
    "given",
    [{"model": ""}, {"mode": "live"}, {"prompt": "v0"}, {"form": "yaml"}, {"temperature": -1.0},
     {"max_tokens": 0}, {"budget_calls": -1}, {"mask": ["nose"]}, {"mask": "names"},
     {"latency": "soon"}, {"min_sleep": "2d", "max_sleep": "1d"}, {"cutoff": "May"},
     {"timeout": 3}, {"points": True}],
)  # fmt: skip
def test_a_parameter_that_is_none_is_refused(given: dict[str, Any]) -> None:
    """Before anything is read or asked."""
    with pytest.raises(RecipeError):
        make_agent(to_recipe(**given))


def test_a_price_in_dollars_needs_a_market_in_dollars(tmp_path: Path) -> None:
    """A bill of dollars is not subtracted from bitcoin."""
    recipe = to_recipe(input_usd=1.0, cassette=str(tmp_path / "a.cassette"))
    agent = make_agent(recipe)
    info = AgentInfo(
        symbols=("ETH/BTC",), timeframe_ms=HOUR_MS, decide_at="close", taker_fee_bps=0.0,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    with pytest.raises(RecipeError, match="the market's quote is BTC"):
        agent.begin(info)  # type: ignore[attr-defined]  # it has this hook


def test_its_state_is_json_and_brings_it_back(server: LanguageServer, tmp_path: Path) -> None:
    """Budget, notes, wake and the count of each question go along."""
    kind = load(NAME)

    def fresh() -> object:
        one = kind(model="m", cassette=str(tmp_path / "a.cassette"))
        symbols: Sequence[str] = (SPOT,)
        one.begin(
            AgentInfo(
                symbols=tuple(symbols),
                timeframe_ms=HOUR_MS,
                decide_at="close",
                taker_fee_bps=0.0,
                rng=np.random.default_rng(1),
            )
        )
        return one

    agent, other = fresh(), fresh()
    agent._budget.n_calls, agent._notes = 3, ["said"]  # type: ignore[attr-defined]
    agent._tape.counts["k"] = 2  # type: ignore[attr-defined]
    other.restore(agent.state())  # type: ignore[attr-defined]
    assert other.state() == agent.state()  # type: ignore[attr-defined]
    assert not server.requests
