"""What a backtest leaves behind: one frozen value, one folder on disk, readable with pandas alone.

The folder holds ``result.json`` (schema version, recipe, versions, data hashes, metrics) and one
Parquet file per table. Times are UTC.
"""

import html
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from seawall.errors import RecipeError, ResultError
from seawall.metrics import Metrics
from seawall.recipe import Recipe

SCHEMA = 3
TABLES = (
    "equity", "prices", "fills", "trades", "journal", "ledger", "quality", "loan", "liquidations",
    "transactions", "perpetual", "margin_liquidations", "funding", "transfers",
)  # fmt: skip
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
_JSON_TYPES: Mapping[object, tuple[type, ...]] = {
    float: (int, float, NoneType), int: (int,), str: (str,), int | None: (int, NoneType),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What one kind of folder on disk holds.

    Attributes:
        file: name of the JSON file; it is what makes a folder one of ours.
        tables: names of the tables, one Parquet file each.
    """

    file: str
    tables: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every file name that is ever written there, the report's and the figure's too."""
        tables = (f"{name}.parquet" for name in self.tables)
        return frozenset((self.file, "report.html", "figure.png", *tables))


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

    def save(self, folder: Path) -> Path:
        """Write the result to ``folder`` and return its full path; an older result is replaced.

        Raises:
            ResultError: there is something else in the folder, or it cannot be written.
        """
        tables = {name: getattr(self, name) for name in TABLES}
        return write_folder(folder, LAYOUT, summary=self.summary(), tables=tables)

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Return the result stored in ``folder``.

        Raises:
            ResultError: there is none, it is damaged, or another version wrote it.
        """
        try:
            stored = read_summary(folder, LAYOUT, schema=SCHEMA)
            tables = read_tables(folder, LAYOUT)
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
                metrics=Metrics(**read_values(Metrics, stored["metrics"])),
                benchmark=Metrics(**read_values(Metrics, stored["benchmark"])),
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
        except DAMAGE as error:
            raise ResultError(
                f"{folder} is damaged ({in_one_line(error)}): run its recipe again"
            ) from None

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


# What reading a damaged folder can raise; each is told in one line.
DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, RecipeError,
)  # fmt: skip


def check_folder(folder: Path, layout: Layout) -> Path:
    """Return the full path of a folder that may be written to: new, empty, or an older one of ours.

    Raises:
        ResultError: it is a file, or holds what Seawall has not written: nothing of it is touched.
    """
    try:
        place = folder.resolve()
        if not place.exists():
            return place
        if not place.is_dir():
            raise ResultError(f"a result needs a folder, {folder} is a file: choose another name")
        found = list(place.iterdir())
    except OSError as error:
        raise ResultError(f"{folder} must be a folder ({error}): choose another") from None
    strange = [p.name for p in found if p.name not in layout.names or p.is_symlink() or p.is_dir()]
    if found and not strange and not {layout.file, "equity.parquet"} <= {p.name for p in found}:
        strange = [found[0].name]
    if strange:
        raise ResultError(
            f"a result replaces only an older one, {folder} holds {min(strange)!r}: choose another "
            "folder or empty it yourself"
        )
    return place


def write_folder(
    folder: Path,
    layout: Layout,
    *,
    summary: Mapping[str, object],
    tables: Mapping[str, pd.DataFrame],
) -> Path:
    """Write a JSON file and tables, whole or not at all; return the folder's full path.

    Raises:
        ResultError: see ``check_folder``, or it cannot be written.
    """
    place = check_folder(folder, layout)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        fresh.mkdir(parents=True)
        for name in layout.tables:
            tables[name].to_parquet(fresh / f"{name}.parquet")
        text = json.dumps(summary, indent=2, sort_keys=True, allow_nan=False)
        (fresh / layout.file).write_text(text + "\n", encoding="utf-8")
        _put_in_place(fresh, place, layout)
    except (OSError, ValueError) as error:
        raise ResultError(
            f"{folder} must be writable, is not ({in_one_line(error)}): choose another folder"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


def _put_in_place(fresh: Path, place: Path, layout: Layout) -> None:
    """Let the new folder stand where the old one did; the old one goes only then."""
    if not place.exists():
        fresh.rename(place)
        return
    # An empty folder may be a mount, and nobody's working directory is taken from under them.
    if place == Path.cwd() or not any(place.iterdir()):
        for name in layout.names:
            (place / name).unlink(missing_ok=True)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == layout.file):
            path.rename(place / path.name)
        return
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    place.rename(old)
    try:
        fresh.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_summary(folder: Path, layout: Layout, *, schema: int) -> dict[str, Any]:
    """Return the JSON object of a folder.

    Raises:
        ResultError: there is none, or another version wrote it.
    """
    try:
        stored = json.loads((folder / layout.file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(
            f"{folder} must hold a result, has no readable {layout.file} ({in_one_line(error)}): "
            "give the folder that `seawall run` or `seawall compare` printed"
        ) from None
    if not isinstance(stored, dict):
        raise ResultError(f"{folder / layout.file} must be a JSON object, is none: run it again")
    if stored.get("schema") != schema:
        raise ResultError(
            f"results of schema {schema} can be read, {folder} has {stored.get('schema')!r:.40}: "
            "run it again"
        )
    return stored


def read_tables(folder: Path, layout: Layout) -> dict[str, pd.DataFrame]:
    """Return the tables of a folder by name."""
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in layout.tables}


def check_columns(
    name: str, table: pd.DataFrame, *, numbers: tuple[str, ...] = (), others: tuple[str, ...] = ()
) -> None:
    """Raise ValueError where a column is missing or of another type; an empty one has no type."""
    for column in (*numbers, *others):
        if list(table.columns).count(column) != 1:
            raise ValueError(f"{name}.parquet has no column {column}")
        dtype = table[column].dtype
        is_right = is_numeric_dtype(dtype) if column in numbers else True
        if column == "time":
            is_right = is_datetime64_any_dtype(dtype)
        if len(table) and not is_right:
            raise ValueError(f"column {column} of {name}.parquet holds {dtype}")


def check_curves(name: str, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Raise ValueError where a table is not one of numbers over time, or lacks a column."""
    check_columns(name, table, numbers=columns)
    if not isinstance(table.index, pd.DatetimeIndex) or table.index.tz is None:
        raise ValueError(f"the index of {name}.parquet is no UTC time")


def to_plain(values: Mapping[str, object]) -> dict[str, object]:
    """Return values for strict JSON: what is no finite number is ``None``."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def read_values(kind: type, stored: object, *, apart: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of a dataclass of numbers and texts from JSON; ``None`` is nan for a float.

    Args:
        kind: the dataclass.
        stored: what JSON held.
        apart: fields that are read apart.

    Raises:
        TypeError: a name is missing or unknown, or a value is of another type.
    """
    wanted = {f.name: f.type for f in fields(kind) if f.name not in apart}
    if not isinstance(stored, dict) or set(stored) != set(wanted):
        raise TypeError(f"{kind.__name__} must have {len(wanted)} values, has others")
    for name, value in stored.items():
        if isinstance(value, bool) or not isinstance(value, _JSON_TYPES[wanted[name]]):
            raise TypeError(f"{name} of {kind.__name__} is {value!r:.40}")
    return {
        name: math.nan if value is None and wanted[name] is float else value
        for name, value in stored.items()
    }


def as_text(value: object) -> str:
    """Return a text as it is.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, is {value!r:.40}")
    return value


def as_texts(stored: Mapping[object, object]) -> dict[str, str]:
    """Return a mapping of texts to texts as it is; TypeError where it is none."""
    return {as_text(name): as_text(value) for name, value in stored.items()}


def in_one_line(error: Exception) -> str:
    """Return what an error says, without line breaks and not too long."""
    return " ".join(str(error).split())[:300]
