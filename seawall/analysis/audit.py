"""Whether a stored result is what it was: the hashes of its journal, its books, its numbers.

Checked, in this order:

1. **journal**: each row's hash is that of the row and of all before it (``journal.chain``), and the
   last is the one that the summary states. A row that was changed, added or taken out is named.
2. **recipe**: its id is the hash of what it says.
3. **fills**: each one's price, fee and slippage are in the ledger, to 1e-9 of the amount.
4. **books**: what the ledger's entries add up to, at the last prices, is the last equity; of a loan
   or a futures account the parts add up to the change of the equity.
5. **metrics**: total return, drawdown and fees are those of the tables.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
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
from seawall.units import is_perpetual, split_symbol

_EXACT = 1e-9
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
    """Hold every fill's fee and slippage against the ledger, in order."""
    ledger, fills = result.ledger, result.fills
    for kind, column in (("fee", "fee"), ("slippage", "slippage")):
        booked = -ledger.loc[ledger["kind"] == kind, "amount"].to_numpy(dtype=np.float64)
        own = fills
        if kind == "slippage":  # of a contract it is in the gains: nothing is bought for money
            own = fills[[not is_perpetual(symbol) for symbol in fills["symbol"]]]
        due = own[column].to_numpy(dtype=np.float64)
        due = due[due != 0.0]
        if result.recipe.execution.fills == "stock" and kind == "slippage":
            continue
        place = _first_difference(booked, due)
        if place is not None:
            rows = own.index[own[column] != 0.0].tolist()
            row = int(rows[place]) if place < len(rows) else -1
            text = f"fill {row}: the {kind} of the fills and of the ledger differ"
            if row < 0:
                text = f"the ledger has a {kind} that no fill has"
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
