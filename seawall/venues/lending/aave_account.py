"""What a user has and owes in an Aave market, and the checks that a withdrawal or a loan must pass.

Source: ``GenericLogic.sol`` and ``ValidationLogic.sol`` (v2, v3.0, v3.6).
"""

from seawall.errors import Refused
from seawall.venues.lending.aave_rates import borrow_index_at, liquidity_index_at
from seawall.venues.lending.aave_shares import debt_of_shares, supply_of_shares
from seawall.venues.lending.aave_state import Account, AccountData, EMode, Market, Reserve
from seawall.venues.lending.fixed import (
    ALL,
    BPS,
    WAD,
    ceil_div,
    percent_div,
    percent_div_ceil,
    percent_mul,
    wad_div,
)
from seawall.venues.lending.rules import AaveRules


def collateral_of(market: Market, user: str, asset: str, now_s: int) -> int:
    """Return a user's supplied balance, in the token's smallest unit."""
    shares = market.account(user).supplied.get(asset, 0)
    index = liquidity_index_at(market.reserve(asset), now_s)
    return supply_of_shares(market.rules, shares, index)


def debt_of(market: Market, user: str, asset: str, now_s: int) -> int:
    """Return a user's debt, in the token's smallest unit."""
    shares = market.account(user).borrowed.get(asset, 0)
    if not shares:
        return 0
    index = borrow_index_at(market.rules, market.reserve(asset), now_s)
    return debt_of_shares(market.rules, shares, index)


def collateral_value(reserve: Reserve, amount: int) -> int:
    """Return what an amount of collateral counts for, base currency units."""
    return amount * reserve.price // reserve.unit


def debt_value(rules: AaveRules, reserve: Reserve, amount: int) -> int:
    """Return what an amount of debt counts for, base currency units."""
    if rules.rounds_against_user:
        return ceil_div(amount * reserve.price, reserve.unit)
    return amount * reserve.price // reserve.unit


def emode_of(market: Market, account: Account, asset: str) -> EMode | None:
    """Return the efficiency mode in which the asset is the user's collateral, if it is in one."""
    mode = market.emodes.get(account.emode) if account.emode else None
    return mode if mode is not None and asset in mode.collateral else None


def ltv_of(market: Market, account: Account, asset: str) -> int:
    """Return what of an asset's value backs new debt of this user, basis points."""
    own = market.reserve(asset).ltv_bps
    mode = emode_of(market, account, asset)
    if not market.rules.emode_replaces:
        return mode.ltv_bps if mode is not None and own else own
    if mode is not None:
        return 0 if asset in mode.ltv_zero else mode.ltv_bps
    if account.emode and market.emodes[account.emode].is_isolated:
        return 0
    return own


def account_data(market: Market, user: str, now_s: int) -> AccountData:
    """Return a user's position at the prices that are set."""
    account, rules = market.account(user), market.rules
    collateral = debt = weighted_ltv = weighted_threshold = 0
    has_zero_ltv = False
    for asset in account.collateral:
        reserve = market.reserve(asset)
        if reserve.threshold_bps == 0 and not rules.emode_replaces:
            continue
        value = collateral_value(reserve, collateral_of(market, user, asset, now_s))
        ltv = ltv_of(market, account, asset)
        mode = emode_of(market, account, asset)
        collateral += value
        weighted_ltv += value * ltv
        weighted_threshold += value * (
            reserve.threshold_bps if mode is None else mode.threshold_bps
        )
        has_zero_ltv |= ltv == 0
    for asset in account.borrowing:
        debt += debt_value(rules, market.reserve(asset), debt_of(market, user, asset, now_s))
    threshold = weighted_threshold // collateral if collateral else 0
    return AccountData(
        collateral_base=collateral,
        debt_base=debt,
        ltv_bps=weighted_ltv // collateral if collateral else 0,
        threshold_bps=threshold,
        health_wad=(
            _health_from_sum(weighted_threshold, debt)
            if rules.health_from_sum
            else health_wad(collateral, debt, threshold)
        ),
        has_zero_ltv=has_zero_ltv,
    )


