"""What the importer understands of files, and what it refuses, by row number."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.importer import check_file, import_files
from seawall.market.naming import read_name, to_symbol
from seawall.market.series import SeriesKey
from seawall.market.tables import read_table

HOUR = 3_600_000
FIRST = 1_700_000_000_000 // HOUR * HOUR


def make_frame(n_rows: int = 5, time: str = "timestamp") -> pd.DataFrame:
    """Return sound hourly candles with times in integer milliseconds."""
    prices = 100.0 + np.arange(n_rows)
    return pd.DataFrame(
        {
            time: FIRST + np.arange(n_rows) * HOUR,
            "open": prices,
            "high": prices + 1,
            "low": prices - 1,
            "close": prices + 0.5,
            "volume": np.ones(n_rows),
        }
    )


def write(path: Path, frame: pd.DataFrame) -> Path:
    """Write a table in the format of its name, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return an empty catalog."""
    return Catalog(tmp_path / "catalog")


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz", "feather", "csv.zip"])
def test_every_format_gives_the_same_series(tmp_path: Path, catalog: Catalog, ending: str) -> None:
    """Parquet, CSV (also packed) and feather files of the same rows are the same series."""
    path = write(tmp_path / "candles" / "binance" / f"ETH-USDT-1h.{ending}", make_frame())
    (imported,) = import_files([path], catalog)
    candles = catalog.read_candles(SeriesKey("candles", "binance", "ETH/USDT", "1h"))
    assert candles.time_ms.tolist() == make_frame()["timestamp"].tolist()
    assert candles.high.tolist() == make_frame()["high"].tolist()
    assert imported.n_rows == 5
    assert imported.manifest.source == f"imported from ETH-USDT-1h.{ending}"
    assert imported.manifest.fetched_ms is None


def moments() -> pd.DatetimeIndex:
    """Return the times of five candles."""
    return pd.DatetimeIndex(pd.to_datetime(make_frame()["timestamp"], unit="ms"))


TIMES = make_frame()["timestamp"].to_numpy()


@pytest.mark.parametrize(
    ("times", "note"),
    [
        (TIMES // 1_000, "numbers in s"),
        (TIMES / 1_000, "numbers in s"),
        (TIMES, "numbers in ms"),
        (TIMES * 1_000, "numbers in us"),
        (TIMES * 1_000_000, "numbers in ns"),
        (moments().astype(str), "ISO text"),
        (moments().strftime("%Y-%m-%dT%H:%M:%SZ"), "ISO text"),
        (moments().as_unit("s"), "datetime64[ms]"),
        (moments().as_unit("ns").tz_localize("UTC"), "datetime64[ns, UTC]"),
        (moments().as_unit("ms").tz_localize("UTC").tz_convert("Asia/Tokyo"), "Asia/Tokyo"),
    ],
)
@pytest.mark.parametrize("name", ["date", "Open Time", "unix", "Timestamp"])
def test_the_time_column_and_its_unit_are_found(
    tmp_path: Path, times: pd.Index, note: str, name: str
) -> None:
    """Seconds to nanoseconds, ISO text and datetimes of any unit and zone are the same times."""
    frame = make_frame(time=name)
    frame[name] = times
    table = read_table(write(tmp_path / "x.parquet", frame))
    assert table.frame["timestamp"].tolist() == make_frame()["timestamp"].tolist()
    assert note in table.notes[0]


def test_a_pandas_index_is_a_time_column(tmp_path: Path) -> None:
    """A frame saved with its DatetimeIndex needs no column for it."""
    frame = make_frame()
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame.pop("timestamp"), unit="ms"))
    table = read_table(write(tmp_path / "x.parquet", frame))
    assert table.frame["timestamp"].tolist() == make_frame()["timestamp"].tolist()


def test_a_file_of_binance_needs_no_header(tmp_path: Path, catalog: Catalog) -> None:
    """The public dumps have twelve columns without names, in us since 2025; files join."""
    frame = make_frame(10)
    for month, rows in (("2024-01", frame.iloc[:6]), ("2024-02", frame.iloc[5:])):
        wide = rows.assign(timestamp=rows["timestamp"] * 1000).astype(object)
        for n in range(6):
            wide[f"extra{n}"] = 0
        path = tmp_path / "candles" / "binance" / f"ETHUSDT-1h-{month}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        wide.to_csv(path, index=False, header=False)
    (_, last) = import_files([tmp_path], catalog)
    assert str(last.manifest.key) == "candles/binance/ETH-USDT/1h"
    assert (last.n_rows, last.manifest.rows, last.manifest.gaps) == (5, 10, ())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("candles/binance/ETH-USDT-5m.parquet", ("candles", "binance", "ETH/USDT", "5m")),
        (
            "candles/binance-perp/ETH-USDT-PERP-1h.parquet",
            ("candles", "binance", "ETH/USDT:USDT", "1h"),
        ),
        ("mark/binance-perp/BTC-USDT-PERP-1h.csv", ("mark", "binance", "BTC/USDT:USDT", "1h")),
        ("funding/binance/BTC-USDT-PERP.parquet", ("funding", "binance", "BTC/USDT:USDT", None)),
        ("candles/bitfinex/ETH-USD-1m-windows.parquet", ("candles", "bitfinex", "ETH/USD", "1m")),
        ("sentiment/fear-greed-1d.parquet", ("signal", "sentiment", None, "1d")),
        ("onchain/dune/ETH-1d.parquet", ("signal", "dune", None, "1d")),
        ("data/binance/ETH_USDT-5m.feather", (None, "binance", "ETH/USDT", "5m")),
        (
            "data/binance/futures/ETH_USDT_USDT-1h-mark.feather",
            ("mark", "binance", "ETH/USDT:USDT", "1h"),
        ),
        (
            "data/binance/futures/ETH_USDT_USDT-8h-funding_rate.feather",
            ("funding", "binance", "ETH/USDT:USDT", "8h"),
        ),
        (
            "data/okx/futures/ETH_USDT_USDT-5m-futures.feather",
            ("candles", "okx", "ETH/USDT:USDT", "5m"),
        ),
        ("some/where/prices.csv", (None, None, None, None)),
    ],
)
def test_paths_tell_the_series(path: str, expected: tuple[str | None, ...]) -> None:
    """Folders and names as Seawall, freqtrade and Binance write them are understood."""
    named = read_name(Path(path))
    assert (named.kind, named.venue, named.symbol, named.timeframe) == expected


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("ETH-USDT", "ETH/USDT"),
        ("ETH-USDT-PERP", "ETH/USDT:USDT"),
        ("ETH_USDT_USDT", "ETH/USDT:USDT"),
        ("ETHUSDT", "ETH/USDT"),
        ("ETH/BTC", "ETH/BTC"),
        ("USDT", None),
        ("GREED", None),
    ],
)
def test_symbols_are_unified(text: str, symbol: str | None) -> None:
    """Every common way to write a pair is the one that ccxt uses, or it is no pair."""
    assert to_symbol(text) == symbol


def test_freqtrade_files_are_taken(tmp_path: Path, catalog: Catalog) -> None:
    """Its column is ``date``; the rate of a funding file stands in ``open``."""
    folder = tmp_path / "data" / "binance" / "futures"
    frame = make_frame(time="date")
    frame["date"] = pd.to_datetime(frame["date"], unit="ms", utc=True)
    write(folder / "ETH_USDT_USDT-1h-mark.feather", frame)
    rates = frame.assign(open=0.0001, high=0.0, low=0.0, close=0.0, volume=0.0)
    rates["date"] = FIRST + np.arange(5) * 8 * HOUR
    write(folder / "ETH_USDT_USDT-8h-funding_rate.feather", rates)
    import_files([folder], catalog)
    keys = catalog.keys()
    assert [str(key) for key in keys] == [
        "funding/binance/ETH-USDT:USDT/8h",
        "mark/binance/ETH-USDT:USDT/1h",
    ]
    assert catalog.read_signal(keys[0]).value.tolist() == [0.0001] * 5


def test_options_override_what_a_path_says(tmp_path: Path, catalog: Catalog) -> None:
    """Venue, symbol, timeframe and kind may be said; a path that tells none is then enough."""
    path = write(tmp_path / "prices.csv", make_frame())
    (imported,) = import_files([path], catalog, venue="okx", symbol="SOL/USDT", kind="candles")
    assert str(imported.manifest.key) == "candles/okx/SOL-USDT/1h"
    assert "timeframe 1h is the commonest step" in imported.notes


def test_a_long_table_is_one_series_per_symbol(tmp_path: Path, catalog: Catalog) -> None:
    """Rows of several symbols in one file are told apart by their ``symbol`` column."""
    parts = [make_frame().assign(symbol=name) for name in ("BTC-USDT", "ETH-USDT")]
    path = write(tmp_path / "candles" / "binance" / "ALL-USDT-1h.parquet", pd.concat(parts))
    imported = import_files([path], catalog)
    assert [one.manifest.key.symbol for one in imported] == ["BTC/USDT", "ETH/USDT"]
    assert [one.n_rows for one in imported] == [5, 5]


def make_signal(catalog: Catalog, folder: Path, **changes: object) -> SeriesKey:
    """Import a daily signal file of three rows and return the key of its first series."""
    frame = pd.DataFrame(
        {"date": ["2024-01-01", "2024-01-02", "2024-01-03"], "value": [1, 2, 3], "words": "x"}
    )
    known_after = changes.pop("known_after", None)
    path = write(folder / "sentiment" / "fear-greed-1d.csv", frame.assign(**changes))  # type: ignore[arg-type]
    imported = import_files([path], catalog, known_after=known_after)  # type: ignore[arg-type]
    return imported[0].manifest.key


DAY = 24 * HOUR


def test_a_signal_is_known_when_its_period_is_over(tmp_path: Path, catalog: Catalog) -> None:
    """A day's value is seen from the next day on, or later if that is said, never earlier."""
    key = make_signal(catalog, tmp_path)
    assert str(key) == "signal/sentiment/fear_greed/1d"
    signal = catalog.read_signal(key)
    assert (signal.known_ms - signal.time_ms).tolist() == [DAY] * 3
    make_signal(catalog, tmp_path, known_after="2d")
    signal = catalog.read_signal(key)
    assert (signal.known_ms - signal.time_ms).tolist() == [2 * DAY] * 3
    with pytest.raises(DataError, match="after its period of 1d at the earliest"):
        make_signal(catalog, tmp_path, known_after="1h")


