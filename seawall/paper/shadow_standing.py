"""What a shadow session finds out as it begins, and holds to: marks, funding, brackets, a loan."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seawall.engine.loan.ahead import build_ahead
from seawall.engine.loan.standing import find_loan_standing
from seawall.engine.loan.world import LoanWorld
from seawall.engine.perpetual.marks import MarkOrigin
from seawall.engine.perpetual.standing import (
    PerpetualStanding,
    check_opening,
    find_perpetual_standing,
)
from seawall.engine.perpetual.world import PerpetualWorld, perpetual_section
from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.paper.candles import Candle
from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.growing_candles import GrowingCandles
from seawall.paper.opening_parts import Opening
from seawall.paper.plan import to_live
from seawall.paper.shadow_funding import (
    FundingSource,
    MarkSource,
    find_interval,
    has_marks,
    mark_name,
    recorded_settled,
)
from seawall.paper.shadow_world import GrowingPerpetual, Standing
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import SIMULATED, Recipe
from seawall.units import HOUR_MS, is_perpetual


def find_standing(opening: Opening) -> Standing:
    """Return what holds for the venues of a new session; on spot alone nothing has to.

    Raises:
        RecipeError: the recipe asks for what cannot be.
        PaperError: the exchange does not tell how often funding is settled.
    """
    recipe, now_ms = opening.plan.recipe, opening.clock()
    loan = None
    if recipe.loan is not None:
        loan = find_loan_standing(recipe.loan, now_ms, opening.catalog)
    section = perpetual_section(recipe)
    perpetual = None if section is None else _find_perpetual(opening, section, now_ms)
    return Standing(loan=loan, perpetual=perpetual)


def contracts_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the contracts of a recipe's market, in their order."""
    return tuple(symbol for symbol in recipe.market.symbols if is_perpetual(symbol))


def make_marks(opening: Opening, standing: Standing) -> list[MarkSource]:
    """Return where the marks come from that the exchange tells."""
    if standing.perpetual is None:
        return []
    timeframe = opening.plan.recipe.market.timeframe
    return [
        MarkSource(opening.calls_of(symbol), symbol, timeframe, settle_ms=opening.settle_ms)
        for symbol, source in standing.perpetual.sources.items()
        if source == "series"
    ]


def make_fundings(opening: Opening, standing: Standing) -> list[FundingSource]:
    """Return where the funding of each contract comes from; what is recorded is known."""
    section = perpetual_section(opening.plan.recipe)
    if standing.perpetual is None or section is None:
        return []
    rate = section.funding.rate
    perpetual = standing.perpetual
    return [
        FundingSource(
            None if rate is not None or not _tells_funding(opening) else opening.calls_of(symbol),
            symbol,
            interval_ms,
            known=recorded_settled(opening.journal, symbol),
            rate=rate or 0.0,
        )
        for symbol, interval_ms in zip(perpetual.symbols, perpetual.intervals_ms, strict=True)
    ]


class Preview(NamedTuple):
    """What the venues would be put into now; ``None``: there is no such venue."""

    loan: LoanWorld | None
    perpetual: PerpetualWorld | None


def preview(
    recipe: Recipe, standing: Standing, candles: Mapping[str, Sequence[Candle]], catalog: Catalog
) -> Preview:
    """Return what the accounts would be if they were opened now: jobs ask before they begin.

    Args:
        recipe: as it was given, on the exchange's name.
        standing: what holds.
        candles: the last closed ones, by symbol.
        catalog: for the engine.

    Raises:
        RecipeError: the loan or the position could not be opened now.
    """
    market = recipe.market
    series = {
        symbol: GrowingCandles(
            SeriesKey("candles", market.venue, symbol, market.timeframe), candles[symbol]
        )
        for symbol in market.symbols
    }
    now_ms = max(one[-1].time_ms for one in candles.values()) + market.timeframe_ms
    loan = perpetual = None
    if standing.perpetual is not None:
        section = perpetual_section(recipe) or PerpetualSection()
        prices = {symbol: candles[symbol][-1].close for symbol in standing.perpetual.symbols}
        check_opening(standing.perpetual, section, prices)
        first = GrowingPerpetual(recipe, standing.perpetual)
        last = {symbol: candles[symbol][-1] for symbol in standing.perpetual.symbols}
        marks = {mark_name(symbol): candle for symbol, candle in last.items()}
        first.step(now_ms, {**last, **marks}, {})
        perpetual = first.world(prices)
    if standing.loan is not None:
        live = to_live(recipe, market.venue, now_ms)
        clock_ms = np.array([now_ms], dtype=np.int64)
        whole = {symbol: one.series() for symbol, one in series.items()}
        loan = build_ahead(live, whole, clock_ms, standing.loan, catalog)
    return Preview(loan, perpetual)


