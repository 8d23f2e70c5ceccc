"""The page of a comparison: who did how well, what can be told apart, and what luck would do."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from seawall.analysis import panels
from seawall.analysis.chance import QUANTILES
from seawall.analysis.comparison import BUY_AND_HOLD, Comparison, Standing
from seawall.analysis.figures import TIME_AXIS, line, to_colors, to_ms
from seawall.analysis.numbers import (
    PERCENT,
    RATIO,
    SIGNED,
    TENTH,
    Form,
    tone,
    write_number,
    write_points,
)
from seawall.analysis.page import (
    PROMISE,
    SIMULATED,
    Figure,
    Json,
    Page,
    Panel,
    card,
    cards_html,
    escape,
    plot_html,
    plot_text,
    scale_tools,
    scroll_table,
)
from seawall.analysis.panels import METRIC_ROWS, frame_html, window_text
from seawall.analysis.statistics import Difference

MAX_FANS = 8
_REVERSED = "reversed"  # the best is drawn last, on top, and named first
_WHISKER_WIDTH = 120  # pixels
_HEADS = (
    ("Rank", "num"), ("Agent", ""), ("Total return", "num"), ("Over buy and hold", "num"),
    ("95 % interval", ""), ("Over cash", "num"), ("Among random", "num"), ("Max drawdown", "num"),
    ("Sharpe", "num"),
)  # fmt: skip


def comparison_page(comparison: Comparison) -> Page:
    """Return the page of a comparison."""
    colors = _colors(comparison)
    equity = _equity_figure(comparison, colors)
    spread = _spread_figure(comparison, colors)
    fans = _fan_figures(comparison, colors)
    return Page(
        kind="comparison",
        title=comparison.recipe.name,
        subtitle=f"{len(comparison.standings)} agents · {window_text(comparison.recipe)}",
        labels=comparison.labels,
        cards=_cards(comparison),
        callouts=_callouts(comparison),
        panels=[
            _standings_panel(comparison, colors),
            Panel(
                id="equity",
                title="Equity",
                body=plot_html(equity, "Equity of every agent over time"),
                note="Marked at each bar's close, after all costs. Long series are thinned for "
                "drawing, highs and lows kept.",
                tools=scale_tools(equity),
            ),
            *_chance_panels(comparison, spread, fans),
            _pairs_panel(comparison),
            _metrics_panel(comparison),
            panels.quality_panel(comparison.quality),
            panels.recipe_panel(comparison.recipe),
            panels.mapping_panel(
                {"Versions": comparison.versions, "Data, sha256": comparison.data}
            ),
        ],
        figures=[f for f in (equity, spread, *fans) if f is not None],
        footer=f"Recipe {comparison.recipe.id}. {PROMISE}",
    )


def _colors(comparison: Comparison) -> dict[str, str]:
    """Return a colour per agent: grey for the two that always run, then the palette in order."""
    always = {BUY_AND_HOLD: "var(--text)", "cash": "var(--benchmark)"}
    done = [s.name for s in comparison.standings if s.metrics is not None]
    others = [name for name in done if name not in always]
    return {**always, **to_colors(others)}


def _cards(comparison: Comparison) -> str:
    done = [s for s in comparison.standings if s.metrics is not None]
    best = max(done, key=lambda s: s.metrics.total_return if s.metrics else -math.inf)
    returns = {s.name: s.metrics.total_return for s in done if s.metrics is not None}
    n_apart = sum(pair.difference.is_told_apart for pair in comparison.pairs)
    lucky = [s for s in done if math.isfinite(s.percentile)]
    skilled = max(lucky, key=lambda s: s.percentile) if lucky else None
    market = returns.get(BUY_AND_HOLD)
    cards = [
        card("Ended highest", best.name, write_number(returns[best.name], SIGNED)),
        card("Buy and hold", write_number(market, SIGNED), "total return", tone=tone(market)),
        card(
            "Pairs told apart",
            f"{n_apart} of {len(comparison.pairs)}",
            "at 95 %, paired block bootstrap",
        ),
    ]
    if skilled is not None:
        cards.append(
            card(
                "Highest among random",
                write_number(skilled.percentile, TENTH),
                f"percentile, {skilled.name}, of {len(comparison.random_returns)} random agents",
            )
        )
    return cards_html(cards)


def _callouts(comparison: Comparison) -> list[str]:
    found = [note for note in comparison.notes if "failed:" in note]
    if "simulated" in comparison.labels:
        found.append(SIMULATED)
    if comparison.pairs and not any(p.difference.is_told_apart for p in comparison.pairs):
        found.append(
            "No two agents can be told apart on this path: take a longer window, or more of them, "
            "before you believe the order of the table."
        )
    return found


def _standings_panel(comparison: Comparison, colors: Mapping[str, str]) -> Panel:
    heads = "".join(f'<th class="{css}">{escape(title)}</th>' for title, css in _HEADS)
    scale = _whisker_scale(comparison)
    rows = "".join(_row(s, comparison, colors, scale) for s in comparison.standings)
    body = scroll_table(heads, rows)
    note = " ".join(note for note in comparison.notes if "failed:" not in note)
    return Panel(id="standings", title="Standings", body=body, note=note)


def _row(
    standing: Standing, comparison: Comparison, colors: Mapping[str, str], scale: float
) -> str:
    color = colors.get(standing.name, "var(--line)")
    swatch = f'<span class="swatch" style="background:{color}"></span>'
    shown = escape(standing.name)
    name = f'<td class="agent" title="{shown}">{swatch}{shown}</td>'
    metrics = standing.metrics
    if metrics is None:
        return (
            f'<tr><td class="num">–</td>{name}'  # noqa: RUF001 - a dash: it has no rank
            f'<td class="text bad" colspan="{len(_HEADS) - 2}">failed: {escape(standing.error)}'
            "</td></tr>"
        )
    market = comparison.against(standing.name, BUY_AND_HOLD)
    cash = comparison.against(standing.name, "cash")
    return (
        f'<tr><td class="num">{standing.rank}</td>{name}'
        f"{_number(metrics.total_return, SIGNED)}"
        f"{_gap(market)}<td>{_whisker(market, scale)}</td>{_gap(cash)}"
        f"{_number(standing.percentile, TENTH)}"
        f'<td class="num">{write_number(metrics.max_drawdown, SIGNED)}</td>'
        f'<td class="num">{write_number(metrics.sharpe, RATIO)}</td></tr>'
    )


def _number(value: float, form: Form) -> str:
    css = tone(value) if form == SIGNED else ""
    return f'<td class="num {css}">{write_number(value, form)}</td>'


def _gap(found: Difference | None) -> str:
    """Return a difference and, below it, whether it can be told from none."""
    if found is None:
        return '<td class="num"></td>'
    title = f"{write_points(found.low)} to {write_points(found.high)}"
    css = "verdict apart" if found.is_told_apart else "verdict"
    return (
        f'<td class="num" title="{escape(title)}">{write_points(found.estimate)}'
        f'<span class="{css}">{escape(found.verdict)}</span></td>'
    )


def _whisker_scale(comparison: Comparison) -> float:
    """Return the largest distance from 0 of any interval against buy-and-hold."""
    found = [comparison.against(s.name, BUY_AND_HOLD) for s in comparison.standings]
    ends = [max(abs(d.low), abs(d.high)) for d in found if d is not None]
    return max([*ends, 1e-9])


def _whisker(found: Difference | None, scale: float) -> str:
    """Return the interval as a small drawing: a line, a dot, and a rule at 0."""
    if found is None:
        return ""
    low, mid, high = (
        _WHISKER_WIDTH / 2 * (1 + 0.96 * value / scale)
        for value in (found.low, found.estimate, found.high)
    )
    color = "var(--agent)" if found.is_told_apart else "var(--benchmark)"
    title = f"{write_points(found.low)} to {write_points(found.high)}"
    return (
        f'<svg class="interval" viewBox="0 0 {_WHISKER_WIDTH} 18" width="{_WHISKER_WIDTH}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f'<line x1="{_WHISKER_WIDTH / 2}" x2="{_WHISKER_WIDTH / 2}" y1="0" y2="18" '
        'stroke="var(--muted)" stroke-width="1" stroke-dasharray="2 2"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="9" y2="9" stroke="{color}" stroke-width="2.5" '
        f'stroke-linecap="round"/><circle cx="{mid:.1f}" cy="9" r="4" fill="{color}"/></svg>'
    )


def _equity_figure(comparison: Comparison, colors: Mapping[str, str]) -> Figure:
    time_ms = to_ms(comparison.equity.index)
    traces = []
    for name in reversed([s.name for s in comparison.standings if s.metrics is not None]):
        style = {"width": 1.7, "dash": "dot" if name in ("cash", BUY_AND_HOLD) else "solid"}
        values = comparison.equity[name].to_numpy(dtype=np.float64)
        drawn = line(time_ms, values, name, colors[name])
        own = {"line": {**style, "color": colors[name]}, "hovertemplate": "%{y:,.2f}"}
        traces.append({**drawn, **own})
    layout = {
        "height": 480,
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": plot_text(comparison.recipe.market.quote)}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": -0.1,
            "yanchor": "top",
            "traceorder": _REVERSED,
        },
    }
    return Figure(id="equity-chart", traces=traces, layout=layout)


def _spread_figure(comparison: Comparison, colors: Mapping[str, str]) -> Figure | None:
    """Return, per agent, a box of its random agents' total returns and a diamond for its own."""
    found = [s for s in comparison.standings if s.metrics and math.isfinite(s.percentile)]
    traces: list[Json] = []
    for standing in reversed(found):
        label = plot_text(standing.name)
        box = {
            "type": "box",
            "orientation": "h",
            "x": comparison.random_returns[standing.name].tolist(),
            "y": [label] * len(comparison.random_returns),
            "name": label,
            "line": {"color": "var(--benchmark)", "width": 1.2},
            "fillcolor": "var(--fan)",
            "boxpoints": "outliers",
            "marker": {"size": 3, "color": "var(--benchmark)"},
            "hoverinfo": "skip",
        }
        own = {
            "type": "scatter",
            "mode": "markers",
            "x": [standing.metrics.total_return if standing.metrics else None],
            "y": [label],
            "marker": {"symbol": "diamond", "size": 12, "color": colors[standing.name]},
            "hovertemplate": f"{label}: %{{x:+.2%}}, percentile {standing.percentile:.1f}"
            "<extra></extra>",
        }
        traces += [box, own]
    if not traces:
        return None
    layout = {
        "height": 90 + 46 * len(found),
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"tickformat": "+.0%", "title": {"text": "total return"}},
        "yaxis": {"type": "category", "showgrid": False},
    }
    return Figure(id="spread-chart", traces=traces, layout=layout)


