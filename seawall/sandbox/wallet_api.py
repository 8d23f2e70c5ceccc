"""The wallet's side, ``/sapi/v1``: what clients ask for when they load markets."""

from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.decimals import to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.spot_json import JsonDict


def status(exchange: Exchange, _call: Call) -> object:
    """Answer whether the exchange is in maintenance."""
    is_open = not exchange.is_in_maintenance
    return {"status": 0 if is_open else 1, "msg": "normal" if is_open else "system_maintenance"}


def coins(exchange: Exchange, call: Call) -> object:
    """Answer with all assets; none can be paid in or out."""
    return [_coin(asset, call) for asset in exchange.assets()]


def nothing(_exchange: Exchange, _call: Call) -> object:
    """Answer with an empty list."""
    return []


def trade_fee(exchange: Exchange, call: Call) -> object:
    """Answer with the account's fees per market."""
    if "symbol" in call.params:
        codes = [exchange.spot.market(call.text("symbol")).code]
    else:
        codes = list(exchange.spot.markets)
    maker, taker = to_text(call.owner.maker_fee), to_text(call.owner.taker_fee)
    return [{"symbol": code, "makerCommission": maker, "takerCommission": taker} for code in codes]


def user_assets(_exchange: Exchange, call: Call) -> object:
    """Answer with what the account has of each asset."""
    wanted = call.params.get("asset")
    return [
        {
            "asset": asset,
            "free": to_text(one.free),
            "locked": to_text(one.locked),
            "freeze": "0",
            "withdrawing": "0",
            "ipoable": "0",
            "btcValuation": "0",
        }
        for asset, one in sorted(call.owner.balances.items())
        if one.total and wanted in {None, asset}
    ]


def restrictions(_exchange: Exchange, call: Call) -> object:
    """Answer with what a key may do: trade, and nothing that moves money out."""
    return {
        "ipRestrict": False,
        "createTime": call.now_ms,
        "enableReading": True,
        "enableSpotAndMarginTrading": True,
        "enableFutures": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": True,
        "enableMargin": False,
        "enableVanillaOptions": False,
    }


def account_status(_exchange: Exchange, _call: Call) -> object:
    """Answer that the account is in order."""
    return {"data": "Normal"}


def _coin(asset: str, call: Call) -> JsonDict:
    balance = call.owner.balances.get(asset)
    return {
        "coin": asset,
        "name": asset,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "free": to_text(balance.free if balance else 0),
        "locked": to_text(balance.locked if balance else 0),
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


ROUTES: Routes = {
    ("GET", "/sapi/v1/system/status"): Route(status),
    ("GET", "/sapi/v1/capital/config/getall"): Route(coins, 10, "signed"),
    ("GET", "/sapi/v1/margin/allPairs"): Route(nothing, 1, "key"),
    ("GET", "/sapi/v1/margin/allAssets"): Route(nothing, 1, "key"),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(nothing, 1, "key"),
    ("POST", "/sapi/v3/asset/getUserAsset"): Route(user_assets, 5, "signed"),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(restrictions, 1, "signed"),
    ("GET", "/sapi/v1/account/status"): Route(account_status, 1, "signed"),
    ("GET", "/sapi/v1/asset/tradeFee"): Route(trade_fee, 1, "signed"),
}
