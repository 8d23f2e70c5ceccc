"""Where to learn and where to be tested: walk-forward and combinatorial splits that do not leak.

A row is a period, and its label is made of that period and of what follows up to its *label end*:
with a horizon of 3, row 10 is known only once period 13 is over. Two rules keep a test clean:

- *Purge*: a row is not learnt from where its label and that of a test row share a period.
- *Embargo*: after a test, so many more rows are left out, for what returns remember. In a walk
  forward, which never learns from what comes after, it is the gap before the test.

Walk-forward tests the folds one after the other, each with all that was known by then.
Combinatorial splits test every choice of some groups, so that each group is tested several times,
each time by a model that has seen other data; put together they are several *paths* through all
periods.

Source: Lopez de Prado (2018), "Advances in financial machine learning", chapters 7 and 12.
Left out: rows that are not in the order of time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from seawall.errors import RecipeError
from seawall.market.series import FloatArray

IntArray = NDArray[np.int64]
_MOST_SPLITS = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Which rows are learnt from and which are tested.

    Attributes:
        train, test: int64, increasing, no row in both.
        groups: which groups are tested; a walk-forward's fold has its own number.
    """

    train: IntArray
    test: IntArray
    groups: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class CombinatorialSplits:
    """All splits of some groups, and the paths that they make.

    Attributes:
        splits: one per choice of the groups to test.
        starts: int64, shape (n_groups + 1,): group g is the rows from ``starts[g]`` on.
        paths: int64, shape (n_paths, n_groups): which split tests group g on path p. Every group of
            every split is on exactly one path.
    """

    splits: tuple[Split, ...]
    starts: IntArray
    paths: IntArray

    def reconstruct(self, tested: Sequence[FloatArray]) -> FloatArray:
        """Return what was found out of sample along each path, shape (n_paths, n_periods).

        ``tested``: per split, one value per row of its ``test``, in that order.

        Raises:
            RecipeError: there is not one value per tested row.
        """
        sizes = [len(values) for values in tested]
        wanted = [len(split.test) for split in self.splits]
        if sizes != wanted:
            raise RecipeError(
                f"reconstruct needs one value per tested row of each of the {len(wanted)} splits, "
                f"{sum(wanted)} in all, has {sum(sizes)}: give the values in the order of test"
            )
        found = np.empty((len(self.paths), int(self.starts[-1])))
        for path, choice in enumerate(self.paths):
            for group, number in enumerate(choice):
                rows = slice(int(self.starts[group]), int(self.starts[group + 1]))
                split = self.splits[number]
                first = int(np.searchsorted(split.test, rows.start))
                found[path, rows] = tested[number][first : first + rows.stop - rows.start]
        return found


def walk_forward(
    n_periods: int,
    n_folds: int,
    *,
    n_train: int,
    horizon: int | IntArray = 0,
    embargo: int = 0,
    is_rolling: bool = False,
) -> tuple[Split, ...]:
    """Return the folds of a walk forward, in the order of time.

    The rows after the first ``n_train`` are cut into ``n_folds`` tests. A row is learnt from where
    its label ended more than ``embargo`` periods before the test begins.

    Args:
        n_periods: how many rows there are.
        n_folds: how many tests, >= 1.
        n_train: rows before the first test, >= 1; purging takes some of them.
        horizon: how many periods after its own a row's label needs, >= 0; one for all, or int64 of
            shape (n_periods,).
        embargo: periods between what was learnt and the test, >= 0.
        is_rolling: learn from the last ``n_train`` rows alone, not from all.

    Raises:
        RecipeError: a number is out of its range, or nothing is left to learn from.
    """
    ends = _label_ends(n_periods, horizon, embargo)
    if n_train < 1 or n_folds < 1 or n_train + n_folds > n_periods:
        raise RecipeError(
            f"n_train and n_folds must be >= 1 and fit into {n_periods} periods, are {n_train} "
            f"and {n_folds}: take fewer folds"
        )
    rows = np.arange(n_periods, dtype=np.int64)
    bounds = _cut(n_train, n_periods, n_folds)
    splits = []
    for fold in range(n_folds):
        first, last = int(bounds[fold]), int(bounds[fold + 1])
        is_known = (ends + embargo < first) & (rows < first)
        if is_rolling:
            is_known &= rows >= first - n_train
        splits.append(Split(train=rows[is_known], test=rows[first:last], groups=(fold,)))
    return _with_training(splits)


