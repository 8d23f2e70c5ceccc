"""A loan in float64: interest, health, liquidation, for every protocol; the twin of the integers.

Arrays as in ``layout``. Amounts are balances in tokens, interest grows them directly. Each kernel
equals the integer specification of its protocol to 1e-9 relative, which a test holds it to.

Source: Aave ``LiquidationLogic.sol`` and ``GenericLogic.sol``, Compound ``Comet.sol``, Morpho
``Morpho.sol``; see the specifications for each rule.
Left out: caps, isolation and siloed modes, grace periods, stable rates.
"""

from math import floor, inf

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues.lending.layout import (
    AAVE_V2,
    AAVE_V3_0,
    AAVE_V3_3,
    BASE_ASSET,
    BASE_RATE,
    BONUS,
    COMET,
    HEALTH_IN_BPS,
    LIQUIDATION_FACTOR,
    LTV_IN_BPS,
    MAX_LTV,
    MORPHO,
    OPTIMAL,
    POOL_DEBT,
    POOL_SUPPLY,
    PROTOCOL,
    PROTOCOL_FEE,
    RESERVE_FACTOR,
    SLOPE_1,
    SLOPE_2,
    STOREFRONT,
    THRESHOLD,
)

YEAR_S = 31_536_000.0
CLOSE_FACTOR = 0.5
FULL_CLOSE_HEALTH = 0.95
SMALL_USD = 2_000.0  # v3.3: a side below it may be closed whole
DUST_USD = 1_000.0  # v3.3: what must be left where something is left
_BPS = 1e4
_NEARLY = 1e-6  # of a basis point: what float64 may be short of a whole one


@kernel
def grow_linear(rate: float, seconds: float) -> float:
    """Return the factor by which a supplied balance grows; ``rate`` per year."""
    return 1.0 + rate * seconds / YEAR_S


@kernel
def grow_compounded(rate: float, seconds: float) -> float:
    """Return the factor by which a debt grows: three terms of the exponential, as on chain.

    Aave until v3.3 compounds by the second instead: less by ``x² / 2 / seconds``, which is under
    2e-14 for an hour at 10 % a year.
    """
    x = rate * seconds / YEAR_S
    return 1.0 + x + x * x / 2.0 + x * x * x / 6.0


@kernel
def grow_debt(protocol: float, rate: float, seconds: float) -> float:
    """Return the factor by which a debt grows at a protocol: Comet's is simple interest."""
    if protocol == COMET:
        return grow_linear(rate, seconds)
    return grow_compounded(rate, seconds)


@kernel
def borrow_rate_at(parameters: FloatArray, supplied: float, borrowed: float) -> float:
    """Return the borrow rate per year of a kinked curve; ``parameters``: one asset's row."""
    if borrowed <= 0.0 or supplied <= 0.0:
        return float(parameters[BASE_RATE])
    used = min(borrowed / supplied, 1.0)
    optimal = parameters[OPTIMAL]
    if used <= optimal:
        return float(parameters[BASE_RATE] + parameters[SLOPE_1] * used / optimal)
    excess = (used - optimal) / (1.0 - optimal)
    return float(parameters[BASE_RATE] + parameters[SLOPE_1] + parameters[SLOPE_2] * excess)


@kernel
def rates_of(
    parameters: FloatArray, collateral: float, debt: float, supply_rate: float, borrow_rate: float
) -> tuple[float, float]:
    """Return ``(supply rate, borrow rate)`` of one asset; a sized pool answers to the own loan.

    ``supply_rate`` and ``borrow_rate`` are those of the day, kept where no pool size is given.
    """
    if parameters[POOL_SUPPLY] <= 0.0:
        return supply_rate, borrow_rate
    supplied = parameters[POOL_SUPPLY] + collateral
    borrowed = parameters[POOL_DEBT] + debt
    rate = borrow_rate_at(parameters, supplied, borrowed)
    return rate * min(borrowed / supplied, 1.0) * (1.0 - parameters[RESERVE_FACTOR]), rate


@kernel
def weigh(amounts: FloatArray, prices: FloatArray) -> float:
    """Return the value of tokens, USD."""
    total = 0.0
    for i in range(len(amounts)):
        total += amounts[i] * prices[i]
    return total


