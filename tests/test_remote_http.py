"""An agent behind HTTP: Seawall's own server and foreign ones, and what they fail at."""

import http.client
import json
import socket
from typing import Any

import pytest
from remote_runs import abstentions, reasons, spot
from remote_servers import DRIP, HANG_UP, scripted, serving, usual
from test_thinking import recipe_of, world_of

from seawall.conformance.contract import check_contract
from seawall.engine.components import make_agent
from seawall.engine.lockstep import Lockstep
from seawall.engine.run import run
from seawall.errors import AgentError, AgentLost, RecipeError
from seawall.recipe import Recipe
from seawall.remote.form import PROTOCOL
from seawall.remote.server import AgentServer
from seawall.remote.wire import describe, describe_info, hello, question, write
from seawall.result import Result
from seawall.workspace import find_recipe

SHORT = {"market.since": "2025-04-05", "market.until": "2025-04-09", "market.warmup": "7d"}


def run_at(url: str, **parameters: object) -> Result:
    """Return what a day with the agent at an address gives."""
    return run(spot({"name": "agents.http", "url": url, "timeout_ms": 20_000, **parameters}))


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Seawall's own server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["demo", "futures_demo", "margin_demo", "loan_demo", "hedged_loan_demo"]
)
def test_a_served_agent_gives_the_result_that_it_gives_here(name: str) -> None:
    """To the bit, in every job: all that it looks at comes over the wire."""
    here = Recipe.from_file(find_recipe(name)).with_settings(SHORT)
    assert here.agent is not None
    parameters = dict(here.agent.parameters)
    with serving(here.agent.name.removeprefix("agents."), parameters) as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 20_000}
        there = run(Recipe.from_dict({**here.to_dict(), "agent": agent}))
    alone = run(here)
    assert abstentions(there) == []
    assert there.equity.equals(alone.equity)
    assert there.fills.equals(alone.fills)
    assert reasons(there) == reasons(alone)


def test_two_runs_at_once_do_not_meet() -> None:
    """Each has an agent of its own, told apart by a header, whatever the order of messages."""
    with serving("dca") as server:
        recipe = spot({"name": "agents.http", "url": server.url, "timeout_ms": 20_000})
        alone = run(recipe)
        first, second = make_agent(recipe), make_agent(recipe)

        class Both:
            """Asks the first with each observation, and another run in between."""

            def begin(self, info: Any) -> None:
                first.begin(info)  # type: ignore[attr-defined]
                second.begin(info)  # type: ignore[attr-defined]

            def decide(self, observation: Any) -> Any:
                second.decide(observation)
                return first.decide(observation)

            def end(self) -> None:
                first.end()  # type: ignore[attr-defined]
                second.end()  # type: ignore[attr-defined]

            def __deepcopy__(self, memo: object) -> "Both":
                return self

        both = run(recipe, agent=Both())
    assert both.equity.equals(alone.equity)


def test_an_agent_that_learns_cannot_be_served() -> None:
    """No message tells it how its decisions turned out: it is refused, not left in the dark."""

    class Learns:
        """Has a hook that nobody would call."""

        def decide(self, observation: object) -> None:
            """Do nothing."""

        def learn(self, feedback: object) -> None:
            """Learn."""

    with pytest.raises(AgentError, match=r"is asked and nothing else, learner has learn\(\)"):
        AgentServer(Learns, name="learner", bars=1)


def post(url: str, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
    """Return status and JSON of a POST."""
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("POST", "/any/path", body, {"Content-Type": content_type})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_server_refuses_what_is_no_message_in_one_line() -> None:
    """No stack trace, no 500; a browser's plain text is refused before it is read."""
    info = {
        "symbols": ["ETH/USDT"], "timeframe_ms": 3_600_000, "decide_at": "close",
        "taker_fee_bps": 1, "actions": [], "assets": [], "guarded": "", "seed": 1,
    }  # fmt: skip
    hello = {"type": "hello", "protocol": PROTOCOL, "info": info}
    with serving("sma_cross", bars=500) as server:
        assert post(server.url, b"{}", "text/plain")[0] == 415
        for body, said in (
            (b"what?", "a message must be JSON"),
            (json.dumps({**hello, "protocol": 99}).encode(), "speaks protocol 1, the hello 99"),
            (b'{"type":"observation","sequence":1,"observation":{}}', "Field required"),
        ):
            status, answer = post(server.url, body)
            assert (status, said in answer["error"]) == (400, True), answer
        assert post(server.url, json.dumps(hello).encode()) == (
            200, {"type": "ready", "protocol": PROTOCOL, "name": "sma_cross", "bars": 500},
        )  # fmt: skip


# Foreign servers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("candles", "ETH/USDT", "time_ms"), [10**400] * 5),
        (("candles", "ETH/USDT", "close"), [1.0]),
        (("perpetual", "arrays", "tables"), [[[1.0]], [[1.0, 2.0]]]),
        (("perpetual", "arrays", "account"), []),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(
    where: tuple[str, ...], value: object
) -> None:
    """A ragged array or a number beyond all bounds is the sender's mistake, not a 500."""
    recipe = recipe_of("futures_demo")
    run = Lockstep(recipe, world_of("futures_demo"))
    assert run.observation is not None
    shown: Any = json.loads(write(describe(run.observation, run.info, bars=5)))
    greeting = write(hello(describe_info(run.info)))
    run.close()
    part = shown
    for key in where[:-1]:
        part = part[key if key in part else next(iter(part))]
    part[where[-1]] = value
    with serving("buy_and_hold") as server:
        assert post(server.url, greeting)[0] == 200
        status, answer = post(server.url, write(question(1, shown)))
    assert status == 400
    assert "must fit" in answer["error"]


def test_one_connection_serves_a_run() -> None:
    """It is kept: a handshake, a question a bar, a farewell."""
    with scripted() as (url, server):
        result = run_at(url)
    kinds = [message["type"] for message in server.asked]
    assert kinds[0] == "hello"
    assert kinds[-1] == "end"
    assert kinds.count("observation") == result.counts["decisions"]
    sent = server.asked[1]["observation"]["candles"]["ETH/USDT"]
    assert len(sent["close"]) == 3


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"<html>oops</html>", "<html>oops</html>"),
        (b"", "it is ''"),
        ({"type": "decision", "sequence": 77}, "the number of its question, 3, has 77"),
    ],
)
def test_an_answer_that_is_none_is_an_abstention(reply: object, said: str) -> None:
    """It is quoted, and the next question is asked."""
    with scripted(lambda m: reply if m.get("sequence") == 3 else usual(m)) as (url, _):
        result = run_at(url)
    (why,) = abstentions(result)
    assert said in why


