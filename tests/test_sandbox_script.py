"""Scripts of what goes wrong: faults and the operator's verbs, at times of the exchange."""

import asyncio
import json
import time
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import requests
from sandbox_clients import CCXT, KEY, START_MS, close, exchange, spot_client, wavy

from seawall.errors import RecipeError
from seawall.sandbox.faults import Faults
from seawall.sandbox.market import Liquidity
from seawall.sandbox.script import Script, read_script
from seawall.sandbox.server import Server, ServerThread
from seawall.sandbox.verbs import SCRIPTED
from seawall.units import HOUR_MS, MINUTE_MS, to_time_ms

ETH = "ETH/USDT"
TOKEN = KEY.replace("key", "operator")


def read(text: str) -> Script:
    """Read a script of an exchange that opens at the start of the candles."""
    return read_script(text, begin_ms=START_MS, verbs=SCRIPTED)


def test_a_fault_strikes_between_its_times() -> None:
    """As often as it says, from its start and before its end."""
    text = """
    [[fault]]
    path = "/api/v3/order"
    status = 503
    body = "{}"
    n = 2
    at = "2024-08-05T01:00"
    until = "2024-08-05T02:00"
    """
    (fault,) = read(text).faults
    faults = Faults()
    faults.add(fault)
    one = to_time_ms("2024-08-05T01:00")
    assert faults.take("POST", "/api/v3/order", one - 1) is None
    assert faults.take("POST", "/api/v3/klines", one) is None
    assert faults.take("POST", "/api/v3/order", one) is fault
    assert faults.take("POST", "/api/v3/order", one + 1) is fault
    assert faults.take("POST", "/api/v3/order", one + 2) is None


def test_times_count_from_the_opening_or_are_dates() -> None:
    """``after`` and ``for`` are durations; TOML's own dates and times are read too."""
    script = read(
        """
        [[do]]
        verb = "clear"
        at = 2024-08-05T03:00:00
        [[do]]
        verb = "skew"
        after = "2h"
        ms = 5
        [[fault]]
        after = "10m"
        for = "5m"
        [[fault]]
        for = "1m"
        """
    )
    assert [act.time_ms - START_MS for act in script.acts] == [2 * HOUR_MS, 3 * HOUR_MS]
    assert script.acts[0].table == {"ms": 5}
    spans = [(one.since_ms, one.until_ms) for one in script.faults]
    begin_ms = START_MS + 10 * MINUTE_MS
    assert spans == [(begin_ms, begin_ms + 5 * MINUTE_MS), (0, START_MS + MINUTE_MS)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[fault]\npath = 'x'", "double the brackets"),
        ("[[faults]]\npath = 'x'", "not 'faults'"),
        ("no toml", "this is not"),
        ("[[do]]\nverb = 'step'\nafter = '1m'", "is 'step'"),
        ("[[do]]\nverb = 'clear'", "at or after"),
        ("[[do]]\nverb = 'clear'\nafter = '1m'\nfor = '1m'", "neither until nor for"),
        ("[[do]]\nverb = 'clear'\nafter = 'soon'", "duration"),
        ("[[fault]]\nat = '2024-01-01'\nafter = '1m'", "said once"),
        ("[[fault]]\nuntil = 'never'", "ISO date"),
        ("[[fault]]\nsince = 3", "not 'since'"),
    ],
)
def test_what_is_no_script_is_refused(text: str, part: str) -> None:
    """With the rule and the remedy, before the exchange opens."""
    with pytest.raises(RecipeError, match=part):
        read(text)


