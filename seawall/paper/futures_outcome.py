"""What a session on an exchange's futures account has come to, in a backtest's tables.

Nothing is computed again: equity and margin are the exchange's, as they were told at each step;
fees, funding, profit and what a liquidation took are its own list of incomes.

Left out: the worst margin ratio inside a bar, a liquidation's tier and ratio, the position and mark
behind a payment of funding: nobody tells them.
"""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from seawall.engine.accounts import AccountCurve, trace_account
from seawall.engine.outcome import Played
from seawall.engine.perpetual.outcome import (
    FUNDING_COLUMNS,
    LIQUIDATION_COLUMNS,
    LIQUIDATION_RULE,
    TRANSFER_COLUMNS,
    PerpetualPlayed,
)
from seawall.engine.world import World
from seawall.fill import Fill
from seawall.journal import JournalEntry
from seawall.market.series import FloatArray
from seawall.paper.forced import is_forced
from seawall.paper.futures_book import INCOME
from seawall.paper.futures_reading import FUNDING_FEE, Income
from seawall.paper.futures_record import ToldRow, recorded_rows
from seawall.paper.record import Record, Setup
from seawall.paper.shadow_funding import recorded_settled
from seawall.venues.ledger import Entry, EntryKind, Ledger

_OWN: Mapping[str, EntryKind] = {  # of the account's own doing; what else comes in was paid in
    "REALIZED_PNL": "pnl",
    "COMMISSION": "fee",
    "FUNDING_FEE": "funding",
    "INSURANCE_CLEAR": "liquidation_fee",
}


def told_played(
    record: Record,
    setup: Setup,
    world: World,
    fills: Sequence[Fill],
    journal: Sequence[JournalEntry],
    *,
    n_decisions: int,
) -> Played:
    """Return what a session has left.

    Args:
        record: of the session.
        setup: how it began.
        world: what it saw.
        fills: of it.
        journal: what was written, in order.
        n_decisions: so many were made.
    """
    market = trace_account(world, (), cash=0.0, held={}, at_open=False)  # times and prices
    rows = _at(recorded_rows(record), market.time_ms.tolist())
    incomes = [Income(key, *row) for key, row in record.journal.events(INCOME)]
    incomes = sorted((one for one in incomes if one.time_ms >= setup.since_ms), key=_time)
    equity = np.array([setup.cash, *(setup.cash if one is None else one.equity for one in rows)])
    cash = np.array([setup.cash, *(setup.cash if one is None else one.available for one in rows)])
    gross = np.array([0.0, *(0.0 if one is None else _gross(one) for one in rows)])
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure = np.where(equity > 0, gross / equity, np.nan)
    return Played(
        curve=AccountCurve(
            time_ms=market.time_ms, equity=equity, cash=cash, exposure=exposure,
            prices=market.prices,
        ),
        fills=fills,
        journal=journal,
        ledger=_to_ledger(setup, incomes, fills, world),
        held=setup.holdings,
        n_decisions=n_decisions,
        n_ambiguous=0,
        perpetual=PerpetualPlayed(
            frame=_to_frame(rows, market, world),
            liquidations=_liquidations(record, setup.since_ms),
            funding=_funding(record, incomes),
            transfers=_timed(pd.DataFrame([], columns=list(TRANSFER_COLUMNS))),
            parts=_find_parts(incomes, fills, equity),
        ),
    )  # fmt: skip


def _time(one: Income) -> int:
    return one.time_ms


def _at(rows: Sequence[ToldRow], times: Sequence[int]) -> list[ToldRow | None]:
    """Return the last row at or before each time but the first; ``None`` before there is one."""
    found: list[ToldRow | None] = []
    place = 0
    for time_ms in times[1:]:
        while place < len(rows) and rows[place].time_ms <= time_ms:
            place += 1
        found.append(rows[place - 1] if place else None)
    return found


def _gross(row: ToldRow) -> float:
    return sum(abs(quantity) * mark for mark, quantity, _, _ in row.contracts.values())


