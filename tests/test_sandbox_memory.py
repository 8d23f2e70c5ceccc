"""Requests leave nothing behind: what is kept is bounded, whatever comes."""

import gc
import sys

import pytest
from linear_sandboxes import DEEP, PERP
from sandbox_clients import START_MS, RawClient, exchange, wavy

from seawall.sandbox.exchange import Settings
from seawall.units import MINUTE_MS

pytestmark = pytest.mark.slow
ROUNDS = 2_500  # of ten requests each


def trade(client: RawClient, rounds: int, first: int) -> None:
    """Send ten requests a round: orders of all fates on both desks, queries, pages of klines."""
    spot, linear = {"symbol": "ETHUSDT"}, {"symbol": "ETHUSDT", "newOrderRespType": "RESULT"}
    made = client.exchange
    for number in range(first, first + rounds):
        side = "BUY" if number % 2 else "SELL"
        client.order(side, "MARKET", quantity="0.01", newClientOrderId=f"m{number}")
        _, rest = client.order("BUY", "LIMIT", quantity="0.01", price="2900", timeInForce="GTC")
        client.signed("DELETE", "/api/v3/order", **spot, orderId=rest["orderId"])
        shape = {"side": side, "type": "MARKET", "quantity": "0.01"}
        client.signed("POST", "/fapi/v1/order", **linear, **shape)
        stop = {"algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET",
                "triggerPrice": "2000", "quantity": "0.01"}  # fmt: skip
        _, algo = client.signed("POST", "/fapi/v1/algoOrder", **spot, **stop)
        client.signed("DELETE", "/fapi/v1/algoOrder", algoId=algo["algoId"])
        pair = {"side": "SELL", "quantity": "0.01", "price": "3090", "stopPrice": "2900"}
        client.signed("POST", "/api/v3/order/oco", **spot, **pair)
        client.signed("DELETE", "/api/v3/openOrders", **spot)
        client.signed("GET", "/api/v3/account")
        client.public("/api/v3/klines", **spot, interval="1m", limit=20)
        if number % 10 == 0:
            made.clock.advance(MINUTE_MS)


def blocks() -> int:
    """Return how many blocks of memory Python holds."""
    gc.collect()
    return sys.getallocatedblocks()


def test_memory_is_flat_once_what_is_kept_is_full() -> None:
    """Twenty-five thousand requests after as many others: not one block for ten of them more."""
    made = exchange(
        wavy(2_000), wavy(2_000, PERP), start_ms=START_MS, futures=1e6, liquidity=DEEP,
        settings=Settings(limits=None, kept=100),
    )  # fmt: skip
    alice = RawClient(made)
    trade(alice, ROUNDS, 0)
    before = blocks()
    trade(alice, ROUNDS, ROUNDS)
    grown = blocks() - before
    assert grown < 10 * ROUNDS // 10, grown
