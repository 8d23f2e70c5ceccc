"""The tables of a guarded loan: what became of it, what was done, who struck."""

from seawall.analysis.loan_figures import PART_NAMES
from seawall.analysis.numbers import (
    COUNT,
    HEALTH,
    MONEY,
    PERCENT,
    SIGNED,
    Form,
    with_minus,
    write_number,
)
from seawall.analysis.page import Figure, Panel, Table, escape, plot_html
from seawall.analysis.panels import to_table
from seawall.analysis.protection import Judgement, Protection
from seawall.result import Result

PROTECTION_ROWS: tuple[tuple[str, str, Form | None, str], ...] = (
    ("Outcome", "", None, ""),
    ("final_equity_usd", "Final equity, USD", MONEY, "collateral, wallet and debt at the market"),
    ("final_equity_collateral", "Final equity, collateral", MONEY, "the same in its tokens"),
    ("total_return", "Total return", SIGNED, "final equity over that of the start, minus 1"),
    ("Liquidation", "", None, ""),
    ("n_liquidations", "Liquidations", COUNT, "how often liquidators struck"),
    ("seized", "Collateral seized, tokens", MONEY, "of the main collateral"),
    ("seized_usd", "Collateral seized, USD", MONEY, "at the oracle's price when it happened"),
    ("bonus_usd", "Bonus lost, USD", MONEY, "seized beyond the debt repaid"),
    ("liquidation_fee_usd", "Liquidation fee, USD", MONEY, "the protocol's part of it"),
    ("bad_debt_usd", "Debt left behind, USD", MONEY, "more than the collateral was worth"),
    ("min_health", "Lowest health factor", HEALTH, "within any bar, as the oracle saw it"),
    ("below_110", "Time below 1.1", PERCENT, "share of the bars that closed there"),
    ("Protection", "", None, ""),
    ("n_actions", "Transactions", COUNT, "carried out"),
    ("n_failed", "Failed transactions", COUNT, "they cost gas all the same"),
    ("n_false_alarms", "False alarms", COUNT, "without it nothing would have been liquidated"),
    ("gas_usd", "Gas, USD", MONEY, "of all transactions"),
    ("swap_costs_usd", "Swaps, USD", MONEY, "pool fees and price impact"),
    ("service_fees_usd", "Service fees, USD", MONEY, "to an automation service"),
    ("flash_premiums_usd", "Flash loans, USD", MONEY, "premiums"),
    ("interest_usd", "Interest, USD", MONEY, "paid for debt less earned on collateral"),
)
TRANSACTION_COLUMNS = (
    "time", "status", "what", "reason", "health_before", "health_after", "gas_gwei", "gas_usd",
    "swap_fee_usd", "impact_usd", "service_fee_usd", "premium_usd", "error",
)  # fmt: skip


def protection_panel(own: Protection, best: Protection, judgement: Judgement | None) -> Panel:
    """Return what became of the loan, both ways to resolve bars, beside the untouched one."""
    columns = [("worse", own), ("better", best)]
    if judgement is not None:
        columns.append(("do nothing, worse", judgement.untouched))
        columns.append(("do nothing, better", judgement.untouched_best))
    rows = []
    for key, title, form, convention in PROTECTION_ROWS:
        if form is None:
            span = len(columns) + 2
            rows.append(f'<tr class="group"><th colspan="{span}">{escape(key)}</th></tr>')
            continue
        cells = "".join(
            f'<td class="num">{write_number(getattr(one, key), form)}</td>' for _, one in columns
        )
        why = f'<td class="why">{escape(convention)}</td>'
        rows.append(f"<tr><th>{escape(title)}</th>{cells}{why}</tr>")
    heads = "".join(f'<th class="num">{escape(name)}</th>' for name, _ in columns)
    body = (
        f'<div class="scroll"><table class="metrics"><thead><tr><th>Measure</th>{heads}'
        f'<th class="why">How it is defined</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div>"
    )
    note = (
        "Worse and better: two runs, in which all that a bar does not tell goes against the "
        "account, and its way."
    )
    return Panel(id="protection", title="What became of the loan", body=body, note=note)


def waterfall_panel(figure: Figure, judgement: Judgement) -> Panel:
    """Return the decomposition as a waterfall, and as numbers for both ways to resolve bars."""
    worst, best = judgement.price.parts, judgement.price_best.parts
    totals = (0.0 - judgement.price.price_usd, 0.0 - judgement.price_best.price_usd)
    lines = [(PART_NAMES[name], worst[name], best[name]) for name in worst]
    rows = "".join(
        f"<tr><th>{escape(name)}</th>" + "".join(_signed(value) for value in values) + "</tr>"
        for name, *values in [*lines, ("in all", *totals)]
    )
    table = (
        '<div class="scroll"><table class="metrics"><thead><tr><th>Part, USD</th>'
        '<th class="num">worse</th><th class="num">better</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    note = (
        "The account's parts of this run less those of the same path run without the agent; they "
        "add up to the difference of final equity, with nothing left over. The market's part is "
        f"the other exposure; upside given up: {judgement.price.upside_given_up_usd:,.2f} USD."
    )
    body = plot_html(figure, "What the agent changed against doing nothing, part by part") + table
    return Panel(id="decomposition", title="Price of protection", body=body, note=note)


def _signed(value: float) -> str:
    css = "good" if value > 0 else "bad" if value < 0 else ""
    return f'<td class="num {css}">{with_minus(f"{value:+,.2f}")}</td>'


def transactions_table(result: Result) -> Table:
    """Return what was sent, why, and what came of it."""
    frame = result.transactions[[c for c in TRANSACTION_COLUMNS if c in result.transactions]]
    note = "What the agent sent and why; health factors are those just before and after, in USD."
    return to_table("transactions-table", frame, note=note, filter_by="status")


def liquidations_table(result: Result) -> Table:
    """Return who struck when, and what it cost."""
    note = "Prices are the oracle's; the bonus is what was seized beyond the debt that was repaid."
    return to_table("liquidations-table", result.liquidations, note=note)
