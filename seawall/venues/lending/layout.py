"""Where each number of a loan lies in the flat arrays that the kernels work on.

With ``n`` assets and ``f`` price feeds::

    state   what is now: scalars, blocks of n, the parts of the equity change. The blocks:
            collateral, debt, wallet, mark, the first two as first taken, interest so far on each
    world   a row per bar, row 0 is the start: scalars, blocks of n, blocks of f
    trace   a row per bar, row 0 is the start: what is shown and kept

Amounts are tokens, prices USD per token, rates fractions per year.
"""

from typing import Final

# state ------------------------------------------------------------------------------------------
HEALTH: Final = 0
MIN_HEALTH: Final = 1  # lowest within the last bar
UNTOUCHED_HEALTH: Final = 2  # of the loan as it was first taken, at the worst oracle price
N_LIQUIDATIONS: Final = 3
SPENT: Final = 4  # USD: gas, swaps, premiums, services
N_STATE: Final = 5

(COLLATERAL, DEBT, WALLET, MARK, FIRST_COLLATERAL, FIRST_DEBT, EARNED, ACCRUED) = range(8)
N_BLOCKS: Final = 8

PARTS = (
    "market", "supply_interest", "borrow_interest", "gas", "swap_fees", "impact", "service_fees",
    "flash_premiums", "liquidation_bonus", "liquidation_fee", "bad_debt",
)  # fmt: skip
(MARKET, SUPPLY_INTEREST, BORROW_INTEREST, GAS, SWAP_FEES, IMPACT, SERVICE_FEES, FLASH_PREMIUMS,
 LIQUIDATION_BONUS, LIQUIDATION_FEE, BAD_DEBT) = range(len(PARTS))  # fmt: skip

# world ------------------------------------------------------------------------------------------
SECONDS: Final = 0  # length of the bar
GAS_PRICE: Final = 1  # gwei, what a transaction of this bar pays
GAS_KNOWN: Final = 2  # gwei, what can be known at its close
NATIVE_OPEN: Final = 3  # USD per ETH
IS_DOWN: Final = 4  # it cannot be read in a part of the bar: what needs a price is refused
IS_DARK: Final = 5  # nor in the whole bar: nobody can liquidate
IS_JUMP: Final = 6  # it has been silent: its first report skips all prices in between
N_WORLD: Final = 7

OPEN, CLOSE, RATIO, SUPPLY_RATE, BORROW_RATE = range(5)  # blocks of n
FEED_LOW, FEED_HIGH, FEED_CLOSE_LOW, FEED_CLOSE_HIGH = range(4)  # blocks of f, behind them

# trace ------------------------------------------------------------------------------------------
(SHOWN_HEALTH, SHOWN_MIN_HEALTH, SHOWN_UNTOUCHED, SHOWN_COLLATERAL_USD, SHOWN_DEBT_USD,
 SHOWN_WALLET_USD, SHOWN_EQUITY, SHOWN_GAS, SHOWN_LIQUIDATIONS, SHOWN_SPENT, SHOWN_LOW,
 SHOWN_LIMIT_USD, SHOWN_BORROWABLE_USD) = range(13)  # fmt: skip
N_TRACE: Final = 13
T_COLLATERAL, T_DEBT, T_WALLET, T_ORACLE, T_PRICE, T_SUPPLY_RATE, T_BORROW_RATE = range(7)
N_TRACE_BLOCKS: Final = 7

# parameters: a row per asset ----------------------------------------------------------------------
(THRESHOLD, MAX_LTV, BONUS, PROTOCOL_FEE, FEED, LIQUIDATION_FACTOR, POOL_SUPPLY, POOL_DEBT,
 BASE_RATE, SLOPE_1, SLOPE_2, OPTIMAL, RESERVE_FACTOR, HEALTH_IN_BPS,
 LTV_IN_BPS) = range(15)  # fmt: skip
# The last two: whether thresholds and loan to values are averaged over the collateral, in whole
# basis points; the protocol's, the same in every row.
N_PARAMETERS: Final = 15

# rules: one row --------------------------------------------------------------------------------
(PROTOCOL, LIQUIDATION_GAS, SWAP_FEE, DEPTH_USD, STOREFRONT, BASE_ASSET, N_FEEDS) = range(7)
N_RULES: Final = 7  # behind them: the deviation threshold of each feed

AAVE_V2, AAVE_V3_0, AAVE_V3_3, COMET, MORPHO = range(5)

# events: a row per liquidation -----------------------------------------------------------------
(AT_BAR, COLLATERAL_ASSET, DEBT_ASSET, REPAID, SEIZED, REPAID_USD, SEIZED_USD, BONUS_USD, FEE_USD,
 BAD_DEBT_USD, HEALTH_BEFORE, HEALTH_AFTER, AT_PRICE, LIQUIDATOR_GAS_USD) = range(14)  # fmt: skip
N_EVENT: Final = 14

# wake -------------------------------------------------------------------------------------------
HEALTH_BELOW, HEALTH_ABOVE, AT_EVENT = range(3)


def state_size(n: int) -> int:
    """Return the length of a state of ``n`` assets."""
    return N_STATE + N_BLOCKS * n + len(PARTS)


def world_width(n: int, n_feeds: int) -> int:
    """Return the columns of a world of ``n`` assets on ``n_feeds`` feeds."""
    return N_WORLD + 5 * n + 4 * n_feeds


def trace_width(n: int) -> int:
    """Return the columns of a trace of ``n`` assets."""
    return N_TRACE + N_TRACE_BLOCKS * n
