"""What an agent did for a loan: what it saved and lost, what it cost, and how much was possible.

Everything comes from what a run left (``Result.loan``, ``liquidations``, ``transactions``,
``parts``) and, for the price of protection, from the same path run without the agent (see
``judgement``).

A **false alarm** is a transaction that raised the health factor although the loan as it stood
before would not have been liquidated: at the worst oracle price of each bar, interest included,
until the agent next took leverage up, or to the end of the window, its health factor would have
stayed at 1 or above.
"""

import math

import numpy as np
import pandas as pd

from seawall.analysis.figures import column_values, row_times, to_ms
from seawall.analysis.judgement import (
    HEDGED_PARTS,
    LOAN_PARTS,
    Judgement,
    Price,
    Protection,
    equity_of,
    judge_with,
    share_of_possible,
    to_price,
)
from seawall.errors import ResultError
from seawall.loan_recipe import LoanSection
from seawall.market.series import FloatArray
from seawall.result import Result
from seawall.units import YEAR_MS

__all__ = [
    "PARTS", "Judgement", "find_false_alarms", "find_price", "judge", "measure_protection",
    "share_of_possible",
]  # fmt: skip

PARTS = LOAN_PARTS
CLOSE_TO_1 = 1.1
_SAME = 1e-9  # relative: health factors closer than that are one


def judge(
    result: Result,
    untouched: Result,
    *,
    hindsight_usd: float = math.nan,
    best_usd: float = math.nan,
) -> Judgement[Protection]:
    """Return what an agent's run comes to beside the same path without an agent.

    Args:
        result: of the agent.
        untouched: of ``do_nothing`` on the same recipe.
        hindsight_usd: final equity of the best policy, bars resolved for the worse.
        best_usd: the same, resolved for the better.

    Raises:
        ResultError: one of them has no loan, or they start with different equity.
        LedgerError: the parts do not add up.
    """
    return judge_with(
        measure_protection,
        (result, untouched),
        names=_parts_of(result),
        hindsight_usd=hindsight_usd,
        best_usd=best_usd,
    )


def find_price(result: Result, untouched: Result, hindsight_usd: float = math.nan) -> Price:
    """Return what the agent of ``result`` changed against ``untouched``, part by part.

    Raises:
        ResultError: one has no loan, or they start with different equity.
        LedgerError: the parts do not add up: a defect of Seawall.
    """
    for one in (result, untouched):
        _loan_of(one)
    return to_price(result, untouched, names=_parts_of(result), hindsight_usd=hindsight_usd)


def _parts_of(result: Result) -> tuple[str, ...]:
    """Return a loan's parts, and those of the exchange where the loan is hedged on one."""
    return HEDGED_PARTS if "hedge_market" in result.parts else LOAN_PARTS


def measure_protection(result: Result) -> Protection:
    """Return what became of a loan in one run.

    Raises:
        ResultError: the result has no loan.
    """
    assets = _loan_of(result)
    loan, parts, struck = result.loan, result.parts, result.liquidations
    equity = equity_of(result)
    health = column_values(loan, "health")[1:]
    is_main = struck["collateral_asset"] == assets.collateral
    status = result.transactions["status"]
    return Protection(
        start_equity_usd=float(equity[0]),
        final_equity_usd=float(equity[-1]),
        final_equity_collateral=float(equity[-1] / column_values(loan, "market_price")[-1]),
        n_liquidations=result.n_liquidations,
        seized=_sum(struck.loc[is_main], "seized"),
        seized_usd=_sum(struck, "seized_usd"),
        repaid_usd=_sum(struck, "repaid_usd"),
        bonus_usd=0.0 - parts["liquidation_bonus"],
        liquidation_fee_usd=0.0 - parts["liquidation_fee"],
        bad_debt_usd=parts["bad_debt"],
        min_health=float(column_values(loan, "min_health").min()),
        below_110=float(np.mean(health < CLOSE_TO_1)) if health.size else 0.0,
        n_actions=int((status == "done").sum()),
        n_failed=int((status == "failed").sum()),
        n_false_alarms=len(find_false_alarms(result)),
        gas_usd=0.0 - parts["gas"],
        swap_costs_usd=0.0 - parts["swap_fees"] - parts["impact"],
        service_fees_usd=0.0 - parts["service_fees"],
        flash_premiums_usd=0.0 - parts["flash_premiums"],
        interest_usd=0.0 - parts["borrow_interest"] - parts["supply_interest"],
    )


def find_false_alarms(result: Result) -> list[int]:
    """Return the rows of ``transactions`` that protected against what never came near."""
    done = result.transactions[result.transactions["status"] == "done"]
    before, after = column_values(done, "health_before"), column_values(done, "health_after")
    with np.errstate(invalid="ignore"):
        is_up = after < before * (1 - _SAME)  # leverage up
        protects = np.isfinite(before) & (after > before * (1 + _SAME))
    if not protects.any():
        return []
    times, moments = to_ms(result.loan.index), row_times(done)
    worst = column_values(result.loan, "untouched_health")
    scale = _scale_to_untouched(result)
    ups = moments[is_up]
    found = []
    for row, moment in zip(done.index[protects], moments[protects], strict=True):
        stood = int(np.searchsorted(times, moment, "right")) - 1
        later = ups[ups > moment]
        last = int(np.searchsorted(times, later[0], "right")) if later.size else len(times)
        health = worst[stood + 1 : last] * scale[max(stood, 0)]
        if not (health < 1.0).any():
            found.append(int(row))
    return found


def _scale_to_untouched(result: Result) -> FloatArray:
    """Return, at each close, by how much the loan's health exceeds that of the untouched one.

    It is the ratio of their collateral per debt; the untouched loan's grows by interest alone.
    """
    assets, loan = _loan_of(result), result.loan
    owed = column_values(loan, f"debt_{assets.debt}")
    held = column_values(loan, f"collateral_{assets.collateral}")
    years = np.diff(to_ms(loan.index), prepend=to_ms(loan.index)[0]) / YEAR_MS
    earned = np.cumprod(1 + column_values(loan, f"supply_rate_{assets.collateral}") * years)
    paid = np.cumprod(1 + column_values(loan, f"borrow_rate_{assets.debt}") * years)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((held / owed) / (held[0] * earned / (owed[0] * paid)))


def _loan_of(result: Result) -> LoanSection:
    loan = result.recipe.loan
    if loan is None:
        raise ResultError(f"protection is of a loan, {result.recipe.name} has none: add [loan]")
    return loan


def _sum(table: pd.DataFrame, name: str) -> float:
    return float(table[name].astype(np.float64).sum())
