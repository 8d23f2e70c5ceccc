"""Write a result, a comparison or a league as one HTML file that opens anywhere, offline.

The file holds its charts' library, its styles and its data; it asks the network for nothing and
says so in its Content-Security-Policy. Long series are thinned for drawing only (see ``figures``).
"""

from pathlib import Path

from seawall.analysis import figures, panels
from seawall.analysis.bounds import AnyJudgement
from seawall.analysis.comparison import Comparison
from seawall.analysis.comparison_page import comparison_page
from seawall.analysis.judgement import Judgement, MarginProtection, Protection
from seawall.analysis.league_page import league_page
from seawall.analysis.league_table import League
from seawall.analysis.loan_page import loan_page
from seawall.analysis.numbers import (
    COUNT,
    PERCENT,
    RATIO,
    SIGNED,
    tone,
    write_number,
    write_points,
)
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
    write_page,
)
from seawall.analysis.perpetual_page import perpetual_page, with_futures
from seawall.errors import ResultError
from seawall.result import Result

_SHORT_WINDOW_DAYS = 100  # below it, days say more than a table of months
_SAME = 1e-9  # total returns closer than this are one number


def write_report(
    result: Result | Comparison | League, path: Path, *, judgement: AnyJudgement | None = None
) -> Path:
    """Write the report of a finished backtest, comparison or league to ``path`` and return it.

    Args:
        result: what is reported.
        path: the file.
        judgement: of a result with a loan or a guarded position: what it comes to beside doing
            nothing and hindsight; the one that is stored with it if None.

    Raises:
        ResultError: the result holds no bar, its judgement is damaged, or the file cannot be
            written.
    """
    if len(result.equity) == 0:
        raise ResultError("a report needs at least one bar, the result has none: run it again")
    return write_page(_to_page(result, judgement), path)


def _to_page(result: Result | Comparison | League, judgement: AnyJudgement | None) -> Page:
    if isinstance(result, Comparison):
        return comparison_page(result)
    if isinstance(result, League):
        return league_page(result)
    if judgement is None and result.judgement is not None:
        judgement = Judgement.from_dict(result.judgement)
    if result.recipe.loan is not None:
        page = loan_page(result, _of_loan(judgement))
        return page if result.perpetual.empty else with_futures(page, result)
    page = result_page(result)
    return page if result.perpetual.empty else perpetual_page(page, result, _of_margin(judgement))


def _of_loan(judgement: AnyJudgement | None) -> Judgement[Protection] | None:
    """Return a loan's judgement, or None."""
    if judgement is None or isinstance(judgement.own, MarginProtection):
        return None
    return judgement


def _of_margin(judgement: AnyJudgement | None) -> Judgement[MarginProtection] | None:
    """Return a futures position's judgement, or None."""
    if judgement is None or isinstance(judgement.own, Protection):
        return None
    return judgement


def result_page(result: Result) -> Page:
    """Return the page of one result."""
    equity = figures.equity_figure(result)
    prices = figures.price_figures(result)
    costs = figures.to_costs(result)
    bars = figures.costs_figure(costs, result.recipe.market.quote) if costs else None
    days = _daily(result)
    trades = panels.trades_table(result.trades)
    journal = panels.journal_table(result.journal)
    tables = [table for table in (trades, journal) if table.rows]
    return Page(
        kind="backtest",
        title=result.recipe.name,
        subtitle=f"{result.agent} · {result.strategy} · {panels.window_text(result.recipe)}",
        labels=result.labels,
        cards=_cards(result),
        callouts=_callouts(result),
        panels=[
            _equity_panel(equity, result),
            *_price_panels(prices, result),
            (_returns_panel(result, days), _costs_panel(bars, result)),
            panels.metrics_panel(result.metrics, result.benchmark, (result.agent, "buy and hold")),
            panels.searchable_panel(trades, "Trades", "trades"),
            panels.searchable_panel(journal, "Journal", "journal"),
            panels.quality_panel(result.quality),
            panels.recipe_panel(result.recipe),
            panels.provenance_panel(result),
        ],
        figures=[f for f in (equity, *prices, days, bars) if f is not None],
        tables=tables,
        footer=f"Recipe {result.recipe.id}. {PROMISE}",
    )


