"""What an Aave market lets users do, version by version: limits, flags, modes, upgrades."""

import pytest
from lending_pools import DOLLAR, ETH_MODE, START_S, TOKENS, listed, loan, market, wei

from seawall.errors import RecipeError, Refused
from seawall.venues.lending.aave import ALL, AavePool, EMode, Reserve
from seawall.venues.lending.fixed import RAY
from seawall.venues.lending.rules import RULES

V3 = [name for name in RULES if name != "v2"]


@pytest.mark.parametrize("rules", list(RULES))
def test_what_is_refused_changes_nothing(rules: str) -> None:
    """A refusal deep inside an operation leaves every index, share and flag as it was."""
    pool = loan(rules)
    weth, later_s = pool.reserves["WETH"], START_S + 3_600
    before = pool.market.copy()
    for operation in (
        lambda: pool.withdraw("alice", "WETH", wei("WETH", 9), later_s),
        lambda: pool.borrow("alice", "USDC", wei("USDC", 9_000), later_s),
        lambda: pool.repay("lender", "USDC", 1, later_s),
        lambda: pool.withdraw("lender", "USDC", wei("USDC", 990_000), later_s),
    ):
        with pytest.raises(Refused):
            operation()
        assert pool.market == before
    assert pool.reserves["WETH"] is weth


@pytest.mark.parametrize("rules", list(RULES))
def test_an_amount_is_above_zero_and_worth_a_share(rules: str) -> None:
    """Nothing cannot be moved, a negative amount is a mistake of the caller."""
    pool = loan(rules)
    for operation in (pool.supply, pool.withdraw, pool.borrow, pool.repay):
        with pytest.raises(Refused, match="InvalidAmount"):
            operation("alice", "USDC", 0, START_S)
        with pytest.raises(RecipeError, match="an amount must be >= 0, is -1"):
            operation("alice", "USDC", -1, START_S)


def test_an_asset_must_be_listed_and_priced() -> None:
    """An unknown asset names those that exist; a price is above zero."""
    pool = market("v3.7")
    with pytest.raises(RecipeError, match="an asset must be one of WETH, USDC, DAI, is LINK"):
        pool.supply("alice", "LINK", 1, START_S)
    with pytest.raises(RecipeError, match="a price must be > 0, is 0 for WETH"):
        pool.set_price("WETH", 0)


@pytest.mark.parametrize("rules", list(RULES))
def test_time_does_not_run_back(rules: str) -> None:
    """Interest for less than no time is refused."""
    with pytest.raises(Refused, match="TimeRunsBack: time must not decrease"):
        loan(rules).repay("alice", "USDC", 1, START_S - 1)


@pytest.mark.parametrize("rules", list(RULES))
def test_a_reserve_can_be_frozen_paused_or_inactive(rules: str) -> None:
    """Frozen takes nothing new but lets out; paused and inactive let nothing through."""
    pool = loan(rules)
    pool.reserves["USDC"].is_frozen = True
    for operation in (pool.supply, pool.borrow):
        with pytest.raises(Refused, match="ReserveFrozen"):
            operation("alice", "USDC", 1_000, START_S)
    assert pool.repay("alice", "USDC", 1_000, START_S) == 1_000
    pool.reserves["USDC"].is_frozen = False
    pool.reserves["USDC"].is_borrowable = False
    with pytest.raises(Refused, match="BorrowingNotEnabled"):
        pool.borrow("alice", "USDC", 1_000, START_S)
    pool.reserves["USDC"].is_paused = True
    with pytest.raises(Refused, match="ReservePaused"):
        pool.repay("alice", "USDC", 1_000, START_S)
    pool.set_price("WETH", 1_600 * DOLLAR)
    with pytest.raises(Refused, match="ReservePaused"):
        pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    pool.reserves["WETH"].is_active = False
    with pytest.raises(Refused, match="ReserveInactive"):
        pool.withdraw("alice", "WETH", 1_000, START_S)


@pytest.mark.parametrize("rules", V3)
def test_caps_bind_to_the_token(rules: str) -> None:
    """A supply cap of 11 WETH and a borrow cap of 14,500 USDC: one wei more is too much."""
    pool = loan(rules)
    pool.reserves["WETH"].supply_cap = 11
    pool.reserves["USDC"].borrow_cap = 14_500
    with pytest.raises(Refused, match="SupplyCapExceeded: the supply of WETH is capped at 11"):
        pool.supply("alice", "WETH", wei("WETH", 1) + 1, START_S)
    pool.supply("alice", "WETH", wei("WETH", 1), START_S)
    with pytest.raises(Refused, match="BorrowCapExceeded: the debt in USDC is capped at 14500"):
        pool.borrow("alice", "USDC", wei("USDC", 500) + 1, START_S)
    pool.borrow("alice", "USDC", wei("USDC", 500), START_S)


