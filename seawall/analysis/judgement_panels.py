"""What every judgement shows: a table of measures, and the parts of a difference as a waterfall."""

import math
from collections.abc import Mapping, Sequence

from seawall.analysis.judgement import Judgement, MarginProtection, P, Price, Protection
from seawall.analysis.numbers import COUNT, PERCENT, SIGNED, Form, tone, with_minus, write_number
from seawall.analysis.page import Figure, Panel, card, escape, plot_html, plot_text, scroll_table

MIN_SHOWN = 0.005  # parts below half a cent are left out of the drawing
PART_NAMES: Mapping[str, str] = {
    "market": "market",
    "supply_interest": "interest earned",
    "borrow_interest": "interest paid",
    "gas": "gas",
    "swap_fees": "swap fees",
    "impact": "price impact",
    "service_fees": "service fees",
    "flash_premiums": "flash-loan premiums",
    "liquidation_bonus": "liquidators' bonus",
    "liquidation_fee": "liquidation fee",
    "bad_debt": "debt left behind",
    "trading_fees": "trading fees",
    "slippage": "spread and slippage",
    "funding": "funding",
    "liquidation_fees": "liquidation fees",
    "insurance": "insurance fund",
    "transfers": "transfers",
    "hedge_market": "market, hedge",
    "hedge_trading_fees": "trading fees, hedge",
    "hedge_slippage": "slippage, hedge",
    "hedge_funding": "funding, hedge",
    "hedge_liquidation_fees": "liquidation fees, hedge",
    "hedge_insurance": "insurance fund, hedge",
    "thinking": "thinking",
}
MeasureRow = tuple[str, str, Form | None, str]


def measures_panel(
    rows: Sequence[MeasureRow], own: P, best: P, judgement: Judgement[P] | None, *, title: str
) -> Panel:
    """Return what became of what is guarded: a row per measure, and how it is defined.

    A column for each way to resolve bars, and for both of the same that nobody touched.
    """
    columns = [("worse", own), ("better", best)]
    if judgement is not None:
        columns.append(("do nothing, worse", judgement.untouched))
        columns.append(("do nothing, better", judgement.untouched_best))
    lines = []
    for key, name, form, convention in rows:
        if form is None:
            span = len(columns) + 2
            lines.append(f'<tr class="group"><th colspan="{span}">{escape(key)}</th></tr>')
            continue
        cells = "".join(
            f'<td class="num">{write_number(getattr(one, key), form)}</td>' for _, one in columns
        )
        why = f'<td class="why">{escape(convention)}</td>'
        lines.append(f"<tr><th>{escape(name)}</th>{cells}{why}</tr>")
    heads = "".join(f'<th class="num">{escape(name)}</th>' for name, _ in columns)
    titles = f'<th>Measure</th>{heads}<th class="why">How it is defined</th>'
    body = scroll_table(titles, "".join(lines), "metrics")
    note = (
        "Worse and better: two runs, in which all that a bar does not tell goes against the "
        "account, and its way."
    )
    return Panel(id="protection", title=title, body=body, note=note)


def waterfall_figure(price: Price, unit: str) -> Figure:
    """Return what the agent changed against doing nothing, part by part, up to the whole."""
    gained = 0.0 - price.price_usd
    return parts_figure(price.parts, gained, f"{unit} against doing nothing", id_="waterfall-chart")


def parts_figure(parts: Mapping[str, float], whole: float, title: str, *, id_: str) -> Figure:
    """Return a waterfall of parts, named as in ``PART_NAMES``, up to the whole that they make."""
    shown = {name: value for name, value in parts.items() if abs(value) >= MIN_SHOWN}
    values = [*shown.values(), whole]
    trace = {
        "type": "waterfall",
        "x": [*(PART_NAMES[name] for name in shown), "in all"],
        "y": values,
        "measure": [*("relative" for _ in shown), "total"],
        "text": [with_minus(f"{value:+,.0f}") for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x}: %{y:+,.2f}<extra></extra>",
        "increasing": {"marker": {"color": "var(--buy)"}},
        "decreasing": {"marker": {"color": "var(--sell)"}},
        "totals": {"marker": {"color": "var(--muted)"}},
        "connector": {"line": {"color": "var(--line)", "width": 1}},
    }
    layout = {
        "height": 340,
        "hovermode": "closest",
        "showlegend": False,
        "xaxis": {"type": "category", "showgrid": False},
        "yaxis": {"title": {"text": plot_text(title)}},
    }
    return Figure(id=id_, traces=[trace], layout=layout)


