"""The page of a league: who guards best, where each was liquidated, what was possible."""

import math
from collections.abc import Mapping

from seawall.analysis import panels
from seawall.analysis.figures import to_colors
from seawall.analysis.guarded import WORDS, write_safety
from seawall.analysis.league_table import (
    HINDSIGHT,
    MIN_PERIODS,
    UNTOUCHED,
    League,
    LeaguePair,
)
from seawall.analysis.numbers import (
    COUNT,
    PERCENT,
    SIGNED,
    TENTH,
    tone,
    write_number,
    write_points,
)
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
    scroll_table,
)

MAX_LABELS = 6  # in the head of the page; the panel of windows has them all
_HEADS = (
    ("Mean rank", "num"), ("Agent", ""), ("Liquidations", "num"), ("Windows hit", "num"),
    ("Share of the possible", "num"), ("Price of protection", "num"),
    ("Worst window", "num"),
)  # fmt: skip
Row = Mapping[str, object]


def league_page(league: League) -> Page:
    """Return the page of a league."""
    colors = _colors(league)
    shares = _share_figure(league, colors)
    returns = _return_figure(league, colors)
    versions = {"Versions": league.versions, "Data, sha256": league.data}
    return Page(
        kind="league",
        title=league.title,
        subtitle=", ".join(name for name in league.agents if name != HINDSIGHT),
        labels=league.labels[:MAX_LABELS],
        cards=_cards(league),
        callouts=_callouts(league),
        panels=[
            _table_panel(league, colors),
            _map_panel(league),
            _shares_panel(shares),
            _returns_panel(returns, WORDS[league.kind].thing),
            _equity_panel(league),
            _pairs_panel(league),
            _windows_panel(league),
            panels.mapping_panel(versions),
        ],
        figures=[shares, returns],
        footer=PROMISE,
    )


def _colors(league: League) -> dict[str, str]:
    """Return a colour per agent: grey for doing nothing, then the palette in order of rank."""
    always = {UNTOUCHED: "var(--benchmark)", HINDSIGHT: "var(--text)"}
    others = [name for name in league.agents if name not in always]
    return {**always, **to_colors(others)}


def _cards(league: League) -> str:
    ranked = [p for p in league.places if p.bound == "worst" and math.isfinite(p.mean_rank)]
    first = min(ranked, key=lambda place: place.mean_rank)
    safest = min(ranked, key=lambda place: (place.n_liquidations, place.mean_rank))
    idle = league.place(UNTOUCHED)
    n_as_safe = sum(place.n_liquidations == safest.n_liquidations for place in ranked) - 1
    n_apart = sum(pair.is_told_apart for pair in league.pairs)
    cards = (
        card(
            "Best mean rank",
            _breakable(first.name),
            f"{first.mean_rank:.1f} over {first.n_windows} windows",
        ),
        card(
            "Fewest liquidations",
            _breakable(safest.name),
            f"{safest.n_liquidations}, in {safest.n_liquidated} of {safest.n_windows} windows"
            + (f"; so have {n_as_safe} others, of lower rank" if n_as_safe else ""),
        ),
        card(
            "Doing nothing",
            f"{idle.n_liquidations} liquidations",
            f"in {idle.n_liquidated} of {idle.n_windows} windows",
        ),
        card(
            "Pairs told apart",
            f"{n_apart} of {len(league.pairs)}",
            "at 95 %, bootstrap over market periods",
        ),
    )
    return cards_html(cards)


def _breakable(name: str) -> str:
    """Return a name that may go on in the next line after each underscore."""
    return name.replace("_", "_\u200b")


def _callouts(league: League) -> list[str]:
    found = [note for note in league.notes if " failed in " in note]
    n_periods = len({spell.period for spell in league.spells})
    if n_periods < MIN_PERIODS:
        found.append(
            f"Market periods in these windows: {n_periods}. With fewer than {MIN_PERIODS} nobody "
            "can be told apart. Take more."
        )
    if "simulated" in league.labels:
        found.append(SOME_SIMULATED)
    return found


def _table_panel(league: League, colors: Mapping[str, str]) -> Panel:
    named = (*_HEADS, (WORDS[league.kind].head, "num"))
    heads = "".join(f'<th class="{css}">{escape(title)}</th>' for title, css in named)
    rows = "".join(_row(league, name, colors[name]) for name in league.agents)
    body = scroll_table(heads, rows)
    note = " ".join(note for note in league.notes if " failed in " not in note)
    return Panel(id="league", title="League", body=body, note=note)


