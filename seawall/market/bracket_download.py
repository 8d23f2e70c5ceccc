"""Fetches the leverage brackets of a perpetual through ccxt, as they are on the day."""

import time

import ccxt

from seawall.errors import ExchangeError
from seawall.market.bracket_files import store_brackets
from seawall.market.brackets import Brackets, from_ccxt
from seawall.market.catalog import Catalog
from seawall.market.download import OPENING_ATTEMPTS, find_market, present_ms
from seawall.market.keys import find_keys, key_names
from seawall.market.pages import Asker, Sleep, checked
from seawall.units import DAY_MS


def download_brackets(
    exchange: ccxt.Exchange,
    symbol: str,
    catalog: Catalog,
    *,
    now_ms: int,
    sleep: Sleep = time.sleep,
) -> Brackets:
    """Fetch the leverage brackets of a perpetual as they are today, store and return them.

    Binance tells them to its customers only: the keys come from the environment.

    Args:
        exchange: a ccxt client for perpetuals.
        symbol: ``ETH/USDT:USDT``.
        catalog: where the table goes.
        now_ms: taken as the present where the exchange does not tell its own time.
        sleep: called with the seconds to wait before a request is repeated.

    Raises:
        ExchangeError: it has no such symbol or no brackets, wants keys, or does not answer.
        DataError: brackets that cannot be, or a catalog that cannot be written.
    """
    if not (exchange.has.get("fetchLeverageTiers") or exchange.has.get("fetchMarketLeverageTiers")):
        raise ExchangeError(f"{exchange.id} does not offer brackets: take another exchange")
    exchange.enableLastJsonResponse = True
    if (keys := find_keys(exchange.id)) is not None:
        exchange.apiKey, exchange.secret = keys
    asker = Asker(exchange=exchange, sleep=sleep, attempts=OPENING_ATTEMPTS)
    if not exchange.markets:
        asker.ask(lambda: checked(exchange, exchange.load_markets(reload=True)))
    find_market(exchange, symbol, "swap", "brackets")
    now_ms = present_ms(asker, now_ms)
    brackets = from_ccxt(
        asker.ask(lambda: _ask_for_tiers(exchange, symbol)),
        symbol=symbol,
        venue=exchange.id,
        seen_ms=now_ms - now_ms % DAY_MS,
        source=f"{exchange.id}, API through ccxt",
    )
    store_brackets(catalog, brackets)
    return brackets


def _ask_for_tiers(exchange: ccxt.Exchange, symbol: str) -> list[dict[str, object]]:
    try:
        if exchange.has.get("fetchLeverageTiers"):
            found = checked(exchange, exchange.fetch_leverage_tiers([symbol])).get(symbol, [])
        else:
            found = checked(exchange, exchange.fetch_market_leverage_tiers(symbol))
    except ccxt.AuthenticationError as error:
        names = " and ".join(key_names(exchange.id))
        raise ExchangeError(
            f"{exchange.id} tells brackets to its customers only, and took no keys of one "
            f"({type(error).__name__}): set {names} in the environment, or run `seawall data "
            "import FILE --as-of DATE` with freqtrade's binance_leverage_tiers.json"
        ) from None
    if not found:
        raise ExchangeError(f"{exchange.id} has no brackets of {symbol}: take another symbol")
    return list(found)
