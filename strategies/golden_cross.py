"""A plain backtrader strategy, as anyone may have it: it runs unchanged."""

import backtrader as bt


class GoldenCross(bt.Strategy):
    """Hold while the fast average is above the slow one.

    Parameters:
        fast, slow: lengths of the simple moving averages, in bars.
        share: of the cash to invest.
    """

    params = (("fast", 50), ("slow", 200), ("share", 0.95))

    def __init__(self) -> None:
        fast = bt.indicators.SMA(period=self.p.fast)
        slow = bt.indicators.SMA(period=self.p.slow)
        self.cross = bt.indicators.CrossOver(fast, slow)

    def next(self) -> None:
        """Buy at a golden cross, sell all at a death cross."""
        if not self.position and self.cross > 0:
            self.order_target_percent(target=self.p.share)
        elif self.position and self.cross < 0:
            self.close()
