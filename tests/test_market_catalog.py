"""What the catalog keeps, refuses, and survives."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import DataError, SeriesNotFound
from seawall.market import catalog as catalog_module
from seawall.market.catalog import Catalog, fetch_line
from seawall.market.manifest import Filters, Interval, find_gaps, subtract, unite
from seawall.market.series import Candles, SeriesKey, Signal

HOUR = 3_600_000
KEY = SeriesKey("candles", "binance", "ETH/USDT", "1h")


def make_candles(hours: list[int], key: SeriesKey = KEY, *, is_simulated: bool = False) -> Candles:
    """Return candles that open at the given hours; the price is 100 plus the hour."""
    level = 100.0 + np.array(hours, dtype=np.float64)
    return Candles(
        key=key,
        time_ms=np.array(hours, dtype=np.int64) * HOUR,
        open=level,
        high=level + 1,
        low=level - 1,
        close=level + 0.5,
        volume=level * (np.nan if key.kind == "mark" else 1),
        source="made up",
        is_simulated=is_simulated,
    )


def folder_of(catalog: Catalog) -> Path:
    """Return the folder of the series under test."""
    return catalog.root / "candles" / "binance" / "ETH-USDT" / "1h"


def test_candles_come_back_as_they_went_in(tmp_path: Path) -> None:
    """Rows, hash and manifest of stored candles are those of the series."""
    catalog = Catalog(tmp_path)
    series = make_candles([1, 2, 3, 6])
    filters = Filters(tick_size=0.01, lot_size=0.1, min_notional=5)
    manifest = catalog.write(series, fetched_ms=7, filters=filters)
    assert catalog.read_candles(KEY).sha256() == series.sha256() == manifest.sha256
    assert catalog.manifest(KEY) == manifest
    assert (manifest.rows, manifest.first_ms, manifest.last_ms) == (4, HOUR, 6 * HOUR)
    assert manifest.gaps == ((4 * HOUR, 6 * HOUR),)
    assert (manifest.tick_size, manifest.lot_size, manifest.min_notional) == (0.01, 0.1, 5)
    assert (manifest.fetched_ms, manifest.source) == (7, "made up")


@pytest.mark.parametrize("kind", ["mark", "signal", "funding"])
def test_every_kind_comes_back(tmp_path: Path, kind: str) -> None:
    """Mark candles have no volume; funding and signals keep the time from which they were known."""
    catalog = Catalog(tmp_path)
    if kind == "mark":
        candles = make_candles([1, 2], SeriesKey("mark", "binance", "ETH/USDT:USDT", "1h"))
        catalog.write(candles, fetched_ms=None)
        assert catalog.read(candles.key).sha256() == candles.sha256()
        return
    signal = Signal(
        key=SeriesKey("signal" if kind == "signal" else "funding", "binance", "x", "8h"),
        time_ms=np.array([0, 8 * HOUR]),
        known_ms=np.array([5, 9 * HOUR]),
        value=np.array([0.1, -0.2]),
    )
    catalog.write(signal, fetched_ms=None)
    assert catalog.read_signal(signal.key).sha256() == signal.sha256()
    with pytest.raises(DataError, match="candles were asked for"):
        catalog.read_candles(signal.key)


def test_a_part_is_read_by_time(tmp_path: Path) -> None:
    """The window begins at since and ends before until."""
    catalog = Catalog(tmp_path)
    catalog.write(make_candles([1, 2, 3, 4]), fetched_ms=None)
    assert catalog.read(KEY, 2 * HOUR, 4 * HOUR).time_ms.tolist() == [2 * HOUR, 3 * HOUR]


@settings(deadline=None, max_examples=25)  # each example makes some files
@given(st.lists(st.lists(st.integers(0, 40), max_size=20, unique=True).map(sorted), max_size=4))
@pytest.mark.slow
def test_appending_in_any_pieces_gives_each_row_once(pieces: list[list[int]]) -> None:
    """However rows overlap, their union is stored, sorted, and gaps are what is missing."""
    with TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder))
        for piece in pieces:
            catalog.append(make_candles(piece), fetched_ms=None)
        if not pieces:
            assert not catalog.has(KEY)
            return
        union = sorted(set().union(*pieces))
        manifest = catalog.manifest(KEY)
        assert catalog.read(KEY).sha256() == make_candles(union).sha256() == manifest.sha256
        missing = {h for a, b in manifest.gaps for h in range(a // HOUR, b // HOUR)}
        assert missing == (set(range(union[0], union[-1])) - set(union) if union else set())


def test_confirmed_gaps_are_kept_until_rows_fill_them(tmp_path: Path) -> None:
    """Gaps that the exchange confirmed are united, and shrink where rows come after all."""
    catalog = Catalog(tmp_path)
    filters = Filters(tick_size=0.01)
    gap = ((2 * HOUR, 6 * HOUR),)
    catalog.append(make_candles([1, 6]), fetched_ms=9, confirmed_gaps=gap, filters=filters)
    manifest = catalog.append(make_candles([3]), fetched_ms=None)
    assert manifest.confirmed_gaps == ((2 * HOUR, 3 * HOUR), (4 * HOUR, 6 * HOUR))
    assert manifest.gaps == manifest.confirmed_gaps
    assert manifest.open_gaps == ()
    assert (manifest.fetched_ms, manifest.filters) == (9, filters)


def test_a_new_row_replaces_the_old_one_of_its_time(tmp_path: Path) -> None:
    """Of two rows with one timestamp the later written stays, as an import may correct data."""
    catalog = Catalog(tmp_path)
    catalog.write(make_candles([1, 2]), fetched_ms=None)
    old = make_candles([2])
    corrected = Candles(
        key=KEY,
        time_ms=old.time_ms,
        open=old.open,
        high=old.high + 5,
        low=old.low,
        close=old.close,
        volume=old.volume,
    )
    catalog.append(corrected, fetched_ms=None)
    assert catalog.read_candles(KEY).high.tolist() == [102.0, 108.0]


def test_simulated_and_real_rows_do_not_mix(tmp_path: Path) -> None:
    """A simulated series is labelled so and takes no real rows."""
    catalog = Catalog(tmp_path)
    assert catalog.write(make_candles([1], is_simulated=True), fetched_ms=None).is_simulated
    assert catalog.read_candles(KEY).is_simulated
    with pytest.raises(DataError, match="simulated and real"):
        catalog.append(make_candles([2]), fetched_ms=None)


def test_what_is_missing_names_the_nearest_and_the_command(tmp_path: Path) -> None:
    """The error for a missing series is one line with the command that fetches it."""
    catalog = Catalog(tmp_path)
    catalog.write(make_candles([1]), fetched_ms=None)
    wanted = SeriesKey("candles", "binance", "ETH/USDT", "4h")
    with pytest.raises(SeriesNotFound) as caught:
        catalog.read(wanted)
    message = str(caught.value)
    assert "did you mean candles/binance/ETH-USDT/1h?" in message
    assert "`seawall data get binance ETH/USDT --timeframe 4h --since 2022-01-01`" in message
    assert "\n" not in message


def test_the_command_for_a_series_is_complete() -> None:
    """Kind, window and timeframe stand in the command where they matter."""
    funding = SeriesKey("funding", "binance", "ETH/USDT:USDT", "8h")
    assert fetch_line(funding, 0, 86_400_000) == (
        "seawall data get binance ETH/USDT:USDT --since 1970-01-01 --until 1970-01-02 "
        "--kind funding"
    )
    assert fetch_line(SeriesKey("signal", "alt", "fear", "1d")).startswith("seawall data import")


def test_keys_lists_what_is_stored(tmp_path: Path) -> None:
    """The root may come from the environment; keys come back sorted and equal."""
    catalog = Catalog(tmp_path)
    assert catalog.keys() == []
    perpetual = SeriesKey("candles", "binance", "ETH/USDT:USDT", "1h")
    for key in (perpetual, KEY):
        catalog.write(make_candles([1], key), fetched_ms=None)
    assert catalog.keys() == [KEY, perpetual]


def test_the_root_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``$SEAWALL_DATA`` is the catalog's folder."""
    monkeypatch.setenv("SEAWALL_DATA", str(tmp_path))
    assert Catalog().root == tmp_path


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """One flipped byte in the data file is found before a row is read."""
    catalog = Catalog(tmp_path)
    manifest = catalog.write(make_candles([1, 2]), fetched_ms=None)
    path = folder_of(catalog) / manifest.data_file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="must have the hash that its manifest says"):
        catalog.read(KEY)
    path.unlink()
    with pytest.raises(DataError, match="must have the hash that its manifest says"):
        catalog.read(KEY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema version must be 1"),
        ({"rows": "many"}, "rows of .* is not valid"),
        ({"data_file": "../../x.parquet"}, "plain file name"),
        ({"surprise": 1}, "surprise of .* is not valid"),
    ],
)
def test_a_strange_manifest_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """Another schema version or a damaged manifest is refused with a remedy, never misread."""
    catalog = Catalog(tmp_path)
    catalog.write(make_candles([1]), fetched_ms=None)
    path = folder_of(catalog) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        catalog.read(KEY)
    with pytest.raises(DataError, match=message):  # and it is not overwritten either
        catalog.append(make_candles([2]), fetched_ms=None)