def test_a_server_that_hangs_up_is_asked_again() -> None:
    """Once for a connection that was closed meanwhile, and then by connecting anew."""
    hung: list[int] = []

    def reply(message: Any) -> object:
        if message.get("sequence") == 3 and len(hung) < 2:
            hung.append(3)
            return HANG_UP
        return usual(message)

    with scripted(reply) as (url, server):
        result = run_at(url)
    assert abstentions(result) == []
    assert [m.get("sequence") for m in server.asked].count(3) == 3


def test_a_server_that_fails_each_time_stops_the_run() -> None:
    """With its status and words."""
    with (
        scripted(lambda m: 500 if m.get("sequence") == 2 else usual(m)) as (url, _),
        pytest.raises(AgentLost, match=r"has gone 2 times .* HTTP 500"),
    ):
        run_at(url, max_restarts=1)


def test_a_drip_of_bytes_is_late_all_the_same() -> None:
    """A timeout of the socket would begin anew with each byte."""
    with scripted(lambda m: DRIP if m.get("sequence") == 2 else usual(m)) as (url, _):
        result = run_at(url, timeout_ms=300)
    assert set(abstentions(result)) == {"no answer within timeout_ms = 300"}
    assert len(abstentions(result)) < len(reasons(result))


def test_an_endpoint_that_is_down_stops_the_run() -> None:
    """Before the first bar, in one line."""
    with pytest.raises(AgentLost, match=r"must answer, has gone 1 times .* it cannot be reached"):
        run_at(f"http://127.0.0.1:{free_port()}/decide", max_restarts=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "http://example.org/decide"}, r"must be named, example.org is not: add hosts"),
        ({"url": "http://localhost.example.org/"}, "must be named"),
        ({"url": "http://127.0.0.1@example.org/"}, "hold no user and password"),
        ({"url": "http://me:secret@127.0.0.1/"}, "hold no user and password"),
        ({"url": "ftp://127.0.0.1/"}, "agent.url must be such as"),
        ({"url": "127.0.0.1:80"}, "agent.url must be such as"),
        ({"url": "http://127.0.0.1:99999/"}, "agent.url must be such as"),
        ({"url": 3}, "agent.url must be such as"),
        ({"url": "http://10.0.0.1/", "hosts": "10.0.0.1"}, "agent.hosts must be a list"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused(given: dict[str, object], said: str) -> None:
    """Whoever is sent all that is observed has to be named; the secret is not repeated."""
    with pytest.raises(RecipeError, match=said) as raised:
        make_agent(spot({"name": "agents.http", **given}))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://127.0.0.1:1/", []), ("http://[::1]:1/x", []), ("http://localhost/", []),
        ("https://example.org/decide?a=b", ["example.org"]), ("http://127.8.8.8", []),
    ],
)  # fmt: skip
def test_loopback_and_named_hosts_are_allowed(url: str, hosts: list[str]) -> None:
    """The agent is made; nothing is asked yet."""
    make_agent(spot({"name": "agents.http", "url": url, "hosts": hosts}))


@pytest.mark.slow
@pytest.mark.parametrize("bars", [12, None])
def test_a_served_agent_keeps_to_the_contract(bars: int | None) -> None:
    """In ordinary and unpleasant worlds, asked over HTTP, by a window or all that there is."""
    with serving("sma_cross", {"fast": 3, "slow": 9}, bars=bars) as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 60_000}
        findings = check_contract(lambda: make_agent(spot(agent)), spot(None))
    assert [finding for finding in findings if not finding.passed] == []
