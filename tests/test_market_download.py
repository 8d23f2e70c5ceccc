"""Downloads with the real ccxt client against a server that answers, and fails, as Binance does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from binance_server import BinanceServer, Fault, Row, candle_rows, client

from seawall.errors import ExchangeError
from seawall.market import download as download_module
from seawall.market import pages as pages_module
from seawall.market.catalog import Catalog
from seawall.market.download import DownloadRequest, Progress, download, open_exchange
from seawall.market.manifest import Filters, Manifest
from seawall.market.series import SeriesKey

STEP = 300_000
FIRST = 1_651_363_200_000  # 2022-05-01 00:00
N_ROWS = 620
ROWS = candle_rows(FIRST, N_ROWS + 1, "5m")  # the last one is still forming
NOW = FIRST + N_ROWS * STEP + 1_000
SPOT = "/api/v3/klines"
KEY = SeriesKey("candles", "binance", "ETH/USDT", "5m")


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page hold 100 rows, and commit every page: many pages without many rows."""
    monkeypatch.setattr(pages_module, "PAGE_ROWS", 100)
    monkeypatch.setattr(download_module, "PAGE_ROWS", 100)
    monkeypatch.setattr(download_module, "FLUSH_PAGES", 1)


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    """Serve 620 closed candles of ETH/USDT, and the one still forming."""
    with BinanceServer(now_ms=NOW) as running:
        running.add_klines(SPOT, "ETHUSDT", "5m", ROWS)
        yield running


def fetch(server: BinanceServer, folder: Path, **changes: object) -> Manifest:
    """Download ETH/USDT 5m from the first row on, without waiting."""
    asked: dict[str, object] = {"symbol": "ETH/USDT", "timeframe": "5m", "since_ms": FIRST}
    request = DownloadRequest(**(asked | changes))  # type: ignore[arg-type]
    exchange = client(server.url, request.market_type)
    return download(exchange, request, Catalog(folder), now_ms=0, sleep=lambda _: None)


def test_pages_join_into_what_the_exchange_has(server: BinanceServer, tmp_path: Path) -> None:
    """All closed candles are stored with the exchange's values and order grid, in seven pages."""
    manifest = fetch(server, tmp_path)
    candles = Catalog(tmp_path).read_candles(KEY)
    assert candles.time_ms.tolist() == [row[0] for row in ROWS[:N_ROWS]]
    for place, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        assert getattr(candles, name).tolist() == [float(row[place]) for row in ROWS[:N_ROWS]]
    assert manifest.gaps == ()
    assert manifest.fetched_ms == NOW
    assert manifest.filters == Filters(tick_size=0.01, lot_size=0.0001, min_notional=5.0)
    assert len(server.pages()) == 7


def test_the_forming_candle_is_not_stored(server: BinanceServer, tmp_path: Path) -> None:
    """A candle counts from the millisecond at which, by the exchange's clock, it closes."""
    server.now_ms = FIRST + N_ROWS * STEP - 1
    assert fetch(server, tmp_path).rows == N_ROWS - 1
    server.now_ms = FIRST + N_ROWS * STEP
    assert fetch(server, tmp_path).rows == N_ROWS


def test_only_what_is_needed_is_asked_for(server: BinanceServer, tmp_path: Path) -> None:
    """Spot needs the spot list alone; a second run asks for no rows; a later one for the new."""
    fetch(server, tmp_path)
    assert {r.split("?")[0] for r in server.requests} == {
        "/api/v3/exchangeInfo",
        "/api/v3/time",
        SPOT,
    }
    server.requests.clear()
    fetch(server, tmp_path)
    assert server.pages() == []
    server.now_ms += STEP
    assert fetch(server, tmp_path).rows == N_ROWS + 1
    assert len(server.pages()) == 1