@pytest.mark.parametrize("symbol", ["../ETH", "", ".x", "a b", "a\\b", "a/../../b"])
def test_a_key_cannot_leave_the_root(tmp_path: Path, symbol: str) -> None:
    """Symbols come from users and recipes: none names a folder outside the catalog."""
    with pytest.raises(DataError, match="venue and symbol must be letters"):
        Catalog(tmp_path).has(SeriesKey("candles", "binance", symbol, "1h"))


def test_two_keys_never_share_a_folder(tmp_path: Path) -> None:
    """``ETH-USDT`` and ``ETH/USDT`` have one folder name: the second is refused."""
    catalog = Catalog(tmp_path)
    catalog.write(make_candles([1]), fetched_ms=None)
    other = SeriesKey("candles", "binance", "ETH-USDT", "1h")
    with pytest.raises(DataError, match="cannot share a folder"):
        catalog.write(make_candles([1], other), fetched_ms=None)


def test_two_writers_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits too long for another says so."""
    monkeypatch.setattr(catalog_module, "LOCK_SECONDS", 0.01)
    catalog = Catalog(tmp_path)
    folder_of(catalog).mkdir(parents=True)
    with FileLock(folder_of(catalog) / ".lock"), pytest.raises(DataError, match="one process"):
        catalog.write(make_candles([1]), fetched_ms=None)


def test_an_unwritable_root_is_one_line(tmp_path: Path) -> None:
    """A root that cannot be a folder gives the remedy, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="SEAWALL_DATA"):
        Catalog(tmp_path / "file").write(make_candles([1]), fetched_ms=None)


