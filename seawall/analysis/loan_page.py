"""The page of one guarded loan: was it liquidated, what did protection cost, what was possible."""

import numpy as np

from seawall.analysis import figures, panels
from seawall.analysis.figures import to_ms
from seawall.analysis.judgement import Judgement, Protection
from seawall.analysis.judgement_panels import price_cards, waterfall_figure, waterfall_panel
from seawall.analysis.loan_figures import (
    gas_figure,
    health_figure,
    loan_price_figure,
)
from seawall.analysis.loan_panels import (
    liquidations_table,
    protection_panel,
    transactions_table,
)
from seawall.analysis.numbers import COUNT, HEALTH, SIGNED, write_number
from seawall.analysis.page import Figure, Page, Panel, card, plot_html, scale_tools
from seawall.analysis.protection import measure_protection
from seawall.metrics import without_years
from seawall.result import Result


def loan_page(result: Result, judgement: Judgement[Protection] | None = None) -> Page:
    """Return the page of a loan; without a judgement nothing is said against doing nothing."""
    own = judgement.own if judgement else measure_protection(result)
    own_best = judgement.own_best if judgement else measure_protection(result.other or result)
    health, price, gas = health_figure(result), loan_price_figure(result), gas_figure(result)
    equity = figures.equity_figure(result)
    span_ms = int(np.ptp(to_ms(result.loan.index)))
    own_metrics = without_years(result.metrics, span_ms)
    benchmark = without_years(result.benchmark, span_ms)
    fall = waterfall_figure(judgement.price, "USD") if judgement else None
    sent, struck = transactions_table(result), liquidations_table(result)
    journal = panels.journal_table(result.journal)
    drawn: list[Figure | None] = [health, price, fall, equity, gas]
    return Page(
        kind="loan",
        title=result.recipe.name,
        subtitle=f"{result.agent} · {result.strategy} · {panels.window_text(result.recipe)}",
        labels=result.labels,
        cards=_cards(own, own_best, judgement),
        callouts=_callouts(result, own, own_best, judgement),
        panels=[
            _health_panel(health),
            _price_panel(price),
            *([waterfall_panel(fall, judgement, "USD")] if fall and judgement else []),
            protection_panel(own, own_best, judgement),
            panels.searchable_panel(sent, "Transactions", "transactions"),
            panels.searchable_panel(struck, "Liquidations", "liquidations"),
            _equity_panel(equity),
            _gas_panel(gas, own),
            panels.metrics_panel(own_metrics, benchmark, (result.agent, "buy and hold")),
            panels.searchable_panel(journal, "Journal", "journal"),
            panels.quality_panel(result.quality),
            panels.recipe_panel(result.recipe),
            panels.provenance_panel(result),
        ],
        figures=[figure for figure in drawn if figure is not None],
        tables=[table for table in (sent, struck, journal) if table.rows],
        footer=f"Recipe {result.recipe.id}. A backtest is what would have happened under its "
        "assumptions; it is no promise. All times are UTC.",
    )


def _cards(own: Protection, best: Protection, judgement: Judgement[Protection] | None) -> str:
    write = write_number
    struck = own.n_liquidations
    cards = [
        card(
            "Liquidations",
            write(struck, COUNT),
            f"{write(best.n_liquidations, COUNT)} where bars are resolved for the better",
            tone="bad" if struck else "good",
        ),
        card(
            "Lowest health factor",
            write(own.min_health, HEALTH),
            f"{write(best.min_health, HEALTH)} for the better; 1 is liquidation",
            tone="bad" if own.min_health < 1 else "",
        ),
        card(
            "Final equity",
            write(own.final_equity_usd, COUNT),
            f"USD, from {write(own.start_equity_usd, COUNT)}: {write(own.total_return, SIGNED)}",
        ),
        card(
            "Transactions",
            write(own.n_actions, COUNT),
            f"{own.n_false_alarms} false alarms, {own.n_failed} failed; gas "
            f"{write(own.gas_usd, COUNT)} USD",
        ),
    ]
    if judgement is not None:
        cards += price_cards(judgement.price, own.start_equity_usd, "USD")
    return f'<div class="cards">{"".join(cards)}</div>'


def _callouts(
    result: Result, own: Protection, best: Protection, judgement: Judgement[Protection] | None
) -> list[str]:
    found = []
    if own.n_liquidations != best.n_liquidations:
        found.append(
            f"Bars do not tell everything. Liquidations where each is resolved for the worse: "
            f"{own.n_liquidations}; for the better: {best.n_liquidations}. The headline is the "
            "first."
        )
    if "simulated" in result.labels:
        found.append("The market is simulated: a model made these prices, no exchange did.")
    found += [label.capitalize() + "." for label in result.labels if "counterfactual" in label]
    if own.bad_debt_usd > 0:
        found.append(
            f"{write_number(own.bad_debt_usd, COUNT)} USD of debt were left behind: the collateral "
            "was worth less."
        )
    if judgement is not None and judgement.excess:
        found.append(judgement.excess)
    return found


def _health_panel(figure: Figure) -> Panel:
    note = (
        "Lowest health factor within each bar, as the oracle saw it; at 1 liquidators act. "
        "Triangles are transactions, with what they did and why; crosses are liquidations. Grey: "
        "the loan as it was first taken, had nobody ever touched it. Thinned, lows kept."
    )
    body = plot_html(figure, "Health factor over time against the line of liquidation")
    return Panel(
        id="health", title="Health factor", body=body, note=note, tools=scale_tools(figure)
    )


def _price_panel(figure: Figure) -> Panel:
    note = (
        "What the oracle said one token of collateral was worth, and the price at which the loan "
        "could be liquidated: it moves with every transaction and with interest."
    )
    body = plot_html(figure, "Oracle price and liquidation price over time")
    return Panel(id="price", title="Oracle and liquidation price", body=body, note=note)


def _equity_panel(figure: Figure) -> Panel:
    note = (
        "Collateral, wallet and debt at market prices, at each bar's close, after all costs; "
        "exposure is what is not the debt's asset, as a fraction of equity."
    )
    body = plot_html(figure, "Equity, drawdown and exposure over time, beside buy and hold")
    return Panel(
        id="equity",
        title="Equity and drawdown",
        body=body,
        note=note,
        tools=scale_tools(figure),
    )


def _gas_panel(figure: Figure, own: Protection) -> Panel:
    note = f"{own.n_actions + own.n_failed} transactions paid {own.gas_usd:,.2f} USD for gas."
    body = plot_html(figure, "Price of gas over time, and what transactions paid")
    return Panel(id="gas", title="Gas", body=body, note=note)
