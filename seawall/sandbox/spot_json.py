"""Orders, trades and balances as Binance spot writes them."""

from collections.abc import Sequence

from seawall.sandbox.accounts import Account
from seawall.sandbox.decimals import to_text
from seawall.sandbox.order_lists import OrderList
from seawall.sandbox.orders import Order, Trade

PREVENTION = "EXPIRE_MAKER"
JsonDict = dict[str, object]


def placed(order: Order, trades: Sequence[Trade], kind: str) -> JsonDict:
    """Return the answer to a new order; ``kind`` is ACK, RESULT or FULL."""
    answer: JsonDict = {
        "symbol": order.code,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "transactTime": order.update_ms,
    }
    if kind == "ACK":
        return answer
    answer |= _amounts(order)
    answer["workingTime"] = order.working_ms
    answer["selfTradePreventionMode"] = PREVENTION
    if kind == "FULL":
        answer["fills"] = [
            {
                "price": to_text(trade.price),
                "qty": to_text(trade.quantity),
                "commission": to_text(trade.fee),
                "commissionAsset": trade.fee_asset,
                "tradeId": trade.trade_id,
            }
            for trade in trades
        ]
    return answer


def queried(order: Order) -> JsonDict:
    """Return an order as queries show it."""
    return {
        "symbol": order.code,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        **_amounts(order),
        "stopPrice": to_text(order.stop_price),
        "icebergQty": "0.00000000",
        "time": order.time_ms,
        "updateTime": order.update_ms,
        "isWorking": order.is_working,
        "workingTime": order.working_ms,
        "selfTradePreventionMode": PREVENTION,
    }


def canceled(order: Order, client_id: str) -> JsonDict:
    """Return the answer to a cancel, whose own id is ``client_id``."""
    return {
        "symbol": order.code,
        "origClientOrderId": order.client_id,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": client_id or f"cancel{order.code}{order.order_id:09d}",
        "transactTime": order.update_ms,
        **_amounts(order),
        "selfTradePreventionMode": PREVENTION,
    }


def listed(made: OrderList) -> JsonDict:
    """Return a list of orders as queries show it."""
    return {
        "orderListId": made.number,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if made.is_over else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if made.is_over else "EXECUTING",
        "listClientOrderId": made.client_id,
        "transactionTime": made.time_ms,
        "symbol": made.code,
        "orders": [
            {"symbol": leg.code, "orderId": leg.order_id, "clientOrderId": leg.client_id}
            for leg in made.legs
        ],
    }


def traded(trade: Trade, list_id: int) -> JsonDict:
    """Return a trade of an order of a list, -1 for none, as ``myTrades`` shows it."""
    return {
        "symbol": trade.code,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": list_id,
        "price": to_text(trade.price),
        "qty": to_text(trade.quantity),
        "quoteQty": to_text(trade.quote),
        "commission": to_text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.time_ms,
        "isBuyer": trade.is_buyer,
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def account_of(account: Account, *, has_zeros: bool) -> JsonDict:
    """Return the spot wallet as ``account`` shows it."""
    maker, taker = to_text(account.maker_fee), to_text(account.taker_fee)
    balances = [
        {"asset": asset, "free": to_text(one.free), "locked": to_text(one.locked)}
        for asset, one in sorted(account.balances.items())
        if has_zeros or one.total
    ]
    return {
        "makerCommission": account.maker_fee // 10_000,
        "takerCommission": account.taker_fee // 10_000,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": "0.00000000",
                            "seller": "0.00000000"},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.update_ms,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": account.number,
    }  # fmt: skip


def _amounts(order: Order) -> JsonDict:
    """Return what all answers say of an order; a trigger only where there is one."""
    amounts: JsonDict = {
        "price": to_text(order.price),
        "origQty": to_text(order.quantity),
        "executedQty": to_text(order.filled),
        "origQuoteOrderQty": to_text(order.quote_quantity),
        "cummulativeQuoteQty": to_text(order.filled_quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
    }
    if order.stop_price:
        amounts["stopPrice"] = to_text(order.stop_price)
    return amounts
