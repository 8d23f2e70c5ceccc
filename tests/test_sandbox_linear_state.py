"""What of the futures desk survives a restart, and an exchange that is killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from linear_sandboxes import (
    BTC_CODE,
    BTC_PERP,
    CODE,
    PERP,
    algo,
    funding,
    get,
    imbalance,
    order,
    perpetuals,
)
from sandbox_clients import (
    CCXT,
    KEY,
    KEY_BOB,
    SECRET,
    SECRET_BOB,
    START_MS,
    RawClient,
    close,
    step,
    urls,
    wavy,
)
from test_sandbox_linear_life import isolate, seen

from seawall.market.catalog import Catalog
from seawall.sandbox.clock import Clock
from seawall.sandbox.contract import make_contract
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.opening import Opening, _read
from seawall.sandbox.reopening import Member, Opened, open_saved
from seawall.sandbox.state import State, saved_time_ms
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, to_time_ms

WALL_MS = to_time_ms("2026-11-27T09:41")
CHILD = Path(__file__).with_name("sandbox_process.py")


def lived(start_ms: int = START_MS) -> Exchange:
    """Return an exchange with two perpetuals, hourly funding and two accounts."""
    eth, btc = wavy(600, PERP), wavy(600, BTC_PERP, 60_000.0)
    rates = funding([0.0003, -0.0001] * 5, first_ms=START_MS + HOUR_MS, interval="1h")
    contract = make_contract(eth, funding=rates)
    return perpetuals(eth, btc, contract=contract, futures=3_000.0, start_ms=start_ms)


def trade(made: Exchange, state: State | None, n: int) -> None:
    """Let both accounts do a bit of everything, with time in between."""
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    isolate(bob, 100)
    for i in range(n):
        order(alice, "BUY", "MARKET", quantity="1")
        order(bob, "SELL", "MARKET", quantity="2")
        order(alice, "SELL", "MARKET", symbol=BTC_CODE, quantity="0.02")
        order(bob, "BUY", "LIMIT", quantity="1", price=f"{2999 - i}.50", timeInForce="GTC")
        algo(alice, "SELL", "TRAILING_STOP_MARKET", callbackRate="0.4", quantity="0.5")
        algo(bob, "BUY", "STOP_MARKET", triggerPrice="3026", closePosition="true")
        alice.signed("POST", "/sapi/v1/asset/transfer", type="MAIN_UMFUTURE", asset="USDT",
                     amount="10.5")  # fmt: skip
        step(made, 13 * MINUTE_MS)
        if state is not None:
            state.flush()


def test_a_restarted_desk_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Killed without a goodbye and started from its file, it sees and does the same as one that ran
    through: fills, funding, liquidations, trailing stops, to the last digit.
    """  # noqa: D205 - one sentence, over two lines
    path = tmp_path / "exchange.sqlite"
    whole, first = lived(), lived()
    trade(whole, None, 5)
    killed = State(path, first)
    trade(first, killed, 5)
    killed._file.close()  # without what a stop writes
    second = lived(first.clock.now_ms())
    state = State(path, second)
    assert seen(second) == seen(whole)
    for made in (whole, second):
        step(made, 5 * HOUR_MS)
    assert seen(second) == seen(whole)
    assert second.linear.house.to_list() == whole.linear.house.to_list()
    assert np.array_equal(second.linear.house.holdings, whole.linear.house.holdings)
    kinds = {one["incomeType"] for one in get(RawClient(second), "/fapi/v1/income", limit=1000)}
    assert {"FUNDING_FEE", "COMMISSION", "REALIZED_PNL", "TRANSFER"} <= kinds
    assert abs(imbalance(second)) < 1e-6
    state.close()


