"""A spot account as the broker of a sandbox reads it: what the journal believes is held."""

from seawall.paper.client import ExchangeClient
from seawall.paper.order import TradeFill
from seawall.units import split_symbol

_MARGIN_FOR_COSTS = 0.998  # of the cash: fee and the way of the price until the order arrives


class SpotSide:
    """Coins and cash; the exchange's word is in the journal already.

    Args:
        client: the account; its journal has a baseline (``reconcile``).
        quote: the asset of cash.
    """

    def __init__(self, client: ExchangeClient, *, quote: str) -> None:
        self._journal, self._quote = client.journal, quote

    def cash(self) -> float:
        """Return the quote units that are believed to be held, those behind orders included."""
        return self._journal.believed("balance").get(self._quote, 0.0)

    def value(self, prices: dict[str, float]) -> float:
        """Return the equity at these prices by symbol, quote units."""
        held = self._journal.believed("balance")
        coins = {symbol: held.get(split_symbol(symbol)[0], 0.0) for symbol in prices}
        return self.cash() + sum(coins[symbol] * price for symbol, price in prices.items())

    def quantity(self, symbol: str) -> float:
        """Return what is held of a symbol's coin, base units."""
        return self._journal.believed("balance").get(split_symbol(symbol)[0], 0.0)

    def entry(self, symbol: str) -> float | None:
        """Return ``None``: an exchange does not say what its coins were bought for."""
        del symbol
        return None

    def most(self, symbol: str, price: float, *, is_buy: bool) -> float:
        """Return how much an order that is fitted may be for, base units."""
        del symbol
        return self.cash() * _MARGIN_FOR_COSTS / price if is_buy else float("inf")

    def gross(self, without: str, prices: dict[str, float]) -> float:
        """Return what is held in all symbols but one, quote units."""
        return sum(
            abs(self.quantity(symbol)) * price
            for symbol, price in prices.items()
            if symbol != without
        )

    def fee_in_quote(self, fill: TradeFill) -> float | None:
        """Return a fill's fee in quote units; ``None`` where it was paid in a third asset."""
        base, quote = split_symbol(fill.symbol)
        if fill.fee_asset in (quote, ""):
            return fill.fee
        return fill.fee * fill.price if fill.fee_asset == base else None

    def doubt(self) -> str:
        """Return ``""``: what is believed follows from what was filled."""
        return ""

    def refresh(self, *, at_once: bool = False) -> None:
        """Do nothing: fills tell all there is."""

    def note_sent(self, client_id: str, symbol: str, *, keeps_margin: bool) -> None:
        """Do nothing: coins have no margin."""