# A child commits rows 1..3 over 1..2 and kills itself at the n-th rename, before or after it.
CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_market_catalog import Catalog, make_candles
calls = 0
rename = os.replace
def replace(source, target):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        if sys.argv[4] == "after":
            rename(source, target)
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = replace
Catalog(Path(sys.argv[2])).append(make_candles([3]), fetched_ms=None)
"""


@pytest.mark.parametrize(
    ("nth", "moment", "rows"),
    [(1, "before", 2), (2, "before", 2), (2, "after", 3)],
)
@pytest.mark.slow
def test_a_kill_within_a_commit_leaves_the_old_or_the_new(
    tmp_path: Path, nth: int, moment: str, rows: int
) -> None:
    """Killed around each of its two renames, a commit has happened wholly or not at all."""
    catalog = Catalog(tmp_path)
    catalog.write(make_candles([1, 2]), fetched_ms=None)
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", CHILD, here, str(tmp_path), str(nth), moment]
    child = subprocess.run(command, env=os.environ, check=False)
    assert child.returncode == -9
    assert len(catalog.read(KEY)) == rows
    manifest = catalog.append(make_candles([3]), fetched_ms=None)
    assert manifest.sha256 == make_candles([1, 2, 3]).sha256()
    left = sorted(p.name for p in folder_of(catalog).iterdir() if p.name != ".lock")
    assert left == sorted([manifest.data_file, "manifest.json"])


def test_gaps_tolerate_late_stamps() -> None:
    """A stamp some milliseconds late is no gap; half a step more is."""
    times = np.array([0, HOUR + 7, 2 * HOUR, 4 * HOUR])
    assert find_gaps(times, HOUR) == ((3 * HOUR, 4 * HOUR),)


intervals = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=6
).map(tuple)


@settings(deadline=None)
@given(intervals, intervals)
def test_intervals_behave_as_sets(a: tuple[Interval, ...], b: tuple[Interval, ...]) -> None:
    """Union and difference of intervals hold the same integers as those of sets."""

    def points(these: tuple[Interval, ...]) -> set[int]:
        return {n for start, stop in these for n in range(start, stop)}

    assert points(unite(a)) == points(a)
    assert points(subtract(a, b)) == points(a) - points(b)
    assert list(unite(a)) == sorted(unite(a))


def test_the_file_is_plain_parquet(tmp_path: Path) -> None:
    """It reads with pandas alone: UTC timestamps and the documented columns."""
    catalog = Catalog(tmp_path)
    manifest = catalog.write(make_candles([1]), fetched_ms=None)
    frame = pd.read_parquet(folder_of(catalog) / manifest.data_file)
    assert list(frame.columns) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert str(frame["timestamp"].dtype) == "datetime64[ms, UTC]"
