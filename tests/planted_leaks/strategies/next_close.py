"""A planted leak in plain backtrader code: `close[1]` is tomorrow."""

import backtrader as bt


class NextClose(bt.Strategy):
    """Hold where the next bar closes higher."""

    def next(self) -> None:
        """Compare with the future."""
        if self.data.close[1] > self.data.close[0]:
            if not self.position:
                self.buy(size=0.1)
        elif self.position:
            self.close()
