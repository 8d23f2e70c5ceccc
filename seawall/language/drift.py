"""What has changed between two recordings: the same questions, other answers."""

import json
from dataclasses import dataclass

from seawall.language.cassette import Cassette, Recorded


@dataclass(frozen=True, kw_only=True)
class Change:
    """One request that got two answers; both are what the model said, shortened."""

    key: str
    number: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Two recordings side by side.

    After a first other answer an agent asks other questions, so what only one of the two holds
    says less than what both do.

    Attributes:
        n_same, n_changed: requests that both hold, with the same answer and with another.
        n_before, n_after: requests that only the first holds, and only the second.
        changes: those with another answer, by time.
        latency_ms: mean change of the latency of requests that both hold.
    """

    n_same: int
    n_changed: int
    n_before: int
    n_after: int
    changes: tuple[Change, ...]
    latency_ms: float


def compare_cassettes(before: Cassette, after: Cassette) -> Drift:
    """Return what differs between two recordings.

    Raises:
        RecordingError: a row of one of them is damaged.
    """
    ours = {(row.key, row.number): row for row in before.rows()}
    theirs = {(row.key, row.number): row for row in after.rows()}
    both = [key for key in ours if key in theirs]
    changed = [key for key in both if say(ours[key]) != say(theirs[key])]
    slower = [theirs[key].reply.latency_ms - ours[key].reply.latency_ms for key in both]
    return Drift(
        n_same=len(both) - len(changed),
        n_changed=len(changed),
        n_before=len(ours) - len(both),
        n_after=len(theirs) - len(both),
        changes=tuple(
            Change(key=key[:12], number=number, before=say(ours[key, number]),
                   after=say(theirs[key, number]))
            for key, number in changed
        ),
        latency_ms=sum(slower) / len(slower) if slower else 0.0,
    )  # fmt: skip


def say(row: Recorded) -> str:
    """Return what a model has answered, in one line."""
    reply = row.reply
    if reply.error:
        return f"no answer: {reply.error}"
    calls = reply.message.get("tool_calls")
    if isinstance(calls, list) and calls:
        named = [json.dumps(one.get("function", {}), sort_keys=True) for one in calls]
        return " ".join(named)
    return str(reply.message.get("refusal") or reply.message.get("content") or "")
