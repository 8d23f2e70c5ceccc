"""The account at the futures desk: ``/fapi``, what needs a key beside orders; and transfers.

Source: Binance USD-M futures, account endpoints; weights as documented.
Left out: multi-asset margin, hedge mode; margin that was moved before the exchange was started.
"""

from seawall.sandbox.call import MOST_ROWS, Call, Route, Routes
from seawall.sandbox.decimals import ONE, money_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_account import move_margin, set_leverage, set_margin_type, transfer
from seawall.sandbox.linear_json import (
    account_of,
    balance_of,
    is_busy,
    position_of,
    received,
    shown_cap,
)
from seawall.sandbox.linear_refusals import (
    amount_not_positive,
    not_offered,
    same_position_mode,
)
from seawall.sandbox.linear_trade_api import (
    chosen_codes,
    read_amount,
    read_flag,
    seat_of,
)
from seawall.sandbox.refusals import ApiError, missing, no_such_transfer
from seawall.sandbox.seat import Move
from seawall.sandbox.spot_json import JsonDict

_DONE: JsonDict = {"code": 200, "msg": "success"}
_ADD, _REDUCE = 1, 2
_TO_FUTURES, _TO_SPOT = "MAIN_UMFUTURE", "UMFUTURE_MAIN"


def account(exchange: Exchange, call: Call) -> object:
    """Answer with the account, positions of busy markets among it."""
    return account_of(exchange.linear, seat_of(exchange, call), has_all=False)


def account_whole(exchange: Exchange, call: Call) -> object:
    """Answer with the account and all markets, as version 2 does."""
    return account_of(exchange.linear, seat_of(exchange, call), has_all=True)


def balance(exchange: Exchange, call: Call) -> object:
    """Answer with the wallet."""
    return [balance_of(exchange.linear, seat_of(exchange, call))]


def position_risk(exchange: Exchange, call: Call) -> object:
    """Answer with the positions of busy markets."""
    desk, seat = exchange.linear, seat_of(exchange, call)
    rows = [desk.rows[code] for code in chosen_codes(exchange, call)]
    busy = [row for row in rows if is_busy(desk, seat, row)]
    return [position_of(desk, seat, row, has_settings=False) for row in busy]


def position_risk_whole(exchange: Exchange, call: Call) -> object:
    """Answer with the positions of all markets, as version 2 does."""
    desk, seat = exchange.linear, seat_of(exchange, call)
    rows = [desk.rows[code] for code in chosen_codes(exchange, call)]
    return [position_of(desk, seat, row, has_settings=True) for row in rows]


def leverage_bracket(exchange: Exchange, call: Call) -> object:
    """Answer with the brackets that are in force."""
    return [_brackets_of(exchange, code, call.now_ms) for code in chosen_codes(exchange, call)]


def leverage(exchange: Exchange, call: Call) -> object:
    """Change the leverage of a market."""
    code, wanted = call.text("symbol"), call.integer("leverage")
    if wanted is None:
        raise missing("leverage")
    desk, seat = exchange.linear, seat_of(exchange, call)
    set_leverage(desk, seat, code, wanted)
    cap = shown_cap(desk, desk.rows[code], wanted)
    return {"leverage": wanted, "maxNotionalValue": cap, "symbol": code}


def margin_type(exchange: Exchange, call: Call) -> object:
    """Change the margin of a market to isolated or cross."""
    kind = call.choice(
        "marginType", ("ISOLATED", "CROSSED"), ApiError(-4021, "Invalid marginType.")
    )
    desk, seat = exchange.linear, seat_of(exchange, call)
    set_margin_type(desk, seat, call.text("symbol"), isolated=kind == "ISOLATED")
    return _DONE


def position_margin(exchange: Exchange, call: Call) -> object:
    """Move margin into or out of an isolated position."""
    units, kind = read_amount(call, "amount"), call.integer("type")
    if kind not in {_ADD, _REDUCE}:
        raise missing("type")
    if not units:
        raise amount_not_positive()
    amount = units / ONE if kind == _ADD else -units / ONE
    seat, code = seat_of(exchange, call), call.text("symbol")
    move_margin(exchange.linear, seat, code, amount)
    seat.moves.append(Move(call.now_ms, code, amount))
    return {
        "amount": units / ONE,
        "code": 200,
        "msg": "Successfully modify position margin.",
        "type": kind,
    }


