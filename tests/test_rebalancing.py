"""Bundles that lead to a health factor: legal at every step, paid for, and they arrive."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loan_views import ETH_USDC, PRICES, STAKED, make_loan

from seawall.engine.run import run
from seawall.errors import AgentError
from seawall.loan_action import Borrow, Bundle, Repay, Supply, Swap, Withdraw
from seawall.loan_view import LoanTerms, LoanView
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.preview import preview
from seawall.rebalancing import GUARD, MARGIN, close_loan, is_there, to_health
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

AAVE_V2 = replace(ETH_USDC, protocol="aave v2", depth_usd=5_000_000.0)
NO_FLASH = replace(ETH_USDC, has_flash_loans=False)
COMPOUND = replace(
    ETH_USDC, protocol="compound v3", has_flash_loans=False, max_ltv={**ETH_USDC.max_ltv}
)


class BrokenError(Exception):
    """A step that no protocol would let pass."""


class Account:
    """A tiny venue: balances, fixed prices, and the rules of a lending protocol."""

    def __init__(self, loan: LoanView, moved: float = 1.0) -> None:
        self.terms: LoanTerms = loan.terms
        self.collateral, self.debt = dict(loan.collateral), dict(loan.debt)
        self.wallet = dict(loan.wallet)
        c = self.terms.collateral
        self.market = {a: p * (moved if a == c else 1.0) for a, p in loan.market_prices.items()}
        self.oracle = loan.prices

    def value(self, tokens: Mapping[str, float], weights: Mapping[str, float]) -> float:
        """Return tokens times oracle price times weight."""
        return sum(x * self.oracle[a] * weights[a] for a, x in tokens.items())

    @property
    def health(self) -> float:
        """Health factor at the oracle's prices."""
        owed = self.value(self.debt, dict.fromkeys(self.debt, 1.0))
        return self.value(self.collateral, self.terms.threshold) / owed if owed > 0 else inf

    def check(self, *, borrows: bool) -> None:
        """Raise where the protocol would."""
        owed = self.value(self.debt, dict.fromkeys(self.debt, 1.0))
        is_strict = borrows or self.terms.protocol.startswith("compound")
        weights = self.terms.max_ltv if is_strict else self.terms.threshold
        if self.value(self.collateral, weights) < owed * (1 - 1e-12):
            raise BrokenError("too little collateral")

    def pay(self, asset: str, amount: float) -> None:
        """Take tokens out of the wallet."""
        if amount > self.wallet[asset] * (1 + 1e-12):  # what float64 may be short of
            raise BrokenError(f"wallet has {self.wallet[asset]} {asset}, {amount} needed")
        self.wallet[asset] = max(self.wallet[asset] - amount, 0.0)

    def do(self, step: Supply | Withdraw | Borrow | Repay | Swap) -> None:
        """Carry out one step."""
        if isinstance(step, Swap):
            amount = self.wallet[step.sell] if step.amount == inf else step.amount
            self.pay(step.sell, amount)
            value = amount * self.market[step.sell] * (1 - step.service_fee)
            value *= 1 - self.terms.swap_fee
            out = value / (1 + value / self.terms.depth_usd)
            self.wallet[step.buy] += out / self.market[step.buy]
            return
        asset = step.asset
        if isinstance(step, Supply):
            amount = self.wallet[asset] if step.amount == inf else step.amount
            self.pay(asset, amount)
            self.collateral[asset] += amount
        elif isinstance(step, Withdraw):
            amount = self.collateral[asset] if step.amount == inf else step.amount
            if amount > self.collateral[asset]:
                raise BrokenError("more than there is")
            self.collateral[asset] -= amount
            self.wallet[asset] += amount
            self.check(borrows=False)
        elif isinstance(step, Borrow):
            self.debt[asset] += step.amount
            self.wallet[asset] += step.amount
            self.check(borrows=True)
        else:
            there = self.wallet[asset] if step.amount == inf else step.amount
            amount = min(there, self.debt[asset])
            self.pay(asset, amount)
            self.debt[asset] -= amount

    def run(self, bundle: Bundle) -> None:
        """Carry out a bundle, flash loan included."""
        lent = bundle.flash_loan
        if lent is not None:
            assert self.terms.has_flash_loans
            self.wallet[lent.asset] += lent.amount
        for step in bundle.actions:
            self.do(step)
        if lent is not None:
            self.pay(lent.asset, lent.amount * (1 + self.terms.flash_premium))


