"""The charts of a report, as what plotly is given: plain values, colours by name.

Long series are thinned for drawing: of each stretch of bars the lowest and the highest are kept, so
that no extreme is lost. Every number of the report itself comes from the full series.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seawall.analysis.page import Figure, Json, plot_text
from seawall.market.series import FloatArray, TimeArray
from seawall.result import Result

MAX_POINTS = 4_000  # of one line
MAX_STRETCHES = 600  # of the exposure, where there are more bars than points
MAX_MARKERS = 2_000  # of one kind of fill
MAX_SYMBOLS = 6  # price charts drawn
SERIES_COLORS = tuple(f"var(--s{n})" for n in range(1, 9))

TIME_AXIS: Json = {"type": "date", "showgrid": False}
_HOVER_PERCENT = "%{y:+.2%}"
_HOVER_MONEY: Json = {"hovertemplate": "%{y:,.2f}"}


def thin(values: FloatArray, n_points: int = MAX_POINTS) -> NDArray[np.intp]:
    """Return the rows to draw, sorted: at most ``n_points``, the extremes and both ends among them.

    ``values``: float64, shape (n,); nan is passed over.
    """
    n = len(values)
    if n <= n_points:
        return np.arange(n)
    bounds = np.linspace(0, n, (n_points - 2) // 2 + 1).astype(np.intp)
    low, high = np.nan_to_num(values, nan=np.inf), np.nan_to_num(values, nan=-np.inf)
    kept = [np.array([0, n - 1])]
    for start, stop in pairwise(bounds):
        kept.append(start + np.array([np.argmin(low[start:stop]), np.argmax(high[start:stop])]))
    return np.unique(np.concatenate(kept))


def to_ms(times: pd.Index) -> TimeArray:
    """Return times as int64 UTC milliseconds, whatever the unit of the index."""
    index = pd.DatetimeIndex(times)
    naive = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
    return np.asarray(naive.to_numpy().astype("datetime64[ms]").astype(np.int64))


def row_times(table: pd.DataFrame) -> TimeArray:
    """Return the column ``time`` of a table as int64 UTC milliseconds."""
    return to_ms(pd.DatetimeIndex(table["time"]))


def column_values(table: pd.DataFrame, name: str) -> FloatArray:
    """Return a column of a table as float64."""
    return table[name].to_numpy(dtype=np.float64)


def to_colors(names: Sequence[str]) -> dict[str, str]:
    """Return a colour of the palette per name, in order; after the last it begins anew."""
    return {name: SERIES_COLORS[n % len(SERIES_COLORS)] for n, name in enumerate(names)}


def to_drawdown(equity: FloatArray) -> FloatArray:
    """Return equity below its highest so far, as a fraction <= 0, shape (n_bars,)."""
    peak = np.maximum.accumulate(equity)
    return np.where(peak > 0, equity / np.where(peak > 0, peak, 1.0) - 1.0, 0.0)


def to_means(
    time_ms: TimeArray, values: FloatArray, n_stretches: int = MAX_STRETCHES
) -> tuple[TimeArray, FloatArray]:
    """Return times and means of equal stretches of bars; short series as they are; nan is 0.

    For what jumps between two values, whose extremes say nothing.
    """
    known = np.nan_to_num(values)
    if len(values) <= MAX_POINTS:
        return time_ms, known
    starts = np.unique(np.linspace(0, len(values), n_stretches, endpoint=False).astype(np.intp))
    counts = np.diff(np.append(starts, len(values)))
    return time_ms[starts], np.add.reduceat(known, starts) / counts


def line(time_ms: TimeArray, values: FloatArray, name: str, color: str, **more: object) -> Json:
    """Return one thinned line; ``name`` is escaped here."""
    rows = thin(values)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plot_text(name),
        "x": time_ms[rows].tolist(),
        "y": values[rows].tolist(),
        "line": {"color": color, "width": 1.6},
        **more,
    }


def equity_figure(result: Result) -> Figure:
    """Return equity, drawdown and exposure over one time axis, beside buy-and-hold."""
    time_ms = to_ms(result.equity.index)
    columns = {
        name: column_values(result.equity, name) for name in ("equity", "benchmark", "exposure")
    }
    traces = [
        {**line(time_ms, columns[name], label, color), **_HOVER_MONEY}
        for name, label, color in (
            ("benchmark", "buy and hold", "var(--benchmark)"),
            ("equity", result.agent, "var(--agent)"),
        )
    ]
    for name, label, color, fill in (
        ("benchmark", "buy and hold", "var(--benchmark)", {}),
        ("equity", result.agent, "var(--sell)", {"fill": "tozeroy", "fillcolor": "var(--fall)"}),
    ):
        fallen = line(time_ms, to_drawdown(columns[name]), f"drawdown, {label}", color, yaxis="y2")
        traces.append({**fallen, **fill, "showlegend": False, "hovertemplate": _HOVER_PERCENT})
    means = to_means(time_ms, columns["exposure"])
    exposure = line(*means, "exposure", "var(--agent)", yaxis="y3")
    filled = {"fill": "tozeroy", "fillcolor": "var(--area)", "showlegend": False}
    step = {"line": {"color": "var(--agent)", "width": 1, "shape": "hv"}}
    traces.append({**exposure, **filled, **step, "hovertemplate": "%{y:.1%}"})
    layout = {
        "height": 560,
        "xaxis": {**TIME_AXIS, "anchor": "y3"},
        "yaxis": {"domain": [0.46, 1], "title": {"text": plot_text(result.recipe.market.quote)}},
        "yaxis2": {"domain": [0.19, 0.42], "tickformat": ".0%", "title": {"text": "drawdown"}},
        "yaxis3": {
            "domain": [0, 0.14],
            "tickformat": ".0%",
            "title": {"text": "exposure"},
            "nticks": 3,
        },
    }
    return Figure(id="equity-chart", traces=traces, layout=layout)


def price_figures(result: Result) -> list[Figure]:
    """Return one chart per symbol, at most ``MAX_SYMBOLS``: its closes and the fills on them."""
    symbols = [str(name) for name in result.prices.columns][:MAX_SYMBOLS]
    return [_price_figure(result, symbol, place) for place, symbol in enumerate(symbols)]


def _price_figure(result: Result, symbol: str, place: int) -> Figure:
    closes = column_values(result.prices, symbol)
    time_ms = to_ms(result.prices.index)
    traces = [line(time_ms, closes, symbol, "var(--muted)", hovertemplate="%{y:,.6~g}")]
    fills = result.fills[result.fills["symbol"] == symbol] if len(result.fills) else result.fills
    for name, mark, color, sign in (
        ("bought", "triangle-up", "var(--buy)", 1),
        ("sold", "triangle-down", "var(--sell)", -1),
    ):
        side = fills[np.sign(fills["quantity"]) == sign] if len(fills) else fills
        if len(side):
            traces.append(_markers(side, name, mark, color))
    layout = {
        "height": 340,
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": plot_text(symbol)}},
        "hovermode": "closest",
    }
    return Figure(id=f"price-chart-{place}", traces=traces, layout=layout)


def _markers(fills: pd.DataFrame, name: str, mark: str, color: str) -> Json:
    """Return fills of one side; where there are many, evenly chosen ones, and the name says so."""
    n = len(fills)
    if n > MAX_MARKERS:
        rows = np.linspace(0, n - 1, MAX_MARKERS).astype(np.intp)
        fills, name = fills.iloc[rows], f"{name} ({MAX_MARKERS:,} of {n:,} drawn)"
    size = 12 if n < 100 else 8 if n < 500 else 4  # noqa: PLR2004 - by eye
    texts = [
        f"{name.split(' (')[0]} {abs(quantity):,.6g} at {price:,.6g}<br>{plot_text(rule)}"
        for quantity, price, rule in zip(
            fills["quantity"], fills["price"], fills["rule"], strict=True
        )
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [int(value) for value in fills["time_ms"]],
        "y": [float(value) for value in fills["price"]],
        "text": texts,
        "hovertemplate": "%{text}<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
        "marker": {"symbol": mark, "size": size, "color": color, "opacity": 0.85},
    }


def costs_figure(costs: Mapping[str, float], quote: str) -> Figure:
    """Return one bar per kind of cost, quote units, the largest on top."""
    kinds = sorted(costs, key=lambda kind: costs[kind])
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [plot_text(kind) for kind in kinds],
        "x": [costs[kind] for kind in kinds],
        "marker": {"color": list(SERIES_COLORS[: len(kinds)])[::-1]},
        "text": [f"{costs[kind]:,.2f}" for kind in kinds],
        "textposition": "auto",
        "hovertemplate": f"%{{y}}: %{{x:,.2f}} {plot_text(quote)}<extra></extra>",
    }
    layout = {
        "height": 90 + 44 * max(len(kinds), 1),
        "hovermode": "closest",
        "xaxis": {"title": {"text": plot_text(quote)}, "rangemode": "tozero"},
        "yaxis": {"type": "category", "showgrid": False},
        "bargap": 0.35,
    }
    return Figure(id="costs-chart", traces=[trace], layout=layout)


def daily_figure(days: "pd.Series[float]") -> Figure:
    """Return one bar per day's simple return, for windows too short for a table of months."""
    values = days.to_numpy(dtype=np.float64)
    trace = {
        "type": "bar",
        "x": to_ms(days.index).tolist(),
        "y": values.tolist(),
        "marker": {"color": ["var(--buy)" if value >= 0 else "var(--sell)" for value in values]},
        "hovertemplate": "%{x|%Y-%m-%d}: %{y:+.2%}<extra></extra>",
    }
    layout = {
        "height": 220,
        "hovermode": "closest",
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"tickformat": ".1%"},
    }
    return Figure(id="daily-chart", traces=[trace], layout=layout)


