"""One account's rules and parameters at every protocol, as ``layout`` has them, for tests."""

from math import inf

import numpy as np

from seawall.market.series import FloatArray
from seawall.venues.lending import layout
from seawall.venues.lending.rules import RULES

NAMES = ("WETH", "WBTC", "DAI", "USDC")
DECIMALS = (18, 18, 18, 18)  # so that wei stay far below what is compared
WETH, WBTC, DAI, USDC = range(4)
N = len(NAMES)
START = np.array([2_000.0, 30_000.0, 1.0, 1.0])
CODES = {
    "v2": layout.AAVE_V2, "v3.0": layout.AAVE_V3_0, "v3.3": layout.AAVE_V3_3,
    "v3.6": layout.AAVE_V3_3, "v3.7": layout.AAVE_V3_3,
    "comet": layout.COMET, "morpho": layout.MORPHO,
}  # fmt: skip
PROTOCOLS = tuple(CODES)
AAVE = PROTOCOLS[:5]


def risk_of(protocol: str) -> FloatArray:
    """Return parameters, a row per asset: threshold, LTV, bonus, fee, factor."""
    risk = np.zeros((N, layout.N_PARAMETERS))
    risk[:, layout.BONUS] = 1.0
    columns = [layout.THRESHOLD, layout.MAX_LTV, layout.BONUS, layout.PROTOCOL_FEE]
    if protocol in AAVE:
        fee = 0.0 if protocol == "v2" else 0.1
        risk[WETH, columns] = 0.83, 0.805, 1.05, fee
        risk[WBTC, columns] = 0.78, 0.73, 1.07, fee
        risk[DAI, columns] = 0.77, 0.63, 1.045, fee
        risk[USDC, columns] = 0.78, 0.75, 1.045, fee
        risk[:, layout.HEALTH_IN_BPS] = not RULES[protocol].health_from_sum
        risk[:, layout.LTV_IN_BPS] = True
    elif protocol == "comet":
        risk[WETH, columns[:2]], risk[WBTC, columns[:2]] = (0.895, 0.825), (0.77, 0.70)
        risk[[WETH, WBTC], layout.LIQUIDATION_FACTOR] = 0.95
    else:
        risk[WETH, columns[:3]] = 0.86, 0.86, 1.0 / (1.0 - 0.3 * (1.0 - 0.86))
    return risk


def rules_of(protocol: str, n_feeds: int = 0) -> FloatArray:
    """Return rules; ``n_feeds`` of them report at half a per cent."""
    rules = np.zeros(layout.N_RULES + n_feeds)
    rules[layout.PROTOCOL] = CODES[protocol]
    rules[layout.BASE_ASSET] = USDC
    rules[layout.STOREFRONT], rules[layout.DEPTH_USD] = 0.5, inf
    rules[layout.N_FEEDS] = n_feeds
    rules[layout.N_RULES :] = 0.005
    return rules
