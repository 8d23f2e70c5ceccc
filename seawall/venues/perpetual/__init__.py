"""Linear perpetual futures: margin, funding and liquidation on the mark price.

``layout`` says where each number lies, ``margin`` what an account must hold and where it is
liquidated, ``positions`` what a fill, a funding stamp and a transfer do, ``liquidation`` what the
exchange does, ``life`` how an account lives through bars without orders.

Source: Binance USD-M futures, single-asset mode, one-way position mode.
Left out: auto-deleveraging (a position in profit is never taken away to pay for somebody else's
bankruptcy), hedge mode, several margin assets in one account, and open orders' own margin.
"""
