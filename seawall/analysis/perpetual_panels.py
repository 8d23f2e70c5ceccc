"""The sections of a futures account: margin, liquidations, funding by year, transfers, parts."""

import numpy as np
import pandas as pd

from seawall.analysis.figures import column_values, row_times
from seawall.analysis.judgement import Judgement, MarginProtection, parts_of
from seawall.analysis.judgement_panels import MeasureRow, measures_panel, parts_html
from seawall.analysis.margin_protection import contracts_of
from seawall.analysis.numbers import COUNT, MARGIN, MONEY, PERCENT, SIGNED
from seawall.analysis.page import Figure, Panel, Table, plot_html, scale_tools
from seawall.analysis.panels import frame_html, to_table
from seawall.result import Result

PROTECTION_ROWS: tuple[MeasureRow, ...] = (
    ("Outcome", "", None, ""),
    ("final_equity_usd", "Final equity", MONEY, "all venues together, positions at the mark"),
    ("total_return", "Total return", SIGNED, "final equity over that of the start, minus 1"),
    ("Liquidation", "", None, ""),
    ("n_liquidations", "Liquidations", COUNT, "moments at which it struck"),
    ("n_steps", "Steps", COUNT, "orders of it: one for each bracket that was left"),
    ("liquidated_usd", "Notional closed", MONEY, "at the mark when it happened"),
    ("liquidation_fees_usd", "Liquidation fees", MONEY, "of that notional"),
    ("insurance_usd", "Paid by the insurance fund", MONEY, "lost beyond the margin"),
    ("worst_margin_ratio", "Highest margin ratio", MARGIN, "within any bar; liquidated at 100 %"),
    ("above_80", "Time above 80 %", PERCENT, "share of the bars that closed there"),
    ("min_distance", "Least distance", PERCENT, "of a close's mark from the liquidation price"),
    ("Protection", "", None, ""),
    ("n_actions", "Actions", COUNT, "orders that filled, and transfers"),
    ("n_refused", "Refused", COUNT, "by the job's limits or the venue's rules"),
    ("n_false_alarms", "False alarms", COUNT, "without it nothing would have been liquidated"),
    ("margin_added_usd", "Margin added", MONEY, "moved into the futures wallet less taken out"),
    ("funding_usd", "Funding", MONEY, "paid; below 0 it was received"),
    ("trading_fees_usd", "Trading fees", MONEY, "of orders"),
    ("slippage_usd", "Spread and slippage", MONEY, "lost against the raw price"),
    ("transfers_usd", "Transfers", MONEY, "what they cost"),
)


def margin_protection_panel(
    own: MarginProtection, best: MarginProtection, judgement: Judgement[MarginProtection] | None
) -> Panel:
    """Return what became of the position, both ways to resolve bars, beside the untouched one."""
    return measures_panel(
        PROTECTION_ROWS, own, best, judgement, title="What became of the position"
    )


def parts_panel(figure: Figure, result: Result, change: float) -> Panel:
    """Return what the change of the equity is made of."""
    lines = list(parts_of(result).items())
    table = parts_html(lines, (change,), ("Part", result.recipe.market.quote))
    note = (
        "What the change of the whole account's equity is made of: profit and loss of positions "
        "and coins at raw prices, and what was paid and received; the parts add up to it."
    )
    body = plot_html(figure, "Parts of the change of the equity") + table
    return Panel(id="parts", title="Where the change came from", body=body, note=note)


def funding_panel(figure: Figure | None, result: Result) -> Panel:
    """Return funding over time and by year."""
    if figure is None:
        body = '<p class="note">No position was held when funding was settled.</p>'
        return Panel(id="funding", title="Funding", body=body)
    body = plot_html(figure, "Funding received less paid so far")
    body += f"<h3>Year by year</h3>{frame_html(funding_by_year(result))}"
    note = (
        "Received less paid, on the position held at each stamp, at the mark. Share: net over the "
        "mean notional at the year's stamps."
    )
    return Panel(id="funding", title="Funding", body=body, note=note)