def to_daily(equity: "pd.Series[float]") -> "pd.Series[float]":
    """Return simple returns by UTC day of the bars' close; the first starts at the first equity."""
    return _period_returns(equity, "D")


def to_monthly(equity: "pd.Series[float]") -> "pd.Series[float]":
    """Return simple returns by UTC month, the first and the last of which may be parts of one."""
    return _period_returns(equity, "MS")


def to_costs(result: Result) -> dict[str, float]:
    """Return what trading cost by kind, quote units; kinds that cost nothing are left out."""
    fills = result.fills
    thinking = {"thinking": result.metrics.thinking} if result.metrics.thinking else {}
    if not len(fills):
        return thinking
    is_maker = fills["liquidity"] == "maker"
    is_struck = fills["rule"] == "liquidation"
    found = {
        "fees, taker": float(fills.loc[~is_maker & ~is_struck, "fee"].sum()),
        "fees, liquidation": float(fills.loc[is_struck, "fee"].sum()),
        "fees, maker": float(fills.loc[is_maker, "fee"].sum()),
        "spread and slippage": float(fills["slippage"].sum()),
        **thinking,
    }
    return {kind: cost for kind, cost in found.items() if cost != 0}


def overlay_figure(
    time_ms: TimeArray, lines: Sequence[tuple[str, FloatArray]], *, id_: str, unit: str
) -> Figure:
    """Return several agents' equity in one chart, the first eight in colours of their own."""
    traces = []
    for place, (name, values) in enumerate(lines):
        color = SERIES_COLORS[place % len(SERIES_COLORS)]
        dash = "solid" if place < len(SERIES_COLORS) else "dot"
        style = {"line": {"color": color, "width": 1.8, "dash": dash}}
        traces.append(
            {**line(time_ms, values, name, color), **style, "hovertemplate": _HOVER_MONEY}
        )
    layout = {
        "height": 460,
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": plot_text(unit)}},
    }
    return Figure(id=id_, traces=traces, layout=layout)


