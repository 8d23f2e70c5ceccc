"""Which feed delivers a bar when: all feeds of a run merged once, before the loop."""

# ruff: noqa: SLF001 - the hooks of backtrader's own loop are private names

import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.engine.feed import ArrayFeed, quicken
from seawall.market.series import FloatArray


class Movers(NamedTuple):
    """What moves when a certain set of feeds delivers: lines by hand, other feeds by themselves."""

    lines: tuple[Any, ...]
    feeds: tuple[Any, ...]


class Passed(NamedTuple):
    """What a strategy has slept through: the stamps, and the bars of each feed, by its id."""

    stamps: FloatArray
    moved: dict[int, int]


class Timeline:
    """The steps of a run.

    Attributes:
        feeds: the feeds, shorter timeframes first, as backtrader orders them.
        stamps: one date number per step, strictly increasing.
        groups: per step the index of the set of feeds that deliver a bar then.
        members: per group a tuple of indices into ``feeds``.
        movers: per group what has to be moved.
    """

    def __init__(self, feeds: list[Any], times: list[FloatArray]) -> None:
        self.feeds = feeds
        self._times = times
        self._all_stamps = np.unique(np.concatenate(times))
        self.stamps: Sequence[float] = array.array("d", self._all_stamps.tobytes())
        delivers = np.zeros((len(self._all_stamps), len(feeds)), dtype=np.bool_)
        for column, feed_times in enumerate(times):
            delivers[np.searchsorted(self._all_stamps, feed_times), column] = True
        sets, groups = _to_groups(delivers)
        self.groups: Sequence[int] = groups.tolist()
        self.members = [tuple(int(i) for i in np.flatnonzero(row)) for row in sets]
        self.movers = [self._to_movers(members) for members in self.members]

    @classmethod
    def of(cls, datas: Iterable[Any]) -> "Timeline | None":
        """Merge preloaded feeds; ``None`` where stamps do not strictly increase."""
        feeds = sorted(datas, key=lambda feed: (feed._timeframe, feed._compression))
        times = [_to_times(feed) for feed in feeds]
        for feed_times in times:
            if not np.isfinite(feed_times).all() or (np.diff(feed_times) <= 0).any():
                return None
        return cls(feeds, times)

    def __len__(self) -> int:
        return len(self._all_stamps)

    def catch_up(self, since: int, step: int) -> Passed:
        """Move the feeds from step ``since`` to just before ``step``; return what they passed."""
        passed = self._all_stamps[since:step]
        counts = []
        for feed, feed_times in zip(self.feeds, self._times, strict=True):
            n_before = len(feed)
            n_now = int(np.searchsorted(feed_times, passed[-1], side="right"))
            feed.lines.advance(n_now - n_before)
            if n_now > n_before:
                feed._tick_fill(force=True)
            counts.append(n_now - n_before)
        moved = {id(feed): count for feed, count in zip(self.feeds, counts, strict=True)}
        return Passed(passed, moved)

    def find_feeds(self, group: int) -> list[Any]:
        """Return the feeds that deliver in a group."""
        return [self.feeds[index] for index in self.members[group]]

    def _to_movers(self, members: tuple[int, ...]) -> Movers:
        feeds = [self.feeds[index] for index in members]
        by_hand = [feed for feed in feeds if type(feed) is ArrayFeed]
        lines = tuple(line for feed in by_hand for line in feed.lines)
        return Movers(lines, tuple(feed for feed in feeds if type(feed) is not ArrayFeed))


def _to_times(feed: Any) -> FloatArray:
    """Return the feed's stamps, and make its lines read fast."""
    quicken(feed.lines)
    line = feed.lines.datetime
    return np.array(line.array[: line.buflen()], dtype=np.float64)


def _to_groups(
    delivers: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return the distinct rows and, per row, which of them it is."""
    n_steps = len(delivers)
    if delivers.all():
        return delivers[:1], np.zeros(n_steps, dtype=np.intp)
    packed = np.packbits(delivers, axis=1)
    if packed.shape[1] == 1:
        _, first, groups = np.unique(packed[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, groups = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return delivers[first], groups.reshape(n_steps)