def _fan_figures(comparison: Comparison, colors: Mapping[str, str]) -> list[Figure]:
    found = [s.name for s in comparison.standings if math.isfinite(s.percentile)][:MAX_FANS]
    return [_fan(comparison, name, place, colors[name]) for place, name in enumerate(found)]


def _fan(comparison: Comparison, name: str, place: int, color: str) -> Figure:
    """Return the middle 90 % and 50 % of one agent's random agents, and the agent itself."""
    fan = comparison.fans[comparison.fans["agent"] == name]
    times = to_ms(pd.DatetimeIndex(fan["time"]))
    bands = {quantile: fan[f"p{quantile}"].to_numpy(dtype=np.float64) for quantile in QUANTILES}
    traces: list[Json] = []
    for low, high in ((QUANTILES[0], QUANTILES[-1]), (QUANTILES[1], QUANTILES[-2])):
        edge = {"line": {"width": 0, "color": "var(--fan)"}, "hoverinfo": "skip"}
        traces.append({**line(times, bands[high], "", ""), **edge, "showlegend": False})
        label = f"{high - low} % of random agents"
        fill = {"fill": "tonexty", "fillcolor": "var(--fan)"}
        traces.append({**line(times, bands[low], label, ""), **edge, **fill})
    own = comparison.equity[name].to_numpy(dtype=np.float64)
    traces.append(line(to_ms(comparison.equity.index), own, name, color))
    layout = {
        "height": 260,
        "hovermode": "closest",
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": plot_text(comparison.recipe.market.quote)}},
    }
    return Figure(id=f"fan-chart-{place}", traces=traces, layout=layout)


