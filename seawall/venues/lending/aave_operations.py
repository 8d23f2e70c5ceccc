"""Supplying, withdrawing, borrowing and repaying in an Aave market.

v2 checks first and brings the reserve up to date afterwards, v3 the other way round.

Source: ``LendingPool.sol`` (v2), ``SupplyLogic.sol``, ``BorrowLogic.sol``, ``EModeLogic.sol`` (v3).
"""

from seawall.errors import RecipeError, Refused
from seawall.venues.lending import aave_account, aave_shares
from seawall.venues.lending.aave_rates import (
    accrue,
    borrow_index_at,
    liquidity_index_at,
    pay,
    receive,
    update_rates,
)
from seawall.venues.lending.aave_state import TREASURY, Account, Market, Reserve, check_usable
from seawall.venues.lending.fixed import ALL, ray_div, ray_mul


def supply(market: Market, user: str, asset: str, amount: int, now_s: int) -> None:
    """Add to a user's supply; the first of an asset becomes collateral where it may."""
    reserve, account, rules = market.reserve(asset), market.account(user), market.rules
    accrue(market, asset, now_s)
    _check_amount(amount)
    shares = aave_shares.shares_fewer(rules, amount, reserve.liquidity_index)
    aave_shares.check_minted(rules, shares, asset)
    check_usable(reserve, asset)
    _check_frozen(reserve, asset)
    _check_supply_cap(market, asset, amount, shares)
    update_rates(market, asset, added=amount)
    is_first = not account.supplied.get(asset)
    aave_shares.mint_supply(market, user, asset, shares)
    receive(market, asset, amount)
    if is_first and (rules.is_v2 or aave_account.ltv_of(market, account, asset)):
        account.collateral.add(asset)


def withdraw(market: Market, user: str, asset: str, amount: int, now_s: int) -> int:
    """Take from a user's supply, ``ALL``: everything; return how much."""
    reserve, account, rules = market.reserve(asset), market.account(user), market.rules
    if not rules.is_v2:
        accrue(market, asset, now_s)
    index = liquidity_index_at(reserve, now_s)
    held = account.supplied.get(asset, 0)
    balance = aave_shares.supply_of_shares(rules, held, index)
    taken = balance if amount == ALL else amount
    _check_amount(taken)
    shares = aave_shares.shares_more(rules, taken, index)
    if rules.rounds_against_user and amount == ALL:
        shares = held
    if shares > held if rules.rounds_against_user else taken > balance:
        raise Refused(
            f"NotEnoughAvailableUserBalance: no more than {balance} {asset} can be withdrawn, "
            f"{taken} were asked for: ask for less"
        )
    check_usable(reserve, asset)
    if rules.is_v2:
        aave_account.check_decrease_v2(market, user, asset, taken, now_s)
        accrue(market, asset, now_s)
    was_collateral = asset in account.collateral
    update_rates(market, asset, taken=taken)
    if shares == held if rules.rounds_against_user else taken == balance:
        account.collateral.discard(asset)
    aave_shares.burn_supply(market, user, asset, shares)
    pay(market, asset, taken)
    if was_collateral and account.borrowing and not rules.is_v2:
        aave_account.check_after_withdrawal(market, user, asset, now_s)
    return taken


def borrow(market: Market, user: str, asset: str, amount: int, now_s: int) -> None:
    """Add to a user's variable debt."""
    reserve, account, rules = market.reserve(asset), market.account(user), market.rules
    if not rules.is_v2:
        accrue(market, asset, now_s)
    _check_amount(amount)
    check_usable(reserve, asset)
    _check_frozen(reserve, asset)
    _check_borrowable(market, account, asset)
    if rules.emode_replaces:
        _check_mode_lends(market, account, asset)
    shares = aave_shares.shares_more(rules, amount, borrow_index_at(rules, reserve, now_s))
    _check_supplied(market, asset, amount)
    _check_borrow_cap(market, asset, amount, shares)
    if not rules.emode_replaces:
        _check_mode_lends(market, account, asset)
    if not rules.checks_after_borrow:
        aave_account.check_before_borrow(market, user, asset, amount, now_s)
    if rules.is_v2:
        accrue(market, asset, now_s)
        shares = aave_shares.shares_more(rules, amount, reserve.borrow_index)
    aave_shares.check_minted(rules, shares, asset)
    if rules.flags_by_shares or not account.borrowed.get(asset):
        account.borrowing.add(asset)
    aave_shares.mint_debt(market, user, asset, shares)
    update_rates(market, asset, taken=amount)
    pay(market, asset, amount)
    if rules.checks_after_borrow:
        aave_account.check_after_borrow(market, user, now_s)