def test_until_ends_before_its_time(server: BinanceServer, tmp_path: Path) -> None:
    """The window is half-open, and history before it is added by a later, earlier request."""
    middle, end = FIRST + 300 * STEP, FIRST + 400 * STEP
    manifest = fetch(server, tmp_path, since_ms=middle, until_ms=end)
    assert (manifest.first_ms, manifest.last_ms) == (middle, end - STEP)
    manifest = fetch(server, tmp_path, until_ms=end)
    assert (manifest.rows, manifest.gaps) == (400, ())


def test_a_start_before_the_listing_is_noted_once(server: BinanceServer, tmp_path: Path) -> None:
    """What lies before the first candle is confirmed as absent and not asked for again."""
    early = FIRST - 1_000 * STEP
    assert fetch(server, tmp_path, since_ms=early).confirmed_gaps == ((early, FIRST),)
    server.requests.clear()
    fetch(server, tmp_path, since_ms=early)
    assert server.pages() == []


def test_an_interior_gap_is_asked_for_again(server: BinanceServer, tmp_path: Path) -> None:
    """Rows left out of a page come with the second request for just that gap."""
    whole = server.klines[SPOT, "ETHUSDT", "5m"]
    server.klines[SPOT, "ETHUSDT", "5m"] = whole[:150] + whole[160:]
    mend = Fault(path=f"startTime={FIRST + 150 * STEP}", hook=lambda: _restore(server, whole))
    server.faults = [mend]
    assert fetch(server, tmp_path).gaps == ()
    assert Catalog(tmp_path).read(KEY).time_ms.tolist() == [row[0] for row in whole[:N_ROWS]]


def _restore(server: BinanceServer, rows: list[Row]) -> None:
    server.klines[SPOT, "ETHUSDT", "5m"] = rows


def test_a_true_gap_is_confirmed(server: BinanceServer, tmp_path: Path) -> None:
    """A gap for which the exchange has nothing is noted, asked for once more, and then no more."""
    server.add_klines(SPOT, "ETHUSDT", "5m", ROWS[:150] + ROWS[160:])
    manifest = fetch(server, tmp_path)
    gap = (FIRST + 150 * STEP, FIRST + 160 * STEP)
    assert manifest.gaps == manifest.confirmed_gaps == (gap,)
    server.requests.clear()
    fetch(server, tmp_path)
    assert server.pages() == []


def test_gaps_of_an_import_are_filled(server: BinanceServer, tmp_path: Path) -> None:
    """A stored series with a hole, from whatever source, gets the hole fetched and nothing else."""
    fetch(server, tmp_path)
    catalog = Catalog(tmp_path)
    series = catalog.read_candles(KEY)
    catalog.write(series.between(None, FIRST + 200 * STEP), fetched_ms=None)
    catalog.append(series.between(FIRST + 230 * STEP, None), fetched_ms=None)
    server.requests.clear()
    assert fetch(server, tmp_path).sha256 == series.sha256()
    assert len(server.pages()) == 1


def test_mark_candles_and_funding(server: BinanceServer, tmp_path: Path) -> None:
    """Mark candles have no volume; funding stamps lose their late milliseconds; both are USD-M."""
    eight_hours = 96 * STEP
    times = [FIRST + n * eight_hours for n in range(6)]
    server.add_klines("/fapi/v1/markPriceKlines", "ETHUSDT", "5m", ROWS)
    server.funding["ETHUSDT"] = [(t + n, f"0.0001{n}") for n, t in enumerate(times)]
    perpetual = {"symbol": "ETH/USDT:USDT"}
    mark = fetch(server, tmp_path, kind="mark", **perpetual)
    funding = fetch(server, tmp_path, kind="funding", **perpetual)
    catalog = Catalog(tmp_path)
    assert str(mark.key) == "mark/binance/ETH-USDT:USDT/5m"
    assert np.isnan(catalog.read_candles(mark.key).volume).all()
    assert funding.key.timeframe == "8h"
    rates = catalog.read_signal(funding.key)
    assert rates.time_ms.tolist() == rates.known_ms.tolist() == times
    assert rates.value.tolist() == [float(f"0.0001{n}") for n in range(6)]
    assert all(r.startswith("/fapi") for r in server.requests)
    server.requests.clear()
    fetch(server, tmp_path, kind="funding", **perpetual)
    assert len(server.pages()) <= 1


