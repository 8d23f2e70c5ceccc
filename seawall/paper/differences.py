"""A row in which the journal of an account and its exchange differ."""

from typing import Literal, NamedTuple

Kind = Literal[
    "unresolved order",  # it is not known yet whether it arrived
    "unresolved margin",  # likewise, of margin that was moved
    "foreign order",  # open at the exchange, not of this journal
    "order state",  # the two disagree about one of ours
    "foreign trade",  # a trade of no order in the journal
    "balance",
    "position",
    "wallet",  # of a futures account
    "setting",  # leverage and margin mode of a contract
]
UNRESOLVED: frozenset[Kind] = frozenset({"unresolved order", "unresolved margin"})


class Difference(NamedTuple):
    """One row in which the journal and the exchange differ.

    Attributes:
        kind: see ``Kind``.
        name: an order's id, a trade's, an asset or a symbol.
        believed, told: what the journal and what the exchange says.
    """

    kind: Kind
    name: str
    believed: str
    told: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: believed {self.believed}, the exchange says {self.told}"
