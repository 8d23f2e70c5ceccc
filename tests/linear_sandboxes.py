"""Exchanges with perpetuals to test against, and how their books are added up."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sandbox_clients import START_MS, RawClient, bars, exchange

from seawall.market.series import Candles, SeriesKey, Signal
from seawall.sandbox.contract import Contract, make_contract
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.market import Liquidity
from seawall.venues.perpetual import margin

PERP, CODE = "ETH/USDT:USDT", "ETHUSDT"
BTC_PERP, BTC_CODE = "BTC/USDT:USDT", "BTCUSDT"
DEEP = Liquidity(level_notional=5_000_000.0)
NO_LIMITS = Settings(limits=None)
Row = tuple[float, float, float, float, float]


def flat(n: int, price: float = 3000.0, symbol: str = PERP) -> Candles:
    """Return ``n`` minutes in which nothing moves."""
    return bars([(price, price, price, price, 100.0)] * n, symbol)


def legs(points: Sequence[float], symbol: str = PERP) -> Candles:
    """Return minutes that go straight from each price to the next."""
    rows: list[Row] = [(a, max(a, b), min(a, b), b, 200.0) for a, b in pairwise(points)]
    return bars(rows, symbol)


def glide(points: Sequence[float], per_leg: int, symbol: str = PERP) -> Candles:
    """Return minutes that go from price to price in ``per_leg`` even steps each, on the tick."""
    path = [points[0]]
    for a, b in pairwise(points):
        path += [round(a + (b - a) * (i + 1) / per_leg, 2) for i in range(per_leg)]
    return legs(path, symbol)


def funding(rates: Iterable[float], *, first_ms: int, interval: str = "8h") -> Signal:
    """Return funding at even stamps from ``first_ms`` on."""
    values = np.array(list(rates))
    key = SeriesKey("funding", "test", PERP, interval)
    times = first_ms + key.timeframe_ms * np.arange(len(values), dtype=np.int64)
    return Signal(key=key, time_ms=times, known_ms=times, value=values)


def mark_as(candles: Candles, points: Sequence[float]) -> Candles:
    """Return a mark that goes straight from each price to the next, beside candles."""
    made = legs(points, candles.key.symbol)
    key = SeriesKey("mark", "test", candles.key.symbol, "1m")
    return Candles(
        key=key, time_ms=made.time_ms, open=made.open, high=made.high, low=made.low,
        close=made.close, volume=np.full(len(made), np.nan),
    )  # fmt: skip


def perpetuals(
    *candles: Candles,
    contract: Contract | None = None,
    futures: float = 10_000.0,
    liquidity: Liquidity = DEEP,
    start_ms: int = START_MS,
) -> Exchange:
    """Return an exchange whose accounts hold USDT for futures; ``contract``: of the first."""
    own = contract or make_contract(candles[0], mark=_itself(candles[0]))
    return exchange(
        *candles,
        liquidity=liquidity,
        settings=NO_LIMITS,
        futures=futures,
        contracts={candles[0].key.symbol: own},
        start_ms=start_ms,
    )


def _itself(candles: Candles) -> Candles:
    """Return the last price as mark, wicks and all."""
    key = SeriesKey("mark", "test", candles.key.symbol, candles.key.timeframe)
    return Candles(
        key=key, time_ms=candles.time_ms, open=candles.open, high=candles.high, low=candles.low,
        close=candles.close, volume=candles.volume,
    )  # fmt: skip


def order(client: RawClient, side: str, kind: str, **params: object) -> tuple[int, Any]:
    """Place a plain order for the perpetual; returns status and JSON."""
    shape = {"symbol": CODE, "side": side, "type": kind, "newOrderRespType": "RESULT"}
    return client.signed("POST", "/fapi/v1/order", **{**shape, **params})


def algo(client: RawClient, side: str, kind: str, **params: object) -> tuple[int, Any]:
    """Place a conditional order for the perpetual; returns status and JSON."""
    shape = {"algoType": "CONDITIONAL", "symbol": CODE, "side": side, "type": kind}
    return client.signed("POST", "/fapi/v1/algoOrder", **{**shape, **params})


def get(client: RawClient, path: str, **params: object) -> Any:
    """Return the JSON of a signed GET that succeeds."""
    status, found = client.signed("GET", path, **params)
    assert status == 200, found
    return found


def position(client: RawClient, code: str = CODE) -> Any:
    """Return a position as version 2 shows it."""
    return get(client, "/fapi/v2/positionRisk", symbol=code)[0]


def imbalance(made: Exchange) -> float:
    """Return what is there less what was paid in: equities, the other side, fees, insurance."""
    desk = made.linear
    equities = [
        margin.find_equity(seat.wallet, seat.positions, desk.marks) for seat in desk.seats.values()
    ]
    return sum(equities) + desk.house.worth(desk.marks) - desk.house.paid_in
