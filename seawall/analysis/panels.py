"""The sections of a report about one result: what stands in each, and how numbers are written."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from seawall.analysis.figures import to_monthly, to_ms
from seawall.analysis.numbers import (
    COUNT,
    MONEY,
    PERCENT,
    RATIO,
    SIGNED,
    SPAN,
    TIME,
    Form,
    tone,
    with_minus,
    write_number,
)
from seawall.analysis.page import (
    Column,
    Figure,
    Panel,
    Table,
    escape,
    plot_html,
    scale_tools,
    scroll_table,
    table_html,
)
from seawall.analysis.toml import to_toml
from seawall.metrics import Metrics
from seawall.recipe import Recipe
from seawall.result import Result

MAX_ROWS = 5_000  # of one searchable table
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PROSE = ("text", "reason", "source", "findings", "what", "error")  # columns of sentences
_ALWAYS_KEPT = ("abstained", "refused", "rejected", "liquidated", "reduced", "expired", "note")
METRIC_ROWS: tuple[tuple[str, str, Form | None, str], ...] = (
    ("Return", "", None, ""),
    ("total_return", "Total return", SIGNED, "last equity over first, minus 1; after all costs"),
    ("annual_return", "Annual return", SIGNED, "compounded to a year of 365 days"),
    ("best_period", "Best bar", SIGNED, "highest simple return of one bar"),
    ("worst_period", "Worst bar", SIGNED, "lowest simple return of one bar"),
    ("Risk", "", None, ""),
    ("volatility", "Volatility", PERCENT, "standard deviation of simple returns, ddof 1, a year"),
    ("sharpe", "Sharpe ratio", RATIO, "risk-free rate 0, ddof 1, annualised at 365 days"),
    ("sortino", "Sortino ratio", RATIO, "downside deviation from 0 over all bars, annualised"),
    ("calmar", "Calmar ratio", RATIO, "annual return over maximum drawdown"),
    ("max_drawdown", "Maximum drawdown", SIGNED, "lowest equity below an earlier peak"),
    ("peak_ms", "Drawdown from", TIME, "when equity last stood at the peak before it, UTC"),
    ("trough_ms", "Drawdown to", TIME, "its lowest point, UTC"),
    ("recovery_ms", "Recovered", TIME, "first time back at that peak; a dash: not recovered"),
    ("longest_under_water_ms", "Longest under water", SPAN, "from a peak to its recovery"),
    ("under_water", "Time under water", PERCENT, "share of bars below an earlier peak"),
    ("var_95", "Value at risk, 95 %", SIGNED, "5 % quantile of bar returns, not annualised"),
    ("cvar_95", "Expected shortfall, 95 %", SIGNED, "mean of the worst 5 % of bar returns"),
    ("Trading", "", None, ""),
    ("exposure", "Exposure", PERCENT, "mean share of equity held in the market"),
    ("turnover", "Turnover", RATIO, "notional traded over mean equity, whole window"),
    ("n_trades", "Closed trades", COUNT, "from flat to flat, or the part that was closed"),
    ("win_rate", "Win rate", PERCENT, "closed trades with a gain after fees"),
    ("profit_factor", "Profit factor", RATIO, "gains over losses of closed trades"),
    ("best_trade", "Best trade", SIGNED, "profit over notional at entry"),
    ("worst_trade", "Worst trade", SIGNED, "profit over notional at entry"),
    ("Costs", "", None, ""),
    ("fees", "Fees", MONEY, "paid in all, quote units"),
    ("slippage", "Spread and slippage", MONEY, "lost against the raw price, quote units"),
    ("thinking", "Thinking", MONEY, "model bills in all, quote units; owed, and off the equity"),
)


def metrics_panel(metrics: Metrics, benchmark: Metrics, names: tuple[str, str]) -> Panel:
    """Return the table of all metrics beside those of buy-and-hold, each with its convention."""
    own, other = metrics.to_dict(), benchmark.to_dict()
    rows = []
    for key, title, form, convention in METRIC_ROWS:
        if form is None:
            rows.append(f'<tr class="group"><th colspan="4">{escape(key)}</th></tr>')
            continue
        cells = "".join(
            f'<td class="num {tone(v) if form == SIGNED else ""}">{write_number(v, form)}</td>'
            for v in (own[key], other[key])
        )
        rows.append(f'<tr><th>{title}</th>{cells}<td class="why">{escape(convention)}</td></tr>')
    heads = (
        f'<th>Metric</th><th class="num">{escape(names[0])}</th>'
        f'<th class="num">{escape(names[1])}</th><th class="why">How it is defined</th>'
    )
    note = (
        "Simple returns from bar to bar, a year of 365 days, ddof 1, risk-free rate 0. "
        f"Annualised with {metrics.periods_per_year:,.6g} bars a year."
    )
    body = scroll_table(heads, "".join(rows), "metrics")
    return Panel(id="metrics", title="Metrics", body=body, note=note)


def equity_panel(figure: Figure, note: str) -> Panel:
    """Return equity, drawdown and exposure over time."""
    return Panel(
        id="equity",
        title="Equity and drawdown",
        body=plot_html(figure, "Equity, drawdown and exposure over time, beside buy and hold"),
        note=note,
        tools=scale_tools(figure),
    )


def monthly_html(equity: "pd.Series[float]") -> str:
    """Return the heat map of monthly returns: a row per year, the year's own return at its end."""
    monthly = to_monthly(equity)
    index = pd.DatetimeIndex(monthly.index)
    by_month = dict(zip(zip(index.year, index.month, strict=True), monthly, strict=True))
    scale = max(float(np.max(np.abs(monthly.to_numpy()))), 1e-9)
    heads = "".join(f"<th>{name}</th>" for name in MONTHS)
    rows = []
    for year in sorted({year for year, _ in by_month}, reverse=True):
        found = [by_month.get((year, month)) for month in range(1, 13)]
        total = math.prod(1.0 + value for value in found if value is not None) - 1.0
        cells = "".join(_heat_cell(value, scale) for value in found)
        rows.append(
            f"<tr><th>{year}</th>{cells}"
            f'<td class="year {tone(total)}">{_short_percent(total)}</td></tr>'
        )
    return scroll_table(f"<th></th>{heads}<th>Year</th>", "".join(rows), "heat")


