"""The liquidation call of Aave, by version.

Source: ``LendingPoolCollateralManager.sol`` (v2), ``LiquidationLogic.sol`` (v3.0, v3.6; v3.3, v3.5
and v3.7 by their change lists).
Left out: receiving aTokens instead of the asset, grace periods, the sequencer's sentinel.
"""

from typing import NamedTuple

from seawall.errors import Refused
from seawall.venues.lending import fixed
from seawall.venues.lending.aave_account import (
    account_data,
    collateral_of,
    collateral_value,
    debt_of,
    debt_value,
    emode_of,
)
from seawall.venues.lending.aave_rates import (
    accrue,
    accrue_to_treasury,
    pay,
    receive,
    update_rates,
)
from seawall.venues.lending.aave_shares import (
    burn_debt,
    burn_supply,
    shares_fewer,
    shares_more,
    supply_of_shares,
    transfer_supply,
)
from seawall.venues.lending.aave_state import (
    TREASURY,
    AccountData,
    Liquidation,
    Market,
    Reserve,
    check_usable,
)
from seawall.venues.lending.fixed import WAD, percent_div, percent_mul

HALF_BPS = 5_000
FULL_CLOSE_HEALTH_WAD = 95 * WAD // 100
FULL_CLOSE_BASE = 2_000
"""Either side under this many whole units of the base currency: all of it may be liquidated."""
LEFTOVER_BASE = 1_000
"""What must be left on each side, or nothing on one of them."""


class _Call(NamedTuple):
    """Who is liquidated, in what, as of when."""

    user: str
    collateral_asset: str
    debt_asset: str
    now_s: int


class _Deal(NamedTuple):
    """Debt to repay; collateral to seize in all, and the fee that is part of it."""

    repaid: int
    seized: int
    fee: int


class _Position(NamedTuple):
    """What the borrower has and owes in the two reserves, and in all."""

    held: int
    owed: int
    data: AccountData


def liquidate(
    market: Market, liquidator: str, call: tuple[str, str, str, int], cover: int
) -> Liquidation:
    """Liquidate ``(user, collateral asset, debt asset, now)``, covering at most ``cover``."""
    who = _Call(*call)
    if market.rules.is_v2:
        return _liquidate_v2(market, who, cover)
    if liquidator == who.user and not market.rules.allows_self_liquidation:
        raise Refused(f"SelfLiquidation: somebody else must liquidate, the borrower is {who.user}")
    return _liquidate_v3(market, who, cover)


def max_cover(market: Market, call: tuple[str, str, str, int]) -> int:
    """Return how much of the debt asset one call may cover at most, before the collateral's end."""
    who = _Call(*call)
    position = _position(market, who)
    if position.data.health_wad >= WAD:
        return 0
    return _max_cover(market, who, position)


def _liquidate_v2(market: Market, call: _Call, cover: int) -> Liquidation:
    user, collateral_asset, debt_asset, now_s = call
    collateral, debt = market.reserve(collateral_asset), market.reserve(debt_asset)
    position = _position(market, call)
    _check_call(market, call, position)
    deal = _deal_v2(collateral, debt, min(cover, _max_cover(market, call, position)), position.held)
    if collateral.available < deal.seized:
        raise Refused(
            f"NotEnoughLiquidity: seized collateral is paid out, {collateral.available} of "
            f"{deal.seized} {collateral_asset} are there: cover less"
        )
    accrue(market, debt_asset, now_s)
    shares = shares_fewer(market.rules, deal.repaid, debt.borrow_index)
    burn_debt(market, user, debt_asset, shares)
    update_rates(market, debt_asset, added=deal.repaid)
    accrue(market, collateral_asset, now_s)
    _pay_out(market, call, deal.seized)
    if deal.seized == position.held:
        market.account(user).collateral.discard(collateral_asset)
    receive(market, debt_asset, deal.repaid)
    return Liquidation(deal.repaid, deal.seized, 0, {})


def _deal_v2(collateral: Reserve, debt: Reserve, cover: int, held: int) -> _Deal:
    worth = debt.price * cover * collateral.unit
    seized = percent_mul(worth, collateral.bonus_bps) // (collateral.price * debt.unit)
    if seized <= held:
        return _Deal(cover, seized, 0)
    worth = collateral.price * held * debt.unit // (debt.price * collateral.unit)
    return _Deal(min(cover, percent_div(worth, collateral.bonus_bps)), held, 0)


