"""Ranks show ties as ties and never say two things at once."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.analysis.ranking import BoolArray, rank
from seawall.errors import ResultError


@st.composite
def comparisons(draw: st.DrawFn) -> BoolArray:
    """Draw some of the comparisons that an order of 1 to 8 agents allows."""
    n = draw(st.integers(1, 8))
    order = draw(st.permutations(range(n)))
    told = np.zeros((n, n), dtype=np.bool_)
    for one, other in combinations(order, 2):
        told[one, other] = draw(st.booleans())
    return told


@given(comparisons())
def test_who_is_above_has_the_better_ranks(told: BoolArray) -> None:
    """Both ends of the range are better, and what was told is kept."""
    found = rank(told)
    n = len(told)
    assert np.all(found.is_above[told])
    assert not (found.is_above & found.is_above.T).any()
    assert np.all((found.first >= 1) & (found.first <= found.last) & (found.last <= n))
    for one, other in np.argwhere(found.is_above):
        assert found.first[one] < found.first[other]
        assert found.last[one] < found.last[other]


@given(comparisons())
def test_the_true_order_is_within_the_ranks(told: BoolArray) -> None:
    """Any order that agrees with what was told puts each agent at a rank it may have."""
    found = rank(told)
    rest, place = set(range(len(told))), 1
    while rest:
        best = min(one for one in rest if not any(told[other, one] for other in rest))
        assert found.first[best] <= place <= found.last[best]
        rest.remove(best)
        place += 1


@given(comparisons())
def test_two_share_a_group_exactly_where_they_tie(told: BoolArray) -> None:
    """Groups are mutual ties, as large as can be, and none is missing."""
    found = rank(told)
    n = len(told)
    for one in range(n):
        shares = {other for group in found.groups if one in group for other in group} - {one}
        assert shares == set(found.tied_with(one))
        assert any(one in group for group in found.groups)
    for group in found.groups:
        outside = set(range(n)) - set(group)
        assert not any(set(group) <= set(found.tied_with(other)) for other in outside)


def test_a_chain_is_closed() -> None:
    """A above B and B above C: then A is above C, though that pair was not told apart."""
    told = np.zeros((3, 3), dtype=np.bool_)
    told[0, 1] = told[1, 2] = True
    found = rank(told)
    assert found.is_above[0, 2]
    assert found.first.tolist() == found.last.tolist() == [1, 2, 3]
    assert found.groups == ((0,), (1,), (2,))


def test_the_one_between_is_in_two_groups() -> None:
    """A and C differ and B is like both: ranks 1-2, 1-3, 2-3 and groups AB, BC."""
    told = np.zeros((3, 3), dtype=np.bool_)
    told[0, 2] = True
    found = rank(told)
    assert list(zip(found.first, found.last, strict=True)) == [(1, 2), (1, 3), (2, 3)]
    assert found.groups == ((0, 1), (1, 2))


def test_nobody_is_told_apart_from_nobody() -> None:
    """No agents have no ranks; agents without a comparison share all of them."""
    assert rank(np.zeros((0, 0), dtype=np.bool_)).groups == ()
    found = rank(np.zeros((3, 3), dtype=np.bool_))
    assert found.groups == ((0, 1, 2),)
    assert found.last.tolist() == [3, 3, 3]


def test_rounds_are_refused() -> None:
    """A above B above A is no order."""
    told = np.array([[False, True], [True, False]])
    with pytest.raises(ResultError, match=r"no agent can be above itself.*\[0, 1\]"):
        rank(told)
    with pytest.raises(ResultError, match=r"shape \(2, 3\)"):
        rank(np.zeros((2, 3), dtype=np.bool_))
