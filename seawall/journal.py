"""The journal: what was decided, asked, refused and done, in the order in which it happened."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

JournalKind = Literal[
    "decision",  # the agent asked for something; text says what, reason why
    "abstained",  # the agent raised, or answered what is no answer
    "thought",  # what a decision took: text says calls, tokens and time, reason the bill
    "refused",  # the strategy's limits or the venue's rules forbade an action
    "ordered",  # an order reached the venue
    "filled",
    "reduced",  # an order was made smaller to fit the cash
    "cancelled",
    "expired",
    "rejected",  # the venue took the order and could not keep it
    "sent",  # a transaction is on its way
    "done",
    "failed",  # it happened not; what gas it cost is spent
    "liquidated",
    "funding",  # paid or received, on which quantity and mark
    "note",
]


class JournalEntry(NamedTuple):
    """One line; ``time_ms`` is when it happened, UTC milliseconds."""

    time_ms: int
    kind: JournalKind
    symbol: str
    order_id: str
    text: str
    reason: str


def chain(rows: Iterable[Sequence[object]], start: str = "") -> list[str]:
    """Return a hash per row, of it and of all before it: 16 hexadecimal digits.

    Whoever has seen the last hash can tell whether any row was changed since, and the first hash
    that differs says which.

    Args:
        rows: of plain values.
        start: what the chain begins with: of what the rows are the journal.
    """
    last, found = start, []
    for row in rows:
        text = json.dumps([last, *row], ensure_ascii=False, separators=(",", ":"), default=str)
        last = sha256(text.encode()).hexdigest()[:16]
        found.append(last)
    return found


class Journal:
    """An append-only list of entries."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def record(
        self,
        time_ms: int,
        kind: JournalKind,
        text: str = "",
        *,
        symbol: str = "",
        order_id: str = "",
        reason: str = "",
    ) -> None:
        """Append one entry; what no file could hold of a text becomes ``?``."""
        entry = JournalEntry(time_ms, kind, symbol, order_id, to_plain(text), to_plain(reason))
        self.entries.append(entry)


def to_plain(text: str) -> str:
    """Return a text without lone surrogates: an agent may say anything, UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
