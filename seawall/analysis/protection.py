"""What an agent did for a loan: what it saved and lost, what it cost, and how much was possible.

Everything comes from what a run left (``Result.loan``, ``liquidations``, ``transactions``,
``parts``) and, for the price of protection, from the same path run without the agent. The account's
parts of both runs are subtracted one by one, so the parts of the difference add up to it; there is
no residual term.

A **false alarm** is a transaction that raised the health factor although the loan as it stood
before would not have been liquidated: at the worst oracle price of each bar, interest included,
until the agent next took leverage up, or to the end of the window, its health factor would have
stayed at 1 or above.

The **share of the possible** is ``(agent - do nothing) / (hindsight - do nothing)``, of final
equity; nan, shown as a dash, where hindsight could not have made a difference of 0.1 % of the
equity at the start. Above 1 it is where an agent held what hindsight never does (``ABOVE``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from seawall.analysis.figures import to_ms
from seawall.errors import LedgerError, ResultError
from seawall.loan_recipe import LoanSection
from seawall.market.series import FloatArray
from seawall.result import Result, as_text, read_values
from seawall.units import YEAR_MS

PARTS = (
    "market", "supply_interest", "borrow_interest", "gas", "swap_fees", "impact", "service_fees",
    "flash_premiums", "liquidation_bonus", "liquidation_fee", "bad_debt",
)  # fmt: skip
CLOSE_TO_1 = 1.1
MIN_POSSIBLE = 1e-3  # of the equity at the start: below it, a share of the possible says nothing
ABOVE = (
    "hindsight's states do not include borrowing the collateral's asset, that is, being short, so "
    "it is no upper bound for who did; nor does its grid hold every state in between."
)
_EXACT = 1e-9  # of the equity: how well the parts add up
_SAME = 1e-9  # relative: health factors closer than that are one


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What became of a loan in one run; USD, tokens of the main collateral, or as said.

    Attributes:
        start_equity_usd, final_equity_usd: at market prices, wallet included.
        final_equity_collateral: the latter in tokens of the collateral.
        n_liquidations: how often liquidators struck.
        seized: collateral tokens taken.
        seized_usd, repaid_usd: at the oracle's price when it happened.
        bonus_usd: lost to liquidators.
        liquidation_fee_usd: lost to the protocol.
        bad_debt_usd: left behind.
        min_health: lowest health factor that the oracle ever showed.
        below_110: share of the bars that closed with a health factor below 1.1.
        n_actions, n_failed: transactions carried out, and such that failed.
        n_false_alarms: see the module.
        gas_usd, swap_costs_usd, service_fees_usd, flash_premiums_usd: paid in all; swap costs are
            fee and impact.
        interest_usd: paid for debt less earned on collateral.
    """

    start_equity_usd: float
    final_equity_usd: float
    final_equity_collateral: float
    n_liquidations: int
    seized: float
    seized_usd: float
    repaid_usd: float
    bonus_usd: float
    liquidation_fee_usd: float
    bad_debt_usd: float
    min_health: float
    below_110: float
    n_actions: int
    n_failed: int
    n_false_alarms: int
    gas_usd: float
    swap_costs_usd: float
    service_fees_usd: float
    flash_premiums_usd: float
    interest_usd: float

    @property
    def total_return(self) -> float:
        """Final equity over that of the start, minus 1; nan for a start at or below 0."""
        if not self.start_equity_usd > 0:
            return math.nan
        return self.final_equity_usd / self.start_equity_usd - 1

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain values in the fields' order; what is no finite number is None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, stored: object) -> "Protection":
        """Return what ``to_dict`` has written; TypeError where it is none."""
        found = cls(**read_values(cls, stored))
        return replace(found, min_health=math.inf) if math.isnan(found.min_health) else found


