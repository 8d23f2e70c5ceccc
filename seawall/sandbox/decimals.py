"""Amounts as whole numbers of 1e-8 units: what Binance prints with eight decimals is exact.

Prices, quantities, balances and fee rates are all such integers, so that nothing is lost to
rounding and the books can be compared for equality.
"""

import re
from decimal import Decimal

ONE = 10**8
N_DECIMALS = 8
_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?")


def parse_decimal(text: str) -> int | None:
    """Return the 1e-8 units of a decimal text, None where it is none.

    Raises:
        ValueError: it has more than eight decimals that are not zero.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    whole, part = match.groups()
    if part is None:
        return int(whole) * ONE
    if len(part) > N_DECIMALS:
        if part[N_DECIMALS:].strip("0"):
            raise ValueError(text)
        part = part[:N_DECIMALS]
    return int(whole) * ONE + int(part.ljust(N_DECIMALS, "0"))


def to_text(units: int) -> str:
    """Return ``"1.50000000"`` for 150,000,000 units; never in scientific notation."""
    if units < 0:
        return "-" + to_text(-units)
    whole, part = divmod(units, ONE)
    return f"{whole}.{part:08d}"


def from_float(value: float) -> int:
    """Return the nearest number of 1e-8 units."""
    return round(value * ONE)


def float_to_text(value: float) -> str:
    """Return a decimal text that reads back as ``value`` to the bit, eight decimals or more."""
    text = f"{value:.8f}"
    if float(text) == value:
        return text
    return f"{Decimal(repr(value)):f}"


def money_to_text(value: float) -> str:
    """Return float64 money with eight decimals, the nearest; never ``-0.00000000``."""
    text = f"{value:.8f}"
    return text[1:] if text == "-0.00000000" else text


def multiply_down(price: int, quantity: int) -> int:
    """Return price * quantity, rounded down to a unit."""
    return price * quantity // ONE


def multiply_up(price: int, quantity: int) -> int:
    """Return price * quantity, rounded up to a unit."""
    return -(-price * quantity // ONE)
