"""The page of a league: who can be told apart, from what, and how much of it was luck."""

import math
from collections.abc import Mapping
from pathlib import Path

from seawall.analysis import panels
from seawall.analysis.figures import TIME_AXIS, line, to_colors
from seawall.analysis.numbers import RATIO, SIGNED, TENTH, write_number
from seawall.analysis.page import (
    PROMISE,
    SOME_SIMULATED,
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
    write_page,
)
from seawall.market.series import FloatArray
from seawall.tournament.stages import Stage
from seawall.tournament.standings import Standings
from seawall.tournament.words import (
    NO,
    YES,
    Rows,
    across_rows,
    find_notes,
    span_rows,
    strain_rows,
    thinking_rows,
)

MAX_DRAWN = 12  # curves in one figure
MAX_LABELS = 6
_WORDS = ("agent", "worst window", "beats all", "told apart")


def write_league_report(standings: Standings, path: Path) -> Path:
    """Write the page of a league to ``path`` and return it.

    Raises:
        ResultError: the file cannot be written.
    """
    return write_page(league_page(standings), path)


def league_page(standings: Standings) -> Page:
    """Return the page of a league."""
    colors = _colors(standings)
    fans = [_fan_figure(stage, colors, place) for place, stage in enumerate(_drawn(standings))]
    ranks = _rank_figure(standings, colors)
    thinking = _thinking_figure(standings, colors)
    figures = [*fans, *([ranks] if ranks else []), *([thinking] if thinking else [])]
    found = [
        *(_span_panel(stage, place, colors) for place, stage in enumerate(standings.spans)),
        _across_panel(standings, colors),
        *(_fan_panel(stage, fan) for stage, fan in zip(_drawn(standings), fans, strict=True)),
        _map_panel(standings),
        *([_rank_panel(standings, ranks)] if ranks else []),
        *([_strain_panel(standings, colors)] if standings.strains else []),
        _thinking_panel(standings, thinking, colors),
        _notes_panel(standings),
        panels.mapping_panel({"Trials, by family": _texts(standings.trials)}),
    ]
    return Page(
        kind="league",
        title=standings.played.file.name,
        subtitle=standings.played.file.description
        or f"{len(standings.played.players)} agents · {len(standings.stages)} windows",
        labels=standings.labels[:MAX_LABELS],
        cards=_cards(standings),
        callouts=_callouts(standings),
        panels=found,
        figures=figures,
        footer=PROMISE,
    )


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _colors(standings: Standings) -> dict[str, str]:
    """Return a colour per player: grey for benchmarks, then the palette in the file's order."""
    played = standings.played
    others = [name for name in played.players if name not in played.benchmarks]
    return {**dict.fromkeys(played.benchmarks, "var(--benchmark)"), **to_colors(others)}


def _drawn(standings: Standings) -> list[Stage]:
    """Return the windows whose curves are drawn: the spans, or the first ones."""
    return list(standings.spans or standings.stages)[:4]


def _cards(standings: Standings) -> str:
    played = standings.played
    winners = dict.fromkeys(
        name for stage in standings.spans if stage.verdicts for name in stage.verdicts.winners
    )
    leads = [lead for s in standings.spans if s.verdicts for lead in s.verdicts.leads]
    n_apart = sum(lead.is_told_apart for lead in leads)
    oracles = [stage for stage in standings.stages if stage.oracle is not None]
    n_won = sum((s.oracle or 0) > max(s.returns.values(), default=-math.inf) for s in oracles)
    cards = [
        card(
            "Beats every benchmark",
            ", ".join(winners) or "nobody",
            f"at 95 %, in any of {len(standings.spans)} long windows",
            tone="good" if winners else "",
        ),
        card("Pairs told apart", f"{n_apart} of {len(leads)}", "in long windows, all corrected"),
        card(
            "Trials counted",
            f"{sum(standings.trials.values()):,}",
            f"ledger {standings.digest}" if standings.digest else "of this league alone",
        ),
        card("Cells", f"{len(played.cells):,}", f"{played.n_known:,} were known already"),
    ]
    if oracles:
        text = "who knows the next bar must win"
        cards.append(card("Positive control", f"{n_won} of {len(oracles)}", text))
    return cards_html(cards)


def _callouts(standings: Standings) -> list[str]:
    notes = [note for note in find_notes(standings) if not note.startswith("under ")]
    loud = (" failed in ", "can tell nothing", " is not ranked in ", "are not kept")
    found = [note for what in loud for note in notes if what in note]
    if "simulated" in standings.labels:
        found.append(SOME_SIMULATED)
    return found


