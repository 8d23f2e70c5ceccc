"""From a description to an exchange that is served: sources, speeds, TLS, and a recorded day."""

import shutil
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from sandbox_clients import CCXT, KEY, SECRET, START_MS, RawClient, close, spot_client, urls, wavy

from seawall.errors import ExchangeError, RecipeError, SeriesNotFound
from seawall.market.catalog import Catalog
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.opening import Opening, describe, open_exchange
from seawall.sandbox.server import Server, ServerThread
from seawall.units import DAY_MS, MINUTE_MS, to_time_ms

NOW_MS = to_time_ms("2026-11-27T09:41")
ETH = "ETH/USDT"


def opened(opening: Opening, catalog: Catalog) -> tuple[Exchange, int]:
    """Return an exchange with an account, and its shift."""
    made, shift_ms = open_exchange(opening, catalog, now_ms=NOW_MS, settings=Settings(limits=None))
    made.open_account("alice", key=KEY, secret=SECRET, balances={"USDT": 1e6, "ETH": 1e3})
    return made, shift_ms


def test_history_goes_on_now_at_the_walls_speed(tmp_path: Path) -> None:
    """Candles of August 2024 are served as today's, at the same hour of the day."""
    catalog = Catalog(tmp_path)
    source = wavy(3000)
    catalog.write(source, fetched_ms=None)
    made, shift_ms = opened(Opening(markets=("test/ETH/USDT/1m",)), catalog)
    assert shift_ms % DAY_MS == 0
    assert 0 <= made.clock.now_ms() - NOW_MS < MINUTE_MS
    row = RawClient(made).public("/api/v3/klines", symbol="ETHUSDT", interval="1m", limit=2)[0]
    at = int(np.searchsorted(source.time_ms, row[0] - shift_ms))
    assert row[0] - shift_ms == source.time_ms[at]
    assert float(row[4]) == source.close[at]
    assert "ETH/USDT (ETHUSDT)" in describe(made, shift_ms)[0]


def test_an_exchange_that_is_stepped_lives_in_its_own_time(tmp_path: Path) -> None:
    """No shift: the clock starts at the moment of history that was asked for."""
    catalog = Catalog(tmp_path)
    catalog.write(wavy(300), fetched_ms=None)
    since_ms = START_MS + 100 * MINUTE_MS
    opening = Opening(markets=("test/ETH/USDT/1m",), since_ms=since_ms, speed=0.0)
    made, shift_ms = opened(opening, catalog)
    assert (made.clock.now_ms(), shift_ms) == (since_ms, 0)


def test_simulated_markets_have_a_past_and_a_future(tmp_path: Path) -> None:
    """A week of warm-up before now and a month after it, the same for one seed."""
    opening = Opening(markets=("simulated:ETH/USDT", "simulated:BTC/USDT@5m"), days=2)
    made, _ = opened(opening, Catalog(tmp_path))
    eth, btc = made.all_markets
    assert (eth.timeframe_ms, btc.timeframe_ms) == (MINUTE_MS, 5 * MINUTE_MS)
    assert eth.candles.time_ms[0] <= NOW_MS - 6 * DAY_MS
    assert eth.candles.time_ms[-1] >= NOW_MS + DAY_MS
    again, _ = opened(opening, Catalog(tmp_path))
    assert again.all_markets[0].candles.sha256() == eth.candles.sha256()


@pytest.mark.parametrize(
    ("market", "error"),
    [
        ("ETHUSDT", RecipeError),
        ("simulated:ETH", RecipeError),
        ("test/ETH/USDT/1m", SeriesNotFound),
    ],
)
def test_markets_that_are_not_there_are_refused(
    tmp_path: Path, market: str, error: type[Exception]
) -> None:
    """With a message that says how a market is named, or how it is fetched."""
    with pytest.raises(error):
        opened(Opening(markets=(market,)), Catalog(tmp_path))
    with pytest.raises(RecipeError, match="must list a market"):
        opened(Opening(markets=()), Catalog(tmp_path))