def _row(league: League, name: str, color: str) -> str:
    worst, best = league.place(name), league.place(name, "best")
    swatch = f'<span class="swatch" style="background:{color}"></span>'
    struck = "" if worst.n_liquidations == 0 else "bad"
    interval = ""
    if math.isfinite(worst.share_low) and name not in (UNTOUCHED, HINDSIGHT):
        low, high = (write_number(v, PERCENT) for v in (worst.share_low, worst.share_high))
        interval = f'<span class="verdict">{low} to {high}</span>'
    price = _both(worst.mean_price, best.mean_price)
    return (
        f'<tr><td class="num">{write_number(worst.mean_rank, TENTH)}</td>'
        f'<td class="agent" title="{escape(name)}">{swatch}{escape(name)}</td>'
        f'<td class="num {struck}">{worst.n_liquidations} / {best.n_liquidations}</td>'
        f'<td class="num">{worst.n_liquidated} of {worst.n_windows}</td>'
        f'<td class="num">{write_number(worst.mean_share, PERCENT)}{interval}</td>'
        f'<td class="num {tone(0.0 - worst.mean_price)}">{price}</td>'
        f'<td class="num {tone(worst.worst_return)}">{write_number(worst.worst_return, SIGNED)}'
        f'<span class="verdict">{escape(worst.worst_window)}</span></td>'
        f'<td class="num">{write_safety(worst.min_health, league.kind)}</td></tr>'
    )


def _both(worst: float, best: float) -> str:
    other = write_number(best, SIGNED)
    return f'{write_number(worst, SIGNED)}<span class="verdict">{other} for the better</span>'


def _map_panel(league: League) -> Panel:
    """Return how near each window came to a liquidation by agent, darker the closer."""
    words = WORDS[league.kind]
    agents = [name for name in league.agents if name != HINDSIGHT]
    heads = "".join(f"<th>{escape(name)}</th>" for name in agents)
    rows = []
    for spell in league.spells:
        cells = "".join(_map_cell(league, spell.name, name) for name in agents)
        rows.append(f"<tr><th>{escape(spell.name)}</th>{cells}</tr>")
    body = scroll_table(f"<th></th>{heads}", "".join(rows), "heat map")
    note = (
        f"{words.safety} in each window, bars resolved for the worse; {words.limit}, the number "
        "behind it says how often. Hold the pointer over a cell for the other way to resolve bars."
    )
    return Panel(id="map", title=f"{words.safety} by window and agent", body=body, note=note)


def _map_cell(league: League, window: str, agent: str) -> str:
    worst, best = league.cell(window, agent), league.cell(window, agent, "best")
    if worst is None or best is None:
        return "<td>failed</td>"
    health, n_struck = _float(worst, "min_health"), _float(worst, "n_liquidations")
    safety = write_safety(_float(best, "min_health"), league.kind)
    other = f"{safety}, {_float(best, 'n_liquidations'):.0f} liquidations"
    if health < 1 or n_struck > 0:
        name, strength = "--heat-down", 0.25 + 0.5 * min(max(1 - health, 0.0) / 0.2, 1.0)
    else:
        safe = WORDS[league.kind].safe
        near = max(safe - health, 0.0) / (safe - 1)
        name, strength = "--heat-up", 0.32 - 0.28 * near
    text = write_safety(health, league.kind) + (f" · {n_struck:.0f}" if n_struck else "")
    style = f"--cell: rgba(var({name}), {strength:.2f})"
    return f'<td style="{style}" title="for the better: {escape(other)}">{text}</td>'


def _share_figure(league: League, colors: Mapping[str, str]) -> Figure:
    """Return the share of the possible by window: bars for the worse, marks for the better."""
    return _bars(league, colors, "share_of_possible", "share-chart", "share of the possible")


def _return_figure(league: League, colors: Mapping[str, str]) -> Figure:
    """Return the price of protection by window, as a share of the start."""
    return _bars(league, colors, "price_share", "price-chart", "price of protection, of the start")


def _bars(league: League, colors: Mapping[str, str], column: str, id_: str, title: str) -> Figure:
    agents = [name for name in league.agents if name not in (HINDSIGHT, UNTOUCHED)]
    windows = [spell.name for spell in reversed(league.spells)]
    traces: list[Json] = []
    for agent in reversed(agents):  # the first is drawn on top
        cells = [league.cell(window, agent) for window in windows]
        values = [math.nan if cell is None else _float(cell, column) for cell in cells]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": plot_text(agent),
                "y": [plot_text(window) for window in windows],
                "x": values,
                "marker": {"color": colors[agent]},
                "hovertemplate": f"{plot_text(agent)}, %{{y}}: %{{x:+.2%}}<extra></extra>",
            }
        )
    layout = {
        "height": 110 + (12 + 7 * max(len(agents), 1)) * len(windows),
        "barmode": "group",
        "bargap": 0.25,
        "hovermode": "closest",
        "xaxis": {"tickformat": "+.2~%", "title": {"text": title}},
        "yaxis": {"type": "category", "showgrid": False},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "traceorder": "reversed",
        },
    }
    return Figure(id=id_, traces=traces, layout=layout)


