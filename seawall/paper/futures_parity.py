"""Funding of a futures account, as the exchange settled it and as a replay does."""

from collections import defaultdict

from seawall.engine.outcome import Played
from seawall.paper.futures_book import INCOME
from seawall.paper.futures_reading import FUNDING_FEE, Income
from seawall.paper.outcome import SessionRun
from seawall.paper.parity_events import EventPair
from seawall.paper.record import Record
from seawall.units import HOUR_MS, SECOND_MS

_SAME = 1e-3  # of an amount: the mark at the very moment of a settlement is nobody's candle


def pair_funding(record: Record, run: SessionRun, played: Played) -> list[EventPair]:
    """Return the settlements of both, by contract and hour; an exchange may be seconds late."""
    ours: dict[tuple[int, str], float] = defaultdict(float)
    theirs: dict[tuple[int, str], float] = defaultdict(float)
    for key, row in record.journal.events(INCOME):
        one = Income(key, *row)
        if one.kind == FUNDING_FEE and one.time_ms >= run.setup.since_ms:
            ours[one.time_ms // HOUR_MS * HOUR_MS, one.symbol] += one.amount
    if played.perpetual is not None:
        table = played.perpetual.funding
        columns = (table["time"], table["symbol"], table["amount"])
        for time, symbol, amount in zip(*columns, strict=True):
            time_ms = int(time.timestamp() * SECOND_MS)
            theirs[time_ms // HOUR_MS * HOUR_MS, str(symbol)] += float(amount)
    return [
        EventPair(key[0], _say(ours.get(key), key[1]), _say(theirs.get(key), key[1]),
                  _why(ours.get(key), theirs.get(key), key[1]))
        for key in sorted({*ours, *theirs})
    ]  # fmt: skip


def _say(amount: float | None, symbol: str) -> str:
    if amount is None:
        return ""
    return f"{'received' if amount > 0 else 'paid'} {abs(amount):.8g} of {symbol}"


def _why(ours: float | None, theirs: float | None, symbol: str) -> str:
    if ours is None:
        return f"funding of {symbol} in the replay alone: nothing was held in the session"
    if theirs is None:
        return f"funding of {symbol} in the session alone: nothing is held in the replay"
    if abs(ours - theirs) <= _SAME * abs(ours):
        return ""
    return (
        f"funding of {symbol}: {ours:.8g}, in the replay {theirs:.8g}: another position, or "
        "another mark"
    )
