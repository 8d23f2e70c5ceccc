"""Shares and amounts: how Aave rounds between them, and the shares that users hold.

Until v3.4 every conversion rounds half-up; from v3.5 on each rounds against the user.

Source: ``ScaledBalanceTokenBase.sol``, ``AToken.sol``, ``VariableDebtToken.sol`` and
``TokenMath.sol``.
"""

from seawall.errors import Refused
from seawall.venues.lending import fixed
from seawall.venues.lending.aave_state import Market
from seawall.venues.lending.rules import AaveRules


def supply_of_shares(rules: AaveRules, shares: int, index: int) -> int:
    """Return the balance that supplied shares stand for."""
    if rules.rounds_against_user:
        return fixed.ray_mul_floor(shares, index)
    return fixed.ray_mul(shares, index)


def debt_of_shares(rules: AaveRules, shares: int, index: int) -> int:
    """Return the debt that borrowed shares stand for."""
    if rules.rounds_against_user:
        return fixed.ray_mul_ceil(shares, index)
    return fixed.ray_mul(shares, index)


def shares_fewer(rules: AaveRules, amount: int, index: int) -> int:
    """Return the shares for an amount that is supplied or repaid."""
    if rules.rounds_against_user:
        return fixed.ray_div_floor(amount, index)
    return fixed.ray_div(amount, index)


def shares_more(rules: AaveRules, amount: int, index: int) -> int:
    """Return the shares for an amount that is withdrawn, seized or borrowed."""
    if rules.rounds_against_user:
        return fixed.ray_div_ceil(amount, index)
    return fixed.ray_div(amount, index)


def mint_supply(market: Market, user: str, asset: str, shares: int) -> None:
    """Give a user shares of the supply."""
    held = market.account(user).supplied
    held[asset] = held.get(asset, 0) + shares
    market.reserve(asset).supplied += shares


def burn_supply(market: Market, user: str, asset: str, shares: int) -> None:
    """Take shares of the supply from a user.

    Raises:
        Refused: the shares are none, or more than are held.
    """
    _burn(market.account(user).supplied, asset, shares, f"supplied by {user}")
    market.reserve(asset).supplied -= shares


def transfer_supply(market: Market, sender: str, receiver: str, asset: str, shares: int) -> None:
    """Move shares of the supply from one user to another."""
    if shares:
        burn_supply(market, sender, asset, shares)
        mint_supply(market, receiver, asset, shares)


def mint_debt(market: Market, user: str, asset: str, shares: int) -> None:
    """Give a user shares of the debt."""
    owed = market.account(user).borrowed
    owed[asset] = owed.get(asset, 0) + shares
    market.reserve(asset).borrowed += shares


def burn_debt(market: Market, user: str, asset: str, shares: int) -> None:
    """Take shares of the debt from a user.

    Raises:
        Refused: the shares are none, or more than are owed.
    """
    _burn(market.account(user).borrowed, asset, shares, f"borrowed by {user}")
    market.reserve(asset).borrowed -= shares


def check_minted(rules: AaveRules, shares: int, asset: str) -> None:
    """Refuse to mint nothing."""
    if shares == 0:
        error = "InvalidAmount" if rules.rounds_against_user else "InvalidMintAmount"
        raise Refused(f"{error}: an amount of {asset} must be worth a share: raise it")


def _burn(held: dict[str, int], asset: str, shares: int, what: str) -> None:
    if shares == 0:
        raise Refused(f"InvalidBurnAmount: an amount of {asset} must be worth a share: raise it")
    left = held.get(asset, 0) - shares
    if left < 0:
        raise Refused(
            f"NotEnoughShares: no more shares than {held.get(asset, 0)} {asset} {what} can be "
            f"burnt, {shares} were asked for: ask for less"
        )
    if left:
        held[asset] = left
    else:
        held.pop(asset)
