"""What a comparison leaves behind: one frozen value, one folder on disk, as a ``Result`` does.

The folder holds ``comparison.json`` and one Parquet file per table.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from seawall.analysis.notebook import notebook_table
from seawall.analysis.numbers import COUNT, RATIO, SIGNED, TENTH, write_number, write_points
from seawall.analysis.statistics import Difference
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

SCHEMA = 1
COMPARISON_FILE = "comparison.json"
BUY_AND_HOLD = "buy_and_hold"
TABLES = ("equity", "quality", "random_returns", "fans")
LAYOUT = Layout(file=COMPARISON_FILE, tables=TABLES)
_QUANTILES = ("p5", "p25", "p50", "p75", "p95")


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
        remarks: how often it was liquidated, abstained or was refused, and why; or empty.
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
    remarks: str = ""


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
            "same time in the market and the same turnover; there is none where those hardly "
            "trade, nor for perpetuals."
        )
        found = (ties, many, chance)
        failed = (f"{one.name} failed: {one.error}" for one in self.standings if one.error)
        remarks = (f"{one.name} {one.remarks}" for one in self.standings if one.remarks)
        return (*found, *failed, *remarks)

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
            write_number(metrics.fees + metrics.slippage + metrics.thinking, COUNT),
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
                {"first": p.first, "second": p.second, **to_plain(vars(p.difference))}
                for p in self.pairs
            ],
            "labels": list(self.labels),
            "versions": dict(self.versions),
            "data": dict(self.data),
            "notes": list(self.notes),
        }

    def save(self, folder: Path) -> Path:
        """Write the comparison to ``folder`` and return its full path; an older one is replaced.

        Raises:
            ResultError: there is something else in the folder, or it cannot be written.
        """
        tables = {name: getattr(self, name) for name in TABLES}
        return write_folder(folder, LAYOUT, summary=self.summary(), tables=tables)

    @classmethod
    def load(cls, folder: Path) -> "Comparison":
        """Return the comparison stored in ``folder``.

        Raises:
            ResultError: there is none, it is damaged, or another version wrote it.
        """
        with telling_damage(folder, "compare the agents again"):
            stored = read_summary(folder, LAYOUT, schema=SCHEMA)
            tables = read_tables(folder, LAYOUT)
            standings = tuple(_to_standing(standing) for standing in stored["standings"])
            _check_tables(tables, tuple(s.name for s in standings if s.metrics is not None))
            return cls(
                recipe=Recipe.from_dict(stored["recipe"]),
                standings=standings,
                pairs=tuple(_to_pair(pair) for pair in stored["pairs"]),
                labels=tuple(as_text(label) for label in stored["labels"]),
                versions=as_texts(stored["versions"]),
                data=as_texts(stored["data"]),
                **tables,
            )

    def _repr_html_(self) -> str:
        """Return a table for notebooks; every text in it is escaped."""
        return notebook_table(self.title, self.notes, self.to_table())


def _plain_standing(standing: Standing) -> dict[str, object]:
    """Return plain values; nan is ``None``, for JSON has none."""
    metrics = standing.metrics.to_dict() if standing.metrics else None
    return {**to_plain(vars(standing)), "metrics": metrics}


def _to_standing(stored: object) -> Standing:
    if not isinstance(stored, dict):
        raise TypeError("a standing has other values")
    numbers = stored["metrics"]
    metrics = None if numbers is None else Metrics(**read_values(Metrics, UNCHARGED | numbers))
    rest = {name: value for name, value in stored.items() if name != "metrics"}
    return Standing(metrics=metrics, **read_values(Standing, rest, apart=("metrics",)))


def _to_pair(stored: object) -> Pair:
    if not isinstance(stored, dict):
        raise TypeError("a pair has other values")
    rest = {key: value for key, value in stored.items() if key not in ("first", "second")}
    return Pair(
        first=as_text(stored["first"]),
        second=as_text(stored["second"]),
        difference=Difference(**read_values(Difference, rest)),
    )


def _check_tables(tables: Mapping[str, pd.DataFrame], names: tuple[str, ...]) -> None:
    """Raise ValueError where a table lacks an agent that has a result, or holds no numbers."""
    check_curves("equity", tables["equity"], names)
    check_columns("random_returns", tables["random_returns"], numbers=names)
    check_columns("fans", tables["fans"], numbers=_QUANTILES, others=("agent", "time"))
    check_columns("quality", tables["quality"], others=("series",))