@st.composite
def loans(draw: st.DrawFn) -> LoanView:
    """Return a loan of some size on some protocol, with something in the wallet."""
    terms = draw(st.sampled_from([ETH_USDC, AAVE_V2, STAKED]))
    terms = replace(
        terms,
        swap_fee=draw(st.sampled_from([0.0, 0.0005, 0.003])),
        flash_premium=draw(st.sampled_from([0.0, 0.0005, 0.0009])),
        min_reserve_usd=draw(st.sampled_from([0.0, 500.0, 5_000.0])),
        # deep enough for the whole loan: an e-mode loan of 460,000 has an equity of 7 % only
        depth_usd=draw(st.sampled_from([5e7, inf] if terms.collateral == "wstETH" else [5e6, inf])),
    )
    wallet = draw(st.sampled_from([0.0, 100.0, 8_000.0]))
    return make_loan(
        collateral=draw(st.floats(1.0, 200.0)),
        health=draw(st.floats(1.001, 1.9)),
        wallet={terms.debt: wallet / PRICES[terms.debt]},
        market={terms.collateral: PRICES[terms.collateral] * draw(st.floats(0.995, 1.005))},
        terms=terms,
    )


def least_health(terms: LoanTerms) -> float:
    """Return the health factor at the largest loan-to-value that may be borrowed."""
    return terms.threshold[terms.collateral] / terms.max_ltv[terms.collateral]


@settings(deadline=None)
@given(
    loan=loans(),
    target=st.floats(1.1, 3.0),
    service_fee=st.sampled_from([0.0, 0.003]),
    use_wallet=st.booleans(),
)
def test_a_bundle_leads_to_its_target(
    loan: LoanView, target: float, service_fee: float, *, use_wallet: bool
) -> None:
    """Executed at the prices seen it is legal, pays its flash loan and hits 1e-3 of the target.

    Where there is none the target is met, or what leads there is not worth its gas: a sale, or a
    repayment out of the wallet.
    """
    bundle = to_health(loan, target, service_fee=service_fee, use_wallet=use_wallet)
    account = Account(loan)
    if bundle is None:
        threshold = loan.terms.threshold[loan.terms.collateral]
        excess = loan.debt_usd - loan.collateral_usd * threshold / target
        repays = use_wallet and loan.wallet[loan.terms.debt] > 0
        moved = excess if repays else target * excess / (target - threshold)
        least = loan.gas_cost_usd(loan.terms.gas_units["repay"])
        assert abs(loan.health / target - 1) <= 1e-3 or 0 < moved <= 1.05 * least
        return
    account.run(bundle)
    floor = least_health(loan.terms) * (1 + GUARD)
    assert account.health == pytest.approx(max(target, min(loan.health, floor)), rel=1e-3)
    assert all(amount >= 0 for amount in account.wallet.values())


@settings(deadline=None)
@given(loans(), st.floats(1.2, 3.0), st.floats(-0.029, 0.029))
def test_a_bundle_survives_a_price_that_moves_by_less_than_the_margin(
    loan: LoanView, target: float, moved: float
) -> None:
    """2.9 % either way between the decision and the block: it still pays and passes."""
    bundle = to_health(loan, target)
    if bundle is not None:
        account = Account(loan, 1 + moved)
        account.run(bundle)
        assert (account.health > loan.health) == (target > loan.health)