def _heat_cell(value: float | None, scale: float) -> str:
    if value is None:
        return "<td></td>"
    name = "--heat-up" if value >= 0 else "--heat-down"
    strength = 0.06 + 0.54 * min(abs(value) / scale, 1.0)
    style = f"--cell: rgba(var({name}), {strength:.2f})"
    return f'<td style="{style}">{_short_percent(value)}</td>'


def _short_percent(value: float) -> str:
    return with_minus(f"{100 * value:+.1f}")


def trades_table(trades: pd.DataFrame) -> Table:
    """Return the closed round trips; where there are too many, the largest gains and losses."""
    note, kept = "One row per position from flat to flat, or the part that was closed.", trades
    if len(trades) > MAX_ROWS:
        largest = trades["pnl"].abs().sort_values(ascending=False, kind="stable").index[:MAX_ROWS]
        kept = trades.loc[sorted(largest)]
        note += (
            f" The {MAX_ROWS:,} of {len(trades):,} with the largest gain or loss are shown; "
            "the stored result has them all."
        )
    return to_table("trades-table", kept, note=note)


def journal_table(journal: pd.DataFrame) -> Table:
    """Return the journal with reasons; where it is too long, everything unusual stays in."""
    note, kept = "What was decided, asked, refused and done, in order.", journal
    if len(journal) > MAX_ROWS:
        rare = np.flatnonzero(journal["kind"].isin(_ALWAYS_KEPT))[:MAX_ROWS]
        usual = np.setdiff1d(np.arange(len(journal)), rare)
        half = (MAX_ROWS - len(rare)) // 2
        ends = np.concatenate([usual[:half], usual[len(usual) - half :]])
        kept = journal.iloc[np.sort(np.concatenate([rare, ends]))]
        note += (
            f" {len(kept):,} of {len(journal):,} entries are shown: refusals and other unusual "
            "ones, then the first and the last of the rest; the stored result has them all."
        )
    return to_table("journal-table", kept, note=note, filter_by="kind")


def to_table(id_: str, frame: pd.DataFrame, *, note: str = "", filter_by: str = "") -> Table:
    """Return any frame as a searchable table: times, percentages and numbers by their columns."""
    columns, values = [], []
    for name in frame.columns:
        if name == "time_ms" and "time" in frame.columns:
            continue  # the same twice
        found = _column(str(name), frame[name])
        columns.append(found[0])
        values.append(found[1])
    rows = [list(row) for row in zip(*values, strict=True)] if values else []
    return Table(id=id_, columns=tuple(columns), rows=rows, note=note, filter_by=filter_by)