@dataclass(frozen=True, kw_only=True)
class Price:
    """What an agent changed against the same path without it, USD.

    Attributes:
        price_usd: what protection cost: equity without the agent less equity with it, at the end.
            Below 0 where it was worth having.
        parts: of the opposite, what it gained: keys as in ``PARTS``; they add up to
            ``-price_usd``.
        upside_given_up_usd: what the market gave the loan without the agent and not the one with
            it, >= 0.
        hindsight_usd: final equity of the best policy; nan where it was not sought.
        share_of_possible: see the module.
    """

    price_usd: float
    parts: Mapping[str, float]
    upside_given_up_usd: float
    hindsight_usd: float = math.nan
    share_of_possible: float = math.nan

    def to_dict(self) -> dict[str, object]:
        """Return plain values; nan is None."""
        return {
            "price_usd": self.price_usd,
            "parts": dict(self.parts),
            "upside_given_up_usd": self.upside_given_up_usd,
            "hindsight_usd": _plain(self.hindsight_usd),
            "share_of_possible": _plain(self.share_of_possible),
        }

    @classmethod
    def from_dict(cls, stored: object) -> "Price":
        """Return what ``to_dict`` has written; TypeError where it is none."""
        if not isinstance(stored, dict) or set(stored.get("parts", ())) != set(PARTS):
            raise TypeError(f"a price must have {len(PARTS)} parts, has others")
        parts = {as_text(name): float(stored["parts"][name]) for name in PARTS}
        rest = {name: value for name, value in stored.items() if name != "parts"}
        return cls(parts=parts, **read_values(cls, rest, apart=("parts",)))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One agent on one path, with bars resolved for the worse (the headline) and for the better.

    Attributes:
        own, own_best: what became of its loan.
        untouched, untouched_best: of the loan that nobody touched.
        price, price_best: the difference.
    """

    own: Protection
    own_best: Protection
    untouched: Protection
    untouched_best: Protection
    price: Price
    price_best: Price

    def to_dict(self) -> dict[str, object]:
        """Return plain values by name."""
        return {f.name: getattr(self, f.name).to_dict() for f in fields(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> "Judgement":
        """Return what ``to_dict`` has written.

        Raises:
            ResultError: it is damaged.
        """
        try:
            return cls(
                own=Protection.from_dict(stored["own"]),
                own_best=Protection.from_dict(stored["own_best"]),
                untouched=Protection.from_dict(stored["untouched"]),
                untouched_best=Protection.from_dict(stored["untouched_best"]),
                price=Price.from_dict(stored["price"]),
                price_best=Price.from_dict(stored["price_best"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(
                f"the stored judgement is damaged ({error}): run its recipe again"
            ) from None

    @property
    def excess(self) -> str:
        """Why a share of the possible is above 100 %, in a sentence; ``""`` where it is not."""
        is_above = self.own.final_equity_usd > self.price.hindsight_usd
        if not (is_above and self.price.share_of_possible > 1 + _EXACT):
            return ""
        return f"The agent had more than 100 % of the possible: {ABOVE}"


def judge(
    result: Result,
    untouched: Result,
    *,
    hindsight_usd: float = math.nan,
    best_usd: float = math.nan,
) -> Judgement:
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
    mine, theirs = result.other or result, untouched.other or untouched
    return Judgement(
        own=measure_protection(result),
        own_best=measure_protection(mine),
        untouched=measure_protection(untouched),
        untouched_best=measure_protection(theirs),
        price=find_price(result, untouched, hindsight_usd),
        price_best=find_price(mine, theirs, best_usd),
    )


def measure_protection(result: Result) -> Protection:
    """Return what became of a loan in one run.

    Raises:
        ResultError: the result has no loan.
    """
    assets = _loan_of(result)
    loan, parts, struck = result.loan, result.parts, result.liquidations
    equity = _column(loan, "equity")
    health = _column(loan, "health")[1:]
    is_main = struck["collateral_asset"] == assets.collateral
    status = result.transactions["status"]
    return Protection(
        start_equity_usd=float(equity[0]),
        final_equity_usd=float(equity[-1]),
        final_equity_collateral=float(equity[-1] / _column(loan, "market_price")[-1]),
        n_liquidations=len(struck),
        seized=_sum(struck.loc[is_main], "seized"),
        seized_usd=_sum(struck, "seized_usd"),
        repaid_usd=_sum(struck, "repaid_usd"),
        bonus_usd=0.0 - parts["liquidation_bonus"],
        liquidation_fee_usd=0.0 - parts["liquidation_fee"],
        bad_debt_usd=parts["bad_debt"],
        min_health=float(_column(loan, "min_health").min()),
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


def find_price(result: Result, untouched: Result, hindsight_usd: float = math.nan) -> Price:
    """Return what the agent of ``result`` changed against ``untouched``, part by part.

    Raises:
        ResultError: one has no loan, or they start with different equity.
        LedgerError: the parts do not add up: a defect of Seawall.
    """
    for one in (result, untouched):
        _loan_of(one)
    mine, theirs = _column(result.loan, "equity"), _column(untouched.loan, "equity")
    start = float(theirs[0])
    if not math.isclose(mine[0], start, rel_tol=_EXACT, abs_tol=_EXACT):
        raise ResultError(
            f"a price needs two runs from one start, these start with {mine[0]:,.6f} and "
            f"{start:,.6f} USD: run one recipe with both agents"
        )
    parts = {name: result.parts[name] - untouched.parts[name] for name in PARTS}
    gained = float(mine[-1] - theirs[-1])
    scale = max(float(np.abs(mine).max()), float(np.abs(theirs).max()), 1.0)
    if abs(math.fsum(parts.values()) - gained) > _EXACT * scale:
        raise LedgerError(
            f"the parts of a price must add up to {gained:,.9f} USD, add up to "
            f"{math.fsum(parts.values()):,.9f}: please report it"
        )
    return Price(
        price_usd=0.0 - gained,
        parts=parts,
        upside_given_up_usd=max(0.0, 0.0 - parts["market"]),
        hindsight_usd=hindsight_usd,
        share_of_possible=share_of_possible(
            float(mine[-1]), float(theirs[-1]), hindsight_usd, start
        ),
    )


def share_of_possible(
    agent_usd: float, untouched_usd: float, hindsight_usd: float, start_usd: float
) -> float:
    """Return what an agent made of what could be made over doing nothing, of final equities.

    nan where hindsight is not known, or could make less than 0.1 % of the equity at the start.
    """
    possible = hindsight_usd - untouched_usd
    if not abs(possible) >= MIN_POSSIBLE * abs(start_usd):
        return math.nan
    return (agent_usd - untouched_usd) / possible


def find_false_alarms(result: Result) -> list[int]:
    """Return the rows of ``transactions`` that protected against what never came near."""
    done = result.transactions[result.transactions["status"] == "done"]
    before, after = _column(done, "health_before"), _column(done, "health_after")
    with np.errstate(invalid="ignore"):
        is_up = after < before * (1 - _SAME)  # leverage up
        protects = np.isfinite(before) & (after > before * (1 + _SAME))
    if not protects.any():
        return []
    times, moments = to_ms(result.loan.index), to_ms(pd.DatetimeIndex(done["time"]))
    worst = _column(result.loan, "untouched_health")
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
    owed = _column(loan, f"debt_{assets.debt}")
    held = _column(loan, f"collateral_{assets.collateral}")
    years = np.diff(to_ms(loan.index), prepend=to_ms(loan.index)[0]) / YEAR_MS
    earned = np.cumprod(1 + _column(loan, f"supply_rate_{assets.collateral}") * years)
    paid = np.cumprod(1 + _column(loan, f"borrow_rate_{assets.debt}") * years)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((held / owed) / (held[0] * earned / (owed[0] * paid)))


def _loan_of(result: Result) -> LoanSection:
    loan = result.recipe.loan
    if loan is None:
        raise ResultError(f"protection is of a loan, {result.recipe.name} has none: add [loan]")
    return loan


def _column(table: pd.DataFrame, name: str) -> FloatArray:
    return table[name].to_numpy(dtype=np.float64)


def _sum(table: pd.DataFrame, name: str) -> float:
    return float(table[name].astype(np.float64).sum())


def _plain(value: float) -> float | int | None:
    return value if math.isfinite(value) else None