def test_an_hour_of_trouble_happens_on_time() -> None:
    """Skew, maintenance, thin books, a crash, each seen by an unmodified client when it is due."""
    made = exchange(wavy(300), start_ms=START_MS)
    server = Server(made, token=TOKEN)
    server.follow(
        read(
            f"""
            [[do]]
            verb = "skew"
            after = "10m"
            ms = 20000
            [[do]]
            verb = "clear"
            after = "20m"
            [[do]]
            verb = "maintenance"
            after = "30m"
            on = true
            [[do]]
            verb = "clear"
            after = "40m"
            [[do]]
            verb = "liquidity"
            after = "41m"
            symbol = "{ETH}"
            level_notional = 10
            n_levels = 2
            [[do]]
            verb = "price"
            after = "50m"
            symbol = "{ETH}"
            factor = 0.5
            [[do]]
            verb = "price"
            after = "55m"
            symbol = "NO/USDT"
            factor = 0.5
            """
        )
    )
    with ServerThread(server) as thread:
        client: Any = spot_client(thread)
        client.load_markets()
        before = client.fetch_ticker(ETH)["last"]
        thread.step(9 * MINUTE_MS)
        assert client.fetch_balance()["ETH"]["total"] == 100.0
        thread.step(MINUTE_MS)
        with pytest.raises(CCXT.InvalidNonce):
            client.fetch_balance()
        thread.step(10 * MINUTE_MS)
        assert client.fetch_balance()["ETH"]["total"] == 100.0
        thread.step(10 * MINUTE_MS)
        with pytest.raises(CCXT.OnMaintenance):
            client.fetch_time()
        thread.step(12 * MINUTE_MS)
        book = client.fetch_order_book(ETH)
        assert len(book["bids"]) == 2
        order = client.create_order(ETH, "market", "buy", 1)
        assert (order["status"], order["filled"] < 0.02) == ("expired", True)  # a part of it
        thread.step(18 * MINUTE_MS)
        assert client.fetch_ticker(ETH)["last"] < 0.55 * before
        close(client)
        state = requests.get(
            f"{thread.url}/_admin/state", headers={"X-Sandbox-Token": TOKEN}, timeout=10
        ).json()
    assert state["script"]["left"] == 0
    assert "NO/USDT" in state["script"]["failed"][0]


def test_a_running_clock_does_what_is_due_while_nobody_asks() -> None:
    """At a thousand times the wall a minute of history is over in a blink."""
    server = Server(exchange(wavy(300), start_ms=START_MS, speed=1_000.0), token=TOKEN)
    server.follow(read("[[do]]\nverb = 'maintenance'\nafter = '1m'\non = true"))
    with ServerThread(server) as thread:
        end = time.monotonic() + 20
        while not thread.call(lambda: server.exchange.is_in_maintenance):
            assert time.monotonic() < end, "nothing has happened"
            time.sleep(0.005)


def test_streams_are_cut_and_their_events_lost_doubled_and_swapped_on_time() -> None:
    """Over a real WebSocket: trade numbers show what was lost, sent twice and out of order."""
    made = exchange(wavy(300), start_ms=START_MS, liquidity=Liquidity(n_prints=12))
    server = Server(made, token=TOKEN)
    server.follow(
        read(
            """
            [[do]]
            verb = "events"
            after = "1m"
            kind = "duplicate"
            n = 1
            [[do]]
            verb = "events"
            after = "2m"
            kind = "lose"
            n = 2
            [[do]]
            verb = "events"
            after = "3m"
            kind = "swap"
            n = 1
            [[do]]
            verb = "sockets"
            after = "5m"
            how = "close"
            """
        )
    )

    async def run(thread: ServerThread) -> list[int]:
        url = f"{thread.url}/stream/ws/ethusdt@trade"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await asyncio.to_thread(thread.step, 10 * MINUTE_MS)
            heard = [json.loads(message.data)["t"] async for message in socket]
            assert socket.close_code == 1001
        return heard

    with ServerThread(server) as thread:
        heard = asyncio.run(asyncio.wait_for(run(thread), 20))
    numbers = [number - heard[0] for number in heard]
    doubled = [b for a, b in pairwise(numbers) if a == b]
    swapped = [b for a, b in pairwise(numbers) if b < a]
    missing = set(range(numbers[-1])) - set(numbers)
    assert (len(doubled), len(swapped), len(missing)) == (1, 1, 2)
    assert doubled[0] // 12 == 1
    assert {number // 12 for number in missing} == {2}
    assert swapped[0] // 12 == 3
    assert numbers[-1] // 12 == 4