def repay(market: Market, user: str, asset: str, amount: int, now_s: int) -> int:
    """Pay a user's debt back, at most all of it, whoever pays; return how much was paid."""
    reserve, account, rules = market.reserve(asset), market.account(user), market.rules
    if not rules.is_v2:
        accrue(market, asset, now_s)
    owed = aave_account.debt_of(market, user, asset, now_s)
    _check_amount(amount)
    check_usable(reserve, asset)
    if owed == 0:
        raise Refused(f"NoDebtOfSelectedType: only a debt can be repaid, {user} owes no {asset}")
    paid = min(amount, owed)
    accrue(market, asset, now_s)
    shares = aave_shares.shares_fewer(rules, paid, reserve.borrow_index)
    aave_shares.burn_debt(market, user, asset, shares)
    update_rates(market, asset, added=paid)
    is_clear = asset not in account.borrowed if rules.flags_by_shares else paid == owed
    if is_clear:
        account.borrowing.discard(asset)
    receive(market, asset, paid)
    return paid


def use_as_collateral(market: Market, user: str, asset: str, *, use: bool, now_s: int) -> None:
    """Let a user's supply of an asset back his debt, or no longer."""
    account, rules = market.account(user), market.rules
    check_usable(market.reserve(asset), asset)
    balance = aave_account.collateral_of(market, user, asset, now_s)
    is_same = use == (asset in account.collateral)
    if balance == 0 and not (rules.checks_after_borrow and (is_same or not use)):
        raise Refused(f"UnderlyingBalanceZero: collateral must be supplied, {user} has no {asset}")
    if is_same and not rules.is_v2:
        return
    if use:
        if not rules.is_v2 and aave_account.ltv_of(market, account, asset) == 0:
            raise Refused(
                f"UserInIsolationModeOrLtvZero: collateral needs a loan to value above 0, that of "
                f"{asset} is 0: supply another asset"
            )
        account.collateral.add(asset)
    elif rules.is_v2:
        aave_account.check_decrease_v2(market, user, asset, balance, now_s)
        account.collateral.discard(asset)
    else:
        account.collateral.discard(asset)
        aave_account.check_after_withdrawal(market, user, asset, now_s)


def enter_emode(market: Market, user: str, category: int, now_s: int) -> None:
    """Put a user into an efficiency mode; 0 leaves it."""
    account, rules = market.account(user), market.rules
    if not rules.has_emode or (category and category not in market.emodes):
        raise Refused(
            f"InconsistentEModeCategory: an efficiency mode must be one of "
            f"{sorted(market.emodes) if rules.has_emode else []}, is {category}: define it first"
        )
    previous = account.emode
    if previous == category and rules.records_deficit:
        return
    for asset in account.borrowing:
        _check_debt_fits(market, asset, category)
    account.emode = category
    if rules.emode_replaces:
        for asset in account.collateral:
            if aave_account.ltv_of(market, account, asset) == 0:
                raise Refused(
                    f"InvalidCollateralInEmode: collateral must have a loan to value above 0 in "
                    f"mode {category}, that of {asset} is 0: withdraw it first"
                )
    if previous or rules.records_deficit:
        aave_account.check_health(market, user, now_s)