def _cards(result: Result) -> str:
    own, other, quote = result.metrics, result.benchmark, result.recipe.market.quote
    edge = own.total_return - other.total_return
    costs = own.fees + own.slippage
    last = float(result.equity["equity"].iloc[-1])
    first = float(result.equity["equity"].iloc[0])
    write = write_number
    cards = (
        card(
            "Total return",
            write(own.total_return, SIGNED),
            f"{write(other.total_return, SIGNED)} for buy and hold",
            tone=tone(own.total_return),
        ),
        card(
            "Against buy and hold",
            write_points(edge),
            "percentage points of total return",
            tone=tone(edge),
        ),
        card(
            "Maximum drawdown",
            write(own.max_drawdown, SIGNED),
            f"{write(other.max_drawdown, SIGNED)} for buy and hold",
        ),
        card(
            "Sharpe ratio",
            write(own.sharpe, RATIO),
            f"{write(other.sharpe, RATIO)} for buy and hold",
        ),
        card(
            "Final equity",
            write(last, COUNT),
            f"{quote}, from {write(first, 'count')}",
        ),
        card(
            "Costs",
            write(costs, COUNT),
            f"{quote}, {write(costs / first if first > 0 else None, PERCENT)} of the start; "
            f"{own.n_trades:,} closed trades",
        ),
    )
    return cards_html(cards)


def _callouts(result: Result) -> list[str]:
    """Return what has to be said before any number is believed."""
    band, found = result.band, []
    if abs(band.optimistic - band.pessimistic) > _SAME:
        low = write_number(band.pessimistic, SIGNED)
        high = write_number(band.optimistic, SIGNED)
        found.append(
            f"Bars do not tell everything: {band.n_ambiguous:,} fills are ambiguous. The total "
            f"return is {low} where each went against the account and {high} where each went its "
            "way. The headline is the first."
        )
    if "simulated" in result.labels:
        found.append(SIMULATED)
    abstained = int((result.journal["kind"] == "abstained").sum()) if len(result.journal) else 0
    if abstained:
        times = "once" if abstained == 1 else f"{abstained:,} times"
        found.append(
            f"The agent abstained {times}: it raised, or its answer was none. The journal has the "
            "reasons."
        )
    return found


def _equity_panel(figure: Figure, result: Result) -> Panel:
    n = len(result.equity)
    note = "Marked at each bar's close, after all costs; exposure is gross, a fraction of equity."
    if n > figures.MAX_POINTS:
        note += (
            f" {n:,} bars are drawn with at most {figures.MAX_POINTS:,} points a line, highs and "
            "lows kept, exposure as means; every number comes from all bars."
        )
    return panels.equity_panel(figure, note)


def _price_panels(prices: list[Figure], result: Result) -> list[Panel]:
    if not prices:
        return []
    names = [str(name) for name in result.prices.columns]
    body = "".join(
        plot_html(figure, f"Closes of {name} and the fills on them")
        for figure, name in zip(prices, names, strict=False)
    )
    note = "Closes, with each fill at the price it got, after spread and slippage."
    if len(names) > len(prices):
        note += f" The first {len(prices)} of {len(names)} symbols are drawn."
    if len(result.prices) > figures.MAX_POINTS:
        note += " Thinned for drawing, highs and lows kept."
    tools = scale_tools(prices[0]) if len(prices) == 1 else ""
    return [Panel(id="price", title="Price and fills", body=body, note=note, tools=tools)]


def _daily(result: Result) -> Figure | None:
    days = figures.to_daily(result.equity["equity"])
    return figures.daily_figure(days) if len(days) <= _SHORT_WINDOW_DAYS else None


def _returns_panel(result: Result, days: Figure | None) -> Panel:
    body = panels.monthly_html(result.equity["equity"])
    if days is not None:
        body += f"<h3>Day by day</h3>{plot_html(days, 'Return of each day')}"
    note = "Percent, by UTC month; the first and the last month may be parts of one."
    return Panel(id="returns", title="Monthly returns", body=body, note=note)


def _costs_panel(figure: Figure | None, result: Result) -> Panel:
    if figure is None:
        body = '<p class="note">Nothing was traded, nothing was paid.</p>'
        return Panel(id="costs", title="Costs", body=body)
    traded = float((result.fills["quantity"].abs() * result.fills["price"]).sum())
    paid = float((result.fills["fee"] + result.fills["slippage"]).sum())
    each = f"{1e4 * paid / traded:,.1f} bps of {traded:,.0f} traded" if traded > 0 else "none"
    note = f"{len(result.fills):,} fills cost {paid:,.2f} {result.recipe.market.quote}: {each}."
    return Panel(id="costs", title="Costs", body=plot_html(figure, "Costs by kind"), note=note)