def _chance_panels(
    comparison: Comparison, spread: Figure | None, fans: list[Figure]
) -> list[Panel]:
    if spread is None:
        return []
    note = (
        f"For each agent {len(comparison.random_returns)} random ones that are in the market as "
        "long and trade as much, on the same bars at the same costs. Box: the middle half; "
        "diamond: the agent. Agents whose random ones would hardly trade are left out; perpetuals "
        "have none."
    )
    body = plot_html(spread, "Total returns of random agents, and of the agent they are matched to")
    drawn = "".join(plot_html(fan, "Random agents' equity over time") for fan in fans)
    return [
        Panel(id="luck", title="Against chance", body=body, note=note),
        Panel(
            id="fans",
            title="The random fan",
            body=f'<div class="fans">{drawn}</div>',
            note="Bands: where the middle 90 % and 50 % of the random agents were at each time. "
            f"At most {MAX_FANS} agents are drawn.",
        ),
    ]


def _pairs_panel(comparison: Comparison) -> Panel:
    rows = pd.DataFrame(
        [
            {
                "higher": pair.first,
                "lower": pair.second,
                "difference": write_points(pair.difference.estimate),
                "95 % interval": f"{write_points(pair.difference.low)} to "
                f"{write_points(pair.difference.high)}",
                "ahead in resamples": write_number(pair.difference.share_ahead, PERCENT),
                "mean block": f"{pair.difference.block_length:.1f} periods",
                "verdict": pair.difference.verdict,
            }
            for pair in comparison.pairs
        ]
    )
    n_periods = comparison.pairs[0].difference.n_periods if comparison.pairs else 0
    return Panel(
        id="pairs",
        title="Every pair",
        body=f'<div class="tall scroll">{frame_html(rows)}</div>',
        note="Difference of total returns in percentage points. Both agents of a pair are "
        f"resampled together, in blocks of random length out of {n_periods:,} periods; mean "
        "length after Politis and White (2004), 2,000 resamples.",
    )


def _metrics_panel(comparison: Comparison) -> Panel:
    done = [s for s in comparison.standings if s.metrics is not None]
    values = {s.name: s.metrics.to_dict() for s in done if s.metrics is not None}
    heads = "".join(f'<th class="num">{escape(name)}</th>' for name in values)
    rows = []
    for key, title, form, convention in METRIC_ROWS:
        if form is None:
            span = len(values) + 1
            rows.append(f'<tr class="group"><th colspan="{span}">{escape(key)}</th></tr>')
            continue
        cells = "".join(
            f'<td class="num">{write_number(found[key], form)}</td>' for found in values.values()
        )
        rows.append(f'<tr><th title="{escape(convention)}">{escape(title)}</th>{cells}</tr>')
    body = scroll_table(f"<th>Metric</th>{heads}", "".join(rows), "metrics")
    note = (
        "Simple returns from bar to bar, a year of 365 days, ddof 1, risk-free rate 0; times are "
        "UTC. Hold the pointer over a name for its definition."
    )
    return Panel(id="metrics", title="Metrics", body=body, note=note)