def test_a_column_may_say_when_a_value_was_known(tmp_path: Path, catalog: Catalog) -> None:
    """``known_at`` in the file decides; a value known before its time is refused by row."""
    stamps = ["2024-01-02T06:00", "2024-01-03T06:00", "2024-01-04T06:00"]
    signal = catalog.read_signal(make_signal(catalog, tmp_path, known_at=stamps))
    assert (signal.known_ms - signal.time_ms).tolist() == [30 * HOUR] * 3
    stamps[1] = "2024-01-01T06:00"
    with pytest.raises(DataError, match="known too early in row 1"):
        make_signal(catalog, tmp_path, known_at=stamps)


def test_each_numeric_column_is_a_signal(tmp_path: Path, catalog: Catalog) -> None:
    """Columns keep their names; rows without a value stay out and are counted."""
    frame = pd.DataFrame(
        {
            "timestamp": FIRST + np.arange(4) * DAY,
            "TxCnt": [1, 2, 3, 4],
            "MVRV": [np.nan, 2.0, 3.0, 4.0],
            "is_odd": [True] * 4,
            "huge": [str(10**30)] * 4,
            "word": ["a"] * 4,
        }
    )
    path = write(tmp_path / "onchain" / "dune" / "ETH-1d.csv", frame)
    imported = import_files([path], catalog)
    assert {one.manifest.key.symbol: one.n_rows for one in imported} == {
        "ETH.TxCnt": 4,
        "ETH.MVRV": 3,
        "ETH.huge": 4,
    }
    assert "1 rows have no value and stay out" in imported[1].notes


