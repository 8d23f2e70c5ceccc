"""A planted leak in plain backtrader code: `.array` holds all bars, future included."""

import backtrader as bt


class WholeArray(bt.Strategy):
    """Buy below the middle of all times, sell above it."""

    def next(self) -> None:
        """Compare with a level that nobody could know."""
        prices = self.data.close.array
        middle = (min(prices) + max(prices)) / 2
        if self.data.close[0] < middle and not self.position:
            self.buy(size=0.1)
        elif self.data.close[0] > middle and self.position:
            self.close()
