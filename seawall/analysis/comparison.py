"""What a comparison leaves behind: one frozen value, one folder on disk, as a ``Result`` does.

The folder holds ``comparison.json`` and one Parquet file per table.
"""

import html
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from seawall.analysis.numbers import COUNT, RATIO, SIGNED, TENTH, write_number, write_points
from seawall.analysis.statistics import Difference
from seawall.errors import ResultError
from seawall.metrics import Metrics
from seawall.recipe import Recipe

SCHEMA = 1
COMPARISON_FILE = "comparison.json"
BUY_AND_HOLD = "buy_and_hold"
TABLES = ("equity", "quality", "random_returns", "fans")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two agents and how sure it is that the first lies above the second."""

    first: str
    second: str
    difference: Difference


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one agent did.

    Attributes:
        name: as it is shown, settings included.
        error: why it has no result; empty where it has one.
        rank: 1 + the number of agents that lie above it and are told apart from it; 0: no result.
        metrics: of its run; None where it has none.
        percentile: share of its random agents that it beat, 0 to 100; equal ones count half. nan
            where those hardly trade, so that their luck says nothing.
        share_of_chance: how often chance alone does as well, from 1 / (n_random + 1) to 1; or nan.
        chance_turnover, chance_exposure: means of its random agents, to see how well they match.
    """

    name: str
    error: str = ""
    rank: int = 0
    metrics: Metrics | None = None
    percentile: float = float("nan")
    share_of_chance: float = float("nan")
    chance_turnover: float = float("nan")
    chance_exposure: float = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Several agents on one path.

    Attributes:
        recipe: what all of them ran, but for the agent.
        standings: in the order of rank, then of total return; those that failed come last.
        pairs: every two agents, the one that ended higher first.
        labels, versions, data: as in ``Result``.
        equity: index ``time``; one column per agent, quote units.
        quality: one row per series.
        random_returns: total returns of the random agents, one column per agent, a row for each.
        fans: quantiles of the random agents' equity over time; columns agent, time, and one per
            quantile, ``p5`` to ``p95``, quote units.
    """

    recipe: Recipe
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    labels: tuple[str, ...]
    versions: Mapping[str, str]
    data: Mapping[str, str]
    equity: pd.DataFrame
    quality: pd.DataFrame
    random_returns: pd.DataFrame
    fans: pd.DataFrame

    @property
    def title(self) -> str:
        """The recipe's name and everything that has to be said beside its numbers."""
        return " · ".join((self.recipe.name, *self.labels))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the table has to know, one sentence each."""
        n_tied = sum(not pair.difference.is_told_apart for pair in self.pairs)
        n_lucky = (1 - self._confidence) * len(self.pairs)
        ties = (
            f"{n_tied} of {len(self.pairs)} pairs of agents cannot be told apart on this path; "
            "agents of one rank are ties."
        )
        many = (
            f"Intervals hold {self._confidence:.0%} each and are not corrected for their number: "
            f"of {len(self.pairs)} pairs, luck alone tells about {n_lucky:.1f} apart."
        )
        chance = (
            f"The percentile is that among {len(self.random_returns)} random agents with the "
            "same time in the market and the same turnover; there is none where those hardly trade."
        )
        found = (ties, many, chance)
        return (*found, *(f"{s.name} failed: {s.error}" for s in self.standings if s.error))

    @property
    def _confidence(self) -> float:
        return self.pairs[0].difference.confidence if self.pairs else 0.95

    def against(self, name: str, other: str) -> Difference | None:
        """Return how far ``name`` lies above ``other``; None where one of them has no result."""
        for pair in self.pairs:
            if (pair.first, pair.second) == (name, other):
                return pair.difference
            if (pair.first, pair.second) == (other, name):
                return pair.difference.reversed()
        return None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per agent: rank, metrics, differences, percentile, error."""
        rows = []
        for standing in self.standings:
            row: dict[str, object] = {"agent": standing.name, "rank": standing.rank or None}
            row.update(standing.metrics.to_dict() if standing.metrics else {})
            for other in (BUY_AND_HOLD, "cash"):
                found = self.against(standing.name, other)
                if found is not None:
                    row[f"over_{other}"] = found.estimate
                    row[f"over_{other}_low"], row[f"over_{other}_high"] = found.low, found.high
                    row[f"over_{other}_verdict"] = found.verdict
            row["percentile"] = standing.percentile
            row["share_of_chance"] = standing.share_of_chance
            row["error"] = standing.error
            rows.append(row)
        return pd.DataFrame(rows).set_index("agent")

    def to_table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return a header and rows of text, for a terminal or a notebook."""
        header = (
            "rank", "agent", "total return", "over buy and hold", "95 % interval", "verdict",
            "max drawdown", "Sharpe", "trades", "costs", "percentile",
        )  # fmt: skip
        return header, [self._row(standing) for standing in self.standings]

    def _row(self, standing: Standing) -> tuple[str, ...]:
        metrics = standing.metrics
        if metrics is None:
            return ("", standing.name, "failed", "", "", standing.error, "", "", "", "", "")
        found = self.against(standing.name, BUY_AND_HOLD)
        gap = ("", "", "") if found is None else (
            write_points(found.estimate),
            f"{write_points(found.low)} to {write_points(found.high)}",
            found.verdict,
        )  # fmt: skip
        return (
            str(standing.rank),
            standing.name,
            write_number(metrics.total_return, SIGNED),
            *gap,
            write_number(metrics.max_drawdown, SIGNED),
            write_number(metrics.sharpe, RATIO),
            write_number(metrics.n_trades, COUNT),
            write_number(metrics.fees + metrics.slippage, COUNT),
            write_number(standing.percentile, TENTH),
        )

    def summary(self) -> dict[str, object]:
        """Return everything but the tables as plain JSON-able values; nan is ``None``."""
        return {
            "schema": SCHEMA,
            "id": self.recipe.id,
            "recipe": json.loads(self.recipe.to_json()),
            "standings": [_plain_standing(standing) for standing in self.standings],
            "pairs": [
                {"first": p.first, "second": p.second, **vars(p.difference)} for p in self.pairs
            ],
            "labels": list(self.labels),
            "versions": dict(self.versions),
            "data": dict(self.data),
            "notes": list(self.notes),
        }

    def save(self, folder: Path) -> Path:
        """Write the comparison to ``folder`` and return it; one already there is replaced whole."""
        fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in TABLES:
            table: pd.DataFrame = getattr(self, name)
            table.to_parquet(fresh / f"{name}.parquet")
        text = json.dumps(self.summary(), indent=2, sort_keys=True)
        (fresh / COMPARISON_FILE).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        return fresh.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> "Comparison":
        """Return the comparison stored in ``folder``.

        Raises:
            ResultError: there is none, it is damaged, or another version wrote it.
        """
        try:
            stored = json.loads((folder / COMPARISON_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultError(
                f"{folder} must hold a comparison, has no readable {COMPARISON_FILE} ({error}): "
                "give the folder that `seawall compare` printed"
            ) from None
        if stored.get("schema") != SCHEMA:
            raise ResultError(
                f"comparisons of schema {SCHEMA} can be read, {folder} has "
                f"{stored.get('schema')}: compare the agents again"
            )
        try:
            tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
            return cls(
                recipe=Recipe.from_dict(stored["recipe"]),
                standings=tuple(_to_standing(standing) for standing in stored["standings"]),
                pairs=tuple(_to_pair(pair) for pair in stored["pairs"]),
                labels=tuple(stored["labels"]),
                versions=stored["versions"],
                data=stored["data"],
                **tables,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultError(f"{folder} is damaged ({error}): compare the agents again") from None

    def _repr_html_(self) -> str:
        """Return a table for notebooks; every text in it is escaped."""
        header, rows = self.to_table()
        heads = "".join(f"<th>{html.escape(text)}</th>" for text in header)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows
        )
        notes = "".join(f"<br>{html.escape(note)}" for note in self.notes)
        title = html.escape(self.title)
        return f"<table><caption>{title}{notes}</caption><tr>{heads}</tr>{body}</table>"


def _plain_standing(standing: Standing) -> dict[str, object]:
    """Return plain values; nan is ``None``, for JSON has none."""
    plain = {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in vars(standing).items()
    }
    return {**plain, "metrics": standing.metrics.to_dict() if standing.metrics else None}


def _to_standing(stored: Mapping[str, Any]) -> Standing:
    values = {k: math.nan if v is None and k != "metrics" else v for k, v in stored.items()}
    if values["metrics"] is not None:
        values["metrics"] = Metrics.from_dict(stored["metrics"])
    return Standing(**cast("dict[str, Any]", values))



def _to_pair(stored: Mapping[str, Any]) -> Pair:
    names = ("first", "second")
    rest = {key: value for key, value in stored.items() if key not in names}
    return Pair(first=stored["first"], second=stored["second"], difference=Difference(**rest))
