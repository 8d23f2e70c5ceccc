"""What an agent is judged by: what became of what it guarded, and what that was worth.

Plain values, as a result stores them. ``protection`` measures loans, ``margin_protection`` futures
positions; both come to a ``Judgement``. Where a futures account is meant, USD stands for its quote
unit.

The **share of the possible** is ``(agent - do nothing) / (hindsight - do nothing)``, of final
equity; nan, shown as a dash, where hindsight could not have made a difference of 0.1 % of the
equity at the start. Above 1 it is where an agent held what hindsight never does
(``LOANS_ABOVE``, ``MARGIN_ABOVE``).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

from seawall.errors import LedgerError, ResultError
from seawall.market.series import FloatArray
from seawall.result import Result
from seawall.result_folder import as_text, read_values

LOAN_PARTS = (
    "market", "supply_interest", "borrow_interest", "gas", "swap_fees", "impact", "service_fees",
    "flash_premiums", "liquidation_bonus", "liquidation_fee", "bad_debt",
)  # fmt: skip
MARGIN_PARTS = (
    "market", "trading_fees", "slippage", "funding", "liquidation_fees", "insurance", "transfers",
)  # fmt: skip
HEDGED_PARTS = (  # of a loan and the exchange account that hedges it
    *LOAN_PARTS,
    "hedge_market", "hedge_trading_fees", "hedge_slippage", "hedge_funding",
    "hedge_liquidation_fees", "hedge_insurance", "transfers",
)  # fmt: skip
THINKING = "thinking"  # a part of every account, where the agent's thinking has cost anything
ALL_PARTS = tuple(dict.fromkeys((*LOAN_PARTS, *MARGIN_PARTS, *HEDGED_PARTS, THINKING)))
MIN_POSSIBLE = 1e-3  # of the equity at the start: below it, a share of the possible says nothing
LOANS_ABOVE = (
    "hindsight's states do not include borrowing the collateral's asset, that is, being short, so "
    "it is no upper bound for who did; nor does its grid hold every state in between."
)
MARGIN_ABOVE = (
    "hindsight trades the guarded contract alone, at the opens of bars and up to its size at the "
    "start, so it is no upper bound for who hedged with another symbol, whose limit orders filled "
    "at better prices than an open's, or who made the position larger."
)
_EXACT = 1e-9  # of the equity: how well the parts add up


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
        n_false_alarms: see ``protection``.
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
        return _to_return(self.start_equity_usd, self.final_equity_usd)

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain values in the fields' order; what is no finite number is None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, stored: object) -> "Protection":
        """Return what ``to_dict`` has written; TypeError where it is none."""
        found = cls(**read_values(cls, stored))
        return replace(found, min_health=math.inf) if math.isnan(found.min_health) else found


@dataclass(frozen=True, kw_only=True)
class MarginProtection:
    """What became of a futures position in one run; quote units, or as said.

    Attributes:
        start_equity_usd, final_equity_usd: of the whole account, reserve included.
        n_liquidations: moments at which a liquidation struck; ``n_steps``: orders of it, one for
            each tier that was left.
        liquidated_usd: notional that was closed, at the mark when it was.
        liquidation_fees_usd: paid for it.
        insurance_usd: lost beyond the margin, paid by the insurance fund.
        worst_margin_ratio: highest within any bar; inf where no margin was left.
        above_80: share of the bars that closed with a margin ratio above 80 %.
        min_distance: least distance of a close's mark from the liquidation price, as a fraction of
            the mark, over all contracts; nan where there never was one.
        n_actions, n_refused: orders that filled and transfers, and what was refused.
        n_false_alarms: see ``margin_protection``.
        margin_added_usd: moved into the futures wallet, less what was moved out of it.
        funding_usd: paid, < 0: received.
        trading_fees_usd, slippage_usd, transfers_usd: paid.
    """

    start_equity_usd: float
    final_equity_usd: float
    n_liquidations: int
    n_steps: int
    liquidated_usd: float
    liquidation_fees_usd: float
    insurance_usd: float
    worst_margin_ratio: float
    above_80: float
    min_distance: float
    n_actions: int
    n_refused: int
    n_false_alarms: int
    margin_added_usd: float
    funding_usd: float
    trading_fees_usd: float
    slippage_usd: float
    transfers_usd: float

    @property
    def total_return(self) -> float:
        """Final equity over that of the start, minus 1; nan for a start at or below 0."""
        return _to_return(self.start_equity_usd, self.final_equity_usd)

    @property
    def min_health(self) -> float:
        """Least margin over maintenance margin, which is 1 at liquidation as a loan's health is."""
        ratio = self.worst_margin_ratio
        return 1 / ratio if ratio > 0 else math.inf

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain values in the fields' order; what is no finite number is None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, stored: object) -> "MarginProtection":
        """Return what ``to_dict`` has written; TypeError where it is none."""
        found = cls(**read_values(cls, stored))
        is_inf = math.isnan(found.worst_margin_ratio)
        return replace(found, worst_margin_ratio=math.inf) if is_inf else found


P = TypeVar("P", Protection, MarginProtection)


