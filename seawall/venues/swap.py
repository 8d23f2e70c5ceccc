"""What a swap costs in a constant-product pool, and whether a liquidation pays.

Values are USD at the price before the swap, so that what is lost is seen at once: a swap of value v
gives ``v - fee - impact``, to the bit. ``depth_usd`` is what lies on one side of the pool, > 0; inf
is a pool that no swap moves. ``fee`` is a fraction of what goes in, 0 <= fee < 1.

Source: Uniswap v2, ``UniswapV2Library.getAmountOut`` and ``getAmountIn`` (``x * y = k`` after the
fee), written in values: D goes in on one side against D on the other.
Left out: concentrated liquidity (set the depth of the range at hand), routes over several pools,
and that the pool remembers: arbitrage has brought it back before the next swap.
"""

from math import inf
from typing import NamedTuple

from seawall.kernel import kernel


class Swap(NamedTuple):
    """One side of a swap in USD (what comes out, or what goes in), its fee and its impact."""

    value_usd: float
    fee_usd: float
    impact_usd: float


@kernel
def sell_for(value_in_usd: float, depth_usd: float, fee: float) -> Swap:
    """Return what comes out of selling exactly ``value_in_usd``: exact-in.

    ``out = D * w / (D + w)`` with ``w = value_in * (1 - fee)``; never as much as the depth.
    """
    if not value_in_usd > 0.0:
        return Swap(0.0, 0.0, 0.0)
    paid = value_in_usd * fee
    net = value_in_usd - paid
    impact = net - net / (1.0 + net / depth_usd)
    return Swap(net - impact, paid, impact)


@kernel
def cost_of(value_out_usd: float, depth_usd: float, fee: float) -> Swap:
    """Return what has to go in to get exactly ``value_out_usd``: exact-out.

    ``in = D * out / (D - out) / (1 - fee)``; inf where the pool does not hold as much.
    """
    if not value_out_usd > 0.0:
        return Swap(0.0, 0.0, 0.0)
    if value_out_usd >= depth_usd:
        return Swap(inf, inf, inf)
    net = value_out_usd / (1.0 - value_out_usd / depth_usd)
    paid = net / (1.0 - fee) * fee
    impact = net - value_out_usd
    return Swap(value_out_usd + impact + paid, paid, impact)


@kernel
def liquidation_profit(  # noqa: PLR0917 - a kernel takes no keywords
    repaid_usd: float,
    seized_usd: float,
    protocol_fee_usd: float,
    gas_usd: float,
    depth_usd: float,
    fee: float,
) -> float:
    """Return what a liquidator earns, USD; it acts only where this is above 0.

    ``(seized - protocol fee - repaid) - gas - (fee and impact of selling what it received)``.
    It sells everything at once and pays the pool as anybody does.

    Left out: flash-loan premiums, priority fees and what it could earn by waiting for a larger
    bonus: liquidators compete.
    """
    received = seized_usd - protocol_fee_usd
    sale = sell_for(received, depth_usd, fee)
    return received - repaid_usd - gas_usd - sale.fee_usd - sale.impact_usd
