"""What a backtest leaves behind: one frozen value, one folder on disk, readable with pandas alone.

The folder holds ``result.json`` (schema version, recipe, versions, data hashes, metrics) and one
Parquet file per table. Times are UTC.
"""

import html
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from seawall.errors import ResultError
from seawall.metrics import Metrics
from seawall.recipe import Recipe

SCHEMA = 1
TABLES = ("equity", "prices", "fills", "trades", "journal", "ledger", "quality")


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

    def save(self, folder: Path) -> Path:
        """Write the result to ``folder`` and return it; one already there is replaced whole."""
        fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in TABLES:
            table: pd.DataFrame = getattr(self, name)
            table.to_parquet(fresh / f"{name}.parquet")
        text = json.dumps(self.summary(), indent=2, sort_keys=True)
        (fresh / "result.json").write_text(text + "\n", encoding="utf-8")
        if folder.exists():  # the old one goes only once the new one stands in its place
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old)
            return folder
        return fresh.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Return the result stored in ``folder``.

        Raises:
            ResultError: there is none, it is damaged, or another version wrote it.
        """
        try:
            stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultError(
                f"{folder} must hold a result, has no readable result.json ({error}): "
                "give the folder that `seawall run` printed"
            ) from None
        if stored.get("schema") != SCHEMA:
            raise ResultError(
                f"results of schema {SCHEMA} can be read, {folder} has {stored.get('schema')}: "
                "run its recipe again"
            )
        try:
            tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
            return cls(
                recipe=Recipe.from_dict(stored["recipe"]),
                agent=stored["agent"],
                strategy=stored["strategy"],
                metrics=Metrics.from_dict(stored["metrics"]),
                benchmark=Metrics.from_dict(stored["benchmark"]),
                band=Band(**stored["band"]),
                labels=tuple(stored["labels"]),
                versions=stored["versions"],
                data=stored["data"],
                counts=stored["counts"],
                **tables,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultError(f"{folder} is damaged ({error}): run its recipe again") from None

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
            "band": vars(self.band),
            "labels": list(self.labels),
            "versions": dict(self.versions),
            "data": dict(self.data),
            "counts": dict(self.counts),
        }

    def _repr_html_(self) -> str:
        """Return a small table for notebooks; every text in it is escaped."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_shorten(value))}</td></tr>"
            for name, value in self.metrics.to_dict().items()
        )
        title = html.escape(" · ".join((self.recipe.name, self.agent, *self.labels)))
        return f"<table><caption>{title}</caption>{rows}</table>"


def _shorten(value: float | None) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
