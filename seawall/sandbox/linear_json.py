"""Orders, trades, wallets and positions as Binance USD-M futures writes them.

Money is float64 inside; here it has eight decimals, the nearest.
"""

from math import isnan

from seawall.sandbox.algo import TRAILING, AlgoOrder
from seawall.sandbox.decimals import ONE, money_to_text, to_text
from seawall.sandbox.linear_account import find_largest, find_transferable
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.order_margin import find_bound, find_exposure, find_free
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.seat import Income, Seat
from seawall.sandbox.spot_json import PREVENTION, JsonDict
from seawall.venues.perpetual import layout, margin

_PER_CENT = 100


def ordered(order: Order) -> JsonDict:
    """Return an order as its endpoint and all queries show it."""
    return {
        "orderId": order.order_id,
        "symbol": order.code,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": to_text(order.price),
        "avgPrice": average_of(order),
        "origQty": to_text(order.quantity),
        "executedQty": to_text(order.filled),
        "cumQty": to_text(order.filled),
        "cumQuote": to_text(order.filled_quote),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.is_reduce_only,
        "closePosition": order.closes_all,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": to_text(order.stop_price),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.original_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": PREVENTION,
        "goodTillDate": 0,
        "time": order.time_ms,
        "updateTime": order.update_ms,
    }


def average_of(order: Order) -> str:
    """Return the average price of what is filled."""
    return to_text(order.filled_quote * ONE // order.filled if order.filled else 0)


def waiting(algo: AlgoOrder, became: Order | None) -> JsonDict:
    """Return a conditional order; ``became``: the order that it has become."""
    shown: JsonDict = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.code,
        "side": algo.side,
        "positionSide": "BOTH",
        "timeInForce": algo.time_in_force,
        "quantity": to_text(algo.quantity),
        "algoStatus": algo.status,
        "actualOrderId": str(algo.order_id or ""),
        "actualPrice": average_of(became) if became else to_text(0),
        "triggerPrice": to_text(algo.trigger_price),
        "price": to_text(algo.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": PREVENTION,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.closes_all,
        "priceProtect": False,
        "reduceOnly": algo.is_reduce_only,
        "createTime": algo.time_ms,
        "updateTime": algo.update_ms,
        "triggerTime": algo.trigger_ms,
        "goodTillDate": 0,
    }
    if algo.type == TRAILING:
        shown["activatePrice"] = to_text(algo.activate_price)
        shown["callbackRate"] = to_text(algo.callback * _PER_CENT)
    return shown


def traded(trade: Trade) -> JsonDict:
    """Return a trade as ``userTrades`` shows it."""
    return {
        "symbol": trade.code,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": "BUY" if trade.is_buyer else "SELL",
        "price": to_text(trade.price),
        "qty": to_text(trade.quantity),
        "realizedPnl": to_text(trade.realised),
        "quoteQty": to_text(trade.quote),
        "commission": to_text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.time_ms,
        "positionSide": "BOTH",
        "buyer": trade.is_buyer,
        "maker": trade.is_maker,
    }


def received(income: Income, asset: str) -> JsonDict:
    """Return a change of the wallet as ``income`` shows it."""
    return {
        "symbol": income.code,
        "incomeType": income.kind,
        "income": money_to_text(income.amount),
        "asset": asset,
        "info": income.kind,
        "time": income.time_ms,
        "tranId": income.number,
        "tradeId": str(income.trade_id or ""),
    }


def sums_of(desk: LinearDesk, seat: Seat) -> JsonDict:
    """Return what a wallet holds, needs and has free, as ``assets`` of ``account`` show it."""
    cross = margin.cross_margin(seat.wallet, seat.positions, desk.marks, desk.tables)
    maintenance, initial, unrealised = cross.maintenance, cross.initial, cross.unrealised
    for row in range(len(desk.codes)):
        if seat.is_isolated(row):
            mark = float(desk.marks[row])
            own = margin.isolated_margin(seat.positions, row, mark, desk.tables[row])
            maintenance += own.maintenance
            initial += own.initial
            unrealised += own.unrealised
    bound = find_bound(seat, desk.codes, desk.marks)
    free = max(find_free(seat, desk.standing, isolated=False), 0.0)
    return {
        "walletBalance": money_to_text(seat.money),
        "unrealizedProfit": money_to_text(unrealised),
        "marginBalance": money_to_text(seat.money + unrealised),
        "maintMargin": money_to_text(maintenance),
        "initialMargin": money_to_text(initial + bound),
        "positionInitialMargin": money_to_text(initial),
        "openOrderInitialMargin": money_to_text(bound),
        "crossWalletBalance": money_to_text(float(seat.wallet[layout.WALLET])),
        "crossUnPnl": money_to_text(cross.unrealised),
        "availableBalance": money_to_text(free),
        "maxWithdrawAmount": money_to_text(find_transferable(desk, seat)),
    }


def account_of(desk: LinearDesk, seat: Seat, *, has_all: bool) -> JsonDict:
    """Return the account; ``has_all``: every market as version 2 shows it, else the busy ones."""
    sums = sums_of(desk, seat)
    totals = {
        "totalInitialMargin": sums["initialMargin"],
        "totalMaintMargin": sums["maintMargin"],
        "totalWalletBalance": sums["walletBalance"],
        "totalUnrealizedProfit": sums["unrealizedProfit"],
        "totalMarginBalance": sums["marginBalance"],
        "totalPositionInitialMargin": sums["positionInitialMargin"],
        "totalOpenOrderInitialMargin": sums["openOrderInitialMargin"],
        "totalCrossWalletBalance": sums["crossWalletBalance"],
        "totalCrossUnPnl": sums["crossUnPnl"],
        "availableBalance": sums["availableBalance"],
        "maxWithdrawAmount": sums["maxWithdrawAmount"],
    }
    asset = {"asset": desk.asset, **sums, "marginAvailable": True, "updateTime": seat.wallet_ms}
    rows = [row for row in range(len(desk.codes)) if has_all or is_busy(desk, seat, row)]
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "updateTime": 0,
        "multiAssetsMargin": False,
        **totals,
        "assets": [asset],
        "positions": [position_of(desk, seat, row, has_settings=has_all) for row in rows],
    }