@kernel
def weigh_by(amounts: FloatArray, prices: FloatArray, parameters: FloatArray, column: int) -> float:
    """Return the value of tokens, USD, each weighted by one of its parameters."""
    total = 0.0
    for i in range(len(amounts)):
        total += amounts[i] * prices[i] * parameters[i, column]
    return total


@kernel
def limit_by(
    collateral: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    column: int,
    in_bps: float,
) -> float:
    """Return what collateral allows, USD, by ``THRESHOLD`` or ``MAX_LTV``.

    With ``in_bps`` it goes through the average over the collateral, cut to whole basis points.
    """
    limit = weigh_by(collateral, prices, parameters, column)
    if in_bps == 0.0:
        return limit
    n_held, worth = 0, 0.0
    for i in range(len(collateral)):
        if collateral[i] > 0.0 and parameters[i, THRESHOLD] > 0.0:
            n_held += 1
            worth += collateral[i] * prices[i]
    if n_held < 2 or worth <= 0.0:  # noqa: PLR2004 - the average of one is its own
        return limit
    return worth * floor(limit / worth * _BPS + _NEARLY) / _BPS


@kernel
def health_of(
    collateral: FloatArray, debt: FloatArray, prices: FloatArray, parameters: FloatArray
) -> float:
    """Return the health factor; inf where nothing is owed."""
    owed = weigh(debt, prices)
    if owed <= 0.0:
        return inf
    in_bps = parameters[0, HEALTH_IN_BPS]
    return limit_by(collateral, prices, parameters, THRESHOLD, in_bps) / owed


@kernel
def borrowable_of(collateral: FloatArray, prices: FloatArray, parameters: FloatArray) -> float:
    """Return how much debt may be taken against collateral, USD."""
    return limit_by(collateral, prices, parameters, MAX_LTV, parameters[0, LTV_IN_BPS])


@kernel
def can_borrow(
    collateral: FloatArray, debt: FloatArray, prices: FloatArray, parameters: FloatArray
) -> bool:
    """Return whether so much debt may be taken against so much collateral."""
    owed = weigh(debt, prices)
    return owed <= 0.0 or owed <= borrowable_of(collateral, prices, parameters)


@kernel
def liquidate(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
    i: int,
    j: int,
    wanted: float,
) -> tuple[float, float, float, float]:
    """Return what one liquidation does: ``(repaid, seized, protocol fee, bad debt)``.

    Debt tokens of ``j``, collateral tokens of ``i`` (the fee among them), the fee in those too, and
    USD of debt that nobody will pay; zeros where the rules forbid it. ``wanted``: debt tokens to
    repay at most. Nothing is changed: ``settle`` does that.
    """
    protocol = rules[PROTOCOL]
    health = health_of(collateral, debt, prices, parameters)
    if not health < 1.0 or debt[j] <= 0.0 or collateral[i] <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    if protocol == MORPHO:
        return _liquidate_morpho(collateral, debt, prices, parameters, i, j, wanted)
    if protocol == COMET:
        return _absorb(collateral, debt, prices, parameters)
    return _liquidate_aave(collateral, debt, prices, parameters, protocol, i, j, wanted, health)


@kernel
def _liquidate_aave(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    protocol: float,
    i: int,
    j: int,
    wanted: float,
    health: float,
) -> tuple[float, float, float, float]:
    bonus = parameters[i, BONUS]
    repaid = min(wanted, _closable(collateral, debt, prices, protocol, i, j, health))
    seized = repaid * prices[j] / prices[i] * bonus
    if seized > collateral[i]:
        seized = collateral[i]
        repaid = min(seized * prices[i] / (prices[j] * bonus), debt[j])
    is_last = True
    for k in range(len(collateral)):
        if k != i and collateral[k] * prices[k] > 0.0:
            is_last = False
    takes_all = seized >= collateral[i]
    if protocol >= AAVE_V3_3 and not takes_all and repaid < debt[j]:
        debt_left = (debt[j] - repaid) * prices[j]
        left = (collateral[i] - seized) * prices[i]
        if debt_left < DUST_USD or left < DUST_USD:
            return 0.0, 0.0, 0.0, 0.0
    fee = 0.0
    if protocol >= AAVE_V3_0:
        fee = (seized - seized / bonus) * parameters[i, PROTOCOL_FEE]
    bad = 0.0
    if takes_all and is_last:
        bad = max(weigh(debt, prices) - repaid * prices[j], 0.0)
    return repaid, seized, fee, bad


