"""A trade of the exchange as a fill: the row that engines and reports speak of."""

from math import nan

from seawall.fill import Fill
from seawall.paper.order import TradeFill


def to_fill(trade: TradeFill, *, fee: float, order_id: str, rule: str) -> Fill:
    """Return a trade as a fill; what of its price was spread is not known.

    Args:
        trade: as the exchange lists it.
        fee: quote units.
        order_id: whose it is, as the reader knows it.
        rule: what filled it.
    """
    return Fill(
        time_ms=trade.time_ms,
        bar_ms=trade.time_ms,
        order_id=order_id,
        symbol=trade.symbol,
        quantity=trade.signed,
        price=trade.price,
        raw_price=trade.price,
        trigger_price=nan,
        slippage=0.0,
        fee=fee,
        liquidity="maker" if trade.is_maker else "taker",
        rule=rule,
        is_ambiguous=False,
    )
