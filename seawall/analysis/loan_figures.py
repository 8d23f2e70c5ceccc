"""The charts of a guarded loan: health, prices, gas."""

import numpy as np
import pandas as pd

from seawall.analysis.figures import (
    TIME_AXIS,
    column_values,
    line,
    liquidation_line,
    markers,
    row_times,
    to_ms,
)
from seawall.analysis.page import Figure, Json, plot_text
from seawall.market.series import FloatArray
from seawall.result import Result

MIN_UNTOUCHED = 0.6  # and the loan that nobody touched down to here
_BELOW = 0.98  # of the lowest point: room under it
MAX_HEALTH = 4.0  # drawn up to here: far from 1, a health factor says little
_HEALTH: Json = {"hovertemplate": "%{y:.3f}"}
_USD: Json = {"hovertemplate": "%{y:,.2f} USD"}


def health_figure(result: Result) -> Figure:
    """Return the health factor over time, both bounds, against the line of liquidation at 1."""
    loan, time_ms = result.loan, to_ms(result.loan.index)
    traces: list[Json] = []
    for column, label, color, width in (
        ("untouched_health", "the loan untouched, worst price", "var(--benchmark)", 1.2),
        ("min_health_best", "bars resolved for the better", "var(--s6)", 1.2),
        ("min_health", "bars resolved for the worse", "var(--agent)", 1.8),
    ):
        if column in loan:
            drawn = line(time_ms, _finite(loan, column), label, color)
            traces.append({**drawn, **_HEALTH, "line": {"color": color, "width": width}})
    traces.append(liquidation_line(time_ms))
    traces += _action_markers(result) + _liquidation_markers(result, "health_before")
    columns = [column for column in ("min_health", "min_health_best") if column in loan]
    known = np.concatenate([_finite(loan, column, fill=2.0) for column in columns])
    untouched = _finite(loan, "untouched_health", fill=2.0).min()
    low = min(0.95, float(known.min()), max(float(untouched) * _BELOW, MIN_UNTOUCHED))
    top = float(known.max())
    layout = {
        "height": 420,
        "hovermode": "closest",
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": "health factor"}, "range": [low, min(top * 1.05, MAX_HEALTH)]},
    }
    return Figure(id="health-chart", traces=traces, layout=layout)


def loan_price_figure(result: Result) -> Figure:
    """Return what the oracle said of the collateral, and at which price the loan is liquidated."""
    loan, time_ms = result.loan, to_ms(result.loan.index)
    traces: list[Json] = [
        {**line(time_ms, _finite(loan, column), label, color), **_USD}
        for column, label, color in (
            ("oracle_low", "oracle, lowest in the bar", "var(--benchmark)"),
            ("oracle_price", "oracle", "var(--agent)"),
        )
    ]
    level = line(time_ms, _finite(loan, "liquidation_price"), "liquidation price", "var(--bad)")
    style = {"line": {"color": "var(--bad)", "width": 1.5, "shape": "hv", "dash": "dash"}}
    traces.append({**level, **style, **_USD})
    traces += _liquidation_markers(result, "price")
    layout = {
        "height": 340,
        "hovermode": "closest",
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": f"USD per {_collateral(result)}"}},
    }
    return Figure(id="loan-price-chart", traces=traces, layout=layout)


def gas_figure(result: Result) -> Figure:
    """Return the price of gas over time, and what each transaction paid for it."""
    time_ms, sent = to_ms(result.loan.index), result.transactions
    gwei = line(time_ms, _finite(result.loan, "gas_gwei"), "gas price", "var(--benchmark)")
    traces: list[Json] = [{**gwei, "hovertemplate": "%{y:,.1f} gwei"}]
    if len(sent):
        paid = {
            "type": "scatter",
            "mode": "markers",
            "name": "paid by a transaction",
            "x": row_times(sent).tolist(),
            "y": sent["gas_usd"].astype(float).tolist(),
            "yaxis": "y2",
            "marker": {"size": 9, "color": "var(--s4)", "symbol": "diamond"},
            "hovertemplate": "%{y:,.2f} USD<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
        }
        traces.append(paid)
    layout = {
        "height": 260,
        "hovermode": "closest",
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": "gwei"}, "rangemode": "tozero"},
        "yaxis2": {
            "title": {"text": "USD"},
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        },
    }
    return Figure(id="gas-chart", traces=traces, layout=layout)


def _action_markers(result: Result) -> list[Json]:
    """Return a marker per transaction, at the health factor it led to, with its reason."""
    sent, traces = result.transactions, []
    for status, name, symbol, color in (
        ("done", "transaction", "triangle-up", "var(--good)"),
        ("failed", "failed transaction", "x", "var(--sell)"),
    ):
        rows = sent[sent["status"] == status]
        if len(rows):
            health = np.minimum(_finite(rows, "health_after", fill=MAX_HEALTH), MAX_HEALTH)
            texts = [
                f"{plot_text(what)}<br>{plot_text(reason or error)}"
                for what, reason, error in zip(
                    rows["what"], rows["reason"], rows["error"], strict=True
                )
            ]
            traces.append(markers(row_times(rows), health, texts, name, (symbol, color)))
    return traces


def _liquidation_markers(result: Result, column: str) -> list[Json]:
    struck = result.liquidations
    if not len(struck):
        return []
    texts = [
        f"{seized:,.4g} {plot_text(held)} seized for {repaid:,.2f} {plot_text(owed)}"
        for seized, held, repaid, owed in zip(
            struck["seized"],
            struck["collateral_asset"],
            struck["repaid"],
            struck["debt_asset"],
            strict=True,
        )
    ]
    look = ("x-thin", "var(--bad)")
    return [markers(row_times(struck), column_values(struck, column), texts, "liquidation", look)]


def _finite(frame: pd.DataFrame, column: str, *, fill: float = np.nan) -> FloatArray:
    """Return a column with ``fill`` for what is no finite number: a line is broken there."""
    values = column_values(frame, column)
    return np.where(np.isfinite(values), values, fill)


def _collateral(result: Result) -> str:
    loan = result.recipe.loan
    return plot_text(loan.collateral if loan is not None else "token")