@kernel
def _closable(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    protocol: float,
    i: int,
    j: int,
    health: float,
) -> float:
    """Return how many tokens of debt ``j`` one liquidation may repay."""
    if protocol == AAVE_V2:
        return float(debt[j] * CLOSE_FACTOR)
    if protocol == AAVE_V3_0:
        return float(debt[j] if health <= FULL_CLOSE_HEALTH else debt[j] * CLOSE_FACTOR)
    is_large = (
        collateral[i] * prices[i] >= SMALL_USD
        and debt[j] * prices[j] >= SMALL_USD
        and health > FULL_CLOSE_HEALTH
    )
    if not is_large:
        return float(debt[j])
    return float(min(debt[j], weigh(debt, prices) * CLOSE_FACTOR / prices[j]))


@kernel
def _liquidate_morpho(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    i: int,
    j: int,
    wanted: float,
) -> tuple[float, float, float, float]:
    """Any amount up to all of it; what is left of the debt is the lenders' when nothing is left."""
    bonus = parameters[i, BONUS]
    repaid = min(wanted, debt[j])
    seized = repaid * prices[j] / prices[i] * bonus
    if seized > collateral[i]:
        seized = collateral[i]
        repaid = min(seized * prices[i] / (prices[j] * bonus), debt[j])
    bad = 0.0
    if seized >= collateral[i]:
        bad = max((debt[j] - repaid) * prices[j], 0.0)
    return repaid, seized, 0.0, bad


@kernel
def _absorb(
    collateral: FloatArray, debt: FloatArray, prices: FloatArray, parameters: FloatArray
) -> tuple[float, float, float, float]:
    """The protocol takes all collateral and the debt; ``settle_comet`` says what remains."""
    owed = weigh(debt, prices)
    credit = weigh_by(collateral, prices, parameters, LIQUIDATION_FACTOR)
    return owed, weigh(collateral, prices), 0.0, max(owed - credit, 0.0)


@kernel
def find_best(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
) -> tuple[int, int, float]:
    """Return which collateral and debt a liquidator takes, and how much: ``(i, j, wanted)``.

    The pair with the largest bonus in USD; where the whole would leave dust, as much as does not.
    ``wanted`` is 0.0 where none may be taken.
    """
    best, best_i, best_j, best_wanted = 0.0, 0, 0, 0.0
    for i in range(len(collateral)):
        for j in range(len(debt)):
            if collateral[i] <= 0.0 or debt[j] <= 0.0:
                continue
            for wanted in (inf, _without_dust(collateral, debt, prices, parameters, i, j)):
                repaid, seized, fee, _ = liquidate(
                    collateral, debt, prices, parameters, rules, i, j, wanted
                )
                gain = (seized - fee) * prices[i] - repaid * prices[j]
                if rules[PROTOCOL] == COMET:
                    gain = seized * rules[STOREFRONT] * (1.0 - parameters[i, LIQUIDATION_FACTOR])
                if gain > best:
                    best, best_i, best_j, best_wanted = gain, i, j, wanted
    return best_i, best_j, best_wanted


@kernel
def _without_dust(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    i: int,
    j: int,
) -> float:
    """Return the debt tokens after which both sides keep just more than the dust limit."""
    keep = DUST_USD * (1.0 + 1e-9)
    by_debt = debt[j] - keep / prices[j]
    by_collateral = (collateral[i] * prices[i] - keep) / (parameters[i, BONUS] * prices[j])
    return float(max(min(by_debt, by_collateral), 0.0))


@kernel
def settle(
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
    i: int,
    j: int,
    repaid: float,
    seized: float,
    bad: float,
) -> None:
    """Take out of the balances what a liquidation took."""
    if rules[PROTOCOL] == COMET:
        credit = weigh_by(collateral, prices, parameters, LIQUIDATION_FACTOR)
        surplus = max(credit - weigh(debt, prices), 0.0)
        for k in range(len(collateral)):
            collateral[k] = 0.0
            debt[k] = 0.0
        base = int(rules[BASE_ASSET])
        collateral[base] = surplus / prices[base]
        return
    collateral[i] = max(collateral[i] - seized, 0.0)
    debt[j] = max(debt[j] - repaid, 0.0)
    if bad > 0.0:
        for k in range(len(debt)):
            debt[k] = 0.0
