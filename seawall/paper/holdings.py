"""What a shadow owns when it begins: the recipe's cash and coin, counted at the last prices.

A backtest counts a share of the cash at the open of the first bar that trades. A session begins
before that bar: it counts at the last close, free of charge as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from seawall.errors import RecipeError
from seawall.recipe import AccountSection, to_share
from seawall.units import is_perpetual, split_symbol


@dataclass(frozen=True, kw_only=True)
class Owned:
    """An account at its start.

    Attributes:
        cash: quote units.
        coins: base units, by symbol; ``prices``: quote units they were counted at.
    """

    cash: float
    coins: Mapping[str, float] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)


def count_holdings(account: AccountSection, prices: Mapping[str, float]) -> Owned:
    """Return what an account has.

    Args:
        account: of the recipe.
        prices: last closes by symbol, in the recipe's order, quote units.

    Raises:
        RecipeError: it holds what is not traded as spot, or the shares are more than the cash.
    """
    coins: dict[str, float] = {}
    used: dict[str, float] = {}
    spot: dict[str, str] = {}
    spent = 0.0
    for symbol in prices:
        if not is_perpetual(symbol):
            spot.setdefault(split_symbol(symbol)[0], symbol)
    for base, wanted in account.initial_holdings.items():
        if not wanted:
            continue
        if base not in spot:
            raise RecipeError(
                "account.initial_holdings may name what the market has as spot, which is "
                f"{sorted(spot)}, names {base}: add its spot symbol to market.symbols"
            )
        symbol = spot[base]
        used[symbol] = price = prices[symbol]
        if isinstance(wanted, str):
            worth = to_share(wanted, f"account.initial_holdings.{base}") * account.cash
            spent += worth
            coins[symbol] = worth / price
        else:
            coins[symbol] = float(wanted)
    if spent > account.cash:
        raise RecipeError(
            f"account.initial_holdings must not be worth more than the cash {account.cash:g}, take "
            f"{spent:g} of it: lower the shares"
        )
    return Owned(cash=account.cash - spent, coins=coins, prices=used)
