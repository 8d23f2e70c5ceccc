"""``seawall sandbox``: it serves what it says, survives a restart, and repeats no secret."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from sandbox_clients import CCXT, CCXT_PRO, close

from seawall.cli.sandbox import client_urls, read_account
from seawall.errors import RecipeError

ACCOUNT = "key-of-alice:secret-of-alice:USDT=1000,ETH=2.5"
FAULTS = '[[fault]]\npath = "/api/v3/time$"\nstatus = 503\nbody = "{}"\n'


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Give the JSON and the lines of a running ``seawall sandbox``, and stop it with SIGTERM."""
    command = [sys.executable, "-m", "seawall", "sandbox", "--port", "0", "--json", *arguments]
    environment = {**os.environ, "SEAWALL_DATA": str(folder / "catalog")}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=said
        )
    assert process.stdout is not None
    try:
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, (folder / "said").read_text()
            text += line
        yield json.loads(text), (folder / "said").read_text().splitlines()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()


def client(answer: dict[str, Any]) -> Any:
    """Return an unmodified ccxt client, pointed as the command says."""
    made = CCXT.binance(
        {
            "urls": {"api": answer["urls"]}, "enableRateLimit": False,
            "apiKey": "key-of-alice", "secret": "secret-of-alice",
            "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}},
        }
    )  # fmt: skip
    made.session.trust_env = False
    return made


@pytest.mark.slow
def test_ccxt_trades_on_it_and_a_restart_remembers(tmp_path: Path) -> None:
    """An order and what is left of the money are there after a stop and a start on one file."""
    arguments = ("--market", "simulated:ETH/USDT", "--state", str(tmp_path / "state"))
    with running(tmp_path, *arguments, "--account", ACCOUNT) as (answer, said):
        assert any("ETH/USDT (ETHUSDT)" in line for line in said)
        assert "secret-of-alice" not in " ".join(said)
        first = client(answer)
        order = first.create_order("ETH/USDT", "market", "sell", 0.5)
        candles = first.fetch_ohlcv("ETH/USDT", "1m", limit=5)
        held = first.fetch_balance()["total"]
        close(first)
    with running(tmp_path, *arguments) as (answer, _):
        second = client(answer)
        assert second.fetch_balance()["total"] == held
        assert second.fetch_order(order["id"], "ETH/USDT")["status"] == "closed"
        assert [row for row in second.fetch_ohlcv("ETH/USDT", "1m") if row in candles[:-1]]
        close(second)
    said_no = subprocess.run(
        [sys.executable, "-m", "seawall", "sandbox", *arguments, "--seed", "9"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert said_no.returncode == 2
    assert "a state belongs to the markets" in said_no.stderr


@pytest.mark.slow
def test_faults_and_the_operator(tmp_path: Path) -> None:
    """A script strikes once; the operator's token opens /_admin; a stepped clock moves by it."""
    script = tmp_path / "faults.toml"
    script.write_text(FAULTS)
    arguments = ("--speed", "0", "--token", "operator", "--faults", str(script))
    with running(tmp_path, *arguments) as (answer, said):
        assert any("stepped" in line for line in said)
        url = answer["url"]
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(f"{url}/api/v3/time").status_code == 503
            before = session.get(f"{url}/api/v3/time").json()["serverTime"]
            header = {"X-Sandbox-Token": "operator"}
            session.post(f"{url}/_admin/step", json={"ms": 60_000}, headers=header)
            assert session.get(f"{url}/api/v3/time").json()["serverTime"] == before + 60_000


@pytest.mark.parametrize(
    "text", ["", "alice", "alice:", ":s", "alice:s3cr3t:USDT", "a:s3cr3t:X=-1"]
)
def test_an_account_that_is_none_is_refused(text: str) -> None:
    """With how to write one, and without its secret."""
    with pytest.raises(RecipeError, match="alice:her-secret") as caught:
        read_account(text)
    assert "s3cr3t" not in str(caught.value)


def test_an_account_has_a_spot_and_a_futures_wallet() -> None:
    """``futures=`` in the place of an asset pays into the other wallet."""
    made = read_account("alice:s:USDT=1000,ETH=2.5,futures=500")
    assert (made.balances, made.futures) == ({"USDT": 1000.0, "ETH": 2.5}, 500.0)


@pytest.mark.slow
def test_a_new_state_has_an_account_and_keeps_its_money(tmp_path: Path) -> None:
    """Without ``--account`` there is one to begin with, with both wallets; not a second time."""
    arguments = ("--market", "simulated:ETH/USDT:USDT", "--state", str(tmp_path / "state"))
    held = []
    for amount in (100_000.0, 99_000.0):
        with running(tmp_path, *arguments) as (answer, said):
            assert [line.split() for line in said if line.startswith("account")] == [
                ["account", "demo-account"]
            ]
            made = CCXT.binanceusdm({"urls": {"api": answer["urls"]}, "enableRateLimit": False})
            made.apiKey, made.secret = "demo-account", "demo-secret"
            made.session.trust_env = False
            assert made.fetch_balance()["USDT"]["free"] == amount
            made.sapi_post_asset_transfer(
                {"type": "UMFUTURE_MAIN", "asset": "USDT", "amount": "1000"}
            )
            held.append(made.fetch_balance()["USDT"]["free"])
            close(made)
    assert held == [99_000.0, 98_000.0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://127.0.0.1:8443"])
@pytest.mark.parametrize("part", ["api", "test", "demo"])
@pytest.mark.parametrize("name", ["binance", "binanceusdm"])
def test_no_url_of_ccxt_leads_elsewhere(url: str, part: str, name: str) -> None:
    """Ccxt lays what it is given over its own table: whatever was left out would be production."""

    def flat(table: dict[str, Any]) -> Iterator[str]:
        for one in table.values():
            if isinstance(one, dict):
                yield from flat(one)
            else:
                yield one

    made = getattr(CCXT_PRO, name)({"urls": {part: client_urls(url)}})
    found = [urlsplit(one) for one in flat(made.urls[part])]
    assert len(found) > 20
    assert {one.hostname for one in found} == {"127.0.0.1"}
    assert {one.port for one in found} == {urlsplit(url).port}