def test_a_trailing_stop_remembers_how_far_the_price_had_come(tmp_path: Path) -> None:
    """The best price is kept although nothing but the path has touched the order since."""
    path = tmp_path / "exchange.sqlite"
    first = lived()
    state = State(path, first)
    alice = RawClient(first)
    order(alice, "BUY", "MARKET", quantity="1")
    algo(alice, "SELL", "TRAILING_STOP_MARKET", callbackRate="5", quantity="1")
    state.flush()
    step(first, 200 * MINUTE_MS)
    order(RawClient(first, KEY_BOB, SECRET_BOB), "BUY", "MARKET", quantity="1")
    state.flush()
    best = first.linear.waiting[CODE][0].extreme
    assert best > first.linear.markets[CODE].price
    state._file.close()
    second = lived(first.clock.now_ms())
    again = State(path, second)
    assert second.linear.waiting[CODE][0].extreme == best
    again.close()


def opened(tmp_path: Path, now_ms: int) -> Opened:
    """Return the simulated exchange of a file, at the wall's speed."""
    return open_saved(
        Opening(markets=("simulated:ETH/USDT", f"simulated:{PERP}"), days=3),
        Catalog(tmp_path / "catalog"),
        now_ms=now_ms,
        members=[Member(name="alice", key=KEY, secret=SECRET, balances={"USDT": 1e5},
                        futures=1e4)],
        path=tmp_path / "exchange.sqlite",
        settings=Settings(limits=None),
    )  # fmt: skip


def test_an_exchange_goes_on_where_its_file_was_last_written(tmp_path: Path) -> None:
    """A day later the history is the same, and what happened meanwhile is found done."""
    first = opened(tmp_path, WALL_MS)
    alice, state = RawClient(first.exchange), first.state
    assert state is not None
    bought = order(alice, "BUY", "MARKET", quantity="1")[1]
    price = first.exchange.linear.markets[CODE].price // 10**8 - 40
    order(alice, "BUY", "LIMIT", quantity="0.5", price=str(price), timeInForce="GTC")
    state.flush()
    history = first.exchange.linear.markets[CODE].candles.sha256()
    saved_ms = saved_time_ms(tmp_path / "exchange.sqlite")
    assert saved_ms is not None and 0 <= saved_ms - WALL_MS < MINUTE_MS  # noqa: PT018
    state._file.close()
    hasty = opened(tmp_path, WALL_MS + DAY_MS).state  # killed before anything has happened
    assert hasty is not None
    hasty._file.close()
    again = opened(tmp_path, WALL_MS + DAY_MS)
    assert again.exchange.linear.markets[CODE].candles.sha256() == history
    assert again.shift_ms == first.shift_ms
    late = RawClient(again.exchange)
    found = get(late, "/fapi/v1/order", symbol=CODE, orderId=bought["orderId"])
    assert found == bought
    stamps = get(late, "/fapi/v1/income", incomeType="FUNDING_FEE")
    assert len(stamps) == 3
    assert [one["time"] % (8 * HOUR_MS) for one in stamps] == [0, 0, 0]
    assert again.state is not None
    again.state.close()


def test_the_clock_runs_while_history_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading each market takes 1.5 seconds: the exchange's time is then three seconds later."""
    seconds = [0.0]

    def read_slowly(*given: Any, **named: Any) -> Any:
        seconds[0] += 1.5
        return _read(*given, **named)

    def clock(start_ms: int, *, speed: float = 1.0) -> Clock:
        return Clock(start_ms, speed=speed, monotonic=lambda: seconds[0])

    monkeypatch.setattr("seawall.sandbox.opening._read", read_slowly)
    monkeypatch.setattr("seawall.sandbox.opening.Clock", clock)
    made = opened(tmp_path, WALL_MS)
    assert made.exchange.clock.now_ms() == WALL_MS + 3_000
    assert made.state is not None
    made.state.close()


