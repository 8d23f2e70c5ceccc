"""Futures accounts made by hand, as an agent sees them: ETH first, then BTC, brackets of 2024."""

from collections.abc import Mapping, Sequence

import numpy as np
from perpetual_accounts import BTC_2024, ETH_2024, tables_of

from seawall.loan_view import LoanView
from seawall.market.series import Candles, SeriesKey
from seawall.observation import Observation, Window
from seawall.perpetual_view import Contract, PerpetualView
from seawall.units import HOUR_MS
from seawall.venues.perpetual import layout
from seawall.venues.perpetual.positions import trade

ETH, BTC = "ETH/USDT:USDT", "BTC/USDT:USDT"
SYMBOLS = (ETH, BTC)
MARKS = {ETH: 2_000.0, BTC: 50_000.0}
TAKER_FEE = 0.0005
EIGHT_HOURS_MS = 8 * HOUR_MS


def make_view(
    *,
    quantity: float = 10.0,
    entry: float = 2_000.0,
    mark: float = 2_000.0,
    leverage: float = 5.0,
    is_isolated: bool = True,
    wallet: float = 0.0,
    reserve: float = 0.0,
    btc: float = 0.0,
    lot_size: float = 0.001,
    funding_rate: float = float("nan"),
    next_funding_ms: int = EIGHT_HOURS_MS,
    on_the_way: float = 0.0,
) -> PerpetualView:
    """Return an account with ``quantity`` ETH entered at ``entry``, by default isolated 5x.

    ``wallet``: quote units left in it beside the isolated margin; of a cross account the initial
    margin of the position is in it as well. ``btc``: a cross position beside it, at its mark.
    """
    account = np.zeros(layout.N_ACCOUNT)
    positions = np.zeros((2, layout.N_POSITION))
    positions[:, layout.LEVERAGE] = leverage
    positions[0, layout.IS_ISOLATED] = float(is_isolated)
    account[layout.WALLET] = wallet + abs(quantity) * entry / leverage
    if quantity:
        trade(account, positions, 0, quantity, entry, 0.0)
    if btc:
        trade(account, positions, 1, btc, MARKS[BTC], 0.0)
    return PerpetualView(
        contracts={s: _contract(s, row, lot_size) for row, s in enumerate(SYMBOLS)},
        account=account,
        positions=positions,
        marks=np.array([mark, MARKS[BTC]]),
        tables=tables_of(ETH_2024, BTC_2024),
        reserve=reserve,
        funding_rates=np.array([funding_rate, funding_rate]),
        next_funding_ms=dict.fromkeys(SYMBOLS, next_funding_ms),
        on_the_way=on_the_way,
    )


def _contract(symbol: str, row: int, lot_size: float) -> Contract:
    return Contract(
        symbol=symbol,
        row=row,
        taker_fee=TAKER_FEE,
        maker_fee=0.0002,
        liquidation_fee=0.0125,
        lot_size=lot_size,
        max_leverage=125.0,
        interval_ms=EIGHT_HOURS_MS,
    )


def show(
    view: PerpetualView | None,
    *,
    prices: Sequence[float] = (2_000.0,) * 50,
    symbols: tuple[str, ...] = (ETH,),
    equity: float = 10_000.0,
    quantities: Mapping[str, float] | None = None,
    loan: LoanView | None = None,
    time_ms: int | None = None,
) -> Observation:
    """Return what an agent sees after hourly closes, the same for each symbol."""
    windows = {}
    for place, symbol in enumerate(symbols):
        window = Window(to_candles(symbol, prices), place)
        window.reveal(len(prices))
        windows[symbol] = window
    return Observation(
        time_ms=len(prices) * HOUR_MS if time_ms is None else time_ms,
        windows=windows,
        signals={},
        cash=equity,
        equity=equity,
        quantities={**dict.fromkeys(symbols, 0.0), **(quantities or {})},
        loan=loan,
        perpetual=view,
    )


def to_candles(symbol: str, prices: Sequence[float]) -> Candles:
    """Return hourly candles whose open, high, low and close are all one price."""
    price = np.array(prices, dtype=np.float64)
    key = SeriesKey("candles", "made", symbol, "1h")
    return Candles(
        key=key,
        time_ms=np.arange(len(price), dtype=np.int64) * HOUR_MS,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(len(price)),
    )
