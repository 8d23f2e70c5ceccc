"""What a recipe's job guards, a loan or a futures position, and the words for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from seawall.analysis.numbers import HEALTH, MARGIN, write_number
from seawall.recipe import Recipe
from seawall.units import is_perpetual

Kind = Literal["loan", "margin"]


@dataclass(frozen=True, kw_only=True)
class Words:
    """How one kind is spoken of.

    Attributes:
        thing: what is guarded.
        safety: title of how near it came to a liquidation; ``head``, ``column``: the same, short.
        limit: what that means.
        safe: margin over maintenance, or health factor, from which on nothing is near.
    """

    thing: str
    safety: str
    head: str
    column: str
    limit: str
    safe: float


WORDS: Final[Mapping[Kind, Words]] = {
    "loan": Words(
        thing="loan",
        safety="Lowest health factor",
        head="Lowest health",
        column="min health",
        limit="below 1 liquidators struck",
        safe=1.5,
    ),
    "margin": Words(
        thing="position",
        safety="Highest margin ratio",
        head="Margin ratio",
        column="max margin ratio",
        limit="from 100 % on it was liquidated",
        safe=4.0,
    ),
}


def guarded_symbol(recipe: Recipe) -> str | None:
    """Return the contract whose position a recipe's job guards; ``None`` where there is none."""
    section = recipe.perpetual
    if section is None or section.position is None:
        return None
    first = next(symbol for symbol in recipe.market.symbols if is_perpetual(symbol))
    return section.position.symbol or first


def kind_of(recipe: Recipe) -> Kind | None:
    """Return what a recipe's job guards; ``None`` where nothing. A hedged loan is a loan."""
    if recipe.loan is not None:
        return "loan"
    return "margin" if guarded_symbol(recipe) is not None else None


def money_of(recipe: Recipe) -> str:
    """Return what equity is counted in: USD with a loan, else the quote."""
    return "USD" if recipe.loan is not None else recipe.market.quote


def write_safety(health: float | None, kind: Kind) -> str:
    """Return a health factor, or margin over maintenance as the margin ratio it is."""
    if kind == "loan" or health is None or not health >= 0:
        return write_number(health, HEALTH)
    return write_number(1 / health if health > 0 else inf, MARGIN)