@dataclass(frozen=True, kw_only=True)
class Price:
    """What an agent changed against the same path without it, USD.

    Attributes:
        price_usd: what protection cost: equity without the agent less equity with it, at the end.
            Below 0 where it was worth having.
        parts: of the opposite, what it gained: keys as in ``LOAN_PARTS``,
            ``MARGIN_PARTS`` or ``HEDGED_PARTS``; they add up to ``-price_usd``.
        upside_given_up_usd: what the market gave the account without the agent and not the one
            with it, >= 0.
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
        if not isinstance(stored, dict):
            raise TypeError("a price is a mapping")
        given = stored.get("parts", {})
        if set(given) - {THINKING} not in (set(LOAN_PARTS), set(MARGIN_PARTS), set(HEDGED_PARTS)):
            raise TypeError("a price has the parts of a loan, of a futures account or of both")
        parts = {as_text(name): float(given[name]) for name in ALL_PARTS if name in given}
        rest = {name: value for name, value in stored.items() if name != "parts"}
        return cls(parts=parts, **read_values(cls, rest, apart=("parts",)))


@dataclass(frozen=True, kw_only=True)
class Judgement(Generic[P]):
    """One agent on one path, with bars resolved for the worse (the headline) and for the better.

    Attributes:
        own, own_best: what became of what it guarded.
        untouched, untouched_best: of the same that nobody touched.
        price, price_best: the difference.
    """

    own: P
    own_best: P
    untouched: P
    untouched_best: P
    price: Price
    price_best: Price

    def to_dict(self) -> dict[str, object]:
        """Return plain values by name."""
        return {f.name: getattr(self, f.name).to_dict() for f in fields(self)}

    @classmethod
    def from_dict(
        cls, stored: Mapping[str, object]
    ) -> "Judgement[Protection] | Judgement[MarginProtection]":
        """Return what ``to_dict`` has written, of a loan or of a futures position.

        Raises:
            ResultError: it is damaged.
        """
        try:
            own = stored["own"]
            if isinstance(own, dict) and "worst_margin_ratio" in own:
                return _read(stored, MarginProtection.from_dict)
            return _read(stored, Protection.from_dict)
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
        why = LOANS_ABOVE if isinstance(self.own, Protection) else MARGIN_ABOVE
        return f"The agent had more than 100 % of the possible: {why}"


def _read(stored: Mapping[str, object], read: Callable[[object], P]) -> Judgement[P]:
    return Judgement(
        own=read(stored["own"]),
        own_best=read(stored["own_best"]),
        untouched=read(stored["untouched"]),
        untouched_best=read(stored["untouched_best"]),
        price=Price.from_dict(stored["price"]),
        price_best=Price.from_dict(stored["price_best"]),
    )


def judge_with(
    measure: Callable[[Result], P],
    runs: tuple[Result, Result],
    *,
    names: tuple[str, ...],
    hindsight_usd: float = math.nan,
    best_usd: float = math.nan,
) -> Judgement[P]:
    """Return what an agent's run comes to beside the same path without an agent.

    Args:
        measure: returns what became of what is guarded.
        runs: of the agent, and of ``do_nothing`` on the same recipe.
        names: of the parts of the change of the equity.
        hindsight_usd: final equity of the best policy, bars resolved for the worse.
        best_usd: the same, resolved for the better.

    Raises:
        ResultError: one of them has nothing to guard, or they start with different equity.
        LedgerError: the parts do not add up.
    """
    result, untouched = runs
    mine, theirs = result.other or result, untouched.other or untouched
    return Judgement(
        own=measure(result),
        own_best=measure(mine),
        untouched=measure(untouched),
        untouched_best=measure(theirs),
        price=to_price(result, untouched, names=names, hindsight_usd=hindsight_usd),
        price_best=to_price(mine, theirs, names=names, hindsight_usd=best_usd),
    )


def to_price(
    result: Result, untouched: Result, *, names: tuple[str, ...], hindsight_usd: float = math.nan
) -> Price:
    """Return what the agent of ``result`` changed against ``untouched``, part by part.

    The account's parts of both runs are subtracted one by one, so the parts of the difference add
    up to it; there is no residual term.

    Raises:
        ResultError: they start with different equity.
        LedgerError: the parts do not add up: a defect of Seawall.
    """
    mine, theirs = equity_of(result), equity_of(untouched)
    start = float(theirs[0])
    if not math.isclose(mine[0], start, rel_tol=_EXACT, abs_tol=_EXACT):
        raise ResultError(
            f"a price needs two runs from one start, these start with {mine[0]:,.6f} and "
            f"{start:,.6f} USD: run one recipe with both agents"
        )
    parts = {name: result.parts[name] - untouched.parts[name] for name in names}
    if THINKING in result.parts or THINKING in untouched.parts:
        parts[THINKING] = result.parts.get(THINKING, 0.0) - untouched.parts.get(THINKING, 0.0)
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
        upside_given_up_usd=max(0.0, 0.0 - parts["market"] - parts.get("hedge_market", 0.0)),
        hindsight_usd=hindsight_usd,
        share_of_possible=share_of_possible(
            float(mine[-1]), float(theirs[-1]), hindsight_usd, start
        ),
    )


def equity_of(result: Result) -> FloatArray:
    """Return the whole account at the start and at each close, float64, shape (n_samples,)."""
    return account_of(result)["equity"].to_numpy(dtype=np.float64)


def parts_of(result: Result) -> dict[str, float]:
    """Return the parts of the change of the equity in their usual order, stored or not."""
    return {name: result.parts[name] for name in ALL_PARTS if name in result.parts}


def account_of(result: Result) -> pd.DataFrame:
    """Return the table with the ``equity`` of the whole account, index ``time``."""
    is_loan_alone = result.recipe.loan is not None and result.perpetual.empty
    return result.loan if is_loan_alone else result.equity


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


def _to_return(start: float, final: float) -> float:
    return final / start - 1 if start > 0 else math.nan


def _plain(value: float) -> float | int | None:
    return value if math.isfinite(value) else None
