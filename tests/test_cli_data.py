"""``seawall data`` as a user types it: what is printed, and the exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ccxt
import numpy as np
import pandas as pd
import pytest
from binance_server import BinanceServer, candle_rows, point_at

from seawall.cli import main
from seawall.market import download as download_module
from seawall.market.catalog import Catalog

STEP = 300_000
FIRST = 1_651_363_200_000  # 2022-05-01 00:00
GET = ["get", "binance", "ETH/USDT", "--timeframe", "5m", "--since", "2022-05-01"]


@pytest.fixture(autouse=True)
def _catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the catalog of these tests apart."""
    monkeypatch.setenv("SEAWALL_DATA", str(tmp_path / "catalog"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinanceServer]:
    """Serve twenty closed candles, and point the command's client there."""
    opened = download_module.open_exchange

    def open_here(name: str, market_type: str) -> ccxt.Exchange:
        exchange = opened(name, "swap" if market_type == "swap" else "spot")
        point_at(exchange, running.url)
        return exchange

    monkeypatch.setattr(download_module, "open_exchange", open_here)
    with BinanceServer(now_ms=FIRST + 20 * STEP) as running:
        running.add_klines("/api/v3/klines", "ETHUSDT", "5m", candle_rows(FIRST, 21, "5m"))
        yield running


def seawall(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run ``seawall data ...`` in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["seawall", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def write_candles(path: Path, n_rows: int = 5) -> Path:
    """Write sound hourly candles to a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ones = np.ones(n_rows)
    frame = pd.DataFrame({"date": FIRST + np.arange(n_rows) * 3_600_000})
    frame = frame.assign(open=ones, high=ones, low=ones, close=ones, volume=ones)
    frame.to_csv(path, index=False)
    return path


@pytest.mark.usefixtures("server")
def test_get_fetches_and_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line about the series on stdout, nothing on stderr off a terminal, exit code 0."""
    assert seawall(monkeypatch, *GET) == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "candles/binance/ETH-USDT/5m: 20 rows, 2022-05-01 00:00 to 2022-05-01 01:35\n"
    )
    assert shown.err == ""
    assert len(Catalog().read(Catalog().keys()[0])) == 20


@pytest.mark.usefixtures("server")
def test_every_command_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With ``--json`` stdout is one JSON value for other programs."""
    assert seawall(monkeypatch, *GET, "--json") == 0
    got = json.loads(capsys.readouterr().out)
    assert (got["rows"], got["first"], got["gaps"]) == (20, "2022-05-01 00:00", [])
    assert got["filters"] == {"tick_size": 0.01, "lot_size": 0.0001, "min_notional": 5.0}
    path = write_candles(tmp_path / "candles" / "okx" / "BTC-USDT-1h.csv")
    assert seawall(monkeypatch, "import", path, "--json") == 0
    taken = json.loads(capsys.readouterr().out)
    assert taken["imported"][0]["series"]["series"] == "candles/okx/BTC-USDT/1h"
    assert taken["refused"] == []
    assert seawall(monkeypatch, "list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert seawall(monkeypatch, "check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["get", "binanse", "ETH/USDT", "--since", "2022-05-01"], 4, "did you mean binance"),
        (["get", "binance", "ETH/UST", "--since", "2022-05-01"], 4, "did you mean ETH/USDT"),
        ([*GET[:4], "7m", *GET[5:]], 4, "did you mean 5m"),
        (["get", "binance", "ETH/USDT", "--since", "May"], 2, "ISO date"),
        ([*GET, "--kind", "tea"], 2, "one of candles, mark, funding"),
        (["import", "nothing.csv"], 3, "there is no file nothing.csv"),
        (["check", "candles/binance/ETH-USDT/1h"], 3, "run `seawall data list`"),
    ],
)
@pytest.mark.usefixtures("server")
def test_what_is_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    """Exit codes follow the error tree; the line is on stderr and no traceback anywhere."""
    assert seawall(monkeypatch, *arguments) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err + shown.out


def test_import_says_what_it_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Rows, times and series are printed; what else lies in the folder is passed over, with why."""
    folder = tmp_path / "candles" / "okx"
    write_candles(folder / "BTC-USDT-1h.csv")
    (folder / "words.csv").write_text("a,b\n1,2\n")
    assert seawall(monkeypatch, "import", folder) == 0
    shown = capsys.readouterr()
    assert "5 rows (times are 'date' (numbers in ms))" in shown.out
    assert "-> candles/okx/BTC-USDT/1h: 5 rows, 2022-05-01 00:00 to 2022-05-01 04:00" in shown.out
    assert "refused: a file must have a time column" in shown.err
    assert seawall(monkeypatch, "import", folder / "words.csv") == 3


def test_bad_rows_are_refused_or_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """``check`` and ``import`` name the row and end with 3; ``--skip-bad`` lists what it leaves."""
    path = write_candles(tmp_path / "candles" / "okx" / "BTC-USDT-1h.csv")
    frame = pd.read_csv(path)
    frame.loc[2, "low"] = 2.0
    frame.to_csv(path, index=False)
    assert seawall(monkeypatch, "check", path) == 3
    assert "high < low" in capsys.readouterr().out
    assert seawall(monkeypatch, "import", path) == 3
    assert "high < low in row 2" in capsys.readouterr().err
    assert seawall(monkeypatch, "import", path, "--skip-bad") == 0
    assert "left out 1 bad rows, counted from 0: 2" in capsys.readouterr().out
    assert seawall(monkeypatch, "check") == 0
    assert "gap" in capsys.readouterr().out


def test_list_shows_the_series(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An empty catalog says how to fill it; a full one shows each series in a row."""
    assert seawall(monkeypatch, "list") == 0
    assert "seawall data get" in capsys.readouterr().out
    seawall(monkeypatch, "import", write_candles(tmp_path / "candles" / "okx" / "BTC-USDT-1h.csv"))
    capsys.readouterr()
    assert seawall(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    for part in ("candles/okx/BTC-USDT/1h", "2022-05-01 04:00", "imported from BTC-USDT-1h.csv"):
        assert part in shown


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    """On a terminal the bar shows rows and rate: a child writes it to a pseudo-terminal."""
    pty = pytest.importorskip("pty")
    script = (
        "from seawall.cli.data import _shown_progress\n"
        "with _shown_progress('binance ETH/USDT') as show:\n"
        "    show(1000, 50, 100)\n    show(2000, 100, 100)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "SEAWALL_DATA": str(tmp_path)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stderr=theirs, stdout=theirs, env=environment) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux ends a pseudo-terminal so
                break
            if not chunk:
                break
            seen += chunk
    os.close(ours)
    assert child.returncode == 0
    text = seen.decode()
    assert "binance ETH/USDT" in text
    assert "2,000 rows" in text
    assert "rows/s" in text


def test_real_files_go_in_with_one_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared_data: Path
) -> None:
    """Several named files of the shared data are taken in one call."""
    files = sorted((shared_data / "candles" / "binance").glob("*-USDT-1h.parquet"))
    assert seawall(monkeypatch, "import", *files[:3]) == 0
    assert capsys.readouterr().out.count("  -> candles/binance/") == 3
