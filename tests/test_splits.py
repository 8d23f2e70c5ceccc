"""No split learns from what its test will see, and combinatorial paths pass every period once."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seawall.analysis.splits import CombinatorialSplits, Split, combinatorial, walk_forward
from seawall.errors import RecipeError

HORIZONS = st.integers(0, 6)
EMBARGOES = st.integers(0, 6)


def leaks(split: Split, horizon: int) -> bool:
    """Return whether a label that is learnt shares a period with one that is tested."""
    learnt = {t + k for t in split.train.tolist() for k in range(horizon + 1)}
    tested = {t + k for t in split.test.tolist() for k in range(horizon + 1)}
    return bool(learnt & tested)


@given(st.data(), st.integers(60, 200), HORIZONS, EMBARGOES)
def test_a_walk_forward_learns_from_the_past_alone(
    data: st.DataObject, n: int, horizon: int, embargo: int
) -> None:
    """Labels have ended, by the embargo, when the test begins; the tests follow one another."""
    n_folds, n_train = data.draw(st.integers(1, 6)), data.draw(st.integers(20, 40))
    is_rolling = data.draw(st.booleans())
    splits = walk_forward(
        n, n_folds, n_train=n_train, horizon=horizon, embargo=embargo, is_rolling=is_rolling
    )
    assert np.array_equal(np.concatenate([s.test for s in splits]), np.arange(n_train, n))
    for split in splits:
        first = int(split.test[0])
        expected = np.arange(first - n_train if is_rolling else 0, first - horizon - embargo)
        assert np.array_equal(split.train, expected)
        assert not leaks(split, horizon)


@given(st.integers(40, 120), st.integers(3, 8), st.integers(1, 3), HORIZONS, EMBARGOES)
def test_combinatorial_splits_do_not_leak_and_use_all_that_they_may(
    n: int, n_groups: int, n_tested: int, horizon: int, embargo: int
) -> None:
    """What is left out lies before a test by the horizon, or after it by horizon and embargo."""
    assume(n_tested < n_groups)
    try:
        found = combinatorial(n, n_groups, n_tested, horizon=horizon, embargo=embargo)
    except RecipeError:
        assume(False)
    for split in found.splits:
        assert not leaks(split, horizon)
        tested = set(split.test.tolist())
        for t in set(range(n)) - tested - set(split.train.tolist()):
            near = range(t - horizon - embargo, t + horizon + 1)
            assert tested & set(near), f"row {t} was left out for nothing"
        for t in split.train.tolist():
            assert not tested & set(range(t - horizon - embargo, t)), f"row {t} is in an embargo"


@given(st.integers(20, 60), st.integers(2, 7), st.integers(1, 4))
def test_every_path_passes_every_period_once(n: int, n_groups: int, n_tested: int) -> None:
    """Put together, the tests of all splits fill the paths: each value is on exactly one."""
    assume(n_tested < n_groups)
    found = combinatorial(n, n_groups, n_tested)
    assert len(found.splits) == math.comb(n_groups, n_tested)
    assert len(found.paths) == math.comb(n_groups - 1, n_tested - 1)
    tested = [1_000.0 * k + split.test.astype(np.float64) for k, split in enumerate(found.splits)]
    paths = found.reconstruct(tested)
    assert np.array_equal(paths % 1_000, np.tile(np.arange(n), (len(paths), 1)))
    assert sorted(paths.ravel()) == sorted(np.concatenate(tested))


def test_ten_groups_of_which_two_are_tested() -> None:
    """Lopez de Prado's example: 45 splits and 9 paths."""
    found = combinatorial(1_000, 10, 2)
    assert len(found.splits) == 45
    assert found.paths.shape == (9, 10)


def test_what_is_left_out_by_hand() -> None:
    """Ten rows in five groups, the third tested, labels of one more period, an embargo of two.

    Rows 4 and 5 are tested; their labels end in period 6. Row 3 ends in 4: out. Rows 6 (shares
    period 6), 7 and 8 (embargo) are out. Left: 0, 1, 2 and 9.
    """
    found = combinatorial(10, 5, 1, horizon=1, embargo=2)
    assert found.splits[2].test.tolist() == [4, 5]
    assert found.splits[2].train.tolist() == [0, 1, 2, 9]


def test_labels_of_different_length_are_purged_one_by_one() -> None:
    """Row 0 is known only in period 8, so no test that begins at or before 8 may learn from it."""
    horizon = np.zeros(12, dtype=np.int64)
    horizon[0] = 8
    splits = walk_forward(12, 3, n_train=6, horizon=horizon)
    assert [split.train.tolist()[:2] for split in splits] == [[1, 2], [1, 2], [0, 1]]
    assert [int(split.test[0]) for split in splits] == [6, 8, 10]


def test_bad_input_is_refused() -> None:
    """Each message says what would be right."""
    with pytest.raises(RecipeError, match="take fewer folds"):
        walk_forward(10, 5, n_train=6)
    with pytest.raises(RecipeError, match="nothing is left to learn from where group 0"):
        walk_forward(10, 2, n_train=4, horizon=4)
    with pytest.raises(RecipeError, match="must be >= 0, are -1 and 0"):
        walk_forward(10, 2, n_train=4, horizon=-1)
    with pytest.raises(RecipeError, match="try 2 of 10"):
        combinatorial(10, 3, 3)
    with pytest.raises(RecipeError, match="1,352,078 splits"):
        combinatorial(100, 23, 12)
    found: CombinatorialSplits = combinatorial(10, 5, 2)
    with pytest.raises(RecipeError, match="40 in all, has 30"):
        found.reconstruct([np.zeros(3)] * 10)


def test_another_library_agrees() -> None:
    """Told the same times, purgedcv learns from the same rows.

    There a label ends when the next period begins, and that moment is within the embargo too.
    """
    purgedcv = pytest.importorskip("purgedcv", reason="purgedcv is not installed")
    pandas = pytest.importorskip("pandas")
    times = pandas.Series(pandas.date_range("2024-01-01", periods=60, freq="D"))
    ends = times + pandas.Timedelta(days=3)
    theirs = purgedcv.CombinatorialPurgedCV(
        6, 2, prediction_times=times, evaluation_times=ends,
        purge_horizon=pandas.Timedelta(0), embargo=pandas.Timedelta(days=4),
    )  # fmt: skip
    mine = combinatorial(60, 6, 2, horizon=2, embargo=5)
    pairs = list(theirs.split(np.zeros((60, 1))))
    assert len(pairs) == len(mine.splits)
    for (train, test), split in zip(pairs, mine.splits, strict=True):
        assert np.array_equal(test, split.test)
        assert np.array_equal(train, split.train)
