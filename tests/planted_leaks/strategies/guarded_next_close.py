"""A planted leak that does not even raise at the end of the data."""

import backtrader as bt


class GuardedNextClose(bt.Strategy):
    """Hold where the next bar closes higher, and be careful at the end."""

    def next(self) -> None:
        """Compare with the future where there is one."""
        try:
            rises = self.data.close[1] > self.data.close[0]
        except IndexError:
            return
        if rises and not self.position:
            self.buy(size=0.1)
        elif not rises and self.position:
            self.close()