def test_v2_has_no_caps() -> None:
    """Caps came with v3."""
    pool = loan("v2")
    pool.reserves["WETH"].supply_cap = pool.reserves["USDC"].borrow_cap = 1
    pool.supply("alice", "WETH", wei("WETH", 1), START_S)
    pool.borrow("alice", "USDC", wei("USDC", 1), START_S)


@pytest.mark.parametrize("rules", list(RULES))
def test_supply_backs_a_loan_unless_it_is_switched_off(rules: str) -> None:
    """With DAI supplied too, WETH may be switched off only as far as the loan stays healthy."""
    pool = loan(rules)
    with pytest.raises(Refused, match=r"TransferNotAllowed|HealthFactorLowerThan"):
        pool.use_as_collateral("alice", "WETH", START_S, use=False)
    pool.supply("alice", "DAI", wei("DAI", 20_000), START_S)
    pool.use_as_collateral("alice", "WETH", START_S, use=False)
    assert pool.account("alice", START_S).collateral_base == 20_000 * DOLLAR
    pool.use_as_collateral("alice", "WETH", START_S)
    assert pool.account("alice", START_S).collateral_base == 40_000 * DOLLAR
    with pytest.raises(Refused, match="UnderlyingBalanceZero"):
        pool.use_as_collateral("bob", "WETH", START_S)


@pytest.mark.parametrize("rules", V3)
def test_collateral_that_lends_nothing_goes_first(rules: str) -> None:
    """DAI's loan to value falls to 0: it backs the loan that is, no new one, and leaves first."""
    pool = loan(rules, {"USDC": 100.0})
    pool.supply("alice", "DAI", wei("DAI", 1_000), START_S)
    pool.reserves["DAI"].ltv_bps = 0
    assert pool.account("alice", START_S).has_zero_ltv
    with pytest.raises(Refused, match="LtvValidationFailed"):
        pool.withdraw("alice", "WETH", wei("WETH", 1), START_S)
    pool.withdraw("alice", "DAI", ALL, START_S)
    pool.withdraw("alice", "WETH", wei("WETH", 1), START_S)
    pool.supply("bob", "DAI", wei("DAI", 1_000), START_S)
    assert not pool.market.account("bob").collateral
    with pytest.raises(Refused, match="UserInIsolationModeOrLtvZero"):
        pool.use_as_collateral("bob", "DAI", START_S)


@pytest.mark.parametrize("rules", ["v3.5", "v3.6"])
def test_a_mode_replaces_an_asset_s_own_flags_from_v3_6_on(rules: str) -> None:
    """WETH with no loan to value of its own: collateral inside the mode only in v3.6."""
    pool = market(rules)
    pool.reserves["WETH"].ltv_bps = 0
    pool.enter_emode("alice", 1, START_S)
    pool.supply("alice", "WETH", wei("WETH", 10), START_S)
    assert pool.market.account("alice").collateral == ({"WETH"} if rules == "v3.6" else set())


@pytest.mark.parametrize(("rules", "is_isolated"), [("v3.6", False), ("v3.7", True)])
def test_an_isolated_mode_lends_on_its_own_collateral_alone(
    rules: str, *, is_isolated: bool
) -> None:
    """Outside collateral keeps its threshold; in v3.7's isolated modes it lends nothing."""
    mode = EMode(
        ltv_bps=9_000,
        threshold_bps=9_300,
        bonus_bps=10_100,
        collateral=frozenset({"WETH"}),
        borrowable=frozenset({"DAI"}),
        is_isolated=is_isolated,
    )
    pool = AavePool(RULES[rules], {x: listed(x, 1.0) for x in TOKENS}, {1: mode})
    pool.enter_emode("alice", 1, START_S)
    pool.supply("alice", "USDC", wei("USDC", 1_000), START_S)
    assert pool.market.account("alice").collateral == (set() if is_isolated else {"USDC"})


def test_an_asset_may_be_barred_within_a_mode() -> None:
    """v3.6: the mode's own list of assets that back no new debt."""
    barred = EMode(
        ltv_bps=9_000,
        threshold_bps=9_300,
        bonus_bps=10_100,
        collateral=frozenset({"WETH"}),
        borrowable=frozenset({"DAI"}),
        ltv_zero=frozenset({"WETH"}),
    )
    pool = AavePool(RULES["v3.6"], {x: listed(x, 1.0) for x in TOKENS}, {1: ETH_MODE, 2: barred})
    pool.supply("alice", "WETH", wei("WETH", 10), START_S)
    pool.enter_emode("alice", 1, START_S)
    with pytest.raises(Refused, match="InvalidCollateralInEmode"):
        pool.enter_emode("alice", 2, START_S)


@pytest.mark.parametrize("rules", V3)
def test_a_debt_must_be_allowed_in_the_mode(rules: str) -> None:
    """With a debt in USDC a mode that lends only WETH and DAI stays closed."""
    pool = loan(rules)
    with pytest.raises(Refused, match=r"InvalidDebtInEmode|NotBorrowableInEMode|InconsistentEMode"):
        pool.enter_emode("alice", 1, START_S)


