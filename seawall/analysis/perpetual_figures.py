"""The charts of a futures account: margin ratio, liquidation prices, venues, funding."""

from typing import Final

import numpy as np
import pandas as pd

from seawall.analysis.figures import (
    MAX_SYMBOLS,
    SERIES_COLORS,
    TIME_AXIS,
    column_values,
    line,
    liquidation_line,
    markers,
    row_times,
    to_ms,
)
from seawall.analysis.margin_protection import contracts_of, own_orders, to_course
from seawall.analysis.page import Figure, Json, plot_text
from seawall.market.series import FloatArray, TimeArray
from seawall.result import Result

MAX_RATIO: Final = 1.2  # drawn up to here: beyond 1 a position is liquidated
_FINE_RATIO = 0.1  # an axis up to here has ticks less than 1 % apart
_LOW_RATIO = 0.3  # who never comes near to 1 is drawn up to what there was
MAX_ACTS: Final = 200  # markers: who trades all the time is not explained by each of them
_FAR = 0.5  # of the price: a liquidation price further away does not stretch the axis
_RATIO: Json = {"hovertemplate": "%{y:.1%}"}
_PRICE: Json = {"hovertemplate": "%{y:,.6~g}"}
_VENUES = (
    ("equity_spot", "spot", "var(--s3)"),
    ("equity_perpetual", "perpetual", "var(--s2)"),
    ("equity_loan", "loan", "var(--s4)"),
)


def margin_figure(result: Result) -> Figure:
    """Return the margin ratio over time, both bounds, against the line of liquidation at 100 %."""
    frame, time_ms = result.perpetual, to_ms(result.perpetual.index)
    traces: list[Json] = []
    for column, label, color, width in (
        ("margin_ratio_best", "closes, bars resolved for the better", "var(--s6)", 1.2),
        ("margin_ratio", "at the close", "var(--benchmark)", 1.2),
        ("worst_margin_ratio", "highest within the bar", "var(--agent)", 1.8),
    ):
        if column in frame:
            drawn = line(time_ms, _capped(frame, column), label, color)
            traces.append({**drawn, **_RATIO, "line": {"color": color, "width": width}})
    traces.append(liquidation_line(time_ms))
    traces += [*_act_markers(result), *_transfer_markers(result)]
    struck = result.margin_liquidations
    if len(struck):
        at = np.minimum(np.nan_to_num(column_values(struck, "margin_ratio"), nan=1.0), MAX_RATIO)
        traces.append(_liquidations(struck, np.maximum(at, 1.0)))
    top = _find_top(frame)
    layout = {
        "height": 400,
        "hovermode": "closest",
        "xaxis": dict(TIME_AXIS),
        "yaxis": {
            "title": {"text": "maintenance over margin"},
            "tickformat": ".0%" if top > _FINE_RATIO else ".1%",
            "range": [0, top],
        },
    }
    return Figure(id="margin-chart", traces=traces, layout=layout)


def _find_top(frame: pd.DataFrame) -> float:
    most = float(_capped(frame, "worst_margin_ratio").max())
    return MAX_RATIO if most > _LOW_RATIO else max(1.15 * most, 0.01)


def contract_figures(result: Result) -> list[Figure]:
    """Return one chart per contract that was held, at most ``MAX_SYMBOLS``."""
    held = [s for s in contracts_of(result) if to_course(result, s).quantity.any()]
    chosen = held or list(contracts_of(result))[:1]
    return [
        _contract_figure(result, symbol, place) for place, symbol in enumerate(chosen[:MAX_SYMBOLS])
    ]


def _contract_figure(result: Result, symbol: str, place: int) -> Figure:
    """Return mark, entry and liquidation price over the position in one contract."""
    course = to_course(result, symbol)
    mark = column_values(result.perpetual, f"mark:{symbol}")
    entry = column_values(result.perpetual, f"entry:{symbol}")
    is_held = course.quantity != 0.0
    step = {"shape": "hv", "width": 1.5}
    traces: list[Json] = []
    if (course.low < mark).any() or (course.high > mark).any():
        for values, name in ((course.low, "lowest mark"), (course.high, "highest mark")):
            drawn = line(course.time_ms, values, name, "var(--benchmark)")
            traces.append({**drawn, **_PRICE, "line": {"color": "var(--benchmark)", "width": 0.8}})
    traces += [
        {**line(course.time_ms, mark, "mark", "var(--agent)"), **_PRICE},
        {
            **line(course.time_ms, np.where(is_held, entry, np.nan), "entry", "var(--muted)"),
            **_PRICE,
            "line": {**step, "color": "var(--muted)", "dash": "dot"},
        },
        {
            **line(
                course.time_ms,
                np.where(is_held, course.liquidation_price, np.nan),
                "liquidation price",
                "var(--bad)",
            ),
            **_PRICE,
            "line": {**step, "color": "var(--bad)", "dash": "dash"},
        },
        {
            **line(course.time_ms, course.quantity, "position", "var(--s3)", yaxis="y2"),
            "line": {**step, "color": "var(--s3)"},
            "fill": "tozeroy",
            "hovertemplate": "%{y:,.6~g}",
            "showlegend": False,
        },
    ]
    struck = result.margin_liquidations
    struck = struck[struck["symbol"] == symbol] if len(struck) else struck
    if len(struck):
        traces.append(_liquidations(struck, column_values(struck, "price")))
    layout = {
        "height": 440,
        "hovermode": "closest",
        "xaxis": {**TIME_AXIS, "anchor": "y2"},
        "yaxis": {
            "domain": [0.3, 1],
            "title": {"text": plot_text(symbol)},
            "range": _price_range(course.low, course.high, course.liquidation_price[is_held]),
        },
        "yaxis2": {"domain": [0, 0.22], "title": {"text": "position"}, "nticks": 4},
    }
    return Figure(id=f"contract-chart-{place}", traces=traces, layout=layout)


