"""Whether a stored result is what it was: the hashes of its journal, its books, its numbers.

Checked, in this order:

1. **journal**: each row's hash is that of the row and of all before it (``journal.chain``), and the
   last is the one that the summary states. A row that was changed, added or taken out is named.
2. **recipe**: its id is the hash of what it says.
3. **fills**: each one's time, asset, quantity, money (its price; of a contract it is in the gains),
   fee and slippage are in the ledger, and price and raw price lie the slippage apart, to 1e-9.
4. **books**: what the ledger's entries add up to, at the last prices, is the last equity; of a loan
   or a futures account the parts add up to the change of the equity.
5. **metrics**: total return, drawdown and fees are those of the tables.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from math import isclose, isfinite
from pathlib import Path

import numpy as np
import pandas as pd

from seawall.analysis.figures import to_drawdown
from seawall.analysis.judgement import account_of, equity_of
from seawall.analysis.track_record_file import Finding
from seawall.errors import ResultError
from seawall.journal import JournalEntry, chain
from seawall.market.series import FloatArray
from seawall.result import HASH, LAYOUT, Result
from seawall.units import is_perpetual, split_symbol, to_time_text

_EXACT = 1e-9
_CONTRACT = "contract:"  # before the symbol, in the ledger
_FEES = ("fee", "liquidation_fee", "insurance")  # what a liquidation costs its owner
_PARTS_EXACT = 1e-6  # of the equity at the start: parts of a loan are sums over many bars


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit of a stored result has found.

    Attributes:
        folder: of the result.
        journal_hash: the last hash of its journal, recomputed.
        n_rows: of the journal; ``n_fills``: that were held against the ledger.
        findings: what does not add up; ``row`` counts the rows of the table from 0, -1: all of it.
        notes: what could not be checked.
    """

    folder: str
    journal_hash: str
    n_rows: int
    n_fills: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether nothing was found fault with."""
        return not self.findings

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        values = {name: value for name, value in vars(self).items() if name != "findings"}
        return {**values, "adds_up": self.adds_up, "findings": [vars(one) for one in self.findings]}


def audit_result(folder: Path) -> Audit:
    """Return what a stored result's own books and hashes say of it.

    Raises:
        ResultError: there is none, or it is damaged beyond reading.
    """
    result = Result.load(folder)
    stored = json.loads((folder / LAYOUT.file).read_text(encoding="utf-8"))
    notes: list[str] = []
    findings = [
        *_check_journal(folder, result, stored.get("journal_hash"), notes),
        *_check_recipe(result, stored.get("id")),
        *_check_fills(result),
        *_check_books(result),
        *_check_metrics(result),
    ]
    return Audit(
        folder=str(folder),
        journal_hash=(result.journal_hashes() or [result.recipe.id])[-1],
        n_rows=len(result.journal),
        n_fills=len(result.fills),
        findings=tuple(findings),
        notes=tuple(notes),
    )


def _check_journal(
    folder: Path, result: Result, stated: object, notes: list[str]
) -> Iterator[Finding]:
    table = pd.read_parquet(folder / "journal.parquet")
    if HASH not in table:
        notes.append("the journal has no hashes: the result was written before there were any")
        return
    columns = [table[name].tolist() for name in JournalEntry._fields]
    due = chain(zip(*columns, strict=True), result.recipe.id)
    for row, (mine, theirs) in enumerate(zip(due, table[HASH].tolist(), strict=True)):
        if mine != theirs:
            text = (
                f"row {row} or one before it is not as it was written: {table['text'][row]!r:.60}"
            )
            yield Finding(row=row, rule="journal", text=text)
            return
    last = due[-1] if due else result.recipe.id
    if stated != last:
        text = f"the journal ends with {last}, the summary says {stated}: rows are missing or added"
        yield Finding(row=-1, rule="journal", text=text)


def _check_recipe(result: Result, stated: object) -> Iterator[Finding]:
    if stated != result.recipe.id:
        text = f"the recipe's id is {result.recipe.id}, the summary says {stated}"
        yield Finding(row=-1, rule="recipe", text=text)


def _check_fills(result: Result) -> Iterator[Finding]:
    """Hold every fill against the ledger, in order."""
    fills, ledger = result.fills, result.ledger
    is_spot = np.array([not is_perpetual(symbol) for symbol in fills["symbol"]], dtype=bool)
    is_stock = result.recipe.execution.fills == "stock"
    quantity, raw = (fills[name].to_numpy(dtype=np.float64) for name in ("quantity", "raw_price"))
    spot = fills[is_spot]
    yield from _check_trades(fills, ledger, result.recipe.market.quote)
    money = pd.Series(-(quantity * raw)[is_spot], index=spot.index)
    is_money = (ledger["kind"] == "trade") & (ledger["asset"] == result.recipe.market.quote)
    yield from _compare("price", money, ledger.loc[is_money, "amount"])
    yield from _compare("fee", fills["fee"], _find_paid(ledger))
    if is_stock:  # its spread cannot be told from the price
        return
    slipped = -ledger.loc[ledger["kind"] == "slippage", "amount"]
    yield from _compare("slippage", spot["slippage"], slipped)  # of a contract in the gains
    away = pd.Series(np.abs(quantity * (fills["price"].to_numpy(dtype=np.float64) - raw)))
    yield from _compare("distance of price and raw price", away, fills["slippage"].abs())


def _find_paid(ledger: pd.DataFrame) -> pd.Series:
    """Return the fee of each transaction; the insurance pays that of a liquidation first."""
    rows = ledger[ledger["kind"].isin(_FEES)]
    paid = 0.0 - rows.groupby("transaction", sort=False)["amount"].sum()
    insured = rows.loc[rows["kind"] == "insurance", "transaction"]
    return paid.where(~paid.index.isin(insured), paid.clip(lower=0.0))


def _check_trades(fills: pd.DataFrame, ledger: pd.DataFrame, quote: str) -> Iterator[Finding]:
    """Hold time, asset and quantity of every fill against what the ledger moved."""
    is_contract = ledger["asset"].str.startswith(_CONTRACT)
    is_trade = (ledger["kind"] == "trade") & (ledger["asset"] != quote)
    moved = ledger[is_trade | ((ledger["kind"] == "liquidation") & is_contract)]
    assets = [f"{_CONTRACT}{s}" if is_perpetual(s) else split_symbol(s)[0] for s in fills["symbol"]]
    due = zip(fills["time_ms"], assets, fills["quantity"], strict=True)
    found = zip(moved["time_ms"], moved["asset"], moved["amount"], strict=True)
    for row, (one, other) in enumerate(zip_longest(due, found)):
        if one is None:
            yield Finding(row=-1, rule="fills", text="the ledger has a trade that no fill has")
        elif other is None:
            yield Finding(row=row, rule="fills", text=f"fill {row} is not in the ledger")
        elif one[:2] != other[:2] or not isclose(one[2], other[2], rel_tol=_EXACT, abs_tol=_EXACT):
            text = (
                f"fill {row} is {one[2]:.10g} {one[1]} at {to_time_text(int(one[0]))}, the ledger "
                f"has {other[2]:.10g} {other[1]} at {to_time_text(int(other[0]))}"
            )
            yield Finding(row=row, rule="fills", text=text)
        else:
            continue
        return


def _compare(name: str, fills: pd.Series, booked: pd.Series) -> Iterator[Finding]:
    """Hold a column of the fills against the ledger's amounts, without what is 0."""
    own = fills[fills != 0.0]
    place = _first_difference(
        booked[booked != 0.0].to_numpy(dtype=np.float64), own.to_numpy(dtype=np.float64)
    )
    if place is None:
        return
    if place >= len(own):
        text = f"the ledger has a {name} that no fill has"
        yield Finding(row=-1, rule="fills", text=text)
        return
    row = int(own.index[place])
    text = f"fill {row}: the {name} of the fills and of the ledger differ"
    yield Finding(row=row, rule="fills", text=text)