def _liquidate_v3(market: Market, call: _Call, cover: int) -> Liquidation:
    debt_asset = call.debt_asset
    _accrue_both(market, call)
    position = _position(market, call)
    _check_call(market, call, position)
    deal = _deal_v3(market, call, min(cover, _max_cover(market, call, position)), position.held)
    if market.rules.records_deficit:
        _check_dust(market, call, position, deal)
    is_last = _settle_flags(market, call, position, deal)
    amounts = (position.owed, deal.repaid)
    bad_debt = {debt_asset: _burn(market, call.user, debt_asset, amounts, forgives=is_last)}
    _pay_out(market, call, deal.seized - deal.fee)
    fee = _pay_fee(market, call, deal.fee)
    if is_last:
        bad_debt |= _burn_bad_debt(market, call)
    receive(market, debt_asset, deal.repaid)
    return Liquidation(
        deal.repaid, deal.seized - deal.fee, fee, {x: lost for x, lost in bad_debt.items() if lost}
    )


def _deal_v3(market: Market, call: _Call, cover: int, held: int) -> _Deal:
    rules, account = market.rules, market.account(call.user)
    collateral, debt = market.reserve(call.collateral_asset), market.reserve(call.debt_asset)
    mode = emode_of(market, account, call.collateral_asset)
    bonus_bps = collateral.bonus_bps if mode is None else mode.bonus_bps
    directed = rules.rounds_against_liquidator
    base = debt.price * cover * collateral.unit // (collateral.price * debt.unit)
    seized = (fixed.percent_mul_floor if directed else percent_mul)(base, bonus_bps)
    repaid = cover
    if seized > held:
        seized = held
        worth = collateral.price * held * debt.unit // (debt.price * collateral.unit)
        divide = fixed.percent_div_ceil if rules.rounds_against_user else percent_div
        repaid = divide(worth, bonus_bps)
    without_bonus = (fixed.percent_div_floor if directed else percent_div)(seized, bonus_bps)
    share = fixed.percent_mul_ceil if directed else percent_mul
    return _Deal(repaid, seized, share(seized - without_bonus, collateral.protocol_fee_bps))


def _position(market: Market, call: _Call) -> _Position:
    return _Position(
        held=collateral_of(market, call.user, call.collateral_asset, call.now_s),
        owed=debt_of(market, call.user, call.debt_asset, call.now_s),
        data=account_data(market, call.user, call.now_s),
    )


def _max_cover(market: Market, call: _Call, position: _Position) -> int:
    kind, health = market.rules.close_factor, position.data.health_wad
    if kind == "half":
        return percent_mul(position.owed, HALF_BPS)
    if kind == "by_health":
        return percent_mul(position.owed, HALF_BPS if health > FULL_CLOSE_HEALTH_WAD else fixed.BPS)
    collateral, debt = market.reserve(call.collateral_asset), market.reserve(call.debt_asset)
    held_base = collateral_value(collateral, position.held)
    owed_base = debt_value(market.rules, debt, position.owed)
    is_small = min(held_base, owed_base) < market.base(FULL_CLOSE_BASE)
    cap_base = percent_mul(position.data.debt_base, HALF_BPS)
    if is_small or health <= FULL_CLOSE_HEALTH_WAD or owed_base <= cap_base:
        return position.owed
    return cap_base * debt.unit // debt.price


def _check_call(market: Market, call: _Call, position: _Position) -> None:
    collateral, account = market.reserve(call.collateral_asset), market.account(call.user)
    check_usable(collateral, call.collateral_asset)
    check_usable(market.reserve(call.debt_asset), call.debt_asset)
    if position.data.health_wad >= WAD:
        raise Refused(
            f"HealthFactorNotBelowThreshold: only a health factor below 1 is liquidated, that of "
            f"{call.user} is {position.data.health_wad / WAD:.6f}: wait"
        )
    has_threshold = collateral.threshold_bps != 0 or market.rules.emode_replaces
    if not has_threshold or call.collateral_asset not in account.collateral:
        raise Refused(
            f"CollateralCannotBeLiquidated: only collateral is seized, {call.collateral_asset} of "
            f"{call.user} is none: name another asset"
        )
    if position.owed == 0:
        raise Refused(
            f"SpecifiedCurrencyNotBorrowedByUser: only a debt is covered, {call.user} owes no "
            f"{call.debt_asset}: name another asset"
        )


