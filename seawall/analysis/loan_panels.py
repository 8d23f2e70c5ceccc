"""The tables of a guarded loan: what became of it, what was done, who struck."""

from seawall.analysis.judgement import Judgement, Protection
from seawall.analysis.judgement_panels import MeasureRow, measures_panel
from seawall.analysis.numbers import COUNT, HEALTH, MONEY, PERCENT, SIGNED
from seawall.analysis.page import Panel, Table
from seawall.analysis.panels import to_table
from seawall.result import Result

PROTECTION_ROWS: tuple[MeasureRow, ...] = (
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


def protection_panel(
    own: Protection, best: Protection, judgement: Judgement[Protection] | None
) -> Panel:
    """Return what became of the loan, both ways to resolve bars, beside the untouched one."""
    return measures_panel(PROTECTION_ROWS, own, best, judgement, title="What became of the loan")


def transactions_table(result: Result) -> Table:
    """Return what was sent, why, and what came of it."""
    frame = result.transactions[[c for c in TRANSACTION_COLUMNS if c in result.transactions]]
    note = "What the agent sent and why; health factors are those just before and after, in USD."
    return to_table("transactions-table", frame, note=note, filter_by="status")


def liquidations_table(result: Result) -> Table:
    """Return who struck when, and what it cost."""
    note = "Prices are the oracle's; the bonus is what was seized beyond the debt that was repaid."
    return to_table("liquidations-table", result.liquidations, note=note)