def balance_of(desk: LinearDesk, seat: Seat) -> JsonDict:
    """Return the wallet as ``balance`` shows it."""
    sums = sums_of(desk, seat)
    return {
        "accountAlias": f"sandbox{seat.owner.number}",
        "asset": desk.asset,
        "balance": sums["walletBalance"],
        "crossWalletBalance": sums["crossWalletBalance"],
        "crossUnPnl": sums["crossUnPnl"],
        "availableBalance": sums["availableBalance"],
        "maxWithdrawAmount": sums["maxWithdrawAmount"],
        "marginAvailable": True,
        "updateTime": seat.wallet_ms,
    }


def is_busy(desk: LinearDesk, seat: Seat, row: int) -> bool:
    """Return whether an account has a position or an open order in a market."""
    return bool(seat.held(row) or seat.history(desk.codes[row]).open)


def position_of(desk: LinearDesk, seat: Seat, row: int, *, has_settings: bool) -> JsonDict:
    """Return a position; ``has_settings``: with leverage and margin type, as version 2 does."""
    code, mark = desk.codes[row], float(desk.marks[row])
    own = margin.isolated_margin(seat.positions, row, mark, desk.tables[row])
    exposure = find_exposure(seat, row, code, mark)
    bound = exposure.bound / float(seat.positions[row, layout.LEVERAGE])
    isolated, aside = seat.is_isolated(row), float(seat.positions[row, layout.MARGIN])
    with_profit = own.balance if isolated and seat.held(row) else 0.0
    liquidation = margin.find_liquidation_price(
        seat.wallet, seat.positions, row, desk.marks, desk.tables
    )
    entry = float(seat.positions[row, layout.ENTRY])
    shown: JsonDict = {
        "symbol": code,
        "positionSide": "BOTH",
        "positionAmt": to_text(seat.held(row)),
        "entryPrice": money_to_text(entry),
        "breakEvenPrice": money_to_text(_break_even(seat, row, entry)),
        "markPrice": money_to_text(mark),
        "unRealizedProfit": money_to_text(own.unrealised),
        "unrealizedProfit": money_to_text(own.unrealised),
        "liquidationPrice": money_to_text(0.0 if isnan(liquidation) else liquidation),
        "isolatedMargin": money_to_text(with_profit),
        "notional": money_to_text(exposure.position),
        "marginAsset": desk.asset,
        "isolatedWallet": money_to_text(aside if isolated else 0.0),
        "initialMargin": money_to_text(own.initial + bound),
        "maintMargin": money_to_text(own.maintenance),
        "positionInitialMargin": money_to_text(own.initial),
        "openOrderInitialMargin": money_to_text(bound),
        "adl": 1 if seat.held(row) else 0,
        "bidNotional": money_to_text(exposure.bids),
        "askNotional": money_to_text(exposure.asks),
        "updateTime": seat.update_ms[row],
    }
    if has_settings:
        leverage = seat.leverage(row)
        shown |= {
            "leverage": str(leverage),
            "marginType": "isolated" if isolated else "cross",
            "isolated": isolated,
            "isAutoAddMargin": "false",
            "maxNotionalValue": shown_cap(desk, row, leverage),
            "maxNotional": shown_cap(desk, row, leverage),
        }
    return shown


def shown_cap(desk: LinearDesk, row: int, leverage: int) -> str:
    """Return the notional that a leverage allows, as a whole number."""
    return f"{find_largest(desk, row, leverage):.0f}"


def _break_even(seat: Seat, row: int, entry: float) -> float:
    """Return the price at which a position covers the fees of opening and closing as taker."""
    fee = seat.taker_fee / ONE
    held = seat.held(row)
    if not held:
        return 0.0
    return entry * (1 + fee) / (1 - fee) if held > 0 else entry * (1 - fee) / (1 + fee)