def margin_history(exchange: Exchange, call: Call) -> object:
    """Answer with the margin that was moved by hand, in one market."""
    code = exchange.linear.market(call.text("symbol")).code
    limit, kind = call.limit(500, MOST_ROWS), call.integer("type")
    since_ms, until_ms = call.integer("startTime"), call.integer("endTime")
    found = [
        {
            "symbol": code,
            "type": _ADD if one.amount > 0 else _REDUCE,
            "deltaType": "USER_ADJUST",
            "amount": money_to_text(abs(one.amount)),
            "asset": exchange.linear.asset,
            "time": one.time_ms,
            "positionSide": "BOTH",
        }
        for one in seat_of(exchange, call).moves
        if one.code == code
        and (since_ms is None or one.time_ms >= since_ms)
        and (until_ms is None or one.time_ms <= until_ms)
    ]
    return [one for one in found if kind is None or one["type"] == kind][-limit:]


def symbol_config(exchange: Exchange, call: Call) -> object:
    """Answer with leverage and margin of the markets."""
    desk, seat = exchange.linear, seat_of(exchange, call)
    found = []
    for code in chosen_codes(exchange, call):
        row = desk.rows[code]
        found.append(
            {
                "symbol": code,
                "marginType": "ISOLATED" if seat.is_isolated(row) else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": seat.leverage(row),
                "maxNotionalValue": shown_cap(desk, row, seat.leverage(row)),
            }
        )
    return found


def account_config(_exchange: Exchange, _call: Call) -> object:
    """Answer with what the account may do."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": False,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def position_mode(_exchange: Exchange, _call: Call) -> object:
    """Answer that there is one position for each market."""
    return {"dualSidePosition": False}


def set_position_mode(_exchange: Exchange, call: Call) -> object:
    """Refuse: one-way mode is there already, and hedge mode is not offered."""
    call.text("dualSidePosition")
    raise not_offered() if read_flag(call, "dualSidePosition") else same_position_mode()


def asset_mode(_exchange: Exchange, _call: Call) -> object:
    """Answer that one asset is the margin."""
    return {"multiAssetsMargin": False}


def set_asset_mode(_exchange: Exchange, call: Call) -> object:
    """Refuse: single-asset mode is there already, and the other is not offered."""
    call.text("multiAssetsMargin")
    if read_flag(call, "multiAssetsMargin"):
        raise not_offered()
    raise ApiError(
        -4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly"
    )


def commission_rate(exchange: Exchange, call: Call) -> object:
    """Answer with the account's fees in a market."""
    code, seat = exchange.linear.market(call.text("symbol")).code, seat_of(exchange, call)
    return {
        "symbol": code,
        "makerCommissionRate": to_text(seat.maker_fee),
        "takerCommissionRate": to_text(seat.taker_fee),
    }


def income(exchange: Exchange, call: Call) -> object:
    """Answer with what the wallet has received and paid: from a time on, or the last rows."""
    code, kind = call.params.get("symbol"), call.params.get("incomeType")
    chosen = (
        one
        for one in seat_of(exchange, call).incomes
        if code in {None, one.code} and kind in {None, one.kind}
    )
    found = call.page(chosen, lambda one: (one.number, one.time_ms), default=100)
    return [received(one, exchange.linear.asset) for one in found]


def adl_quantile(exchange: Exchange, call: Call) -> object:
    """Answer that nobody is deleveraged."""
    codes = chosen_codes(exchange, call)
    return [{"symbol": code, "adlQuantile": {"BOTH": 0}} for code in codes]


def trading_status(_exchange: Exchange, call: Call) -> object:
    """Answer that nothing keeps the account from trading."""
    return {"indicators": {}, "updateTime": call.now_ms}


def open_listen_key(exchange: Exchange, call: Call) -> object:
    """Answer with the key of the account's stream."""
    return {"listenKey": exchange.listen_keys.open(call.owner, call.now_ms).text}