def _first_difference(booked: FloatArray, due: FloatArray) -> int | None:
    n = min(len(booked), len(due))
    gaps = np.abs(booked[:n] - due[:n]) > _EXACT * np.maximum(1.0, np.abs(due[:n]))
    if gaps.any():
        return int(np.argmax(gaps))
    return None if len(booked) == len(due) else n


def _check_books(result: Result) -> Iterator[Finding]:
    equity = equity_of(result)
    if result.parts:
        change, summed = float(equity[-1] - equity[0]), sum(result.parts.values())
        if not abs(change - summed) <= _PARTS_EXACT * max(abs(float(equity[0])), 1.0):
            text = f"the parts add up to {summed:,.6f}, the equity changed by {change:,.6f}"
            yield Finding(row=-1, rule="books", text=text)
        return
    ledger = result.ledger
    worth = 0.0
    for asset, amount in ledger.groupby("asset")["amount"].sum().items():
        worth += float(amount) * _last_price(result, str(asset))
    if not abs(worth - equity[-1]) <= _EXACT * max(abs(worth), abs(float(equity[0]))):
        text = f"the ledger adds up to {worth:,.6f}, the equity ends at {equity[-1]:,.6f}"
        yield Finding(row=-1, rule="books", text=text)


def _last_price(result: Result, asset: str) -> float:
    market = result.recipe.market
    if asset == market.quote:
        return 1.0
    for symbol in market.symbols:
        if not is_perpetual(symbol) and split_symbol(symbol)[0] == asset:
            return float(result.prices[symbol].iloc[-1])
    if asset.startswith("owed:"):
        return 1.0
    raise ResultError(
        f"the ledger books {asset}, the recipe trades {list(market.symbols)}: damaged"
    )


def _check_metrics(result: Result) -> Iterator[Finding]:
    equity = equity_of(result)
    metrics = result.metrics
    due = {
        "total_return": float(equity[-1] / equity[0] - 1) if equity[0] > 0 else float("nan"),
        "max_drawdown": float(to_drawdown(equity).min()),
    }
    if account_of(result) is result.equity and not result.parts:
        due["fees"] = float(result.fills["fee"].sum())
    for name, value in due.items():
        found = getattr(metrics, name)
        if isfinite(value) and not isclose(found, value, rel_tol=1e-9, abs_tol=1e-9):
            text = f"{name} of the tables is {value!r}, the summary says {found!r}"
            yield Finding(row=-1, rule="metrics", text=text)