def _table(rows: Rows, colors: Mapping[str, str]) -> str:
    """Return rows of text as a table, a swatch before each agent."""
    header, lines = rows
    css = ["" if name in _WORDS else "num" for name in header]
    heads = "".join(f'<th class="{c}">{escape(n)}</th>' for n, c in zip(header, css, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            _cell(name, text, c, colors) for name, text, c in zip(header, row, css, strict=True)
        )
        + "</tr>"
        for row in lines
    )
    return scroll_table(heads, body, "full")


def _cell(name: str, text: str, css: str, colors: Mapping[str, str]) -> str:
    if name == "agent":
        swatch = (
            f'<span class="swatch" style="background:{colors.get(text, "var(--line)")}"></span>'
        )
        return f'<td class="agent whole" title="{escape(text)}">{swatch}{escape(text)}</td>'
    if text in (YES, NO):
        return f'<td><span class="verdict {"apart" if text == YES else ""}">{text}</span></td>'
    return f'<td class="{css}">{escape(text)}</td>'


def _span_panel(stage: Stage, place: int, colors: Mapping[str, str]) -> Panel:
    verdicts = stage.verdicts
    note = ""
    if verdicts is not None:
        groups = "; ".join("{" + ", ".join(group) + "}" for group in verdicts.groups)
        note = (
            f"{stage.n_days:,.0f} days. A rank is what cannot be excluded at 95 %, all pairs "
            f"corrected together. Cannot be told apart: {groups}. p: of beating every benchmark "
            "(StepM). Among random: percentile among agents that trade as much at random. "
            "Sharpe is > 0: how sure that is (probabilistic Sharpe ratio); deflated: how "
            "sure it is above what the best of so many trials would show by luck. Blocks of "
            f"{verdicts.block_length:.1f} of {verdicts.n_periods:,} periods, "
            f"{verdicts.n_resamples:,} resamples."
        )
    return Panel(
        id=f"span-{place}", title=stage.name, body=_table(span_rows(stage), colors), note=note
    )


def _across_panel(standings: Standings, colors: Mapping[str, str]) -> Panel:
    note = (
        "Over the best benchmark: total return less that of the best benchmark of the same window. "
        f"Windows that overlap are one period, of which there are {standings.n_periods}: intervals "
        "are bootstrapped over them, ahead / behind counts them. The sign test says how often a "
        "fair coin is as one-sided. Told apart: the interval excludes 0, and the sign test is "
        "below 5 % over the number of agents."
    )
    body = _table(across_rows(standings), colors)
    title = "Short windows, in pairs" if standings.has_short else "All windows, in pairs"
    return Panel(id="across", title=title, body=body, note=note)


def _fan_figure(stage: Stage, colors: Mapping[str, str], place: int) -> Figure:
    """Return everybody's equity, the start at 1, and a band from the lowest to the highest seed."""
    traces: list[Json] = []
    best = sorted(stage.curves, key=lambda name: -stage.returns[name])[:MAX_DRAWN]
    for name in reversed(best):
        curve: FloatArray = stage.curves[name]
        if len(curve) > 1:
            edge = {"line": {"width": 0, "color": "var(--fan)"}, "hoverinfo": "skip"}
            high, low = curve.max(axis=0), curve.min(axis=0)
            traces.append({**line(stage.time_ms, high, "", ""), **edge, "showlegend": False})
            band = {"fill": "tonexty", "fillcolor": "var(--fan)", "showlegend": False}
            traces.append({**line(stage.time_ms, low, "", ""), **edge, **band})
        drawn = line(stage.time_ms, curve.mean(axis=0), name, colors[name])
        traces.append({**drawn, "hovertemplate": "%{y:,.3f}"})
    layout = {
        "height": 420,
        "xaxis": dict(TIME_AXIS),
        "yaxis": {"title": {"text": "equity over that of the start"}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": -0.12,
            "yanchor": "top",
            "traceorder": "reversed",
        },
    }
    return Figure(id=f"fan-chart-{place}", traces=traces, layout=layout)


def _fan_panel(stage: Stage, figure: Figure) -> Panel:
    return Panel(
        id=figure.id.replace("chart", "panel"),
        title=f"Equity, {stage.name}",
        body=plot_html(figure, f"Equity of every agent in {stage.name}"),
        note=f"The mean over seeds, the band from the lowest to the highest. At most {MAX_DRAWN} "
        "are drawn, those that ended highest.",
        tools=scale_tools(figure),
    )