FAULTS = {
    "limited": Fault(path=SPOT, status=429, headers={"Retry-After": "7"}, body='{"code":-1003}'),
    "banned for a moment": Fault(path=SPOT, status=418, headers={"Retry-After": "7"}),
    "server error": Fault(path=SPOT, status=500, body='{"code":-1000,"msg":"unknown"}'),
    "bad gateway": Fault(path=SPOT, status=502, body="<html>Bad Gateway</html>"),
    "dropped at once": Fault(path=SPOT, drop_after=0),
    "dropped mid-page": Fault(path=SPOT, drop_after=1_000),
    "a login page": Fault(path=SPOT, body="<html>Please log in</html>"),
    "list fails": Fault(path="exchangeInfo", status=503),
    "list is a login page": Fault(path="exchangeInfo", body="<html>Please log in</html>"),
    "time fails": Fault(path="/time", drop_after=3),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_passing_fault_changes_nothing(name: str, server: BinanceServer, tmp_path: Path) -> None:
    """After any single fault, also twice in a row, the stored content is that without it."""
    clean = fetch(server, tmp_path / "clean")
    server.faults = [FAULTS[name], FAULTS[name]]
    manifest = fetch(server, tmp_path / "faulty")
    assert not server.faults
    assert manifest.sha256 == clean.sha256
    assert (manifest.gaps, manifest.confirmed_gaps) == ((), ())


def waits(server: BinanceServer, folder: Path) -> list[float]:
    """Return the seconds waited between attempts of a download."""
    slept: list[float] = []
    request = DownloadRequest(symbol="ETH/USDT", timeframe="5m", since_ms=FIRST)
    download(client(server.url), request, Catalog(folder), now_ms=0, sleep=slept.append)
    return slept


def test_retry_after_is_honoured(server: BinanceServer, tmp_path: Path) -> None:
    """The wait is what the exchange asks for, and doubles from 1 s where it does not say.

    429 with 7, then a dropped connection (whose headers are those of the 429 still): 7, 2, then a
    502 at the next page: 1.
    """
    server.faults = [
        FAULTS["limited"],
        FAULTS["dropped at once"],
        Fault(path=f"startTime={FIRST + 100 * STEP}", status=502),
    ]
    assert waits(server, tmp_path) == [7.0, 2.0, 1.0]


def test_a_long_ban_ends_the_download_at_once(server: BinanceServer, tmp_path: Path) -> None:
    """Nobody waits an hour in silence: the line says how long, and what has come is kept."""
    late = f"startTime={FIRST + 300 * STEP}"
    server.faults = [Fault(path=late, status=418, headers={"Retry-After": "3600"})]
    with pytest.raises(ExchangeError, match="asks to wait 3600 s"):
        fetch(server, tmp_path)
    assert len(Catalog(tmp_path).read(KEY)) == 300
    assert fetch(server, tmp_path).rows == N_ROWS


def test_a_lasting_fault_is_one_line(server: BinanceServer, tmp_path: Path) -> None:
    """Attempts are bounded, the message is one line with a remedy, and what has come is kept."""
    path = f"startTime={FIRST + 300 * STEP}"
    server.faults = [Fault(path=path, status=503, body="<html>" + "x" * 9000) for _ in range(5)]
    with pytest.raises(ExchangeError, match=r"did not answer 5 times .* run the same") as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert len(Catalog(tmp_path).read(KEY)) == 300


def test_a_server_that_is_down_is_one_line(tmp_path: Path) -> None:
    """Nothing listens: three attempts, then what to check."""
    with BinanceServer(now_ms=NOW) as gone:
        exchange = client(gone.url)
    request = DownloadRequest(symbol="ETH/USDT", timeframe="5m", since_ms=FIRST)
    with pytest.raises(ExchangeError, match=r"did not answer 3 times .*: check the network"):
        download(exchange, request, Catalog(tmp_path), now_ms=0, sleep=lambda _: None)


def test_a_forbidden_location_says_so(server: BinanceServer, tmp_path: Path) -> None:
    """Binance answers 451 where it does not serve; another exchange is the remedy."""
    server.faults = [
        Fault(path="exchangeInfo", status=451, body='{"code":0,"msg":"restricted"}')
    ] * 3
    with pytest.raises(ExchangeError, match="does not serve this location"):
        fetch(server, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol": "ETH/USTD"}, r"no spot symbol 'ETH/USTD' \(did you mean ETH/USDT"),
        ({"symbol": "eth/usdt"}, r"did you mean ETH/USDT"),
        ({"timeframe": "7m"}, r"one of 1s, 1m, 3m.*is '7m' \(did you mean 5m\?\)"),
        ({"timeframe": "1M"}, "is '1M'"),
        ({"kind": "mark"}, r"no swap symbol 'ETH/USDT' \(did you mean ETH/USDT:USDT\?\)"),
        ({"kind": "signal"}, "candles, mark or funding"),
        ({"since_ms": NOW}, "must begin before it ends"),
        ({"until_ms": FIRST}, "must begin before it ends"),
        ({"symbol": "BTC/USDT"}, "has no candles of BTC/USDT between 2022-05-01 00:00 and"),
    ],
)
def test_what_does_not_exist_is_one_line(
    server: BinanceServer, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """Unknown symbols, timeframes and kinds, and empty windows, name the value and the nearest."""
    with pytest.raises(ExchangeError, match=message) as caught:
        fetch(server, tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert Catalog(tmp_path).keys() == []


def test_an_unknown_exchange_is_one_line() -> None:
    """The nearest name that ccxt knows is in the message."""
    with pytest.raises(ExchangeError, match="did you mean binance"):
        open_exchange("binanse", "spot")


def test_the_client_limits_its_rate_and_lists_one_market() -> None:
    """A client as users get it spaces its requests, and never asks for lists it does not need."""
    spot, swap = open_exchange("binance", "spot"), open_exchange("bybit", "swap")
    assert spot.enableRateLimit
    assert spot.options["fetchMarkets"]["types"] == ["spot"]
    assert swap.options["fetchMarkets"]["types"] == ["linear"]


def test_an_exchange_that_repeats_itself_ends(
    server: BinanceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exchange that ignores ``since`` and sends the same page for ever makes no endless loop."""
    exchange = client(server.url)
    same = [[FIRST + n * STEP, 1.0, 1.0, 1.0, 1.0, 1.0] for n in range(5)]
    monkeypatch.setattr(exchange, "fetch_ohlcv", lambda *_: same)
    request = DownloadRequest(symbol="ETH/USDT", timeframe="5m", since_ms=FIRST - STEP)
    manifest = download(exchange, request, Catalog(tmp_path), now_ms=0, sleep=lambda _: None)
    assert manifest.rows == 5


def test_an_exchange_with_short_windows(
    server: BinanceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a page looks only so far ahead, empty stretches are walked over, not the end."""
    monkeypatch.setattr(download_module, "_SKIPS_AHEAD", ())
    server.looks_ahead_ms = 100 * STEP
    server.add_klines(SPOT, "ETHUSDT", "5m", ROWS[:50] + ROWS[400:])
    manifest = fetch(server, tmp_path, since_ms=FIRST - 250 * STEP)
    assert manifest.rows == N_ROWS - 350
    assert manifest.open_gaps == ()


def test_progress_goes_from_nothing_to_all(server: BinanceServer, tmp_path: Path) -> None:
    """Progress counts rows and the time covered, never backwards, and ends at all of it."""
    steps: list[Progress] = []
    request = DownloadRequest(symbol="ETH/USDT", timeframe="5m", since_ms=FIRST)
    download(client(server.url), request, Catalog(tmp_path), now_ms=0, progress=steps.append)
    assert [step.rows for step in steps] == [100, 200, 300, 400, 500, 600, 620]
    done = [step.done_ms for step in steps]
    assert done == sorted(done)
    assert steps[-1].done_ms == steps[-1].total_ms


def test_bad_rows_of_an_exchange_are_refused(server: BinanceServer, tmp_path: Path) -> None:
    """A candle with high below low stops the download with its time; good rows before are kept."""
    broken = [list(row) for row in ROWS]
    broken[250][2] = "1.0"
    server.add_klines(SPOT, "ETHUSDT", "5m", broken)
    with pytest.raises(Exception, match="low <= open, close <= high") as caught:
        fetch(server, tmp_path)
    assert "2022-05-01 20:50" in str(caught.value)
    assert len(Catalog(tmp_path).read(KEY)) == 200


# The child downloads from the parent's server, which kills it; or it kills itself at a rename.
CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from binance_server import client
from seawall.market import download, pages
from seawall.market.catalog import Catalog
pages.PAGE_ROWS = download.PAGE_ROWS = 100
download.FLUSH_PAGES = 1
nth, rename, calls = int(sys.argv[5]), os.replace, 0
def replace(source, target):
    global calls
    calls += 1
    rename(source, target)
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
request = download.DownloadRequest(symbol="ETH/USDT", timeframe="5m", since_ms=int(sys.argv[4]))
print("ready", flush=True)
download.download(client(sys.argv[2]), request, Catalog(Path(sys.argv[3])), now_ms=0)
"""


def download_and_die(
    server: BinanceServer, folder: Path, *, at_page: int = 0, at_rename: int = 0
) -> None:
    """Start a download in a child that is killed at its n-th page request or after a rename."""
    here = str(Path(__file__).parent)
    arguments = [here, server.url, str(folder), str(FIRST), str(at_rename)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE
    ) as child:
        if at_page:
            path = f"startTime={FIRST + (at_page - 1) * 100 * STEP}"
            server.faults = [Fault(path=path, hook=lambda: os.kill(child.pid, signal.SIGKILL))]
        child.wait(timeout=60)
    assert child.returncode == -signal.SIGKILL


def resume(server: BinanceServer, folder: Path, *, least: int) -> None:
    """Check that what was committed is there and that a second run asks for the rest alone."""
    catalog = Catalog(folder)
    stored = len(catalog.read(KEY)) if catalog.has(KEY) else 0
    assert stored >= least
    server.requests.clear()
    manifest = fetch(server, folder)
    assert len(server.pages()) == -(-(N_ROWS - stored) // 100)
    assert catalog.read(KEY).time_ms.tolist() == [row[0] for row in ROWS[:N_ROWS]]
    assert (manifest.rows, manifest.gaps, manifest.confirmed_gaps) == (N_ROWS, (), ())


@pytest.mark.slow
def test_a_killed_download_goes_on(server: BinanceServer, tmp_path: Path) -> None:
    """Killed with -9 while the fourth page is on its way, the first three are there, once each."""
    download_and_die(server, tmp_path, at_page=4)
    resume(server, tmp_path, least=300)


@pytest.mark.slow
@pytest.mark.parametrize("at_page", [1, 2, 6, 7])
def test_a_kill_at_any_page_loses_nothing(
    server: BinanceServer, tmp_path: Path, at_page: int
) -> None:
    """Killed at any request for rows, the resumed download ends with the identical content."""
    download_and_die(server, tmp_path, at_page=at_page)
    resume(server, tmp_path, least=(at_page - 1) * 100)


@pytest.mark.slow
@pytest.mark.parametrize("at_rename", [1, 2, 3, 4, 5])
def test_a_kill_in_any_commit_loses_nothing(
    server: BinanceServer, tmp_path: Path, at_rename: int
) -> None:
    """Killed right after any rename of a commit, data file or manifest, the same holds."""
    download_and_die(server, tmp_path, at_rename=at_rename)
    resume(server, tmp_path, least=at_rename // 2 * 100)
