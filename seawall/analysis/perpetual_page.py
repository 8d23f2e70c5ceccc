"""The page of a run with perpetuals: what any run shows, and the futures account.

Where the job guards a position the page begins with it: was it liquidated, what did protection
cost, what was possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from seawall.analysis.guarded import kind_of
from seawall.analysis.judgement import Judgement, MarginProtection, equity_of, parts_of
from seawall.analysis.judgement_panels import (
    equity_card,
    liquidation_callouts,
    liquidation_card,
    parts_figure,
    price_cards,
    waterfall_figure,
    waterfall_panel,
)
from seawall.analysis.margin_protection import measure_margin
from seawall.analysis.numbers import COUNT, MARGIN, tone, write_number
from seawall.analysis.page import Figure, Page, Panel, Table, card, cards_html
from seawall.analysis.panels import searchable_panel
from seawall.analysis.perpetual_figures import (
    contract_figures,
    funding_figure,
    margin_figure,
    venues_figure,
)
from seawall.analysis.perpetual_panels import (
    contracts_panel,
    funding_panel,
    liquidations_table,
    margin_panel,
    margin_protection_panel,
    parts_panel,
    transfers_table,
    venues_panel,
)
from seawall.result import Result


@dataclass(frozen=True, kw_only=True)
class _Sections:
    """What the futures account adds to a page: what comes first, and what follows the equity."""

    first: Sequence[Panel]
    later: Sequence[Panel]
    figures: Sequence[Figure]
    tables: Sequence[Table]


def perpetual_page(
    base: Page, result: Result, judgement: Judgement[MarginProtection] | None = None
) -> Page:
    """Return a page with the futures account in it.

    Args:
        base: what any run shows.
        result: of a run with perpetuals.
        judgement: of a guarded position beside doing nothing and hindsight.
    """
    found = _to_sections(result)
    if kind_of(result.recipe) != "margin":
        cards = base.cards.removesuffix("</div>") + _account_cards(result) + "</div>"
        return _join(base, found, cards=cards, kind="futures", guarded=())
    own = judgement.own if judgement else measure_margin(result)
    best = judgement.own_best if judgement else measure_margin(result.other or result)
    guarded = [margin_protection_panel(own, best, judgement)]
    figures: list[Figure] = []
    if judgement is not None:
        quote = result.recipe.market.quote
        fall = waterfall_figure(judgement.price, quote)
        guarded.insert(0, waterfall_panel(fall, judgement, quote))
        figures.append(fall)
    found = replace(found, figures=[*found.figures, *figures])
    page = _join(base, found, cards=_guard_cards(result, own, best, judgement), kind="margin",
                 guarded=guarded)  # fmt: skip
    callouts = [*_callouts(own, best, judgement), *base.callouts]
    return replace(page, callouts=callouts)


def with_futures(base: Page, result: Result) -> Page:
    """Return the page of a loan with the futures account that hedges it behind its own panels."""
    found = _to_sections(result)
    return replace(
        base,
        panels=[*base.panels[:2], *found.first, *base.panels[2:4], *found.later, *base.panels[4:]],
        figures=[*base.figures, *found.figures],
        tables=[*base.tables, *found.tables],
    )


def _join(base: Page, found: _Sections, *, cards: str, kind: str, guarded: Sequence[Panel]) -> Page:
    """Put the equity in the middle: behind the margin of a guarded position, else before it."""
    equity, *rest = base.panels
    begin = [*found.first, *guarded, equity] if guarded else [equity, *found.first]
    return replace(
        base,
        kind=kind,
        cards=cards,
        panels=[*begin, *found.later, *rest],
        figures=[*base.figures, *found.figures],
        tables=[*base.tables, *found.tables],
    )


def _to_sections(result: Result) -> _Sections:
    equity = equity_of(result)
    change = float(equity[-1] - equity[0])
    margin, contracts = margin_figure(result), contract_figures(result)
    venues, funding = venues_figure(result), funding_figure(result)
    title = f"{result.recipe.market.quote}, change of the equity"
    parts = parts_figure(parts_of(result), change, title, id_="parts-chart")
    struck, moved = liquidations_table(result), transfers_table(result)
    drawn: list[Figure | None] = [margin, *contracts, venues, parts, funding]
    return _Sections(
        first=[margin_panel(margin), contracts_panel(contracts, result)],
        later=[
            venues_panel(venues),
            parts_panel(parts, result, change),
            funding_panel(funding, result),
            searchable_panel(struck, "Liquidations", "margin-liquidations"),
            searchable_panel(moved, "Transfers", "transfers"),
        ],
        figures=[figure for figure in drawn if figure is not None],
        tables=[table for table in (struck, moved) if table.rows],
    )


def _account_cards(result: Result) -> str:
    """Return what a futures account says in three numbers."""
    struck, parts = result.margin_liquidations, result.parts
    ratio = float(result.perpetual["worst_margin_ratio"].max())
    quote, n_struck = result.recipe.market.quote, int(struck["time"].nunique())
    return "".join(
        (
            card(
                "Liquidations",
                write_number(n_struck, COUNT),
                f"{write_number(0.0 - parts['liquidation_fees'], COUNT)} {quote} of fees",
                tone="bad" if n_struck else "good",
            ),
            card(
                "Highest margin ratio",
                write_number(ratio, MARGIN),
                "within any bar; 100 % is liquidation",
                tone="bad" if ratio >= 1 else "",
            ),
            card(
                "Funding",
                write_number(parts["funding"], COUNT),
                f"{quote} received less paid, at {len(result.funding):,} stamps",
                tone=tone(parts["funding"]),
            ),
        )
    )


def _guard_cards(
    result: Result,
    own: MarginProtection,
    best: MarginProtection,
    judgement: Judgement[MarginProtection] | None,
) -> str:
    write, quote = write_number, result.recipe.market.quote
    cards = [
        liquidation_card(own.n_liquidations, best.n_liquidations),
        card(
            "Highest margin ratio",
            write_number(own.worst_margin_ratio, MARGIN),
            f"{write_number(best.worst_margin_ratio, MARGIN)} for the better; 100 % is liquidation",
            tone="bad" if own.worst_margin_ratio >= 1 else "",
        ),
        equity_card(own, quote),
        card(
            "Actions",
            write(own.n_actions, COUNT),
            f"false alarms: {own.n_false_alarms}, refused: {own.n_refused}; margin added: "
            f"{write(own.margin_added_usd, COUNT)} {quote}",
        ),
    ]
    if judgement is not None:
        cards += price_cards(judgement.price, own.start_equity_usd, quote)
    return cards_html(cards)


def _callouts(
    own: MarginProtection, best: MarginProtection, judgement: Judgement[MarginProtection] | None
) -> list[str]:
    found = liquidation_callouts(own.n_liquidations, best.n_liquidations)
    if own.insurance_usd > 0:
        found.append(
            f"The insurance fund paid {write_number(own.insurance_usd, COUNT)}: more was lost than "
            "the margin. On an exchange whose fund is empty others would have been deleveraged."
        )
    if judgement is not None and judgement.excess:
        found.append(judgement.excess)
    return found