@settings(deadline=None)
@given(loan=loans(), moved=st.floats(-0.029, 0.029), sell_all=st.booleans())
def test_closing_leaves_no_debt(loan: LoanView, moved: float, *, sell_all: bool) -> None:
    """Everything is repaid, the rest stays supplied; with sell_all everything is in one asset."""
    terms = replace(loan.terms, swap_fee=0.0005, depth_usd=max(loan.terms.depth_usd, 5e7))
    c = terms.collateral
    loan = make_loan(
        collateral=loan.collateral[c],
        health=max(loan.health, 1.05),
        wallet=loan.wallet,
        terms=terms,
    )
    bundle = close_loan(loan, sell_all=sell_all)
    assert bundle is not None
    account = Account(loan, 1 + moved)
    account.run(bundle)
    assert account.health == inf
    if sell_all:
        left = account.collateral[c] + account.wallet[c]
        assert left == pytest.approx(0.0, abs=1e-9)
    else:
        assert account.collateral[c] > 0.0


@settings(deadline=None)
@given(loans(), st.floats(1.3, 3.0))
def test_without_flash_loans_every_step_is_legal(loan: LoanView, target: float) -> None:
    """Several rounds in one bundle: never beyond the limit, and closer to the target."""
    terms = replace(loan.terms, has_flash_loans=False)
    owed = loan.debt[terms.debt]
    loan = make_loan(collateral=loan.collateral[terms.collateral], debt=owed, terms=terms)
    bundle = to_health(loan, target)
    if bundle is not None:
        assert bundle.flash_loan is None
        account = Account(loan)
        account.run(bundle)
        assert abs(account.health - target) < abs(loan.health - target)


def test_a_plain_deleverage_needs_no_flash_loan() -> None:
    """At health 1.5 selling a little leaves more than 1 on the way: withdraw, swap all, repay all.

    limit 16,600, debt 11,066.67; to 1.6: 16,600 - 1,660 x = 1.6 (11,066.67 - 1,999 x) without
    impact: x = 1,106.67 / 1,538.4 = 0.71936.
    """
    terms = replace(ETH_USDC, depth_usd=inf)
    bundle = to_health(make_loan(health=1.5, terms=terms), 1.6)
    assert bundle is not None
    withdraw, swap, repay = bundle.actions
    assert isinstance(withdraw, Withdraw)
    assert withdraw.amount == pytest.approx(1_106.6667 / 1_538.4, rel=1e-6)
    assert swap == Swap(sell="WETH", buy="USDC", amount=inf)
    assert repay == Repay(asset="USDC", amount=inf)


@pytest.mark.parametrize("moved", [1.0, 0.8])
def test_close_to_the_line_it_takes_a_flash_loan(moved: float) -> None:
    """At health 1.05 to 1.6: lent collateral is sold for all it brings, even after a crash."""
    loan = make_loan(health=1.05)
    bundle = to_health(loan, 1.6)
    assert bundle is not None
    assert bundle.flash_loan is not None
    assert bundle.flash_loan.asset == "WETH"
    swap, repay, withdraw = bundle.actions
    assert swap == Swap(sell="WETH", buy="USDC", amount=inf)
    assert repay == Repay(asset="USDC", amount=inf)
    assert isinstance(withdraw, Withdraw)
    account = Account(loan, moved)
    account.run(bundle)
    assert account.wallet["USDC"] == 0.0


def test_a_reserve_in_the_debt_asset_keeps_a_margin() -> None:
    """With 1,000 USDC that have to stay, a swap is counted on for 97 % of what it should bring."""
    terms = replace(ETH_USDC, min_reserve_usd=1_000.0)
    loan = make_loan(health=1.05, wallet={"USDC": 1_000.0}, terms=terms)
    bundle = to_health(loan, 1.6)
    assert bundle is not None
    account = Account(loan)
    account.run(bundle)
    repaid = loan.debt["USDC"] - account.debt["USDC"]
    left = account.wallet["USDC"] - 1_000.0
    assert left == pytest.approx(repaid * MARGIN / (1 - MARGIN), rel=1e-9)
    assert account.health == pytest.approx(1.6, rel=1e-3)


