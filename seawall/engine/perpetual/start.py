"""The futures account as a run begins: wallets, leverage, and a position that is already open."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seawall.engine.perpetual.world import PerpetualWorld
from seawall.errors import RecipeError
from seawall.fill import Fill
from seawall.market.series import FloatArray
from seawall.units import BPS
from seawall.venues.futures import FuturesAccount
from seawall.venues.futures_tape import Stamp, Tape
from seawall.venues.ledger import Ledger
from seawall.venues.orders import Book
from seawall.venues.perpetual import layout
from seawall.venues.perpetual.liquidation import FEE_RATE, LOT_SIZE, N_TERM
from seawall.venues.spot import round_down


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What of ``account.cash`` goes where at the start, quote units."""

    spot: float
    wallet: float


def open_futures(
    world: PerpetualWorld,
    books: Mapping[str, Book],
    *,
    quote: str,
    cash: float,
    has_spot: bool,
    first_price: Callable[[str], float],
    ledger: Ledger,
    fills: list[Fill],
) -> tuple[FuturesAccount, float]:
    """Return the account, and what cash is left on the spot side.

    Args:
        world: of the run.
        books: by symbol, of the contracts at least; they become the account's.
        quote: the asset of all margin.
        cash: ``account.cash``, quote units.
        has_spot: whether the market has more than perpetuals, or the account more than them.
        first_price: the open of a symbol's first bar that trades.
        ledger: of the whole account.
        fills: likewise.
    """
    held = _open_positions(world, books, first_price)
    shares = _share(world, held, cash=cash, has_spot=has_spot)
    account = np.zeros(layout.N_ACCOUNT)
    account[layout.WALLET] = shares.wallet
    own = [books[symbol] for symbol in world.symbols]
    futures = FuturesAccount(
        symbols=world.symbols,
        quote=quote,
        account=account,
        positions=held,
        terms=_to_terms(world, own),
        tape=_to_tape(world, is_worst=own[0].parameters.ambiguity == "worst"),
        ledger=ledger,
        fills=fills,
    )
    for row, book in enumerate(own):
        book.futures, book.row = futures, row
    futures.books = own
    return futures, shares.spot


def _open_positions(
    world: PerpetualWorld, books: Mapping[str, Book], first_price: Callable[[str], float]
) -> FloatArray:
    """Return leverage and mode of every contract, and the position that is given.

    Raises:
        RecipeError: the position is smaller than a lot.
    """
    section = world.section
    held = np.zeros((len(world.symbols), layout.N_POSITION))
    for row, symbol in enumerate(world.symbols):
        held[row, layout.LEVERAGE] = section.leverage_of(symbol)
        held[row, layout.IS_ISOLATED] = float(section.mode_of(symbol) == "isolated")
    given = section.position
    if given is None:
        return held
    symbol = given.symbol or world.symbols[0]
    own = held[world.symbols.index(symbol)]
    entry = given.entry or first_price(symbol)
    size = given.quantity if given.quantity is not None else (given.notional or 0.0) / entry
    lot_size = books[symbol].parameters.lot_size
    own[layout.QUANTITY] = np.copysign(round_down(abs(size), lot_size), size)
    if not own[layout.QUANTITY]:
        raise RecipeError(
            f"perpetual.position must be at least one lot of {symbol}, {lot_size:.12g}, is "
            f"{size:.12g}: make it larger, or leave perpetual.position out"
        )
    own[layout.ENTRY] = entry
    own[layout.LEVERAGE] = given.leverage
    if own[layout.IS_ISOLATED]:
        own[layout.MARGIN] = abs(own[layout.QUANTITY]) * entry / given.leverage
    return held


def _share(world: PerpetualWorld, held: FloatArray, *, cash: float, has_spot: bool) -> Shares:
    """Divide the cash; a wallet and the margin of a position come on top of it."""
    section = world.section
    if section.wallet is not None:
        return Shares(spot=cash, wallet=section.wallet)
    if section.position is None:
        return Shares(spot=cash, wallet=0.0) if has_spot else Shares(spot=0.0, wallet=cash)
    is_cross = held[:, layout.IS_ISOLATED] == 0.0
    notional = np.abs(held[:, layout.QUANTITY]) * held[:, layout.ENTRY]
    return Shares(spot=cash, wallet=float(np.sum((notional / held[:, layout.LEVERAGE])[is_cross])))


def _to_terms(world: PerpetualWorld, books: Sequence[Book]) -> FloatArray:
    terms = np.zeros((len(books), N_TERM))
    for row, book in enumerate(books):
        terms[row, FEE_RATE] = world.section.fees_of(book.symbol)[2] * BPS
        terms[row, LOT_SIZE] = book.parameters.lot_size
    return terms


def _to_tape(world: PerpetualWorld, *, is_worst: bool) -> Tape:
    columns = (column.tolist() for column in world.stamps)
    return Tape(
        marks=world.marks,
        stamps=[Stamp(*row) for row in zip(*columns, strict=True)],
        epochs=[(epoch.first_step, epoch.tables) for epoch in world.epochs],
        is_worst=is_worst,
    )
