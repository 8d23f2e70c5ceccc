"""The page of one guarded loan: was it liquidated, what did protection cost, what was possible."""

import numpy as np

from seawall.analysis import figures, panels
from seawall.analysis.figures import to_ms
from seawall.analysis.judgement import Judgement, Protection
from seawall.analysis.judgement_panels import (
    equity_card,
    liquidation_callouts,
    liquidation_card,
    price_cards,
    waterfall_figure,
    waterfall_panel,
)
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
from seawall.analysis.numbers import COUNT, HEALTH, write_number
from seawall.analysis.page import (
    PROMISE,
    SIMULATED,
    Figure,
    Page,
    Panel,
    card,
    cards_html,
    plot_html,
    scale_tools,
)
from seawall.analysis.protection import measure_protection
from seawall.metrics import without_years
from seawall.result import Result

_EQUITY_NOTE = (
    "Collateral, wallet and debt at market prices, at each bar's close, after all costs; "
    "exposure is what is not the debt's asset, as a fraction of equity."
)


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
            panels.equity_panel(equity, _EQUITY_NOTE),
            _gas_panel(gas, own),
            panels.metrics_panel(own_metrics, benchmark, (result.agent, "buy and hold")),
            panels.searchable_panel(journal, "Journal", "journal"),
            panels.quality_panel(result.quality),
            panels.recipe_panel(result.recipe),
            panels.provenance_panel(result),
        ],
        figures=[figure for figure in drawn if figure is not None],
        tables=[table for table in (sent, struck, journal) if table.rows],
        footer=f"Recipe {result.recipe.id}. {PROMISE}",
    )


def _cards(own: Protection, best: Protection, judgement: Judgement[Protection] | None) -> str:
    write = write_number
    cards = [
        liquidation_card(own.n_liquidations, best.n_liquidations),
        card(
            "Lowest health factor",
            write(own.min_health, HEALTH),
            f"{write(best.min_health, HEALTH)} for the better; 1 is liquidation",
            tone="bad" if own.min_health < 1 else "",
        ),
        equity_card(own, "USD"),
        card(
            "Transactions",
            write(own.n_actions, COUNT),
            f"{own.n_false_alarms} false alarms, {own.n_failed} failed; gas "
            f"{write(own.gas_usd, COUNT)} USD",
        ),
    ]
    if judgement is not None:
        cards += price_cards(judgement.price, own.start_equity_usd, "USD")
    return cards_html(cards)


def _callouts(
    result: Result, own: Protection, best: Protection, judgement: Judgement[Protection] | None
) -> list[str]:
    found = liquidation_callouts(own.n_liquidations, best.n_liquidations)
    if "simulated" in result.labels:
        found.append(SIMULATED)
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


def _gas_panel(figure: Figure, own: Protection) -> Panel:
    note = f"{own.n_actions + own.n_failed} transactions paid {own.gas_usd:,.2f} USD for gas."
    body = plot_html(figure, "Price of gas over time, and what transactions paid")
    return Panel(id="gas", title="Gas", body=body, note=note)