def combinatorial(
    n_periods: int,
    n_groups: int,
    n_tested: int,
    *,
    horizon: int | IntArray = 0,
    embargo: int = 0,
) -> CombinatorialSplits:
    """Return every split that tests ``n_tested`` of ``n_groups`` groups, purged, and the paths.

    There are ``C(n_groups, n_tested)`` splits and ``C(n_groups - 1, n_tested - 1)`` paths: 45 and 9
    for 10 and 2. Groups differ by at most one row in length.

    Args:
        n_periods: how many rows there are.
        n_groups: how many groups they are cut into.
        n_tested: how many of them a split tests, >= 1 and below ``n_groups``.
        horizon: as in ``walk_forward``.
        embargo: rows left out after a test's last label, >= 0.

    Raises:
        RecipeError: a number is out of its range, or nothing is left to learn from.
    """
    ends = _label_ends(n_periods, horizon, embargo)
    if not 1 <= n_tested < n_groups <= n_periods:
        raise RecipeError(
            f"1 <= n_tested < n_groups <= n_periods must hold, they are {n_tested}, {n_groups} and "
            f"{n_periods}: try 2 of 10 groups"
        )
    n_splits = math.comb(n_groups, n_tested)
    if n_splits > _MOST_SPLITS:
        raise RecipeError(
            f"{n_tested} of {n_groups} groups make {n_splits:,} splits, at most {_MOST_SPLITS:,} "
            "are allowed: take fewer groups"
        )
    starts = _cut(0, n_periods, n_groups)
    choices = list(combinations(range(n_groups), n_tested))
    splits = [_split(choice, starts, ends, embargo) for choice in choices]
    paths = np.array(
        [[s for s, choice in enumerate(choices) if group in choice] for group in range(n_groups)],
        dtype=np.int64,
    ).T
    return CombinatorialSplits(splits=_with_training(splits), starts=starts, paths=paths)


def _split(groups: tuple[int, ...], starts: IntArray, ends: IntArray, embargo: int) -> Split:
    """Return the split that tests some groups, with what leaks purged from the rest."""
    n = len(ends)
    rows = np.arange(n, dtype=np.int64)
    tested, is_clean = np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
    for group in groups:
        first, last = int(starts[group]), int(starts[group + 1])
        tested[first:last] = True
        until = int(ends[first:last].max())  # the last period that one of its labels is made of
        is_clean &= (ends < first) | (rows > until + embargo)
    return Split(train=rows[is_clean & ~tested], test=rows[tested], groups=groups)


def _label_ends(n_periods: int, horizon: int | IntArray, embargo: int) -> IntArray:
    """Return the last period of each row's label, shape (n_periods,)."""
    horizons = np.broadcast_to(np.asarray(horizon, dtype=np.int64), (n_periods,))
    if embargo < 0 or (horizons < 0).any():
        raise RecipeError(
            f"horizon and embargo are counted in periods and must be >= 0, are "
            f"{int(horizons.min())} and {embargo}: 0 is none"
        )
    return np.asarray(np.arange(n_periods) + horizons, dtype=np.int64)


def _cut(first: int, last: int, n_parts: int) -> IntArray:
    return np.linspace(first, last, n_parts + 1).astype(np.int64)


def _with_training(splits: Sequence[Split]) -> tuple[Split, ...]:
    for split in splits:
        if not len(split.train):
            raise RecipeError(
                f"nothing is left to learn from where group {split.groups[0]} is tested: shorten "
                "the horizon or the embargo, or give more periods"
            )
    return tuple(splits)