def test_the_wallet_pays_first_and_keeps_its_reserve() -> None:
    """3,000 USDC of which 1,000 stay: 2,000 are repaid, then collateral is sold.

    A wallet that is enough repays exactly: debt 12,769.23 at 1.3; 16,600 / 1.4 = 11,857.14.
    """
    terms = replace(ETH_USDC, min_reserve_usd=1_000.0)
    bundle = to_health(make_loan(health=1.3, wallet={"USDC": 3_000.0}, terms=terms), 2.0)
    assert bundle is not None
    assert bundle.actions[0] == Repay(asset="USDC", amount=2_000.0)
    assert len(bundle.actions) > 1
    bundle = to_health(make_loan(health=1.3, wallet={"USDC": 3_000.0}, terms=terms), 1.4)
    assert bundle is not None
    (only,) = bundle.actions
    assert isinstance(only, Repay)
    assert only.amount == pytest.approx(16_600 / 1.3 - 16_600 / 1.4, rel=1e-12)


def test_collateral_in_the_wallet_is_supplied() -> None:
    """2 WETH beside the loan: some are supplied, nothing is sold."""
    loan = make_loan(health=1.3, wallet={"WETH": 2.0})
    bundle = to_health(loan, 1.4)
    assert bundle is not None
    assert [step.kind for step in bundle.actions] == ["supply"]
    account = Account(loan)
    account.run(bundle)
    assert account.health == pytest.approx(1.4, rel=1e-9)


def test_leverage_stops_at_the_largest_loan_to_value() -> None:
    """Asked for 1.01, a loan that may be borrowed to 83/80.5 ends there, less the guard."""
    loan = make_loan(health=2.5)
    bundle = to_health(loan, 1.01)
    assert bundle is not None
    account = Account(loan)
    account.run(bundle)
    assert account.health == pytest.approx(0.83 / 0.805 * (1 + GUARD), rel=1e-6)


def test_compound_lets_nothing_out_beyond_the_borrowing_limit() -> None:
    """Between the borrowing limit and the threshold only the wallet helps; below it, rounds do."""
    assert to_health(make_loan(health=1.02, terms=COMPOUND), 1.5) is None
    loan = make_loan(health=1.2, terms=COMPOUND)
    bundle = to_health(loan, 1.5)
    assert bundle is not None
    account = Account(loan)
    account.run(bundle)
    assert account.health > 1.4


def test_a_thin_pool_gives_what_it_can() -> None:
    """A loan of 2,000,000 in a pool of 500,000 cannot reach 3: it goes where selling stops to help.

    There a dollar more into the pool brings 0.83 / health of one: ``(1 + v / 500,000)^-2`` of it.
    """
    terms = replace(ETH_USDC, depth_usd=500_000.0, swap_fee=0.0, flash_premium=0.0)
    loan = make_loan(collateral=1_000.0, health=1.2, terms=terms)
    bundle = to_health(loan, 3.0)
    assert bundle is not None
    account = Account(loan)
    account.run(bundle)
    sold = (loan.collateral["WETH"] - account.collateral["WETH"]) * 2_000.0
    marginal = (1 + sold / 500_000.0) ** -2
    assert marginal == pytest.approx(0.83 / account.health, rel=1e-3)
    assert account.health > loan.health


def test_a_loan_under_water_cannot_be_closed() -> None:
    """Where the collateral does not pay the debt there is no bundle."""
    assert close_loan(make_loan(health=0.8)) is None
    assert close_loan(make_loan()) is None
    assert to_health(make_loan(health=1.2), inf) == close_loan(make_loan(health=1.2))


def test_at_its_target_there_is_nothing_to_do() -> None:
    """Within 0.1 %, and with no debt at an infinite target."""
    assert to_health(make_loan(health=1.5), 1.5005) is None
    assert to_health(make_loan(), inf) is None
    with pytest.raises(AgentError, match=r"a target health factor must be > 1, is 1\.0"):
        to_health(make_loan(health=1.5), 1.0)