def waterfall_panel(
    figure: Figure, judgement: Judgement[Protection] | Judgement[MarginProtection], unit: str
) -> Panel:
    """Return the decomposition as a waterfall, and as numbers for both ways to resolve bars."""
    worst, best = judgement.price, judgement.price_best
    lines = [(name, worst.parts[name], best.parts[name]) for name in worst.parts]
    table = parts_html(
        lines, (0.0 - worst.price_usd, 0.0 - best.price_usd), (f"Part, {unit}", "worse", "better")
    )
    note = (
        "The account's parts of this run less those of the same path run without the agent; they "
        "add up to the difference of final equity, with nothing left over. The market's part is "
        f"the other exposure; upside given up: {worst.upside_given_up_usd:,.2f} {unit}."
    )
    body = plot_html(figure, "What the agent changed against doing nothing, part by part") + table
    return Panel(id="decomposition", title="Price of protection", body=body, note=note)


def parts_html(
    lines: Sequence[tuple[str, *tuple[float, ...]]],
    totals: Sequence[float],
    heads: Sequence[str],
) -> str:
    """Return parts as a table, with what they add up to below."""
    named = [(PART_NAMES[name], values) for name, *values in lines]
    rows = "".join(
        f"<tr><th>{escape(name)}</th>" + "".join(_signed(value) for value in values) + "</tr>"
        for name, values in [*named, ("in all", list(totals))]
    )
    first, *rest = heads
    titles = "".join(f'<th class="num">{escape(title)}</th>' for title in rest)
    return scroll_table(f"<th>{escape(first)}</th>{titles}", rows, "metrics")


def _signed(value: float) -> str:
    css = "good" if value > 0 else "bad" if value < 0 else ""
    return f'<td class="num {css}">{with_minus(f"{value + 0.0:+,.2f}")}</td>'


def liquidation_card(n_worse: int, n_better: int) -> str:
    """Return the card of how often it was liquidated, bars resolved either way."""
    return card(
        "Liquidations",
        write_number(n_worse, COUNT),
        f"{write_number(n_better, COUNT)} where bars are resolved for the better",
        tone="bad" if n_worse else "good",
    )


def equity_card(own: Protection | MarginProtection, money: str) -> str:
    """Return the card of what the account ended with."""
    return card(
        "Final equity",
        write_number(own.final_equity_usd, COUNT),
        f"{money}, from {write_number(own.start_equity_usd, COUNT)}: "
        f"{write_number(own.total_return, SIGNED)}",
    )


def liquidation_callouts(n_worse: int, n_better: int) -> list[str]:
    """Return what has to be said where the two ways to resolve bars differ in liquidations."""
    if n_worse == n_better:
        return []
    told = (
        "Bars do not tell everything. Liquidations where each is resolved for the worse: "
        f"{n_worse}; for the better: {n_better}. The headline is the first."
    )
    return [told]


def price_cards(price: Price, start_equity: float, money: str) -> list[str]:
    """Return the cards of what protection cost, and of how much of the possible it was."""
    share = price.price_usd / start_equity if start_equity > 0 else math.nan
    return [
        card(
            "Price of protection",
            write_number(price.price_usd, COUNT),
            f"{money}, {write_number(share, SIGNED)} of the start; below 0 it was worth having",
            tone=tone(0.0 - price.price_usd),
        ),
        card(
            "Share of the possible",
            write_number(price.share_of_possible, PERCENT),
            f"hindsight ends with {write_number(price.hindsight_usd, COUNT)} {money}",
        ),
    ]