def _price_range(low: FloatArray, high: FloatArray, levels: FloatArray) -> list[float]:
    """Return the ends of a price axis: all marks, and the liquidation prices that are not far."""
    least, most = float(np.nanmin(low)), float(np.nanmax(high))
    near = levels[(levels > least * (1 - _FAR)) & (levels < most * (1 + _FAR))]
    least, most = min([least, *near]), max([most, *near])
    room = 0.04 * (most - least) or 0.01 * most
    return [least - room, most + room]


def venues_figure(result: Result) -> Figure:
    """Return what lies at each venue over time, and together."""
    frame, time_ms = result.perpetual, to_ms(result.perpetual.index)
    traces: list[Json] = []
    for column, label, color in _VENUES:
        values = column_values(frame, column)
        if np.nan_to_num(values).any():
            traces.append({**line(time_ms, values, label, color), "hovertemplate": "%{y:,.2f}"})
    together = column_values(result.equity, "equity")
    whole = line(to_ms(result.equity.index), together, "together", "var(--agent)")
    style = {"line": {"color": "var(--agent)", "width": 2.2}, "hovertemplate": "%{y:,.2f}"}
    traces.append({**whole, **style})
    layout = {
        "height": 340,
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": plot_text(result.recipe.market.quote)}},
    }
    return Figure(id="venues-chart", traces=traces, layout=layout)


def funding_figure(result: Result) -> Figure | None:
    """Return funding received less paid so far, contract by contract; ``None`` where none was."""
    rows = result.funding
    symbols = list(dict.fromkeys(rows["symbol"])) if len(rows) else []
    if not symbols:
        return None
    lines = [(symbol, rows[rows["symbol"] == symbol]) for symbol in symbols[: len(SERIES_COLORS)]]
    if len(symbols) > 1:
        lines.append(("together", rows))
    traces: list[Json] = []
    for place, (name, own) in enumerate(lines):
        color = "var(--agent)" if name == "together" else SERIES_COLORS[place + 1 - len(symbols)]
        color = color if len(symbols) > 1 else "var(--agent)"
        total = np.cumsum(column_values(own, "amount"))
        drawn = line(row_times(own), total, name, color)
        style = {"line": {"color": color, "width": 1.8, "shape": "hv"}}
        traces.append({**drawn, **style, "hovertemplate": "%{y:+,.2f}"})
    layout = {
        "height": 300,
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": plot_text(result.recipe.market.quote)}},
        "showlegend": len(lines) > 1,
    }
    return Figure(id="funding-chart", traces=traces, layout=layout)


def _act_markers(result: Result) -> list[Json]:
    """Return a marker per order of the agent, at the margin ratio it led to."""
    orders = own_orders(result)
    if not 0 < len(orders) <= MAX_ACTS:
        return []
    traces = []
    for name, symbol, color, sign in (
        ("bought", "triangle-up", "var(--buy)", 1),
        ("sold", "triangle-down", "var(--sell)", -1),
    ):
        side = orders[np.sign(orders["quantity"]) == sign]
        if len(side):
            times = side["time_ms"].to_numpy(dtype=np.int64)
            texts = [
                f"{name} {abs(quantity):,.6g} {plot_text(which)}"
                for quantity, which in zip(side["quantity"], side["symbol"], strict=True)
            ]
            traces.append(markers(times, _ratio_after(result, times), texts, name, (symbol, color)))
    return traces


def _transfer_markers(result: Result) -> list[Json]:
    moved = result.transfers
    if not 0 < len(moved) <= MAX_ACTS:
        return []
    times = row_times(moved)
    texts = [
        f"{amount:,.2f} from {plot_text(source)} to {plot_text(target)}"
        for amount, source, target in zip(
            moved["amount"], moved["source"], moved["target"], strict=True
        )
    ]
    look = ("diamond", "var(--good)")
    return [markers(times, _ratio_after(result, times), texts, "transfer", look)]


def _ratio_after(result: Result, times: TimeArray) -> FloatArray:
    """Return the margin ratio at the first close after each moment."""
    closes = to_ms(result.perpetual.index)
    places = np.minimum(np.searchsorted(closes, times, "right"), len(closes) - 1)
    return _capped(result.perpetual, "margin_ratio")[places]


def _liquidations(struck: pd.DataFrame, values: FloatArray) -> Json:
    texts = [
        f"{abs(quantity):,.6g} {plot_text(symbol)} closed at {price:,.6g}, tier {tier:.0f}, "
        f"fee {fee:,.2f}"
        for quantity, symbol, price, tier, fee in zip(
            struck["quantity"],
            struck["symbol"],
            struck["price"],
            struck["tier"],
            struck["fee"],
            strict=True,
        )
    ]
    return markers(row_times(struck), values, texts, "liquidation", ("x-thin", "var(--bad)"))


def _capped(frame: pd.DataFrame, column: str) -> FloatArray:
    return np.minimum(column_values(frame, column), MAX_RATIO)