def prolong_listen_key(exchange: Exchange, call: Call) -> object:
    """Let the key of the account's stream live on."""
    return {"listenKey": exchange.listen_keys.prolong(call.owner, call.now_ms).text}


def close_listen_key(exchange: Exchange, call: Call) -> object:
    """Take the key of the account's stream away."""
    exchange.listen_keys.close(call.owner, call.now_ms)
    return {}


def move(exchange: Exchange, call: Call) -> object:
    """Move money between the spot and the futures wallet."""
    kinds = (_TO_FUTURES, _TO_SPOT)
    kind = call.choice("type", kinds, no_such_transfer())
    desk, seat = exchange.linear, seat_of(exchange, call)
    if call.text("asset") != desk.asset:
        raise ApiError(-5004, "Invalid asset.")
    units = read_amount(call, "amount")
    if not units:
        raise ApiError(-5003, "The transfer amount must be greater than 0.")
    transfer(desk, seat, units if kind == _TO_FUTURES else -units, call.now_ms)
    return {"tranId": seat.n_incomes}


def _brackets_of(exchange: Exchange, code: str, now_ms: int) -> JsonDict:
    tiers = exchange.linear.contract(code).brackets_at(now_ms).tiers
    return {
        "symbol": code,
        "notionalCoef": 1.0,
        "brackets": [
            {
                "bracket": number,
                "initialLeverage": int(tier.max_leverage),
                "notionalCap": tier.cap,
                "notionalFloor": tier.floor,
                "maintMarginRatio": tier.rate,
                "cum": tier.amount,
            }
            for number, tier in enumerate(tiers, start=1)
        ],
    }


ROUTES: Routes = {
    ("GET", "/fapi/v2/account"): Route(account_whole, 5, "signed"),
    ("GET", "/fapi/v3/account"): Route(account, 5, "signed"),
    ("GET", "/fapi/v2/balance"): Route(balance, 5, "signed"),
    ("GET", "/fapi/v3/balance"): Route(balance, 5, "signed"),
    ("GET", "/fapi/v2/positionRisk"): Route(position_risk_whole, 5, "signed"),
    ("GET", "/fapi/v3/positionRisk"): Route(position_risk, 5, "signed"),
    ("GET", "/fapi/v1/leverageBracket"): Route(leverage_bracket, 1, "signed"),
    ("POST", "/fapi/v1/leverage"): Route(leverage, 1, "signed"),
    ("POST", "/fapi/v1/marginType"): Route(margin_type, 1, "signed"),
    ("POST", "/fapi/v1/positionMargin"): Route(position_margin, 1, "signed"),
    ("GET", "/fapi/v1/positionMargin/history"): Route(margin_history, 1, "signed"),
    ("GET", "/fapi/v1/symbolConfig"): Route(symbol_config, 5, "signed"),
    ("GET", "/fapi/v1/accountConfig"): Route(account_config, 5, "signed"),
    ("GET", "/fapi/v1/positionSide/dual"): Route(position_mode, 30, "signed"),
    ("POST", "/fapi/v1/positionSide/dual"): Route(set_position_mode, 1, "signed"),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(asset_mode, 30, "signed"),
    ("POST", "/fapi/v1/multiAssetsMargin"): Route(set_asset_mode, 1, "signed"),
    ("GET", "/fapi/v1/commissionRate"): Route(commission_rate, 20, "signed"),
    ("GET", "/fapi/v1/income"): Route(income, 30, "signed"),
    ("GET", "/fapi/v1/adlQuantile"): Route(adl_quantile, 5, "signed"),
    ("GET", "/fapi/v1/apiTradingStatus"): Route(trading_status, 1, "signed"),
    ("POST", "/fapi/v1/listenKey"): Route(open_listen_key, 1, "key"),
    ("PUT", "/fapi/v1/listenKey"): Route(prolong_listen_key, 1, "key"),
    ("DELETE", "/fapi/v1/listenKey"): Route(close_listen_key, 1, "key"),
    ("POST", "/sapi/v1/asset/transfer"): Route(move, 1, "signed"),
}
