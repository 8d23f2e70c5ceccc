"""The main figure of a result as a PNG, through matplotlib (the extra ``png``)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seawall.analysis.figures import thin, to_drawdown, to_ms
from seawall.analysis.numbers import RATIO, SIGNED, write_number
from seawall.analysis.panels import window_text
from seawall.errors import ResultError, SeawallError
from seawall.market.series import FloatArray, TimeArray
from seawall.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AGENT, _BENCHMARK, _FALL, _BUY = "#0b62c4", "#8a93a0", "#d55e00", "#0072b2"
_DPI = 150
_MAX_TITLE = 90
_Lines = tuple[TimeArray, FloatArray]


def write_png(result: Result, path: Path) -> Path:
    """Write equity, drawdown and price with fills to ``path``, 1,800 x 1,350 pixels; return it.

    Raises:
        SeawallError: matplotlib is not installed.
        ResultError: the result holds no bar, or the file cannot be written.
    """
    try:
        # Late, for it is an extra; without pyplot, which would look for a screen.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise SeawallError(
            "a PNG needs matplotlib, which is not installed: pip install 'seawall[png]'"
        ) from None
    if len(result.equity) == 0:
        raise ResultError("a figure needs at least one bar, the result has none: run it again")
    figure = Figure(figsize=(12, 9), layout="constrained")
    FigureCanvasAgg(figure)
    equity, drawdown, price = figure.subplots(3, 1, sharex=True, height_ratios=(5, 2, 4))
    figure.suptitle(_title(result), x=0.01, ha="left", fontsize=12, parse_math=False)
    _draw_equity(equity, drawdown, result)
    _draw_price(price, result)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(path, dpi=_DPI, format="png")
    except OSError as error:
        raise ResultError(f"the figure cannot be written to {path}: {error}") from None
    return path


def _title(result: Result) -> str:
    own, other = result.metrics, result.benchmark
    heading = " · ".join((result.recipe.name, result.agent, *result.labels))
    numbers = (
        f"{window_text(result.recipe)}\n"
        f"return {write_number(own.total_return, SIGNED)} "
        f"(buy and hold {write_number(other.total_return, SIGNED)}), "
        f"drawdown {write_number(own.max_drawdown, SIGNED)}, "
        f"Sharpe {write_number(own.sharpe, RATIO)}"
    )
    return f"{heading[:_MAX_TITLE]}\n{numbers}"


def _draw_equity(equity: "Axes", drawdown: "Axes", result: Result) -> None:
    time_ms = to_ms(result.equity.index)
    for name, label, color in (
        ("benchmark", "buy and hold", _BENCHMARK),
        ("equity", "agent", _AGENT),
    ):
        values = result.equity[name].to_numpy(dtype=np.float64)
        equity.plot(*_thinned(time_ms, values), color=color, label=label, linewidth=1.2)
        drawdown.plot(*_thinned(time_ms, to_drawdown(values)), color=color, linewidth=0.9)
    fallen = _thinned(time_ms, to_drawdown(result.equity["equity"].to_numpy(dtype=np.float64)))
    drawdown.fill_between(*fallen, color=_FALL, alpha=0.18, linewidth=0)
    equity.set_ylabel(result.recipe.market.quote, parse_math=False)
    drawdown.set_ylabel("drawdown")
    drawdown.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    equity.legend(frameon=False, loc="upper left")
    for axes in (equity, drawdown):
        _tidy(axes)


def _draw_price(axes: "Axes", result: Result) -> None:
    """Draw the first symbol's closes and its fills."""
    symbol = str(result.prices.columns[0])
    closes = result.prices[symbol].to_numpy(dtype=np.float64)
    axes.plot(*_thinned(to_ms(result.prices.index), closes), color=_BENCHMARK, linewidth=0.9)
    fills = result.fills[result.fills["symbol"] == symbol]
    for sign, mark, color, label in ((1, "^", _BUY, "bought"), (-1, "v", _FALL, "sold")):
        side = fills[np.sign(fills["quantity"]) == sign]
        times = side["time_ms"].to_numpy(dtype=np.int64).astype("datetime64[ms]")
        prices = side["price"].to_numpy(dtype=np.float64)
        axes.plot(times, prices, mark, color=color, markersize=4.5, label=label)
    if len(fills):
        axes.legend(frameon=False, loc="upper left")
    axes.set_ylabel(symbol, parse_math=False)
    _tidy(axes)


def _thinned(time_ms: TimeArray, values: FloatArray) -> _Lines:
    rows = thin(values)
    return time_ms[rows].astype("datetime64[ms]"), values[rows]


def _tidy(axes: "Axes") -> None:
    axes.grid(axis="y", color="#e1e5ea", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
