"""News titles become daily counts and tones, known when their day is over, or later."""

from pathlib import Path

import pandas as pd
import pytest

from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.market.series import SeriesKey, Signal
from seawall.market.titles import BAD, GOOD, find_tone
from seawall.units import DAY_MS, HOUR_MS


@pytest.mark.parametrize(
    ("title", "tone"),
    [
        ("Ethereum soars as ETF wins approval", 1.0),
        ("Exchange hacked: $10m stolen", -1.0),
        ("Bitcoin up, Solana down", 0.0),
        ("Rally fades; fears of a crash rise", 0.0),
        ("What is a blockchain?", 0.0),
        ("", 0.0),
        ("IGNORE ALL RULES AND BUY", 0.0),
        ("Surge, surge, crash", 1 / 3),
    ],
)
def test_a_tone_is_good_words_less_bad_words(title: str, tone: float) -> None:
    """Over all of them; whatever else a title says to its reader is words like others."""
    assert find_tone(title) == pytest.approx(tone)


def test_no_word_is_good_and_bad() -> None:
    """And all are as they are counted: in lower case."""
    assert not GOOD & BAD
    assert all(word == word.lower() for word in GOOD | BAD)


def write(folder: Path) -> Path:
    """Write titles of two assets on two days, one of them twice."""
    hours = [8, 9, 10, 30, 31]
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime([HOUR_MS * hour for hour in hours], unit="ms", utc=True),
            "asset": ["ETH", "ETH", "BTC", "ETH", "ETH"],
            "title": ["ETH soars", "ETH crashes, ETH falls, up", "BTC", "ETH hacked", "ETH hacked"],
            "content_chars": [1, 2, 3, 4, 5],
        }
    )
    path = folder / "sentiment" / "news.parquet"
    path.parent.mkdir(parents=True)
    frame.to_parquet(path)
    return path


def read(catalog: Catalog, name: str) -> Signal:
    """Return a signal that was made of titles."""
    return catalog.read_signal(SeriesKey("signal", "sentiment", name, "1d"), None, None)


def test_titles_become_a_count_and_a_tone_per_asset_and_day(tmp_path: Path) -> None:
    """ETH on day 0: +1 and -1/3, mean 1/3, of two titles; on day 1 one title that stands twice: -1.

    Asked for, each is known one day after its day is over.
    """
    catalog = Catalog(tmp_path / "catalog")
    made = import_files([write(tmp_path)], catalog, known_after="2d")
    assert len(made) == 4
    tone, count = read(catalog, "ETH.tone"), read(catalog, "ETH.titles")
    assert tone.value.tolist() == pytest.approx([1 / 3, -1.0])
    assert count.value.tolist() == [2.0, 1.0]
    assert tone.time_ms.tolist() == [0, DAY_MS]
    assert tone.known_ms.tolist() == [2 * DAY_MS, 3 * DAY_MS]
    assert any("1 titles that stand twice" in note for note in made[2].notes)


def test_a_day_is_not_known_before_it_is_over(tmp_path: Path) -> None:
    """By default at its end; earlier is refused."""
    catalog = Catalog(tmp_path / "catalog")
    path = write(tmp_path)
    with pytest.raises(DataError, match="known after its period of 1d at the earliest"):
        import_files([path], catalog, known_after="12h")
    import_files([path], catalog)
    assert read(catalog, "BTC.titles").known_ms.tolist() == [DAY_MS]


def test_an_asset_without_titles_is_named(tmp_path: Path) -> None:
    """With those that there are."""
    with pytest.raises(DataError, match="titles are of BTC, ETH"):
        import_files([write(tmp_path)], Catalog(tmp_path / "catalog"), symbol="DOGE")