def bad_file(folder: Path) -> Path:
    """Write ten candles of which rows 3, 5 and 7 are bad."""
    frame = make_frame(10)
    frame.loc[3, "high"] = 1.0
    frame.loc[5, "close"] = np.nan
    frame.loc[7, "timestamp"] = FIRST + 6 * HOUR
    return write(folder / "candles" / "binance" / "ETH-USDT-1h.csv", frame)


def test_bad_rows_are_refused_by_number(tmp_path: Path, catalog: Catalog) -> None:
    """A file with bad rows is refused whole, in one line that names each of them."""
    with pytest.raises(DataError) as caught:
        import_files([bad_file(tmp_path)], catalog)
    message = str(caught.value)
    for part in ("high < low in row 3", "not a number in row 5", "duplicate in row 7"):
        assert part in message
    assert "\n" not in message
    assert catalog.keys() == []


def test_bad_rows_are_left_out_only_on_request(tmp_path: Path, catalog: Catalog) -> None:
    """With the option the sound rows are stored and the numbers of the others returned."""
    (imported,) = import_files([bad_file(tmp_path)], catalog, is_skipping_bad=True)
    assert imported.skipped_rows == (3, 5, 7)
    assert imported.n_rows == imported.manifest.rows == 7
    assert len(imported.manifest.gaps) == 3