def _period_returns(equity: "pd.Series[float]", rule: str) -> "pd.Series[float]":
    # A bar that closes at midnight belongs to the day that ends there; the first row is the start.
    time_ms = to_ms(equity.index)
    moments = pd.to_datetime(np.maximum(time_ms - 1, time_ms[0]), unit="ms")
    values = pd.Series(equity.to_numpy(dtype=np.float64), index=moments)
    ends = values.resample(rule).last().ffill()
    starts = ends.shift(1)
    starts.iloc[0] = values.iloc[0]
    return (ends / starts - 1.0).where(starts > 0, 0.0)


def liquidation_line(time_ms: TimeArray) -> Json:
    """Return the line at 1, at which what is guarded is liquidated."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "liquidation",
        "x": [int(time_ms[0]), int(time_ms[-1])],
        "y": [1.0, 1.0],
        "line": {"color": "var(--bad)", "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def markers(
    time_ms: TimeArray, values: FloatArray, texts: Sequence[str], name: str, look: tuple[str, str]
) -> Json:
    """Return marks at moments: ``look`` is their symbol and colour."""
    symbol, color = look
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": time_ms.tolist(),
        "y": values.tolist(),
        "text": list(texts),
        "hovertemplate": "%{text}<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
        "marker": {
            "symbol": symbol,
            "size": 11,
            "color": color,
            "line": {"color": color, "width": 2 if symbol == "x-thin" else 0},
        },
    }
