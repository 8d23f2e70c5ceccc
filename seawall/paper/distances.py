"""How far a session is from each of its limits, read from its journal; nothing is counted anew."""

from collections.abc import Mapping
from typing import NamedTuple

from seawall.paper.journal import PaperJournal
from seawall.paper.record import SessionRow
from seawall.units import MINUTE_MS


class Seen(NamedTuple):
    """What a session shows of itself at one moment; ``None`` is not known yet.

    Attributes:
        now_ms: the time; ``data_ms``: close of the last candle.
        silent_ms: since when the agent is asked and does not answer; it may be ``now_ms``.
        equity: quote units; ``positions``: quote units by symbol, < 0 sold short.
    """

    now_ms: int
    data_ms: int | None
    silent_ms: int | None
    equity: float | None
    positions: Mapping[str, float]


def find_distances(journal: PaperJournal, session: SessionRow, seen: Seen) -> dict[str, float]:
    """Return what is left of each limit, as a share of it: 1 is untouched, 0 is reached.

    A limit on single orders has none; those on the clock count from the last sign of life.
    """
    limits = session.setup.limits
    used: dict[str, float | None] = {
        "max_drawdown": _lost(journal.recall("limits peak"), seen.equity),
        "max_daily_loss": _lost(journal.recall("limits day start"), seen.equity),
        "max_position": max((abs(worth) for worth in seen.positions.values()), default=0.0),
        "max_orders_per_minute": _orders_lately(journal, session, seen),
        "max_data_age_ms": _since(seen.data_ms, seen.now_ms),
        "max_silence_ms": _since(seen.silent_ms, seen.now_ms),
    }
    return {
        name: max(0.0, 1 - max(0.0, value) / most)
        for name, value in used.items()
        if value is not None and (most := limits.get(name))
    }


def _lost(origin: float | None, equity: float | None) -> float | None:
    return None if not origin or equity is None else 1 - equity / origin


def _since(time_ms: int | None, now_ms: int) -> float | None:
    return None if time_ms is None else float(now_ms - time_ms)


def _orders_lately(journal: PaperJournal, session: SessionRow, seen: Seen) -> float:
    """Return how many orders were sent in the last minute.

    A sandbox's have intents. A shadow's reach its venue with the bar after their decision: it is
    the minute before the last bar that counts.
    """
    if session.setup.mode == "shadow":
        since_ms = (seen.data_ms or seen.now_ms) - MINUTE_MS
        query = "SELECT count(*) FROM entries WHERE time_ms >= ? AND kind = 'ordered'"
    else:
        since_ms = seen.now_ms - MINUTE_MS
        query = "SELECT count(*) FROM orders WHERE intent_ms > ? AND state != 'rejected'"
    ((n_sent,),) = journal.rows(query, since_ms)
    return float(n_sent)
