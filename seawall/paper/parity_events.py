"""What befell an account, here and there: funding, liquidations, transactions and transfers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seawall.journal import JournalEntry

_KINDS: Mapping[str, str] = {
    "funding": "funding",
    "liquidated": "a liquidation",
    "sent": "what was sent",
    "done": "what was carried out",
    "failed": "what failed",
}


class EventPair(NamedTuple):
    """One event of the session's journal, of the replay's, or of both.

    Attributes:
        time_ms: when it happened.
        recorded, replayed: what the journals say; ``""`` where it did not happen.
        why: why they differ; ``""`` where they do not.
    """

    time_ms: int
    recorded: str
    replayed: str
    why: str


def pair_events(
    recorded: Sequence[JournalEntry], replayed: Sequence[JournalEntry]
) -> list[EventPair]:
    """Return all events of both journals, in order of time; equal are those that say the same."""
    ours, theirs = _group(recorded), _group(replayed)
    pairs = []
    for key in sorted({*ours, *theirs}):
        mine, other = ours.get(key, ""), theirs.get(key, "")
        pairs.append(EventPair(key[0], mine, other, _why(key[1], mine, other)))
    return pairs


def _group(entries: Sequence[JournalEntry]) -> dict[tuple[int, str, str, int], str]:
    """Return texts by time, kind, symbol and how manieth of these it is."""
    found: dict[tuple[int, str, str, int], str] = {}
    seen: dict[tuple[int, str, str], int] = {}
    for entry in entries:
        if entry.kind in _KINDS:
            place = (entry.time_ms, str(entry.kind), entry.symbol)
            number = seen[place] = seen.get(place, 0) + 1
            found[*place, number] = f"{entry.text}; {entry.reason}" if entry.reason else entry.text
    return found


def _why(kind: str, ours: str, theirs: str) -> str:
    if ours == theirs:
        return ""
    what = _KINDS[kind]
    if not ours:
        return f"{what} in the replay alone: {theirs}"
    if not theirs:
        return f"{what} in the session alone: {ours}"
    return f"{what} differs: {ours}, in the replay {theirs}"
