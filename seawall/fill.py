"""What a fill is: the row that every engine, venue and report speaks of."""

from typing import Literal, NamedTuple

Liquidity = Literal["maker", "taker"]


class Fill(NamedTuple):
    """One execution, with everything needed to audit it.

    Attributes:
        time_ms: when: the open of the bar for what fills at the open, else the bar's close stamp.
        bar_ms: open stamp of the bar that filled it.
        order_id, symbol: of the order.
        quantity: base units, signed: > 0 bought, < 0 sold.
        price: quote per base unit, after spread and slippage.
        raw_price: the price before spread and slippage.
        trigger_price: the stop or limit that let it happen; nan for a market order.
        slippage: quote units lost against ``raw_price``, >= 0: half-spread and impact.
        fee: quote units, >= 0; of a liquidation what the margin paid of it, without what the
            insurance fund did.
        liquidity: ``maker`` or ``taker``.
        rule: name of the fill rule, as in the README's table.
        is_ambiguous: the bar does not tell whether it happened, or in which order.
    """

    time_ms: int
    bar_ms: int
    order_id: str
    symbol: str
    quantity: float
    price: float
    raw_price: float
    trigger_price: float
    slippage: float
    fee: float
    liquidity: Liquidity
    rule: str
    is_ambiguous: bool
