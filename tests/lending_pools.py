"""Small Aave markets for tests: three assets, lenders who make them liquid."""

from seawall.venues.lending.aave import AavePool, EMode, RateCurve, Reserve
from seawall.venues.lending.rules import RULES

DAY_S = 86_400
START_S = 1_700_000_000
DOLLAR = 10**8
TOKENS = {"WETH": 18, "USDC": 6, "DAI": 18}
ETH_MODE = EMode(
    ltv_bps=9_000,
    threshold_bps=9_300,
    bonus_bps=10_100,
    collateral=frozenset({"WETH"}),
    borrowable=frozenset({"WETH", "DAI"}),
)


def wei(asset: str, tokens: float) -> int:
    """Return tokens in the asset's smallest unit, exact to a millionth of a token."""
    return round(tokens * 10**6) * int(10 ** (TOKENS[asset] - 6))


def listed(asset: str, price: float, **parameters: int) -> Reserve:
    """Return a reserve with the parameters of WETH on 2025-03-19, or those given."""
    defaults = {
        "ltv_bps": 8_050,
        "threshold_bps": 8_300,
        "bonus_bps": 10_500,
        "reserve_factor_bps": 1_500,
        "protocol_fee_bps": 1_000,
    }
    curve = RateCurve.of_bps(slope1=270, slope2=8_000, optimal=9_000)
    terms = defaults | parameters
    reserve = Reserve(decimals=TOKENS[asset], price=round(price * DOLLAR), curve=curve)
    for name, value in terms.items():
        setattr(reserve, name, value)
    return reserve


def market(rules: str, weth: float = 2_000.0, lent: float = 1_000_000.0) -> AavePool:
    """Return a market in which somebody lends USDC and DAI; prices in dollars."""
    reserves = {
        "WETH": listed("WETH", weth),
        "USDC": listed("USDC", 1.0),
        "DAI": listed("DAI", 1.0),
    }
    pool = AavePool(RULES[rules], reserves, {1: ETH_MODE} if RULES[rules].has_emode else None)
    for asset in ("USDC", "DAI"):
        pool.supply("lender", asset, wei(asset, lent), START_S)
    return pool


def loan(
    rules: str, debts: dict[str, float] | None = None, weth: float = 10.0, price: float = 2_000.0
) -> AavePool:
    """Return a market in which alice owes, by default 14,000 USDC, against WETH."""
    pool = market(rules, price)
    pool.supply("alice", "WETH", wei("WETH", weth), START_S)
    for asset, tokens in (debts or {"USDC": 14_000.0}).items():
        pool.borrow("alice", asset, wei(asset, tokens), START_S)
    return pool


def dollars(pool: AavePool, user: str, now_s: int = START_S) -> float:
    """Return a user's equity."""
    data = pool.account(user, now_s)
    return (data.collateral_base - data.debt_base) / DOLLAR
