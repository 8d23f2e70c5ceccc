"""Whether a published track record adds up: its own arithmetic, row by row.

A track record is a CSV file with the columns ``date, action, symbol, quantity, price, cash,
holdings``; cash and holdings are those *after* the action. An action is buy, sell, hold, deposit or
withdraw; what is deposited or withdrawn is cash where its symbol is nothing that is held.
``holdings`` is the quantity of the row's symbol, or JSON of quantities by symbol: then of all that
is held. Columns
``fee`` (quote units) and ``equity`` (after the action) are checked where they are there.

Checked of each row, in this order:

1. it can be read: a date no earlier than the one before, a known action, numbers;
2. holdings are those before plus what was bought, less what was sold or withdrawn;
3. cash is that before less quantity times price and the fee, or plus it. Without a fee column the
   fee is what is missing: it has to be the record's usual rate (the median) and never below 0;
4. neither cash nor holdings are below 0;
5. equity is cash plus holdings at the last price seen; before its first one a holding is worth
   that, so that its first price is no gain.

A row that does not add up is named, and the next one is judged from what it *says*, so one error is
one finding. What a file cannot show is whether the prices were there: ``price_findings`` looks them
up in the catalog.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import median

import numpy as np

from seawall.analysis.track_record_file import TRADES, Finding, Row, read_rows
from seawall.errors import DataError
from seawall.market.series import Candles
from seawall.units import DAY_MS

TOLERANCE = 1e-6  # of the amount in question: numbers in files are rounded
_SIGNS = {"buy": 1.0, "sell": -1.0, "hold": 0.0, "deposit": 1.0, "withdraw": -1.0}
_CENT = 0.005
_RATE = 2e-4  # how far a row's fee may lie from the usual rate, as a fraction of the notional
_MAX_FEE = 0.05  # a rate above it is no fee


@dataclass(frozen=True, kw_only=True)
class TrackRecord:
    """What a track record comes to.

    Attributes:
        rows: how many could be read; ``findings``: what does not add up, by row.
        start_equity, final_equity: recomputed from the first row and the last prices, quote units.
        claimed_equity: the last one that the record states; None where it states none.
        total_return: recomputed; deposits and withdrawals count as such, not as gains.
        fee_rate: the usual one, as a fraction of the notional; nan without trades.
        notes: what could not be checked.
    """

    rows: int
    findings: tuple[Finding, ...]
    start_equity: float
    final_equity: float
    claimed_equity: float | None
    total_return: float
    fee_rate: float
    notes: tuple[str, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether no row was found fault with."""
        return not self.findings

    def to_dict(self) -> dict[str, object]:
        """Return plain values; nan is None."""
        values = {name: value for name, value in vars(self).items() if name != "findings"}
        plain = {
            k: None if isinstance(v, float) and not isfinite(v) else v for k, v in values.items()
        }
        return {**plain, "adds_up": self.adds_up, "findings": [vars(one) for one in self.findings]}


@dataclass(kw_only=True)
class _Books:
    """What the record has said so far."""

    cash: float
    holdings: dict[str, float]
    prices: dict[str, float]
    seen: set[str] = field(default_factory=set)

    @property
    def equity(self) -> float:
        return self.cash + sum(n * self.prices.get(s, 0.0) for s, n in self.holdings.items())

    @property
    def is_priced(self) -> bool:
        """Whether a price was stated of all that is held, so far."""
        return all(symbol in self.seen for symbol, held in self.holdings.items() if held)