def _column(name: str, values: "pd.Series[float]") -> tuple[Column, Sequence[object]]:
    title = name.removesuffix("_ms").replace("_", " ").replace("return fraction", "return")
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        times: list[object] = [
            None if pd.isna(v) else int(t) for v, t in zip(values, _safe_ms(values), strict=True)
        ]
        return Column(name=name, title=title, format="time"), times
    if name.endswith("_ms"):
        return Column(name=name, title=title, format="time"), [int(value) for value in values]
    is_number = pd.api.types.is_numeric_dtype(values.dtype)
    if is_number and not pd.api.types.is_bool_dtype(values.dtype):
        form = "percent" if name.endswith(("_fraction", "_return", "share")) else "num"
        signed = name in ("pnl", "return_fraction")
        numbers = [float(value) for value in values]
        return Column(name=name, title=title, format=form, signed=signed), numbers
    form = "prose" if name in _PROSE else "text"
    return Column(name=name, title=title, format=form), [str(value) for value in values]


def _safe_ms(values: "pd.Series[float]") -> Sequence[int]:
    index = pd.DatetimeIndex(values)
    return [int(value) for value in to_ms(index.fillna(pd.Timestamp(0, tz=index.tz)))]


def searchable_panel(table: Table, title: str, id_: str) -> Panel:
    """Return a panel around a searchable table, or a sentence where it has no rows."""
    if not table.rows:
        return Panel(id=id_, title=title, body='<p class="note">There are none.</p>')
    return Panel(id=id_, title=title, body=table_html(table), note=table.note)


def quality_panel(quality: pd.DataFrame) -> Panel:
    """Return what the checks of each series found."""
    frame = quality.reset_index() if quality.index.name else quality
    return Panel(
        id="data",
        title="Data quality",
        body=frame_html(frame),
        note="What the checks found in each series that was used; nothing was repaired.",
    )


def frame_html(frame: pd.DataFrame) -> str:
    """Return a small frame as a plain table, every text escaped."""
    table = to_table("", frame)
    heads = "".join(f'<th class="{_css(c)}">{escape(c.title)}</th>' for c in table.columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{_css(column)}">{escape(_cell(value, column))}</td>'
            for value, column in zip(row, table.columns, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return scroll_table(heads, rows)


def _css(column: Column) -> str:
    return "num" if column.format in ("num", "percent") else column.format


def _cell(value: object, column: Column) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if column.format == "num":
            return f"{value:,.6g}" if math.isfinite(value) else "–"  # noqa: RUF001 - a dash
        return write_number(value, PERCENT)
    return "" if value is None else str(value)


def recipe_panel(recipe: Recipe) -> Panel:
    """Return the recipe as the TOML that makes it again."""
    return Panel(
        id="recipe",
        title="Recipe",
        body=f"<pre>{escape(to_toml(recipe))}</pre>",
        note=f"Id {recipe.id}: the hash of everything in it that can change a number. Save it as a "
        "file, and `seawall run FILE` gives the same numbers on the same data.",
    )


def provenance_panel(result: Result) -> Panel:
    """Return the versions and the hashes of the data that the numbers depend on."""
    return mapping_panel({"Versions": result.versions, "Data, sha256": result.data})


def mapping_panel(groups: Mapping[str, Mapping[str, str]]) -> Panel:
    """Return named groups of names and values."""
    rows = "".join(
        f'<tr class="group"><th colspan="2">{escape(group)}</th></tr>'
        + "".join(
            f'<tr><th>{escape(name)}</th><td class="mono">{escape(value)}</td></tr>'
            for name, value in sorted(values.items())
        )
        for group, values in groups.items()
    )
    body = f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'
    return Panel(id="origin", title="Versions and data", body=body)


def window_text(recipe: Recipe) -> str:
    """Return market and window in words: what was traded, where, how often looked at, when."""
    market = recipe.market
    symbols = ", ".join(market.symbols[:4]) + (" …" if len(market.symbols) > 4 else "")  # noqa: PLR2004
    start = datetime.fromtimestamp(market.since_ms / 1000, tz=UTC)
    end = datetime.fromtimestamp(market.until_ms / 1000, tz=UTC)
    return (
        f"{symbols} on {market.venue}, {market.timeframe} bars, {start:%Y-%m-%d} to {end:%Y-%m-%d}"
    )