def funding_by_year(result: Result) -> pd.DataFrame:
    """Return one row per UTC year and contract.

    Columns: year and contract as text; ``stamps`` at which a position was held; ``received``,
    ``paid`` (>= 0) and ``net``, quote units; ``mean_notional`` at these stamps; ``net_share`` of
    it.
    """
    rows = result.funding
    if not len(rows):
        return pd.DataFrame(columns=list(_FUNDING_COLUMNS))
    amount = column_values(rows, "amount")
    table = pd.DataFrame(
        {
            "year": pd.DatetimeIndex(rows["time"]).year.astype(str),
            "contract": rows["symbol"].astype(str).to_numpy(),
            "stamps": 1,
            "received": np.maximum(amount, 0.0),
            "paid": np.maximum(0.0 - amount, 0.0),
            "net": amount,
            "mean_notional": np.abs(column_values(rows, "quantity")) * column_values(rows, "mark"),
        }
    )
    kinds = dict.fromkeys(("stamps", "received", "paid", "net"), "sum")
    found = table.groupby(["year", "contract"], as_index=False).agg(
        {**kinds, "mean_notional": "mean"}
    )
    return found.assign(net_share=found["net"] / found["mean_notional"])[list(_FUNDING_COLUMNS)]


_FUNDING_COLUMNS = (
    "year", "contract", "stamps", "received", "paid", "net", "mean_notional", "net_share",
)  # fmt: skip


def margin_panel(figure: Figure) -> Panel:
    """Return the margin ratio over time."""
    note = (
        "Maintenance margin over margin balance, the highest of the cross account and the isolated "
        "positions; at 100 % it is liquidated. Triangles are orders, diamonds transfers, crosses "
        "liquidations. Drawn up to 120 %, or, far below 100 %, up to what there was; thinned, "
        "highs kept."
    )
    body = plot_html(figure, "Margin ratio over time against the line of liquidation")
    return Panel(id="margin", title="Margin ratio", body=body, note=note, tools=scale_tools(figure))


def contracts_panel(figures: list[Figure], result: Result) -> Panel:
    """Return mark and liquidation price of every contract that was held."""
    body = "".join(
        plot_html(figure, "Mark price, entry and liquidation price over the position")
        for figure in figures
    )
    note = (
        "Liquidations look at the mark price, not at the last trade. The liquidation price moves "
        "with every order, transfer and funding, and for a cross position with all others; one far "
        "away is not drawn."
    )
    n_contracts = len(contracts_of(result))
    if len(figures) < n_contracts:
        note += f" {len(figures)} of {n_contracts} contracts are drawn: those that were held."
    return Panel(id="contracts", title="Mark and liquidation price", body=body, note=note)


def venues_panel(figure: Figure) -> Panel:
    """Return the equity of each venue and of all together."""
    note = (
        "Spot is cash and coins, perpetual the futures wallet with isolated margins and unrealised "
        "profit at the mark, loan collateral and wallet less debt. What is on the way between two "
        "of them is in none, but in the sum."
    )
    body = plot_html(figure, "Equity by venue and together")
    return Panel(id="venues", title="Equity by venue", body=body, note=note)


def liquidations_table(result: Result) -> Table:
    """Return every step of every liquidation."""
    note = (
        "One row per step: the bracket that was left, what was closed at which mark, and the fee; "
        "the margin ratio is that before it."
    )
    return to_table("margin-liquidations-table", result.margin_liquidations, note=note)


def transfers_table(result: Result) -> Table:
    """Return what was moved between the venues."""
    note = "Sent and arrived, with what it cost on the way; amounts are those that arrived."
    frame = result.transfers
    if len(frame):
        frame = frame.assign(arrived_ms=row_times(frame))
        frame = frame[["sent_ms", "arrived_ms", "source", "target", "amount", "cost"]]
    return to_table("transfers-table", frame, note=note)