def audit_track_record(path: Path, *, candles: Mapping[str, Candles] | None = None) -> TrackRecord:
    """Return what a track record comes to.

    Args:
        path: of the CSV file.
        candles: of the market it was made in, by the record's symbols; prices are then held
            against the bar of their time.

    Raises:
        DataError: the file cannot be read, lacks a column, or has no row.
    """
    rows, findings = read_rows(path)
    if not rows:
        raise DataError(f"a track record needs a row that can be read, {path} has none: correct it")
    rate = _usual_rate(rows)
    first = rows[0]
    prices = {row.symbol: row.price for row in reversed(rows) if row.symbol and row.price > 0}
    books = _Books(cash=first.cash, holdings=dict(first.holdings), prices=prices)
    _see_price(books, first)
    start, flow, growth = books.equity, 0.0, 1.0
    base = start
    for row in rows[1:]:
        findings.extend(_check_row(row, books, rate))
        if row.action in ("deposit", "withdraw"):
            before = books.equity
            growth *= before / base if base > 0 else 1.0
            _take(books, row)
            base = books.equity
            flow += base - before
        else:
            _take(books, row)
    final = books.equity
    growth *= final / base if base > 0 else 1.0
    if candles is not None:
        findings.extend(price_findings(rows, candles))
    stated = [row.equity for row in rows if row.equity is not None]
    return TrackRecord(
        rows=len(rows),
        findings=tuple(sorted(findings, key=lambda one: one.row)),
        start_equity=start,
        final_equity=final,
        claimed_equity=stated[-1] if stated else None,
        total_return=growth - 1 if start > 0 else float("nan"),
        fee_rate=rate,
        notes=tuple(_notes(rows, candles, flow)),
    )


def price_findings(rows: Sequence[Row], candles: Mapping[str, Candles]) -> Iterator[Finding]:
    """Give the trades whose price lies outside of the bar of their time.

    A date without a time of day stands for the whole day.
    """
    for row in rows:
        series = candles.get(row.symbol)
        if series is None or row.action not in TRADES:
            continue
        low, high = _range_at(series, row.time_ms)
        slack = TOLERANCE * row.price
        if isfinite(low) and not low - slack <= row.price <= high + slack:
            yield Finding(
                row=row.number,
                rule="price",
                text=f"{row.symbol} traded from {low:g} to {high:g} then, the price is "
                f"{row.price:g}",
            )


def _range_at(series: Candles, time_ms: int) -> tuple[float, float]:
    is_day = time_ms % DAY_MS == 0
    length = max(DAY_MS, series.key.timeframe_ms) if is_day else series.key.timeframe_ms
    since = time_ms - time_ms % series.key.timeframe_ms
    first, last = np.searchsorted(series.time_ms, [since, since + length])
    if first == last:
        return float("nan"), float("nan")
    return float(series.low[first:last].min()), float(series.high[first:last].max())


def _signed(row: Row) -> float:
    """Return what comes into the holdings of the row's symbol, < 0: what leaves them."""
    if row.action in ("deposit", "withdraw") and _is_cash(row):
        return 0.0
    return _SIGNS[row.action] * row.quantity


def _is_cash(row: Row) -> bool:
    """Return whether a deposit or withdrawal is of cash: its symbol is nothing that is held."""
    return row.symbol not in row.holdings


def _usual_rate(rows: Sequence[Row]) -> float:
    """Return the fee that trades usually pay, as a fraction of the notional; nan without trades."""
    rates = []
    for before, row in pairwise(rows):
        notional = row.quantity * row.price
        if row.action in TRADES and notional > 0:
            fee = before.cash - _signed(row) * row.price - row.cash
            rates.append(fee / notional if row.fee is None else row.fee / notional)
    plausible = [rate for rate in rates if 0 <= rate <= _MAX_FEE]
    return median(plausible) if plausible else float("nan")


def _check_row(row: Row, books: _Books, rate: float) -> Iterator[Finding]:
    yield from _check_holdings(row, books)
    yield from _check_cash(row, books, rate)
    if row.cash < -_CENT:
        yield Finding(row=row.number, rule="cash", text=f"cash is below 0: {row.cash:,.2f}")
    for symbol, held in row.holdings.items():
        if held < -TOLERANCE:
            yield Finding(row=row.number, rule="holdings", text=f"{symbol} is below 0: {held:g}")
    if row.equity is not None:
        kept = {} if row.is_whole else books.holdings
        after = _Books(cash=row.cash, holdings={**kept, **row.holdings},
                       prices=dict(books.prices), seen=set(books.seen))  # fmt: skip
        _see_price(after, row)
        if after.is_priced and abs(after.equity - row.equity) > _slack(row.equity):
            text = f"cash and holdings are worth {after.equity:,.2f}, it says {row.equity:,.2f}"
            yield Finding(row=row.number, rule="equity", text=text)