def mint_to_treasury(market: Market, asset: str, now_s: int) -> None:
    """Turn what has accrued to the treasury into shares that it holds (v3; v2 does so at once)."""
    reserve, rules = market.reserve(asset), market.rules
    check_usable(reserve, asset)
    shares = reserve.treasury_shares
    reserve.treasury_shares = 0
    if shares and not rules.rounds_against_user:
        index = liquidity_index_at(reserve, now_s)
        shares = ray_div(ray_mul(shares, index), index)
    if shares:
        aave_shares.mint_supply(market, TREASURY, asset, shares)


def _check_amount(amount: int) -> None:
    if amount < 0:
        raise RecipeError(f"an amount must be >= 0, is {amount}: turn the operation round instead")
    if amount == 0:
        raise Refused("InvalidAmount: an amount must be above 0, is 0: leave the operation out")


def _check_frozen(reserve: Reserve, asset: str) -> None:
    if reserve.is_frozen:
        raise Refused(f"ReserveFrozen: a frozen reserve takes nothing new, {asset} is frozen")


def _check_borrowable(market: Market, account: Account, asset: str) -> None:
    reserve, rules = market.reserve(asset), market.rules
    in_mode = account.emode != 0
    if not reserve.is_borrowable and not (in_mode and rules.emode_replaces):
        raise Refused(f"BorrowingNotEnabled: only some assets can be borrowed, {asset} cannot")


def _check_mode_lends(market: Market, account: Account, asset: str) -> None:
    rules = market.rules
    if account.emode and asset not in market.emodes[account.emode].borrowable:
        error = "NotBorrowableInEMode" if rules.records_deficit else "InconsistentEModeCategory"
        raise Refused(
            f"{error}: mode {account.emode} lends "
            f"{', '.join(sorted(market.emodes[account.emode].borrowable))}, not {asset}: leave it"
        )


def _check_supplied(market: Market, asset: str, amount: int) -> None:
    reserve, rules = market.reserve(asset), market.rules
    supplied = aave_shares.supply_of_shares(rules, reserve.supplied, reserve.liquidity_index)
    if rules.pays_with_rates and amount > supplied:
        raise Refused(
            f"InvalidAmount: no more can be borrowed than is supplied, {amount} of {supplied} "
            f"{asset}: borrow less"
        )


def _check_debt_fits(market: Market, asset: str, category: int) -> None:
    if category:
        fits = asset in market.emodes[category].borrowable
    else:
        fits = market.reserve(asset).is_borrowable or not market.rules.emode_replaces
    if not fits:
        error = "InconsistentEModeCategory"
        if market.rules.records_deficit:
            error = "InvalidDebtInEmode" if market.rules.emode_replaces else "NotBorrowableInEMode"
        raise Refused(
            f"{error}: every debt must be allowed in mode {category}, {asset} is not: "
            "repay it first"
        )


def _check_supply_cap(market: Market, asset: str, amount: int, shares: int) -> None:
    reserve, rules = market.reserve(asset), market.rules
    if not reserve.supply_cap or rules.is_v2:
        return
    supplied = reserve.supplied + reserve.treasury_shares
    if rules.rounds_against_user:
        supplied, amount = supplied + shares, 0
    total = aave_shares.supply_of_shares(rules, supplied, reserve.liquidity_index) + amount
    if total > reserve.supply_cap * reserve.unit:
        raise Refused(
            f"SupplyCapExceeded: the supply of {asset} is capped at {reserve.supply_cap} tokens, "
            f"would be {total / reserve.unit:g}: supply less"
        )


def _check_borrow_cap(market: Market, asset: str, amount: int, shares: int) -> None:
    reserve, rules = market.reserve(asset), market.rules
    if not reserve.borrow_cap or rules.is_v2:
        return
    borrowed = reserve.borrowed
    if rules.rounds_against_user:
        borrowed, amount = borrowed + shares, 0
    total = aave_shares.debt_of_shares(rules, borrowed, reserve.borrow_index) + amount
    if total > reserve.borrow_cap * reserve.unit:
        raise Refused(
            f"BorrowCapExceeded: the debt in {asset} is capped at {reserve.borrow_cap} tokens, "
            f"would be {total / reserve.unit:g}: borrow less"
        )
