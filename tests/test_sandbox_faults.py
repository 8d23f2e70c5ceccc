"""Faults on demand: each row of what networks and exchanges do, as unmodified ccxt shows it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from sandbox_clients import CCXT, KEY, START_MS, close, exchange, spot_client, wavy

from seawall.errors import RecipeError
from seawall.sandbox.faults import Fault, Faults, read_fault
from seawall.sandbox.server import Server, ServerThread
from seawall.sandbox.spot_json import JsonDict
from seawall.units import MINUTE_MS

ETH, ID = "ETH/USDT", {"clientOrderId": "mine"}
TOKEN = KEY.replace("key", "operator")
UNKNOWN = '{"code":-1000,"msg":"Unknown error, please check your request or try again later."}'


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Serve a market whose operator has a token."""
    made = exchange(wavy(300), start_ms=START_MS + 100 * MINUTE_MS)
    with ServerThread(Server(made, token=TOKEN)) as running:
        yield running


@pytest.fixture
def client(thread: ServerThread) -> Iterator[Any]:
    """Return a client that has loaded its markets in peace."""
    made: Any = spot_client(thread)
    made.load_markets()
    yield made
    close(made)


def operate(thread: ServerThread, verb: str, **table: object) -> Any:
    """Return the operator's answer."""
    answer = requests.post(
        f"{thread.url}/_admin/{verb}",
        data=json.dumps(table),
        headers={"X-Sandbox-Token": TOKEN},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def buy(client: Any) -> Any:
    """Return a resting order under the known id."""
    return client.create_order(ETH, "limit", "buy", 1, 2900, ID)


@pytest.mark.parametrize(
    ("fault", "error", "truth"),
    [
        (Fault(is_drop=True), "NetworkError", "gone"),
        (Fault(is_drop=True, stage="after"), "NetworkError", "live"),
        (Fault(delay_s=1.0), "RequestTimeout", "late"),
        (Fault(delay_s=1.0, stage="after"), "RequestTimeout", "live"),
        (Fault(status=503, body=UNKNOWN), "OperationFailed", "gone"),
        (Fault(status=503, body=UNKNOWN, stage="after"), "OperationFailed", "live"),
        (Fault(status=503, body='{"code":-1008,"msg":"x"}'), "ExchangeError", "gone"),
        (Fault(status=500, body="<html>no</html>", stage="after"), "ExchangeNotAvailable", "live"),
        (Fault(status=403, body="<html>no</html>"), "ExchangeNotAvailable", "gone"),
        (Fault(status=504, body="", stage="after"), "RequestTimeout", "live"),
        (Fault(status=429, body='{"code":-1003,"msg":"x"}'), "DDoSProtection", "gone"),
        (Fault(status=418, body='{"code":-1003,"msg":"x"}'), "DDoSProtection", "gone"),
        (
            Fault(status=400, body='{"code":-1007,"msg":"x"}', stage="after"),
            "RequestTimeout",
            "live",
        ),
    ],
)
def test_what_a_fault_shows_and_what_is_true_are_two_things(
    thread: ServerThread, client: Any, fault: Fault, error: str, truth: str
) -> None:
    """The error that ccxt raises, and whether the order is live, which only a query can tell."""
    fault.path, fault.method = "/order$", "POST"
    thread.call(lambda: thread.server.faults.add(fault))
    client.timeout = 300 if fault.delay_s else 10_000
    with pytest.raises(getattr(CCXT, error)):
        buy(client)
    client.timeout = 10_000
    if truth == "late":
        return  # accepted once the delay is over: a late accept is possible after a timeout
    if truth == "live":
        assert client.fetch_order(None, ETH, ID)["status"] == "open"
        with pytest.raises(CCXT.InvalidOrder, match="Duplicate order sent"):
            buy(client)
    else:
        with pytest.raises(CCXT.OrderNotFound):
            client.fetch_order(None, ETH, ID)
        assert buy(client)["status"] == "open"  # the fault struck once


@pytest.mark.parametrize("keep_bytes", [0, 25])
def test_a_cut_answer_looks_like_nothing_while_the_order_is_live(
    thread: ServerThread, client: Any, keep_bytes: int
) -> None:
    """A 200 with half a body: no id for the order, an empty wallet, and no error at all."""
    cut = Fault(path="/order$", method="POST", stage="after", keep_bytes=keep_bytes)
    thread.call(lambda: thread.server.faults.add(cut))
    assert buy(client)["id"] is None
    assert client.fetch_order(None, ETH, ID)["status"] == "open"


def test_a_retry_without_a_look_buys_twice(thread: ServerThread, client: Any) -> None:
    """A filled market order's id is free again: the lost answer costs a second purchase."""
    lost = Fault(path="/order$", method="POST", stage="after", is_drop=True)
    thread.call(lambda: thread.server.faults.add(lost))
    for _ in range(2):
        try:
            client.create_order(ETH, "market", "buy", 1, None, ID)
        except CCXT.NetworkError:
            continue
    assert len(client.fetch_my_trades(ETH)) == 2


def test_maintenance_stops_all_but_the_status(thread: ServerThread, client: Any) -> None:
    """The operator closes the exchange and opens it again."""
    operate(thread, "maintenance", on=True)
    assert client.fetch_status()["status"] == "maintenance"
    with pytest.raises(CCXT.OnMaintenance):
        client.fetch_balance()
    operate(thread, "clear")
    assert client.fetch_balance()["ETH"]["total"] == 100.0


def test_a_clock_that_is_wrong_is_absorbed_only_if_asked_for(
    thread: ServerThread, client: Any
) -> None:
    """Twenty seconds of skew refuse every signature; the measured difference cures it."""
    operate(thread, "skew", ms=20_000)
    with pytest.raises(CCXT.InvalidNonce):
        client.fetch_balance()
    client.load_time_difference()
    client.options["adjustForTimeDifference"] = True
    client.nonce = lambda: client.milliseconds() - client.options["timeDifference"]
    assert client.fetch_balance()["ETH"]["total"] == 100.0


def test_the_operator_runs_the_exchange(thread: ServerThread, client: Any) -> None:
    """Clock, deposits, accounts, prices and liquidity through HTTP, and one state to look at."""
    before = operate(thread, "state")
    assert operate(thread, "step", ms=60_000)["now_ms"] == before["now_ms"] + 60_000
    assert operate(thread, "deposit", account="alice", asset="ETH", amount=5)["free"].startswith(
        "105"
    )
    operate(thread, "account", name="carol", key="key-of-carol", secret=KEY, balances={"USDT": 7})
    operate(thread, "liquidity", symbol=ETH, level_notional=10, n_levels=1)
    operate(thread, "price", symbol=ETH, factor=0.5)
    operate(thread, "step", ms=60_000)
    state = operate(thread, "state")
    assert float(state["prices"][ETH]) < 0.51 * float(before["prices"][ETH])
    assert state["accounts"]["carol"] == {"USDT": "7.00000000"}
    assert len(client.fetch_order_book(ETH)["bids"]) == 1


@pytest.mark.parametrize(
    ("verb", "body", "part"),
    [
        ("nothing", "{}", "verbs are"),
        ("step", '{"ms":"x"}', "ms is a number"),
        ("step", '{"ms":-5}', "time never returns"),
        ("fault", '{"stage":"during"}', "before or after"),
        ("fault", '{"nothing":1}', "not 'nothing'"),
        ("deposit", '{"account":"zoe","asset":"ETH","amount":1}', "is 'zoe'"),
        ("account", '{"name":"alice","key":"12345678","secret":"s"}', "'alice' is taken"),
        ("price", '{"symbol":"ETH/USDT","factor":0}', "factor > 0"),
        ("events", '{"kind":"melt","n":1}', "is 'melt'"),
        ("step", "no json", "Expecting value"),
    ],
)
def test_the_operator_is_told_what_was_wrong(
    thread: ServerThread, verb: str, body: str, part: str
) -> None:
    """Status 400 and the rule, the value and the remedy."""
    headers = {"X-Sandbox-Token": TOKEN}
    answer = requests.post(f"{thread.url}/_admin/{verb}", data=body, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert part in answer.json()["error"]


@pytest.mark.parametrize("token", ["", "wrong", KEY])
def test_nobody_else_is_the_operator(thread: ServerThread, token: str) -> None:
    """A wrong token, and an account's key, are refused; so is every token where none is set."""
    headers = {"X-Sandbox-Token": token}
    url = f"{thread.url}/_admin/state"
    assert requests.get(url, headers=headers, timeout=10).status_code == 403
    with ServerThread(Server(exchange(wavy(5)))) as bare:
        url = f"{bare.url}/_admin/state"
        assert requests.get(url, headers=headers, timeout=10).status_code == 403


def test_events_are_doubled_lost_or_swapped() -> None:
    """Each fault strikes as many messages as it was given, then all is well."""
    faults = Faults()
    faults.strike_events("duplicate", 1)
    assert [*faults.shape("a"), *faults.shape("b")] == ["a", "a", "b"]
    faults.strike_events("lose", 2)
    assert [x for text in "cde" for x in faults.shape(text)] == ["e"]
    faults.strike_events("swap", 1)
    assert [x for text in "fgh" for x in faults.shape(text)] == ["g", "f", "h"]


@pytest.mark.parametrize(
    "table", [{"status": "503"}, {"n": True, "path": 3}, {"probability": 2.0}, {"path": "("}]
)
def test_a_fault_is_checked(table: JsonDict) -> None:
    """Wrong types, ranges and expressions are refused when it is described."""
    with pytest.raises(RecipeError):
        read_fault(table)


def test_random_faults_come_from_a_seed() -> None:
    """With a probability of a half the same seed strikes the same requests."""
    struck = []
    for _ in range(2):
        faults = Faults(seed=5)
        faults.add(Fault(probability=0.5, n=0))
        struck.append([faults.take("GET", "/", 0) is not None for _ in range(50)])
    assert struck[0] == struck[1]
    assert 10 < sum(struck[0]) < 40