def test_rules_change_under_a_loan_as_they_did() -> None:
    """An upgrade from v3.0 to v3.3 in mid-loan: the same loan, a larger close factor."""
    pool = loan("v3.0", {"USDC": 10_000.0, "DAI": 4_000.0})
    pool.set_price("WETH", 1_680 * DOLLAR)
    assert pool.max_cover("alice", "WETH", "USDC", START_S) == wei("USDC", 5_000)
    pool.upgrade(RULES["v3.3"])
    assert pool.rules.name == "v3.3"
    assert pool.max_cover("alice", "WETH", "USDC", START_S) == wei("USDC", 7_000)
    with pytest.raises(RecipeError, match="v2 and v3 are two markets"):
        pool.upgrade(RULES["v2"])


def test_a_reserve_without_rates_cannot_be_used() -> None:
    """Neither a curve nor fixed rates: what it would pay is unknown."""
    pool = AavePool(RULES["v3.7"], {"USDC": Reserve(decimals=6, price=DOLLAR)})
    with pytest.raises(Refused, match="NoRates: a reserve has a curve or fixed rates"):
        pool.supply("lender", "USDC", 1_000, START_S)


@pytest.mark.parametrize(
    ("rules", "minted", "balance", "borrowed", "debt"),
    [("v3.4", 7, 11, 7, 11), ("v3.5", 6, 9, 7, 11), ("v3.7", 6, 9, 7, 11)],
)
def test_shares_round_half_up_until_v3_4_then_against_the_user(
    rules: str, minted: int, balance: int, borrowed: int, debt: int
) -> None:
    """Both indices at 1.5: 10 wei are 6.67 shares. Half-up 7, worth 10.5; against him 6, worth 9.

    7 shares are 10.5: a balance of 11 half-up, and a debt of 11 both ways. Withdrawing 1 wei takes
    0.67 of a share, one whole; repaying 1 wei pays none from v3.5 on.
    """
    pool = loan(rules, {"USDC": 1.0})
    usdc = pool.reserves["USDC"]
    usdc.liquidity_index = usdc.borrow_index = 3 * RAY // 2
    pool.supply("bob", "USDC", 10, START_S)
    assert pool.market.account("bob").supplied["USDC"] == minted
    assert pool.collateral("bob", "USDC", START_S) == balance
    pool.supply("carol", "WETH", wei("WETH", 1), START_S)
    pool.borrow("carol", "USDC", 10, START_S)
    assert pool.market.account("carol").borrowed["USDC"] == borrowed
    assert pool.debt("carol", "USDC", START_S) == debt
    pool.withdraw("bob", "USDC", 1, START_S)
    assert pool.market.account("bob").supplied["USDC"] == minted - 1
    if rules == "v3.4":
        pool.repay("carol", "USDC", 1, START_S)
        assert pool.market.account("carol").borrowed["USDC"] == borrowed - 1
    else:
        with pytest.raises(Refused, match="InvalidBurnAmount"):
            pool.repay("carol", "USDC", 1, START_S)


@pytest.mark.parametrize("rules", ["v3.0", "v3.3"])
def test_borrowing_a_third_of_a_share(rules: str) -> None:
    """At an index of 3, 1 wei is a third of a share: half-up that is none, and refused."""
    pool = loan(rules, {"USDC": 1.0})
    pool.reserves["USDC"].borrow_index = 3 * RAY
    with pytest.raises(Refused, match="InvalidMintAmount"):
        pool.borrow("alice", "USDC", 1, START_S)
    pool.upgrade(RULES["v3.5"])
    pool.borrow("alice", "USDC", 1, START_S)
    assert pool.market.account("alice").borrowed["USDC"] == wei("USDC", 1) + 1


@pytest.mark.parametrize(("rules", "value"), [("v2", 0), ("v3.4", 0), ("v3.5", 1), ("v3.7", 1)])
def test_the_smallest_debt_counts_from_v3_5_on(rules: str, value: int) -> None:
    """1 wei of DAI is worth 1e-18 dollars: rounded down nothing, rounded up 1e-8."""
    pool = loan(rules, {"DAI": 1.0})
    pool.repay("alice", "DAI", wei("DAI", 1) - 1, START_S)
    data = pool.account("alice", START_S)
    assert (pool.debt("alice", "DAI", START_S), data.debt_base) == (1, value)
    assert (data.health_wad == ALL) == (value == 0)


@pytest.mark.parametrize("rules", list(RULES))
def test_seizing_all_of_one_collateral_leaves_the_other(rules: str) -> None:
    """WETH falls to 100 dollars: it is seized whole and its flag with it, DAI stays."""
    pool = loan(rules, {"USDC": 16_000.0})
    pool.supply("alice", "DAI", wei("DAI", 9_000), START_S)
    pool.set_price("WETH", 100 * DOLLAR)
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert deal.seized == wei("WETH", 10)
    assert not deal.bad_debt
    assert pool.market.account("alice").collateral == {"DAI"}
    assert pool.account("alice", START_S).collateral_base == 9_000 * DOLLAR