def _check_holdings(row: Row, books: _Books) -> Iterator[Finding]:
    traded = [row.symbol] if row.action in TRADES else []
    missing = [symbol for symbol, held in books.holdings.items() if held] if row.is_whole else []
    for symbol in sorted({*row.holdings, *traded, *missing}):
        moved = _signed(row) if symbol == row.symbol else 0.0
        due = books.holdings.get(symbol, 0.0) + moved
        found = row.holdings.get(symbol, 0.0)
        if abs(found - due) > TOLERANCE * max(abs(due), row.quantity, 1e-3):
            yield Finding(
                row=row.number,
                rule="holdings",
                text=f"{symbol} should be {due:.10g} after {row.action} {row.quantity:g}, is "
                f"{found:.10g}",
            )


def _check_cash(row: Row, books: _Books, rate: float) -> Iterator[Finding]:
    notional = row.quantity * row.price
    due = books.cash
    if row.action in TRADES:
        due -= _signed(row) * row.price
    elif row.action != "hold" and _is_cash(row):
        due += _SIGNS[row.action] * row.quantity
    if row.action not in TRADES or row.fee is not None:
        due -= row.fee or 0.0
        if abs(row.cash - due) > _slack(books.cash):
            text = f"cash should be {due:,.2f}, is {row.cash:,.2f}"
            yield Finding(row=row.number, rule="cash", text=text)
        return
    fee = due - row.cash
    # What no plausible fee explains is none, and where there is no usual one nothing is.
    is_usual = abs(fee - rate * notional) <= _RATE * notional + _slack(books.cash)
    if fee < -_slack(books.cash) or not is_usual:
        yield Finding(
            row=row.number,
            rule="cash",
            text=f"cash should be {due:,.2f} before the fee, is {row.cash:,.2f}: a fee of "
            f"{fee:,.2f} on {notional:,.2f}, where {f'{rate:.2%}' if isfinite(rate) else 'none'} "
            "is usual",
        )


def _slack(amount: float) -> float:
    return max(TOLERANCE * abs(amount), _CENT) * 1.01


def _take(books: _Books, row: Row) -> None:
    """Go on from what the row says."""
    books.cash = row.cash
    if row.is_whole:
        books.holdings.clear()
    books.holdings.update(row.holdings)
    if row.action in TRADES:
        books.holdings[row.symbol] = row.holdings.get(row.symbol, 0.0)
    _see_price(books, row)


def _see_price(books: _Books, row: Row) -> None:
    if row.symbol and row.price > 0:
        books.prices[row.symbol] = row.price
        books.seen.add(row.symbol)


def _find_late(rows: Sequence[Row]) -> dict[str, int]:
    """Return by symbol the row of the first price, where it was held before that row."""
    found, held, seen = dict[str, int](), set[str](), set[str]()
    for row in rows:
        if row.symbol and row.price > 0 and row.symbol not in seen:
            seen.add(row.symbol)
            if row.symbol in held:
                found[row.symbol] = row.number
        held.update(symbol for symbol, n in row.holdings.items() if n)
    return found


def _notes(
    rows: Sequence[Row], candles: Mapping[str, Candles] | None, flow: float
) -> Iterator[str]:
    yield f"row {rows[0].number} is taken as it is: what came before is not in the file"
    if candles is None:
        yield "prices were not held against a market: name one with --venue"
    else:
        unknown = sorted({row.symbol for row in rows if row.symbol} - set(candles))
        if unknown:
            yield f"there are no candles of {', '.join(unknown)}: their prices are not checked"
    held = {s for row in rows for s, n in row.holdings.items() if n}
    unpriced = sorted(held - {row.symbol for row in rows if row.price > 0})
    if unpriced:
        yield f"no price was ever stated of {', '.join(unpriced)}: counted as worth nothing"
    late = [f"{symbol} before row {number}" for symbol, number in _find_late(rows).items()]
    if late:
        yield f"no price was stated of {', '.join(late)}: counted at the first one that was"
    if flow:
        yield f"deposits less withdrawals: {flow:,.2f}; they are no gain"
