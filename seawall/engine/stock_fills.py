"""The executions of backtrader's own broker as fills, journal and ledger entries."""

from collections.abc import Mapping
from math import nan

from seawall.engine.feed import to_bt_time
from seawall.engine.stock import Execution, StockBroker
from seawall.engine.world import World
from seawall.fill import Fill
from seawall.journal import Journal, JournalEntry
from seawall.units import split_symbol
from seawall.venues.ledger import Entry, Ledger

RULE = "stock"


def book_stock_fills(
    broker: StockBroker, world: World, journal: Journal, *, cash: float, quote: str
) -> tuple[list[Fill], Ledger]:
    """Return the fills of a finished run and the ledger they make; the journal gets them too.

    Spread and slippage are inside backtrader's price and cannot be told apart from it: a fill's
    ``raw_price`` is its price. Short sales are booked as they are.
    """
    ledger = Ledger()
    ledger.post(world.since_ms, [Entry("initial", quote, cash)])
    times = dict(zip(to_bt_time(world.clock_ms).tolist(), world.clock_ms.tolist(), strict=True))
    fills = [_to_fill(done, times, world) for done in broker.executions]
    for fill in fills:
        base, _ = split_symbol(fill.symbol)
        notional = fill.quantity * fill.price
        ledger.post(
            fill.time_ms,
            [
                Entry("trade", base, fill.quantity),
                Entry("trade", quote, -notional),
                Entry("fee", quote, -fill.fee),
            ],
        )
    entries = [*journal.entries, *(_to_entry(fill) for fill in fills)]
    journal.entries = sorted(entries, key=lambda entry: entry.time_ms)
    return fills, ledger


def _to_fill(done: Execution, times: Mapping[float, int], world: World) -> Fill:
    symbol = done.data._name.partition(" ")[0]  # noqa: SLF001 - backtrader's public name of a feed
    bar_ms = world.candles[symbol].key.timeframe_ms
    close_ms = times[done.dt]
    return Fill(
        time_ms=close_ms,
        bar_ms=close_ms - bar_ms,
        order_id=str(done.order_ref),
        symbol=symbol,
        quantity=done.size,
        price=done.price,
        raw_price=done.price,
        trigger_price=nan,
        slippage=0.0,
        fee=done.commission,
        liquidity="taker",
        rule=RULE,
        is_ambiguous=False,
    )


def _to_entry(fill: Fill) -> JournalEntry:
    text = f"{fill.quantity:+.8g} at {fill.price:.8g}"
    return JournalEntry(fill.time_ms, "filled", fill.symbol, fill.order_id, text, RULE)