def _to_frame(rows: Sequence[ToldRow | None], market: AccountCurve, world: World) -> pd.DataFrame:
    """Return the account step by step; the start is like the first step that was told."""
    first = next((one for one in rows if one is not None), None)
    whole = [one or first for one in (first, *rows)]
    columns: dict[str, Sequence[float] | FloatArray] = {}
    nothing = [nan] * len(whole)
    columns["equity_spot"] = [0.0] * len(whole)
    columns["equity_loan"] = nothing
    columns["on_the_way"] = [0.0] * len(whole)
    for name, field in (
        ("equity_perpetual", "equity"), ("wallet", "wallet"), ("available", "available"),
        ("unrealised", "unrealised"), ("maintenance", "maintenance"), ("margin_ratio", "ratio"),
        ("worst_margin_ratio", "ratio"), ("funding", "funding"),
    ):  # fmt: skip
        columns[name] = [nan if one is None else getattr(one, field) for one in whole]
    own = world.perpetual
    start = int(np.searchsorted(world.clock_ms, world.since_ms, "right"))
    for i, symbol in enumerate(() if own is None else own.symbols):
        told = [None if one is None else one.contracts.get(symbol) for one in whole]
        for place, name in enumerate(("mark", "quantity", "entry", "liquidation_price")):
            values = [None if one is None else one[place] for one in told]
            columns[f"{name}:{symbol}"] = [nan if one is None else one for one in values]
        if own is not None:
            for place, name in ((1, "mark_high"), (2, "mark_low")):
                marks = own.marks[start:, i, place]
                columns[f"{name}:{symbol}"] = np.append(own.marks[start, i, 0], marks)
    index = pd.Index(pd.to_datetime(market.time_ms, unit="ms", utc=True), name="time")
    return pd.DataFrame(columns, index=index)


def _liquidations(record: Record, since_ms: int) -> pd.DataFrame:
    journal, rows = record.journal, []
    for fill in journal.fills(since_ms=since_ms):
        client_id = journal.client_id_of(fill.symbol, fill.exchange_order_id)
        if client_id and is_forced(journal.order(client_id)):
            rows.append((fill.time_ms, fill.symbol, 0, fill.signed, fill.price, fill.fee,
                         nan, nan, nan, nan))  # fmt: skip
    return _timed(pd.DataFrame(rows, columns=list(LIQUIDATION_COLUMNS)))


def _funding(record: Record, incomes: Sequence[Income]) -> pd.DataFrame:
    rates = {
        (symbol, one.time_ms // 60_000): one.rate
        for symbol in {one.symbol for one in incomes if one.symbol}
        for one in recorded_settled(record.journal, symbol)
    }
    rows = [
        (one.time_ms, one.symbol, rates.get((one.symbol, one.time_ms // 60_000), nan), nan, nan,
         one.amount)
        for one in incomes
        if one.kind == FUNDING_FEE
    ]  # fmt: skip
    return _timed(pd.DataFrame(rows, columns=list(FUNDING_COLUMNS)))


def _find_parts(
    incomes: Sequence[Income], fills: Sequence[Fill], equity: FloatArray
) -> dict[str, float]:
    """Return what the change of the equity is made of; ``market`` is what no other explains."""
    forced = [fill.fee for fill in fills if fill.rule == LIQUIDATION_RULE]
    parts = {
        "trading_fees": sum(forced) - sum(fill.fee for fill in fills),
        "slippage": 0.0,
        "funding": sum(one.amount for one in incomes if one.kind == FUNDING_FEE),
        "liquidation_fees": 0.0 - sum(forced),
        "insurance": 0.0,
        "transfers": sum(one.amount for one in incomes if one.kind not in _OWN),
    }
    change = float(equity[-1] - equity[0])
    return {"market": change - sum(parts.values()), **parts}


def _to_ledger(
    setup: Setup, incomes: Sequence[Income], fills: Sequence[Fill], world: World
) -> Ledger:
    """Return the books: the wallet by its incomes, the contracts by their fills."""
    _, quote = next(iter(world.candles)).partition(":")[::2]
    ledger, asset = Ledger(), f"perpetual:{quote}"
    account = setup.world["account"]
    aside = sum(row[2] for row in account["positions"].values())
    opening = [Entry("initial", asset, account["cross"] + aside)]
    opening += [Entry("initial", f"contract:{s}", q) for s, q in setup.holdings.items() if q]
    ledger.post(setup.since_ms, opening)
    changes = [(one.time_ms, 0, Entry(_OWN.get(one.kind, "transfer"), asset, one.amount))
               for one in incomes]  # fmt: skip
    changes += [
        (fill.time_ms, 1, Entry("trade", f"contract:{fill.symbol}", fill.quantity))
        for fill in fills
    ]
    for time_ms, _, entry in sorted(changes, key=lambda one: one[:2]):
        ledger.post(time_ms, [entry])
    return ledger


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ms", utc=True)
    return frame