def health_wad(collateral_base: int, debt_base: int, threshold_bps: int) -> int:
    """Return the health factor through an average threshold, as v2 to v3.4 do."""
    if debt_base == 0:
        return ALL
    return wad_div(percent_mul(collateral_base, threshold_bps), debt_base)


def check_before_borrow(market: Market, user: str, asset: str, amount: int, now_s: int) -> None:
    """Refuse a loan that the collateral cannot bear, before it is taken (v2 to v3.4)."""
    data = account_data(market, user, now_s)
    if data.collateral_base == 0:
        raise Refused(f"CollateralBalanceIsZero: a loan needs collateral, {user} has none: supply")
    _check_ltv(data)
    if data.health_wad <= WAD:
        raise Refused(_unhealthy(data, "above"))
    reserve = market.reserve(asset)
    debt = data.debt_base + amount * reserve.price // reserve.unit
    _check_covers(data, percent_div(debt, data.ltv_bps), debt)


def check_after_borrow(market: Market, user: str, now_s: int) -> None:
    """Refuse a loan that the collateral cannot bear, once it is taken (v3.5 on)."""
    data = account_data(market, user, now_s)
    _check_ltv(data)
    _check_health(data)
    _check_covers(data, percent_div_ceil(data.debt_base, data.ltv_bps), data.debt_base)


def check_after_withdrawal(market: Market, user: str, asset: str, now_s: int) -> None:
    """Refuse a withdrawal that leaves the user unhealthy, or that jumps the queue (v3).

    Collateral that may not back new debt has to go first.
    """
    data = account_data(market, user, now_s)
    _check_health(data)
    if data.has_zero_ltv and ltv_of(market, market.account(user), asset) != 0:
        raise Refused(
            f"LtvValidationFailed: collateral with a loan to value of 0 goes first, {asset} has "
            "one above 0: withdraw the other first"
        )


def check_decrease_v2(market: Market, user: str, asset: str, amount: int, now_s: int) -> None:
    """Refuse a withdrawal that would leave the user unhealthy, before it is made (v2)."""
    account, reserve = market.account(user), market.reserve(asset)
    if not account.borrowing or asset not in account.collateral or reserve.threshold_bps == 0:
        return
    data = account_data(market, user, now_s)
    if data.debt_base == 0:
        return
    decrease = collateral_value(reserve, amount)
    left = data.collateral_base - decrease
    weighted = data.collateral_base * data.threshold_bps - decrease * reserve.threshold_bps
    health = health_wad(left, data.debt_base, weighted // left) if left > 0 <= weighted else 0
    if health < WAD:
        raise Refused(
            f"TransferNotAllowed: the health factor must stay at 1 or above, would be "
            f"{health / WAD:.6f} without {amount} {asset}: withdraw less or repay first"
        )


def check_health(market: Market, user: str, now_s: int) -> None:
    """Refuse what leaves the user unhealthy."""
    _check_health(account_data(market, user, now_s))


def _health_from_sum(weighted_threshold: int, debt: int) -> int:
    return ALL if debt == 0 else wad_div(weighted_threshold, debt) // BPS


def _check_ltv(data: AccountData) -> None:
    if data.ltv_bps == 0:
        raise Refused(
            "LtvValidationFailed: a loan needs collateral with a loan to value above 0, it is 0 "
            "for all of it: supply another asset"
        )


def _check_health(data: AccountData) -> None:
    if data.health_wad < WAD:
        raise Refused(_unhealthy(data, "at 1 or above"))


def _check_covers(data: AccountData, needed: int, debt: int) -> None:
    if needed > data.collateral_base:
        raise Refused(
            f"CollateralCannotCoverNewBorrow: a debt worth {debt} needs collateral worth {needed} "
            f"at {data.ltv_bps} basis points, there is {data.collateral_base}: borrow less"
        )


def _unhealthy(data: AccountData, rule: str) -> str:
    return (
        f"HealthFactorLowerThanLiquidationThreshold: the health factor must be {rule}, is "
        f"{data.health_wad / WAD:.6f} with debt {data.debt_base} on collateral "
        f"{data.collateral_base}: ask for less, supply or repay"
    )