class Process:
    """An exchange in a process of its own, with its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and wait for its address."""
        self.child = subprocess.Popen(
            [sys.executable, str(CHILD), str(self._folder)],
            stdout=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
        assert self.child.stdout is not None
        self.url = self.child.stdout.readline().strip()
        assert self.url.startswith("http"), self.url

    def kill(self) -> None:
        """Kill it without a word."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        if self.child.stdout is not None:
            self.child.stdout.close()


def act(clients: dict[str, Any], number: int, done: dict[str, list[str]]) -> None:
    """Place an order of either market; note its id once the exchange has answered."""
    market = "spot" if number % 2 else "linear"
    symbol = "ETH/USDT" if number % 2 else PERP
    client_id = f"mine-{number}"
    side = "buy" if number % 4 < 2 else "sell"
    params = {"clientOrderId": client_id}
    done["sent"].append(client_id)
    made = clients[market].create_order(symbol, "market", side, 0.01, None, params)
    assert made["status"] == "closed"
    done["answered"].append(client_id)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """Start an exchange in a process of its own; it ends with the test."""
    made = Process(tmp_path)
    yield made
    made.kill()


@pytest.mark.slow
def test_a_killed_exchange_has_lost_nothing_that_it_answered(process: Process) -> None:
    """Killed eight times amid orders, on spot and perpetuals: every order that was answered is
    there once, filled, and the books of both add up.
    """  # noqa: D205 - one sentence, over two lines
    rng = np.random.default_rng(5)
    number = 0
    done: dict[str, list[str]] = {"sent": [], "answered": []}
    for _ in range(8):
        clients = connected(process.url)
        for _ in range(int(rng.integers(10, 40))):
            act(clients, number, done)
            number += 1
        kill_amid(process, clients, number, done)
        number += 1
        process.start()
    clients = connected(process.url)
    found: list[Any] = []
    for market, symbol in (("spot", "ETH/USDT"), ("linear", PERP)):
        orders = clients[market].fetch_orders(symbol, limit=1000)
        assert {one["status"] for one in orders} == {"closed"}
        found += [one["clientOrderId"] for one in orders]
    assert len(found) == len(set(found))
    assert set(done["answered"]) <= set(found) <= set(done["sent"])
    assert len(done["answered"]) > 100
    check_books(clients, process.url)
    for client in clients.values():
        close(client)


def connected(url: str) -> dict[str, Any]:
    """Return clients of both markets on the wall's clock."""
    config = {"urls": {"api": urls(url)}, "apiKey": KEY, "secret": SECRET,
              "enableRateLimit": False}  # fmt: skip
    clients = {"spot": CCXT.binance({**config, "options": {"defaultType": "spot"}}),
               "linear": CCXT.binanceusdm(config)}  # fmt: skip
    for client in clients.values():
        client.session.trust_env = False
        client.load_markets()
    return clients


def kill_amid(
    process: Process, clients: dict[str, Any], number: int, done: dict[str, list[str]]
) -> None:
    """Kill the exchange while a request is on its way."""
    killer = threading.Timer(0.002 * (number % 5), process.kill)
    killer.start()
    with suppress(Exception):  # whatever a client makes of a dead exchange
        act(clients, number, done)
    killer.join()
    for client in clients.values():
        close(client)


def check_books(clients: dict[str, Any], url: str) -> None:
    """Compare wallets with the trades that the exchange shows."""
    trades = clients["linear"].fetch_my_trades(PERP, limit=1000)
    held = sum(one["amount"] * (1 if one["side"] == "buy" else -1) for one in trades)
    positions = clients["linear"].fetch_positions([PERP])
    signed = sum(one["contracts"] * (1 if one["side"] == "long" else -1) for one in positions)
    assert signed == pytest.approx(held, abs=1e-9)
    wallet = float(clients["linear"].fetch_balance()["info"]["totalWalletBalance"])
    income = clients["linear"].fapiPrivateGetIncome({"limit": 1000})
    if len(income) < 1000:
        assert wallet == pytest.approx(sum(float(one["income"]) for one in income), abs=1e-4)
    state = requests.get(
        f"{url}/_admin/state", headers={"X-Sandbox-Token": "operator"}, timeout=5
    ).json()
    spot = clients["spot"].fetch_my_trades("ETH/USDT", limit=1000)
    bought = sum(one["amount"] * (1 if one["side"] == "buy" else -1) for one in spot)
    fees = sum(one["fee"]["cost"] for one in spot if one["fee"]["currency"] == "ETH")
    owned = float(state["accounts"]["alice"]["ETH"])
    assert owned == pytest.approx(10 + bought - fees, abs=1e-7)
    assert json.dumps(state)