def test_limits_are_written_on_the_bundle() -> None:
    """What may be paid for gas and lost in a swap goes with it."""
    bundle = to_health(make_loan(health=1.2), 1.5, max_gas_usd=40.0, max_slippage=0.02)
    assert bundle is not None
    assert (bundle.max_gas_usd, bundle.max_slippage) == (40.0, 0.02)


@settings(deadline=None)
@given(loans(), st.floats(1.2, 3.0))
def test_a_preview_sees_what_happens(loan: LoanView, target: float) -> None:
    """Balances after a bundle equal those of the venue; what it cost is what equity lost."""
    bundle = to_health(loan, target, service_fee=0.003)
    if bundle is None:
        return
    seen, account = preview(loan, bundle), Account(loan)
    account.run(bundle)
    assert seen.health == pytest.approx(account.health, rel=1e-9)
    for asset in loan.terms.assets:
        assert seen.wallet[asset] == pytest.approx(account.wallet[asset], rel=1e-9, abs=1e-9)

    def equity(of: Mapping[str, Mapping[str, float]]) -> float:
        market = loan.market_prices
        held = sum((of["collateral"][a] + of["wallet"][a]) * market[a] for a in market)
        return held - sum(of["debt"][a] * market[a] for a in market)

    before = equity({"collateral": loan.collateral, "wallet": loan.wallet, "debt": loan.debt})
    after = equity({"collateral": seen.collateral, "wallet": seen.wallet, "debt": seen.debt})
    assert before - after == pytest.approx(seen.spent_usd - seen.gas_usd, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("residue", [1e-16, 1e-9, 4e-6])
@pytest.mark.parametrize(
    ("health", "target", "asset"), [(3.0, 1.6, "WETH"), (1.1, 1.6, "USDC"), (1.2, inf, "WETH")]
)
def test_rounding_left_in_the_wallet_changes_no_plan(
    health: float, target: float, asset: str, residue: float
) -> None:
    """Up to a cent of either asset: "all" stays "all", and amounts are the same to 1e-6."""
    plain = to_health(make_loan(health=health), target)
    dusty = to_health(make_loan(health=health, wallet={asset: residue}), target)
    assert plain is not None
    assert dusty is not None
    assert [step.kind for step in dusty.actions] == [step.kind for step in plain.actions]
    for one, other in zip(dusty.actions, plain.actions, strict=True):
        assert one.amount == pytest.approx(other.amount, rel=1e-6)


def test_a_debt_below_a_cent_is_none() -> None:
    """It is closed already, and closing it writes no transaction."""
    dusty = make_loan(debt=0.004)
    assert is_there(dusty, inf)
    assert to_health(dusty, inf) is None
    assert close_loan(dusty) is None
    assert not is_there(make_loan(debt=1.0), inf)
    assert not is_there(make_loan(), 1.6)


def test_floats_and_integers_agree_after_many_plans(tmp_path: Path) -> None:
    """Closed and taken again twice: what integers leave in the wallet decides nothing."""
    rough, fine = (_run_up_and_down(tmp_path, is_exact=exact) for exact in (False, True))
    assert rough.transactions["what"].tolist() == fine.transactions["what"].tolist()
    assert len(fine.transactions) == 4
    ends = [float(one.loan["equity"].iloc[-1]) for one in (rough, fine)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-8)


def _run_up_and_down(folder: Path, *, is_exact: bool) -> Result:
    values = json.loads(Recipe.from_file(find_recipe("loan_demo")).to_json())
    values["market"] |= {"crash": None, "since": "2025-01-01", "until": "2025-01-10"}
    values["loan"] |= {"leverage": 2.5, "exact": is_exact}
    for section in ("market", "loan"):
        values[section] = {k: v for k, v in values[section].items() if v is not None}
    return run(Recipe.from_dict(values), agent=_up_and_down(), catalog=Catalog(folder))


def _up_and_down() -> Callable[[Observation], float | None]:
    """Return an agent that closes the loan and takes it again, twice."""
    targets, seen = {1: inf, 5: 1.6, 20: inf, 25: 1.6}, iter(range(1, 10_000))
    return lambda _observation: targets.get(next(seen))
