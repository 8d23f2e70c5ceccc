"""Makes daily signals of a table of news titles, one row per title and asset.

Such a table has the columns ``asset`` and ``title``. Of each asset two signals are made, a value
per UTC day with titles: ``ETH.titles``, how many there were, and ``ETH.tone``, the mean over them
of (good words - bad words) / (good words + bad words), -1 to 1; a title without such words is 0. A
title that stands twice in a day counts once. A value describes a whole day, so it is known when the
day is over at the earliest.

The words are few and plain on purpose: they are counted, not understood, and whatever a title says
to its reader has no effect. Left out: negation, sources, and who the title is about.
"""

import re
from collections.abc import Iterator

import pandas as pd

from seawall.errors import DataError
from seawall.market.parts import Part, Understanding
from seawall.market.tables import Table
from seawall.units import DAY_MS

_GOOD_WORDS = """
adopt adoption approval approve approved approves boost boosts breakout bull bullish climb climbs
gain gains growth high higher highs jump jumps launch launches milestone optimism outperform
outperforms partnership profit profits rallies rally rebound rebounds record recover recovers
recovery rise rises rising soar soars surge surges up upgrade win wins
"""
_BAD_WORDS = """
attack ban banned bankrupt bankruptcy bans bear bearish breach charge charged charges collapse
collapses crackdown crash crashes decline declines delay delays down drop drops exploit exploited
fall falling falls fear fears fine fined fraud hack hacked halt halts lawsuit lawsuits liquidated
liquidation lose loses loss losses low lower lows outage plunge plunges risk risks scam selloff
slump slumps stolen sue sued sues tumble tumbles warn warning warns
"""
GOOD, BAD = frozenset(_GOOD_WORDS.split()), frozenset(_BAD_WORDS.split())
_COLUMNS = {"asset", "title"}
_WORD = re.compile(r"[a-z]+")


def is_titles(table: Table) -> bool:
    """Return whether a table holds titles by asset."""
    return set(table.frame.columns) >= _COLUMNS


def find_tone(title: str) -> float:
    """Return (good words - bad words) / (good words + bad words), -1 to 1; 0.0 without any."""
    words = _WORD.findall(title.lower())
    good = sum(word in GOOD for word in words)
    bad = sum(word in BAD for word in words)
    return (good - bad) / (good + bad) if good + bad else 0.0


def split_titles(table: Table, given: Understanding) -> Iterator[Part]:
    """Return two parts per asset; of one asset where ``given.symbol`` names it.

    Raises:
        DataError: the table has no titles of that asset.
    """
    frame = table.frame.dropna(subset=["asset", "title"])
    days = frame["timestamp"] // DAY_MS * DAY_MS
    plain = pd.DataFrame(
        {
            "timestamp": days,
            "asset": frame["asset"].astype(str),
            "title": frame["title"].astype(str),
        }
    )
    assets = sorted(plain["asset"].unique())
    chosen = assets if given.symbol is None else [given.symbol]
    for asset in chosen:
        if asset not in assets:
            raise DataError(
                f"titles are of {', '.join(assets[:8])}, {table.path} has none of {asset!r}: name "
                "one that it has"
            )
        yield from _split_asset(table, asset, plain[plain["asset"] == asset])


def _split_asset(table: Table, asset: str, rows: pd.DataFrame) -> Iterator[Part]:
    once = rows.drop_duplicates(["timestamp", "title"])
    tones = once["title"].map(find_tone).astype("float64")
    by_day = tones.groupby(once["timestamp"])
    notes = [f"made of {len(once)} titles, a row describes its day"]
    if left := len(rows) - len(once):
        notes.append(f"{left} titles that stand twice in a day stay out")
    for name, values in (("titles", by_day.count()), ("tone", by_day.mean())):
        made = pd.DataFrame(
            {
                "timestamp": values.index.to_numpy("int64"),
                "value": values.to_numpy("float64"),
            }
        )
        yield Part(
            table=table, frame=made, symbol=f"{asset}.{name}", timeframe="1d", notes=tuple(notes)
        )
