"""What a backtest leaves behind: one frozen value, one folder on disk, readable with pandas alone.

The folder holds ``result.json`` (schema version, recipe, versions, data hashes, metrics) and one
Parquet file per table. Times are UTC.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType

import pandas as pd

from seawall.journal import JournalEntry, chain
from seawall.metrics import UNCHARGED, Metrics
from seawall.recipe import Recipe
from seawall.result_folder import (
    Layout,
    as_text,
    as_texts,
    check_columns,
    check_curves,
    read_summary,
    read_tables,
    read_values,
    telling_damage,
    to_plain,
    write_folder,
)

SCHEMA = 3
TABLES = (
    "equity", "prices", "fills", "trades", "journal", "ledger", "quality", "loan", "liquidations",
    "transactions", "perpetual", "margin_liquidations", "funding", "transfers",
)  # fmt: skip
HASH = "hash"  # column of the stored journal
# What is drawn or summed is a number, ``time`` a time; the rest is text.
_NUMBERS = {
    "equity": ("equity", "cash", "exposure", "benchmark"),
    "fills": ("time_ms", "quantity", "price", "slippage", "fee"),
    "trades": ("entry_ms", "exit_ms", "quantity", "entry_price", "exit_price", "pnl", "fees",
               "return_fraction"),
    "ledger": ("amount",),
}  # fmt: skip
# Of results with a loan.
_LOAN_NUMBERS = {
    "loan": ("health", "min_health", "equity", "oracle_price", "liquidation_price"),
    "liquidations": ("repaid_usd", "seized_usd", "bonus_usd", "protocol_fee_usd"),
    "transactions": ("gas_usd", "swap_fee_usd", "impact_usd"),
}  # fmt: skip
# Of results with perpetuals.
_PERPETUAL_NUMBERS = {
    "perpetual": (
        "equity_spot", "equity_perpetual", "equity_loan", "wallet", "available", "unrealised",
        "maintenance", "margin_ratio", "worst_margin_ratio", "funding",
    ),
    "margin_liquidations": ("tier", "quantity", "price", "fee", "pnl", "insurance"),
    "funding": ("rate", "mark", "quantity", "amount"),
    "transfers": ("amount", "cost"),
}  # fmt: skip
_OTHERS = {
    "fills": ("time", "order_id", "symbol", "liquidity", "rule"),
    "trades": ("symbol",),
    "journal": ("time", "kind", "symbol", "order_id", "text", "reason"),
    "ledger": ("time", "kind", "asset"),
    "quality": ("series",),
}


LAYOUT = Layout(file="result.json", tables=TABLES)


@dataclass(frozen=True, kw_only=True)
class Band:
    """Total returns under the two ways to resolve what bars do not tell; equal where all is told.

    Attributes:
        pessimistic, optimistic: total return as a fraction; ``pessimistic`` is the headline.
        n_ambiguous: fills whose order or existence the bar does not tell.
    """

    pessimistic: float
    optimistic: float
    n_ambiguous: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One finished backtest.

    Attributes:
        recipe: what was run.
        agent, strategy: names of who did it and of the job.
        metrics, benchmark: of the run, and of buy-and-hold on the same market at the same costs.
        band: pessimistic and optimistic total return.
        labels: what has to be said wherever a number is shown ("simulated", "optimistic: ...").
        versions: of Python, Seawall and what the numbers depend on.
        data: content hash of each series, by key.
        equity: index ``time``; columns equity, cash, exposure (gross, share of equity), benchmark.
        prices: index ``time``; one column of closes per symbol.
        fills: one row per fill, columns as in ``seawall.fill.Fill``, plus ``time``.
        trades: one row per closed round trip.
        journal: decisions, orders, refusals, fills, in order; columns time, kind, symbol, order_id,
            text, reason.
        ledger: every change of the account: time, transaction, kind, asset, amount.
        quality: one row per series: gaps, zero-volume bars, wicks.
        loan: index ``time``; health, prices and amounts of a loan at the start and each close;
            empty without one. Columns ``*_best`` are of the run resolved for the better.
        liquidations, transactions: of a loan, one row each.
        perpetual: index ``time``; the futures account at the start and each close, equity per
            venue and on the way between them, margin ratio, and by contract ``mark:SYMBOL``,
            ``mark_high:``, ``mark_low:``, ``quantity:``, ``entry:``, ``liquidation_price:``; empty
            without perpetuals. ``*_best`` as for ``loan``.
        margin_liquidations, funding, transfers: of the futures account, one row each.
        parts: of the change of the equity of a loan or of an account with perpetuals; they add up
            to it.
        judgement: of a loan or a guarded position beside doing nothing and hindsight, where
            ``seawall run`` sought them: ``seawall.analysis.judgement.Judgement`` as plain values.
        other: the run resolved for the better by itself; not stored.
    """

    recipe: Recipe
    agent: str
    strategy: str
    metrics: Metrics
    benchmark: Metrics
    band: Band
    labels: tuple[str, ...]
    versions: Mapping[str, str]
    data: Mapping[str, str]
    equity: pd.DataFrame
    prices: pd.DataFrame
    fills: pd.DataFrame
    trades: pd.DataFrame
    journal: pd.DataFrame
    ledger: pd.DataFrame
    quality: pd.DataFrame
    counts: Mapping[str, int] = field(default_factory=dict)
    loan: pd.DataFrame = field(default_factory=pd.DataFrame)
    liquidations: pd.DataFrame = field(default_factory=pd.DataFrame)
    transactions: pd.DataFrame = field(default_factory=pd.DataFrame)
    perpetual: pd.DataFrame = field(default_factory=pd.DataFrame)
    margin_liquidations: pd.DataFrame = field(default_factory=pd.DataFrame)
    funding: pd.DataFrame = field(default_factory=pd.DataFrame)
    transfers: pd.DataFrame = field(default_factory=pd.DataFrame)
    parts: Mapping[str, float] = field(default_factory=dict)
    judgement: Mapping[str, object] | None = None
    other: "Result | None" = None

    @property
    def n_liquidations(self) -> int:
        """Of the loan, and the moments at which positions at the exchange were liquidated."""
        struck = self.margin_liquidations
        return len(self.liquidations) + (int(struck["time"].nunique()) if "time" in struck else 0)

    def save(self, folder: Path) -> Path:
        """Write the result to ``folder`` and return its full path; an older result is replaced.

        Raises:
            ResultError: there is something else in the folder, or it cannot be written.
        """
        tables = {name: getattr(self, name) for name in TABLES}
        tables["journal"] = self.journal.assign(**{HASH: self.journal_hashes()})
        return write_folder(folder, LAYOUT, summary=self.summary(), tables=tables)

    def journal_hashes(self) -> list[str]:
        """Return a hash per row of the journal, chained from the recipe's id: ``journal.chain``."""
        known = [name for name in JournalEntry._fields if name in self.journal]
        columns = [self.journal[name].tolist() for name in known]
        return chain(zip(*columns, strict=True), self.recipe.id)

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Return the result stored in ``folder``.

        Raises:
            ResultError: there is none, it is damaged, or another version wrote it.
        """
        with telling_damage(folder, "run its recipe again"):
            stored = read_summary(folder, LAYOUT, schema=SCHEMA)
            tables = read_tables(folder, LAYOUT)
            tables["journal"] = tables["journal"].drop(columns=HASH, errors="ignore")
            for name, table in tables.items():
                check_columns(name, table, numbers=_NUMBERS.get(name, ()))
                check_columns(name, table, others=_OTHERS.get(name, ()))
            recipe = Recipe.from_dict(stored["recipe"])
            if recipe.loan is not None:
                check_curves("loan", tables["loan"], _LOAN_NUMBERS["loan"])
                for name, numbers in _LOAN_NUMBERS.items():
                    check_columns(name, tables[name], numbers=numbers)
            if len(tables["perpetual"].columns):
                check_curves("perpetual", tables["perpetual"], ("equity_perpetual",))
                for name, numbers in _PERPETUAL_NUMBERS.items():
                    check_columns(name, tables[name], numbers=numbers)
            check_curves("equity", tables["equity"], _NUMBERS["equity"])
            check_curves("prices", tables["prices"], recipe.market.symbols)
            return cls(
                recipe=recipe,
                agent=as_text(stored["agent"]),
                strategy=as_text(stored["strategy"]),
                metrics=Metrics(**read_values(Metrics, UNCHARGED | stored["metrics"])),
                benchmark=Metrics(**read_values(Metrics, UNCHARGED | stored["benchmark"])),
                band=Band(**read_values(Band, stored["band"])),
                labels=tuple(as_text(label) for label in stored["labels"]),
                versions=as_texts(stored["versions"]),
                data=as_texts(stored["data"]),
                counts={as_text(kind): int(n) for kind, n in stored["counts"].items()},
                parts={as_text(name): float(part) for name, part in stored["parts"].items()},
                judgement=_as_judgement(stored.get("judgement")),
                other=None,
                **tables,
            )

    def summary(self) -> dict[str, object]:
        """Return everything but the tables as plain JSON-able values; nan is ``None``."""
        return {
            "schema": SCHEMA,
            "id": self.recipe.id,
            "recipe": json.loads(self.recipe.to_json()),
            "agent": self.agent,
            "strategy": self.strategy,
            "metrics": self.metrics.to_dict(),
            "benchmark": self.benchmark.to_dict(),
            "band": to_plain(vars(self.band)),
            "labels": list(self.labels),
            "versions": dict(self.versions),
            "data": dict(self.data),
            "counts": dict(self.counts),
            "journal_hash": (self.journal_hashes() or [self.recipe.id])[-1],
            "parts": to_plain(self.parts),
            "judgement": None if self.judgement is None else dict(self.judgement),
        }

    def _repr_html_(self) -> str:
        """Return a small table for notebooks; every text in it is escaped."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_shorten(value))}</td></tr>"
            for name, value in self.metrics.to_dict().items()
        )
        title = html.escape(" · ".join((self.recipe.name, self.agent, *self.labels)))
        return f"<table><caption>{title}</caption>{rows}</table>"


def _as_judgement(stored: object) -> Mapping[str, object] | None:
    """Return a stored judgement as it is: groups of numbers, one deeper than parts."""
    if stored is None:
        return None
    for group in dict(stored).values():  # type: ignore[call-overload]  # what it raises is damage
        for value in group.values():
            numbers = value.values() if isinstance(value, dict) else (value,)
            if not all(isinstance(n, (int, float, NoneType)) for n in numbers):
                raise TypeError(f"a number is wanted in a judgement, is {value!r:.40}")
    return {as_text(name): group for name, group in stored.items()}  # type: ignore[attr-defined]


def _shorten(value: float | None) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
