"""What a futures account may not start with: leverage and size beyond the brackets."""

from collections.abc import Sequence

import numpy as np

from seawall.errors import DataError, RecipeError
from seawall.market.brackets import Brackets
from seawall.market.series import FloatArray
from seawall.perpetual_recipe import PerpetualSection
from seawall.venues.perpetual.margin import find_maintenance
from seawall.venues.perpetual.tables import to_table


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
    opens: FloatArray,
) -> None:
    """Raise RecipeError where the given position cannot be as it is given.

    That is where it is larger than its leverage allows, or would be liquidated at once.

    Args:
        section: of the recipe.
        symbols: the contracts, by row.
        brackets: of the first epoch, by row.
        marks: float64, shape (n,), at the open of the first bar that trades.
        opens: likewise of the last price: the entry if the recipe does not say.

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
    mark = float(marks[row])
    entry = position.entry or float(opens[row])
    quantity = position.quantity if position.quantity is not None else 0.0
    if position.notional is not None:
        quantity = position.notional / entry
    largest = brackets[row].largest(position.leverage)
    if abs(quantity) * mark >= largest:
        raise RecipeError(
            f"a position with {position.leverage:g}x may have a notional below {largest:,.0f} "
            f"({brackets[row].name}), perpetual.position has {abs(quantity) * mark:,.0f} at the "
            "mark: make it smaller, or lower perpetual.position.leverage"
        )
    backing = abs(quantity) * entry / position.leverage
    if section.mode_of(symbol) == "cross" and section.wallet is not None:
        backing = section.wallet
    _check_alive(symbol, backing + quantity * (mark - entry), abs(quantity) * mark, brackets[row])


def _check_alive(symbol: str, balance: float, notional: float, brackets: Brackets) -> None:
    maintenance = find_maintenance(notional, to_table([brackets])[0])
    if not balance > maintenance:
        raise RecipeError(
            f"a position must begin above its maintenance margin, {symbol} would have a margin "
            f"balance of {balance:,.2f} and need {maintenance:,.2f} at the first mark: it would be "
            "liquidated at once; give another perpetual.position.entry, a lower leverage, or more "
            "in perpetual.wallet"
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
