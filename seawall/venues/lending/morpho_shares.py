"""How Morpho Blue counts what is lent and what is owed: in shares of a total.

A million shares and one wei that nobody owns are added to every total, so that an empty market has
a price too and nobody can move it by a gift. Assets in wei; arguments are >= 0.

Source: ``SharesMathLib.sol``, Morpho Blue 1.0.0.
"""

from seawall.venues.lending.fixed import ceil_div

VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1


def to_shares_down(assets: int, total_assets: int, total_shares: int) -> int:
    """Return the shares that ``assets`` are worth, rounded down."""
    return assets * (total_shares + VIRTUAL_SHARES) // (total_assets + VIRTUAL_ASSETS)


def to_shares_up(assets: int, total_assets: int, total_shares: int) -> int:
    """Return the shares that ``assets`` are worth, rounded up."""
    return ceil_div(assets * (total_shares + VIRTUAL_SHARES), total_assets + VIRTUAL_ASSETS)


def to_assets_down(shares: int, total_assets: int, total_shares: int) -> int:
    """Return the assets that ``shares`` are worth, rounded down."""
    return shares * (total_assets + VIRTUAL_ASSETS) // (total_shares + VIRTUAL_SHARES)


def to_assets_up(shares: int, total_assets: int, total_shares: int) -> int:
    """Return the assets that ``shares`` are worth, rounded up."""
    return ceil_div(shares * (total_assets + VIRTUAL_ASSETS), total_shares + VIRTUAL_SHARES)