def _check_dust(market: Market, call: _Call, position: _Position, deal: _Deal) -> None:
    debt_left, collateral_left = position.owed - deal.repaid, position.held - deal.seized
    if debt_left == 0 or collateral_left == 0:
        return
    debt_base = debt_value(market.rules, market.reserve(call.debt_asset), debt_left)
    collateral_base = collateral_value(market.reserve(call.collateral_asset), collateral_left)
    if min(debt_base, collateral_base) < market.base(LEFTOVER_BASE):
        raise Refused(
            f"MustNotLeaveDust: a liquidation must leave nothing or {market.base(LEFTOVER_BASE)} "
            f"on each side, would leave debt worth {debt_base} and collateral worth "
            f"{collateral_base}: cover all of it or less"
        )


def _settle_flags(market: Market, call: _Call, position: _Position, deal: _Deal) -> bool:
    """Drop the flag of collateral that is gone; return whether it was the user's last."""
    rules, account = market.rules, market.account(call.user)
    reserve = market.reserve(call.collateral_asset)
    if rules.rounds_against_liquidator:
        index, shares = reserve.liquidity_index, account.supplied[call.collateral_asset]
        consumed = shares_more(rules, deal.seized - deal.fee, index)
        consumed = min(consumed + shares_more(rules, deal.fee, index), shares)
        value = collateral_value(reserve, supply_of_shares(rules, consumed, index))
        is_gone = consumed == shares
    else:
        value = collateral_value(reserve, deal.seized)
        is_gone = deal.seized == position.held
    is_last = rules.records_deficit and value == position.data.collateral_base
    if is_gone or (is_last and rules.rounds_against_liquidator):
        account.collateral.discard(call.collateral_asset)
    return is_last


def _accrue_both(market: Market, call: _Call) -> None:
    debt = market.reserve(call.debt_asset)
    is_stale, before = debt.last_update_s != call.now_s, debt.borrow_index
    accrue(market, call.debt_asset, call.now_s)
    if call.collateral_asset != call.debt_asset:
        accrue(market, call.collateral_asset, call.now_s)
    elif market.rules.accrues_twice and is_stale:
        accrue_to_treasury(market, call.debt_asset, before)


def _burn(
    market: Market, user: str, asset: str, amounts: tuple[int, int], *, forgives: bool
) -> int:
    """Burn of what is owed what is repaid, or all where the rest is forgiven; return the rest."""
    reserve, account, rules = market.reserve(asset), market.account(user), market.rules
    owed, repaid = amounts
    if owed:
        burnt = owed if forgives else repaid
        burn_debt(market, user, asset, shares_fewer(rules, burnt, reserve.borrow_index))
    lost = owed - repaid if forgives else 0
    reserve.deficit += lost
    is_clear = (
        asset not in account.borrowed if rules.flags_by_shares else forgives or owed == repaid
    )
    if is_clear:
        account.borrowing.discard(asset)
    update_rates(market, asset, added=repaid)
    return lost


def _burn_bad_debt(market: Market, call: _Call) -> dict[str, int]:
    """Burn every debt that the user has left; return what was lost by asset."""
    lost = {}
    for asset in sorted(market.account(call.user).borrowing):
        if market.reserve(asset).is_active:
            accrue(market, asset, call.now_s)
            owed = debt_of(market, call.user, asset, call.now_s)
            lost[asset] = _burn(market, call.user, asset, (owed, 0), forgives=True)
    return lost


def _pay_out(market: Market, call: _Call, amount: int) -> None:
    """Hand seized collateral to the liquidator."""
    asset = call.collateral_asset
    update_rates(market, asset, taken=amount)
    shares = shares_more(market.rules, amount, market.reserve(asset).liquidity_index)
    burn_supply(market, call.user, asset, shares)
    pay(market, asset, amount)


def _pay_fee(market: Market, call: _Call, fee: int) -> int:
    """Hand the protocol's part of the bonus to the treasury, as shares; return how much it is."""
    if fee == 0:
        return 0
    asset, rules = call.collateral_asset, market.rules
    index = market.reserve(asset).liquidity_index
    held = market.account(call.user).supplied.get(asset, 0)
    shares = shares_more(rules, fee, index)
    if shares > held:
        shares, fee = held, supply_of_shares(rules, held, index)
    transfer_supply(market, call.user, TREASURY, asset, shares)
    return fee
