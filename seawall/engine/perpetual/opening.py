"""What a futures account may not start with: leverage and size beyond the brackets."""

from collections.abc import Sequence

import numpy as np

from seawall.errors import DataError, RecipeError
from seawall.market.brackets import Brackets
from seawall.market.series import FloatArray
from seawall.perpetual_recipe import PerpetualSection


def check_leverage(
    section: PerpetualSection, symbols: tuple[str, ...], brackets: Sequence[Sequence[Brackets]]
) -> None:
    """Raise RecipeError where a leverage is above what the brackets of the window allow.

    Args:
        section: of the recipe.
        symbols: the contracts, by row.
        brackets: of each epoch, by row.
    """
    for row, symbol in enumerate(symbols):
        lowest = min((epoch[row] for epoch in brackets), key=lambda one: one.max_leverage)
        own = section.contracts.get(symbol)
        is_own = own is not None and own.leverage is not None
        name = f'perpetual.contracts."{symbol}".leverage' if is_own else "perpetual.leverage"
        _check(name, section.leverage_of(symbol), lowest)
        if section.position is not None and symbol == _symbol_of(section, symbols):
            _check("perpetual.position.leverage", section.position.leverage, lowest)


def check_position(
    section: PerpetualSection,
    symbols: tuple[str, ...],
    brackets: Sequence[Brackets],
    marks: FloatArray,
) -> None:
    """Raise RecipeError where the given position is larger than its leverage allows.

    Args:
        section: of the recipe.
        symbols: the contracts, by row.
        brackets: of the first epoch, by row.
        marks: float64, shape (n,), at the open of the first bar that trades.

    Raises:
        DataError: there is no mark then.
    """
    position = section.position
    if position is None:
        return
    symbol = _symbol_of(section, symbols)
    row = symbols.index(symbol)
    if np.isnan(marks[row]):
        raise DataError(
            f"a position that is given needs a mark at the start, {symbol} has none yet: move "
            "market.since, or leave perpetual.position out"
        )
    size = position.notional
    if size is None:
        size = (position.quantity or 0.0) * float(marks[row])
    largest = brackets[row].largest(position.leverage)
    if abs(size) > largest:
        raise RecipeError(
            f"a position with {position.leverage:g}x may have a notional of at most {largest:,.0f} "
            f"({brackets[row].name}), perpetual.position has {abs(size):,.0f}: make it smaller, or "
            "lower perpetual.position.leverage"
        )


def _symbol_of(section: PerpetualSection, symbols: tuple[str, ...]) -> str:
    position = section.position
    return symbols[0] if position is None or position.symbol is None else position.symbol


def _check(name: str, leverage: float, brackets: Brackets) -> None:
    if leverage > brackets.max_leverage:
        raise RecipeError(
            f"{name} must be at most {brackets.max_leverage:g}, the highest leverage of "
            f"{brackets.name}, is {leverage:g}: lower it"
        )
