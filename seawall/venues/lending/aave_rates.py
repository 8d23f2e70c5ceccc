"""Interest of an Aave reserve: indices that grow, and the rate strategy that sets how fast.

Source: ``ReserveLogic.sol``; ``DefaultReserveInterestRateStrategy.sol`` (v2, v3.0) and
``DefaultReserveInterestRateStrategyV2.sol`` (v3.1 on).
"""

from seawall.errors import Refused
from seawall.venues.lending import fixed
from seawall.venues.lending.aave_shares import debt_of_shares, mint_supply
from seawall.venues.lending.aave_state import TREASURY, Market, RateCurve, Rates, Reserve
from seawall.venues.lending.fixed import BPS, RAY, percent_mul, ray_div, ray_mul
from seawall.venues.lending.rules import AaveRules

_GROWTH = {
    "per_second": fixed.compounded_growth_per_second,
    "binomial": fixed.compounded_growth_binomial,
    "taylor": fixed.compounded_growth_taylor,
}


def liquidity_index_at(reserve: Reserve, now_s: int) -> int:
    """Return what the supply index would be if the reserve were touched now."""
    if reserve.last_update_s == now_s:
        return reserve.liquidity_index
    elapsed = _elapsed_s(reserve, now_s)
    return ray_mul(fixed.linear_growth(reserve.liquidity_rate, elapsed), reserve.liquidity_index)


def borrow_index_at(rules: AaveRules, reserve: Reserve, now_s: int) -> int:
    """Return what the borrow index would be if the reserve were touched now."""
    if reserve.last_update_s == now_s:
        return reserve.borrow_index
    growth = _GROWTH[rules.compounding](reserve.borrow_rate, _elapsed_s(reserve, now_s))
    return ray_mul(growth, reserve.borrow_index)


def accrue(market: Market, asset: str, now_s: int) -> None:
    """Bring a reserve's indices and the treasury's share to the present.

    Interest accrues on touch alone, so the path of an index depends on when its reserve was used.
    """
    reserve, rules = market.reserve(asset), market.rules
    if reserve.last_update_s == now_s:
        return
    _elapsed_s(reserve, now_s)
    before = reserve.borrow_index
    grows_debt = reserve.borrowed != 0 and not (rules.is_v2 and reserve.liquidity_rate == 0)
    if grows_debt:
        reserve.borrow_index = borrow_index_at(rules, reserve, now_s)
    if reserve.liquidity_rate != 0:
        reserve.liquidity_index = liquidity_index_at(reserve, now_s)
    reserve.last_update_s = now_s
    accrue_to_treasury(market, asset, before)


def accrue_to_treasury(market: Market, asset: str, borrow_index_before: int) -> None:
    """Give the treasury its share of what the debt has grown by since the index given."""
    reserve, rules = market.reserve(asset), market.rules
    if rules.rounds_against_user:
        grown = reserve.borrow_index - borrow_index_before
        interest = fixed.ray_mul_floor(reserve.borrowed, grown)
    else:
        interest = ray_mul(reserve.borrowed, reserve.borrow_index)
        interest -= ray_mul(reserve.borrowed, borrow_index_before)
    amount = percent_mul(interest, reserve.reserve_factor_bps)
    if amount == 0:
        return
    if rules.is_v2:
        shares = ray_div(amount, reserve.liquidity_index)
        mint_supply(market, TREASURY, asset, shares)
    elif rules.rounds_against_user:
        reserve.treasury_shares += fixed.ray_div_floor(amount, reserve.liquidity_index)
    else:
        reserve.treasury_shares += ray_div(amount, reserve.liquidity_index)


def update_rates(market: Market, asset: str, *, added: int = 0, taken: int = 0) -> None:
    """Set a reserve's rates for the liquidity it will have; with virtual accounting move it too.

    Raises:
        Refused: less is there than is taken.
    """
    reserve = market.reserve(asset)
    available = reserve.available + added - taken
    if available < 0:
        raise Refused(
            f"NotEnoughLiquidity: no more can be taken than is there, {taken} of "
            f"{reserve.available + added} {asset}: take less"
        )
    rates = reserve.fixed_rates or rates_of(
        market.rules,
        _curve(reserve, asset),
        debt=debt_of_shares(market.rules, reserve.borrowed, reserve.borrow_index),
        available=available,
        deficit=reserve.deficit,
        reserve_factor_bps=reserve.reserve_factor_bps,
    )
    reserve.liquidity_rate, reserve.borrow_rate = rates
    if market.rules.pays_with_rates:
        reserve.available = available


def receive(market: Market, asset: str, amount: int) -> None:
    """Count tokens that came in; with virtual accounting ``update_rates`` already has."""
    if not market.rules.pays_with_rates:
        market.reserve(asset).available += amount


def pay(market: Market, asset: str, amount: int) -> None:
    """Count tokens that went out; with virtual accounting ``update_rates`` already has."""
    receive(market, asset, -amount)


def rates_of(
    rules: AaveRules,
    curve: RateCurve,
    *,
    debt: int,
    available: int,
    deficit: int = 0,
    reserve_factor_bps: int,
) -> Rates:
    """Return the rates for a debt and an available liquidity, both in the token's smallest unit."""
    if debt == 0:
        return Rates(0, curve.base)
    utilisation = ray_div(debt, available + debt)
    if utilisation > curve.optimal:
        excess = ray_div(utilisation - curve.optimal, RAY - curve.optimal)
        borrow = curve.base + curve.slope1 + ray_mul(curve.slope2, excess)
    else:
        borrow = curve.base + ray_div(ray_mul(curve.slope1, utilisation), curve.optimal)
    paid = fixed.average_rate(debt, borrow) if rules.averages_rate else borrow
    supply_utilisation = ray_div(debt, available + debt + deficit)
    liquidity = percent_mul(ray_mul(paid, supply_utilisation), BPS - reserve_factor_bps)
    return Rates(liquidity, borrow)


def _curve(reserve: Reserve, asset: str) -> RateCurve:
    if reserve.curve is None:
        raise Refused(
            f"NoRates: a reserve has a curve or fixed rates, {asset} has neither: "
            "give it a curve, or set_rates first"
        )
    return reserve.curve


def _elapsed_s(reserve: Reserve, now_s: int) -> int:
    if now_s < reserve.last_update_s:
        raise Refused(
            f"TimeRunsBack: time must not decrease, is {now_s} after {reserve.last_update_s}: "
            "act in order of time"
        )
    return now_s - reserve.last_update_s