def _map_panel(standings: Standings) -> Panel:
    """Return total returns by agent and window, over the best benchmark."""
    played = standings.played
    names = (*played.benchmarks, *played.agents)
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for stage in standings.stages:
        marks = [stage.returns[name] for name in played.benchmarks if name in stage.returns]
        best = max(marks, default=math.nan)
        cells = "".join(_map_cell(stage.returns.get(name), best) for name in names)
        rows.append(f"<tr><th>{escape(stage.name)}</th>{cells}</tr>")
    body = scroll_table(f"<th></th>{heads}", "".join(rows), "heat map")
    note = "Total return; the colour says how far above or below the best benchmark of the window."
    return Panel(id="map", title="Return by window and agent", body=body, note=note)


def _map_cell(value: float | None, best: float) -> str:
    if value is None:
        return "<td>failed</td>"
    gap = value - best if math.isfinite(best) else 0.0
    name = "--heat-up" if gap > 0 else "--heat-down"
    strength = 0.6 * min(abs(gap) / 0.5, 1.0)
    style = f"--cell: rgba(var({name}), {strength:.2f})"
    return f'<td style="{style}">{write_number(value, SIGNED)}</td>'


def _rank_figure(standings: Standings, colors: Mapping[str, str]) -> Figure | None:
    """Return each agent's rank by window; None for a single one."""
    played = standings.played
    names = (*played.benchmarks, *played.agents)
    if len(standings.stages) < 2 or len(names) < 2:  # noqa: PLR2004 - nothing to compare
        return None
    ranks = standings.ranks
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": plot_text(name),
            "x": [plot_text(window) for window in ranks.index],
            "y": [None if math.isnan(v) else v for v in ranks[name].tolist()],
            "line": {"color": colors[name], "width": 1.4},
            "marker": {"color": colors[name], "size": 7},
            "hovertemplate": f"{plot_text(name)}, %{{x}}: rank %{{y}}<extra></extra>",
        }
        for name in names
    ]
    layout = {
        "height": 200 + 22 * len(names),
        "hovermode": "closest",
        "xaxis": {"type": "category", "showgrid": False, "tickangle": -35},
        "yaxis": {"autorange": "reversed", "title": {"text": "rank, 1 the best"}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    return Figure(id="rank-chart", traces=traces, layout=layout)


def _rank_panel(standings: Standings, figure: Figure) -> Panel:
    note = (
        "By total return; ties share their mean. Kendall's W is "
        f"{write_number(standings.concordance, RATIO)}: 1 the same order everywhere, 0 none."
    )
    body = plot_html(figure, "Rank of every agent by window")
    return Panel(id="ranks", title="Do ranks hold?", body=body, note=note)


def _strain_panel(standings: Standings, colors: Mapping[str, str]) -> Panel:
    note = (
        "Mean total return as it is, and the points that each stress alone adds or takes: every "
        "agent meets the same noise and the same holes, with the seeds of its plain runs. A dash: "
        "the stress says nothing there."
    )
    body = _table(strain_rows(standings), colors)
    return Panel(id="stress", title="What is left under stress", body=body, note=note)


def _thinking_figure(standings: Standings, colors: Mapping[str, str]) -> Figure | None:
    """Return what was earned against what deciding cost; None where it cost nothing."""
    found = [one for one in standings.thinking if one.cost > 0]
    if not found:
        return None
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": plot_text(one.name),
            "x": [one.cost],
            "y": [one.earned],
            "text": [plot_text(one.name)],
            "textposition": "top center",
            "marker": {"size": 12, "color": colors[one.name]},
            "showlegend": False,
        }
        for one in found
    ]
    layout = {
        "height": 320,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "cost of thinking"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "earned, net of it"}},
    }
    return Figure(id="thinking-chart", traces=traces, layout=layout)


def _thinking_panel(
    standings: Standings, figure: Figure | None, colors: Mapping[str, str]
) -> Panel:
    drawn = "" if figure is None else plot_html(figure, "Earned against the cost of thinking")
    return Panel(
        id="thinking",
        title="What thinking cost",
        body=drawn + _table(thinking_rows(standings), colors),
        note="Over all windows and seeds. What models and services charge is booked when it is "
        "spent, and is in every return here.",
    )


def _notes_panel(standings: Standings) -> Panel:
    items = "".join(f"<li>{escape(note)}</li>" for note in find_notes(standings))
    spreads = [
        f"{one.name}: {write_number(100 * one.seed_spread, TENTH)} points"
        for one in standings.across
        if math.isfinite(one.seed_spread)
    ]
    seeds = f"<li>{escape('Spread over seeds: ' + ', '.join(spreads))}</li>" if spreads else ""
    return Panel(id="notes", title="What may be said", body=f"<ul>{items}{seeds}</ul>")