def test_a_file_that_runs_backwards_is_turned_round(tmp_path: Path, catalog: Catalog) -> None:
    """Newest first is common; row numbers stay those of the file."""
    frame = make_frame().iloc[::-1].reset_index(drop=True)
    path = write(tmp_path / "candles" / "binance" / "ETH-USDT-1h.csv", frame)
    (imported,) = import_files([path], catalog)
    assert "turned round" in " ".join(imported.notes)
    frame.loc[1, "high"] = 1.0
    write(path, frame)
    with pytest.raises(DataError, match="high < low in row 1,"):
        import_files([path], catalog)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "a,b\n1,2\n", "must have a time column"),
        ("x.csv", "", "cannot be read"),
        ("x.csv", "timestamp,open\n", "must have rows"),
        ("x.csv", "timestamp,price\n1700000000,2\n", "open, high, low, close"),
        ("x.csv", "timestamp,open,high,low,close\n1700000000,2,2,2,2\n", "name none: say --venue"),
        ("x.csv", "date,open,Open\n2024-01-01,2,2\n", "has 'open' twice"),
        ("x.csv", "date,open\nyesterday,2\n", r"first is row 0 \('yesterday'\)"),
        ("x.parquet", "no parquet", "cannot be read"),
        ("x.feather", "no feather", "cannot be read"),
        ("x.txt", "x", "must end in"),
        ("candles/binance/x-1h.csv", "date,open,high,low,close\n2024,1,1,1,1\n", "tells none"),
        (
            "candles/binance/ETH-USDT-1h.csv",
            "date,open,high,low,close\n2024-01-01,1,1,1,1\n",
            "no volume",
        ),
        (
            "candles/binance/ETH-USDT-1h.csv",
            "date,open,high,low,close,volume\n2024-01-01T00:00,1,1,1,1,1\n2024-01-01T00:05,1,1,1,1,1\n",
            "are mostly 5m apart",
        ),
        ("candles/binance/ETH-USDT.csv", "date,o,h,l,c,v\n2024-01-01,1,1,1,1,1\n", "--timeframe"),
        ("funding/binance/ETH-USDT.csv", "date,x\n2024-01-01,1\n", "column funding_rate"),
        ("sentiment/words.csv", "date,x\n2024-01-01,a\n2024-01-02,b\n", "is a numeric column"),
        ("trades/binance/ETH-USDT.csv", "date,price\n2024-01-01,1\n", "single trades are"),
    ],
)
def test_what_cannot_be_taken_says_why(
    tmp_path: Path, catalog: Catalog, name: str, content: str, message: str
) -> None:
    """Every refusal is one line with the remedy, and nothing is stored."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        import_files([path], catalog)
    assert "\n" not in str(caught.value)
    assert catalog.keys() == []


def test_missing_and_broken_files_are_one_line(tmp_path: Path, catalog: Catalog) -> None:
    """A file that is not there, an empty folder and a broken archive have their own line."""
    with pytest.raises(DataError, match="there is no file"):
        import_files([tmp_path / "x.csv"], catalog)
    with pytest.raises(DataError, match="a folder must hold"):
        import_files([tmp_path], catalog)
    packed = gzip.compress(b"date,open\n" * 99)
    (tmp_path / "x.csv.gz").write_bytes(packed[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        import_files([tmp_path / "x.csv.gz"], catalog)


def test_one_refusal_does_not_stop_the_others(tmp_path: Path, catalog: Catalog) -> None:
    """With a callback the other files are taken; the callback learns which was refused and why."""
    bad_file(tmp_path)
    write(tmp_path / "candles" / "binance" / "BTC-USDT-1h.csv", make_frame())
    refused: list[str] = []
    imported = import_files(
        [tmp_path], catalog, on_refusal=lambda path, error: refused.append(f"{path.name} {error}")
    )
    assert [one.manifest.key.symbol for one in imported] == ["BTC/USDT"]
    assert refused[0].startswith("ETH-USDT-1h.csv rows must be sound")


def test_files_can_be_checked_without_being_taken(tmp_path: Path) -> None:
    """The check of a file names its rows, per symbol where there are several."""
    (report,) = check_file(bad_file(tmp_path))
    assert report.refused_rows.tolist() == [3, 5, 7]
    parts = [make_frame().assign(symbol=name) for name in ("BTC-USDT", "ETH-USDT")]
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[8, "low"] = 0.0
    reports = check_file(write(tmp_path / "long-1h.csv", frame))
    assert [r.refused_rows.tolist() for r in reports] == [[], [8]]


def test_real_files_are_taken(shared_data: Path, catalog: Catalog) -> None:
    """Every kind of file in the shared data is taken with the rows that its list says."""
    files = {
        "candles/binance/AGIX-USDT-1h.parquet": 4_599,
        "candles/binance-perp/BTC-USDT-PERP-1h.parquet": 57_356,
        "mark/binance-perp/ETH-USDT-PERP-1h.parquet": 9_978,
        "funding/binance/BTC-USDT-PERP.parquet": 7_149,
        "sentiment/fear-greed-1d.parquet": 2_958,
        "gas/ethereum-avg-1d.parquet": 2_744,
        "onchain/dune/SOL-1d.parquet": 396,
    }
    for name, n_rows in files.items():
        imported = import_files([shared_data / name], catalog)
        assert {one.n_rows for one in imported} == {n_rows}, name
    stored = catalog.keys()
    keys = [str(key) for key in stored]
    assert "candles/binance/BTC-USDT:USDT/1h" in keys
    assert "signal/gas/ethereum_avg.gas_price_gwei/1d" in keys


@pytest.mark.slow
def test_all_real_series_are_taken_and_the_rest_is_refused_with_reasons(
    shared_data: Path, catalog: Catalog
) -> None:
    """The whole folder goes in with one call; only what is no series stays out."""
    refused: list[Path] = []
    imported = import_files([shared_data], catalog, on_refusal=lambda path, _: refused.append(path))
    n_rates, n_titles = 2 * 67, 2 * 5  # assets with lending rates, and with news titles
    assert len(catalog.keys()) == len(imported) == 220 + n_rates + n_titles
    outside = {path.relative_to(shared_data).parts[0] for path in refused}
    assert outside == {"defi", "orderbook", "stablecoins", "trades"}