def _find_perpetual(opening: Opening, section: PerpetualSection, now_ms: int) -> PerpetualStanding:
    plan = opening.plan
    symbols = contracts_of(plan.recipe)
    marks = {symbol: _find_mark(opening, section) for symbol in symbols}
    intervals_ms, labels = _find_intervals(opening, section, symbols)
    market = plan.recipe.market
    venue = SIMULATED if plan.is_local else plan.venue.exchange
    return find_perpetual_standing(
        to_live(plan.recipe, venue, now_ms).market,
        section,
        symbols,
        now_ms,
        opening.catalog,
        intervals_ms=intervals_ms,
        sources={symbol: origin for symbol, (origin, _) in marks.items()},
        labels=[*(f"assumption: the mark of {s} is {text}" for s, (_, text) in marks.items()
                  if text), *labels, *_label_entry(section, market.symbols)],
    )  # fmt: skip


def _label_entry(section: PerpetualSection, symbols: Sequence[str]) -> list[str]:
    position = section.position
    if position is None or position.entry is not None:
        return []
    symbol = position.symbol or next(filter(is_perpetual, symbols))
    return [f"assumption: {symbol} is entered at its last price before the session's first bar"]


def _find_mark(opening: Opening, section: PerpetualSection) -> tuple[MarkOrigin, str]:
    """Return where marks come from, and what has to be said of it.

    Raises:
        RecipeError: the recipe wants the exchange's, which tells none.
    """
    wanted, exchange = section.mark.source, opening.exchanges["perpetual"]
    if wanted == "last":
        return "last", "its last price, wicks and all"
    if has_marks(exchange):
        return "series", "the exchange's own" if wanted == "built" else ""
    if wanted == "series":
        raise RecipeError(
            f"perpetual.mark.source is series, {opening.plan.venue.exchange} lists no candles of "
            'its marks: set it to "last"'
        )
    return "last", "its last price, wicks and all: the exchange lists no candles of its marks"


def _tells_funding(opening: Opening) -> bool:
    return bool(opening.exchanges["perpetual"].has.get("fetchFundingRateHistory"))


def _find_intervals(
    opening: Opening, section: PerpetualSection, symbols: Sequence[str]
) -> tuple[tuple[int, ...], list[str]]:
    """Return the time between two settlements of each contract, and what has to be said.

    Raises:
        RecipeError: the exchange tells no funding, and the recipe does not take it for zero.
        PaperError: the exchange does not answer.
    """
    funding = section.funding
    stated = (funding.interval_ms,) * len(symbols)
    if funding.rate is not None:
        text = f"assumption: the funding rate is {funding.rate:.4%} every {funding.interval}"
        return stated, [text]
    if not _tells_funding(opening):
        if funding.missing == "refuse":
            raise RecipeError(
                f"a perpetual needs funding rates, {opening.plan.venue.exchange} tells none: set "
                'perpetual.funding.missing = "zero", which is printed, or give a rate'
            )
        return stated, ["assumption: zero funding, the exchange tells no rates"]
    try:
        found = [find_interval(opening.calls_of(symbol), symbol) for symbol in symbols]
    except ExchangeFault as error:
        raise PaperError(
            f"the exchange must tell its funding before a session begins, does not ({error}): try "
            "later"
        ) from None
    intervals = tuple(own or usual for own, usual in zip(found, stated, strict=True))
    labels = [
        f"the exchange settles the funding of {symbol} every {own // HOUR_MS} h"
        for symbol, own, usual in zip(symbols, intervals, stated, strict=True)
        if own != usual
    ]
    return intervals, labels