def _shares_panel(figure: Figure) -> Panel:
    note = (
        "What an agent made of what hindsight could have made over doing nothing, of final equity; "
        "below 0 it would have been better to do nothing. No bar where hindsight could have made "
        "less than 0.1 % of the start."
    )
    body = plot_html(figure, "Share of the possible by window and agent")
    return Panel(id="shares", title="Share of the possible", body=body, note=note)


def _returns_panel(figure: Figure, thing: str) -> Panel:
    note = (
        f"Final equity of the untouched {thing} less that of the guarded one, as a share of the "
        "equity at the start: below 0 protection was worth having."
    )
    body = plot_html(figure, "Price of protection by window and agent")
    return Panel(id="prices", title="Price of protection", body=body, note=note)


def _equity_panel(league: League) -> Panel:
    """Return final equity of every agent and window, with liquidations."""
    header, rows = league.to_windows()
    heads = "".join(
        f'<th class="{"num" if place else ""}">{escape(text)}</th>'
        for place, text in enumerate(header)
    )
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>"
        + "".join(f'<td class="num">{escape(text)}</td>' for text in row[1:])
        + "</tr>"
        for row in rows
    )
    return Panel(
        id="finals",
        title="Final equity",
        body=scroll_table(heads, body),
        note=f"{league.money}, bars resolved for the worse; in brackets how often a liquidation "
        "struck.",
    )


def _pairs_panel(league: League) -> Panel:
    heads = ("Higher", "Lower", "Difference", "95 % interval", "Periods", "Sign test", "Verdict")
    css = ("", "", "num", "num", "num", "num", "")
    head = "".join(
        f'<th class="{one}">{escape(title)}</th>' for title, one in zip(heads, css, strict=True)
    )
    rows = "".join(_pair_row(pair) for pair in league.pairs)
    return Panel(
        id="pairs",
        title="Every pair",
        body=f'<div class="tall scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>",
        note="Mean difference of total returns in percentage points, over the windows that both "
        "have a result of. Periods: in how many the first ended ahead, behind, and level. The sign "
        "test says how often a fair coin is as one-sided.",
    )


def _pair_row(pair: LeaguePair) -> str:
    n_level = pair.n_periods - pair.n_ahead - pair.n_behind
    interval = "–"  # noqa: RUF001 - a dash: there is none
    if math.isfinite(pair.low):
        interval = f"{write_points(pair.low)} to {write_points(pair.high)}"
    css = "verdict apart" if pair.is_told_apart else "verdict"
    verdict = "told apart" if pair.is_told_apart else "cannot be told apart"
    return (
        f'<tr><td class="text">{escape(pair.first)}</td><td class="text">{escape(pair.second)}</td>'
        f'<td class="num">{write_points(pair.mean)}</td><td class="num">{interval}</td>'
        f'<td class="num">{pair.n_ahead} / {pair.n_behind} / {n_level}</td>'
        f'<td class="num">{pair.chance:.3f}</td><td><span class="{css}">{verdict}</span></td></tr>'
    )


def _windows_panel(league: League) -> Panel:
    rows = "".join(
        f"<tr><th>{escape(spell.name)}</th>"
        f'<td class="prose">{escape(panels.window_text(spell.recipe))}</td>'
        f'<td class="num">{write_number(spell.start_equity_usd, COUNT)}</td>'
        f'<td class="num">{write_number(spell.hindsight_usd, COUNT)}</td>'
        f'<td class="num">{spell.n_rebalances:,}</td>'
        f'<td class="prose">{escape("; ".join(spell.labels))}</td></tr>'
        for spell in league.spells
    )
    heads = (
        '<th>Window</th><th class="prose">Market</th>'
        f'<th class="num">Start, {escape(league.money)}</th>'
        f'<th class="num">Hindsight, {escape(league.money)}</th>'
        '<th class="num">It trades</th><th class="prose">To be said beside its numbers</th>'
    )
    body = scroll_table(heads, rows)
    return Panel(id="windows", title="Windows", body=body)


def _float(row: Row, name: str) -> float:
    value = row[name]
    return float(value) if isinstance(value, (int, float)) else math.nan