def test_an_unmodified_client_trades_at_the_walls_speed(tmp_path: Path) -> None:
    """Nothing of it is changed but the URLs: it signs with the wall's clock, and is answered."""
    opening = Opening(markets=("simulated:ETH/USDT",), days=1)
    made, _ = open_exchange(opening, Catalog(tmp_path), now_ms=int(time.time() * 1000))
    made.open_account("alice", key=KEY, secret=SECRET, balances={"USDT": 1e6})
    with ServerThread(Server(made)) as thread:
        client: Any = CCXT.binance({"urls": {"api": urls(thread.url)}, "apiKey": KEY})
        client.secret, client.session.trust_env = SECRET, False
        assert client.create_order(ETH, "market", "buy", 1)["status"] == "closed"
        last = client.fetch_ohlcv(ETH, "1m", limit=1)[0]
        assert 0 <= client.milliseconds() - last[0] < 2 * MINUTE_MS
        close(client)


def test_two_servers_do_not_share_a_port(tmp_path: Path) -> None:
    """The second is refused with the port's number and the remedy."""
    made, _ = opened(Opening(markets=("simulated:ETH/USDT",), days=1), Catalog(tmp_path))
    with ServerThread(Server(made)) as first:
        port = int(first.url.rpartition(":")[2])
        second = ServerThread(Server(made, port=port))
        with pytest.raises(ExchangeError, match=f"{port} is not to be had"), second:
            pass


def test_it_speaks_tls(tmp_path: Path) -> None:
    """With a certificate and a key it is HTTPS, and the client checks the certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not here")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    line += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *line.split(), "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    made, _ = opened(Opening(markets=("simulated:ETH/USDT",), days=1), Catalog(tmp_path))
    with ServerThread(Server(made, tls=tls)) as thread:
        assert thread.url.startswith("https://127.0.0.1:")
        url = f"{thread.url}/api/v3/time"
        answer = requests.get(url, verify=str(cert), timeout=10)
        assert abs(answer.json()["serverTime"] - NOW_MS) < MINUTE_MS


@pytest.mark.slow
def test_a_recorded_day_is_replayed_as_it_was(shared_data: Path, tmp_path: Path) -> None:
    """A day of 5-minute ETH, stepped through ccxt: each kline is the file's, each fill possible.

    Every fill of a resting order lies inside the bar that was trading then, at the order's price.
    """
    path = shared_data / "candles" / "binance" / "ETH-USDT-5m.parquet"
    since_ms = to_time_ms("2024-08-05")
    opening = Opening(markets=(str(path),), since_ms=since_ms, speed=0.0)
    made, _ = opened(opening, Catalog(tmp_path))
    source = made.all_markets[0].candles.between(since_ms, since_ms + DAY_MS)
    with ServerThread(Server(made)) as thread:
        client: Any = spot_client(thread)
        for _ in range(48):
            last = client.fetch_ticker(ETH)["last"]
            for side, away in (("buy", 0.995), ("sell", 1.005)):
                client.create_order(ETH, "limit", side, 1.5, round(last * away, 2))
            thread.step(30 * MINUTE_MS)
        rows = client.fetch_ohlcv(ETH, "5m", since=since_ms, limit=288)
        orders = {one["id"]: one for one in client.fetch_orders(ETH)}
        trades = client.fetch_my_trades(ETH)
        close(client)
    expected = np.column_stack(
        [source.time_ms, source.open, source.high, source.low, source.close, source.volume]
    )
    assert np.array_equal(np.array(rows), expected)
    assert len(trades) > 20
    for trade in trades:
        bar = int(np.searchsorted(source.time_ms, trade["timestamp"], "right")) - 1
        assert trade["price"] == orders[trade["order"]]["price"]
        assert source.low[bar] <= trade["price"] <= source.high[bar]
