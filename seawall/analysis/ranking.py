"""Ranks that show ties as ties, and never contradict each other.

Of two agents one is *above* the other where the pair is told apart, or where a third is between:
if A is above B and B above C, then A is above C, whatever that pair says alone (if the first two
are true, so is the third: nothing is risked by concluding it). An agent's rank is not one number
but what cannot be excluded: from 1 + those above it to n - those below it. So an agent that is
above another always has the smaller first rank and the smaller last one.

Source: Mogstad, Romano, Shaikh and Wilhelm (2024), "Inference for ranks with applications to
mobility across neighbourhoods and academic achievement across countries", Review of Economic
Studies 91.
Left out: ranks within a tie: what lies within one is an order of chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seawall.errors import ResultError

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """What may be said of the order of some agents.

    Attributes:
        is_above: shape (n, n), row above column, conclusions drawn; never both ways.
        first, last: the ranks that each may have, 1 the best, shape (n,).
        groups: agents that cannot be told apart from each other, each group as large as can be;
            two agents share a group exactly where they cannot be told apart. An agent may be in
            several: A and C differ, B is like both.
    """

    is_above: BoolArray
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    groups: tuple[tuple[int, ...], ...]

    def tied_with(self, agent: int) -> tuple[int, ...]:
        """Return the others that cannot be told apart from one agent."""
        is_tied = ~(self.is_above[agent] | self.is_above[:, agent])
        return tuple(int(other) for other in np.flatnonzero(is_tied) if other != agent)


def rank(is_told_above: BoolArray) -> Ranking:
    """Return the ranking that some comparisons allow.

    ``is_told_above``: shape (n, n): the row's agent was told apart from the column's, and lies
    above it.

    Raises:
        ResultError: it is no square, or says that an agent is above itself, directly or in a round.
    """
    n = len(is_told_above)
    if is_told_above.shape != (n, n):
        raise ResultError(f"comparisons are a square of agents, have shape {is_told_above.shape}")
    is_above = is_told_above.copy()
    for between in range(n):
        is_above |= is_above[:, [between]] & is_above[[between], :]
    if is_above.diagonal().any():
        raise ResultError(
            "no agent can be above itself, by what it is compared with agents "
            f"{np.flatnonzero(is_above.diagonal()).tolist()} are: order them by one measure"
        )
    first = 1 + is_above.sum(axis=0, dtype=np.int64)
    last = n - is_above.sum(axis=1, dtype=np.int64)
    order = np.lexsort((np.arange(n), last, first))
    groups = _find_groups(~(is_above | is_above.T), [int(place) for place in order])
    return Ranking(is_above=is_above, first=first, last=last, groups=groups)


def _find_groups(is_tied: BoolArray, order: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return groups of mutual ties, grown as far as they go, until every tie is in one."""
    is_covered = np.zeros_like(is_tied)
    groups = []
    for one in order:
        for other in order:
            if not is_tied[one, other] or is_covered[one, other]:
                continue
            group = [one] if one == other else [one, other]
            for third in order:
                if third not in group and is_tied[third, group].all():
                    group.append(third)
            is_covered[np.ix_(group, group)] = True
            groups.append(tuple(sorted(group, key=order.index)))
    return tuple(groups)
