"""What is compared of a futures account beside orders and trades: wallet, settings, margin moves.

Positions are compared by ``reconcile``, as balances are on spot; all that the account holds is
looked at, also of contracts that nobody here trades: they share the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seawall.paper.differences import Difference
from seawall.paper.futures_book import FuturesBook
from seawall.paper.futures_reading import Setting, ToldAccount


@dataclass(frozen=True, kw_only=True)
class FuturesSnapshot:
    """What the exchange told of a futures account at one moment."""

    account: ToldAccount
    settings: Mapping[str, Setting]

    @property
    def held(self) -> dict[str, float]:
        """The positions, base units by symbol, > 0 long."""
        return {symbol: one.quantity for symbol, one in self.account.positions.items()}


def read_futures(book: FuturesBook) -> FuturesSnapshot | None:
    """Return the account; ``None`` where its wallet has moved while it was read.

    Raises:
        ExchangeFault: the exchange cannot be asked now.
    """
    book.sync_incomes()
    book.resolve_moves()
    settings = book.asks.settings()
    account = book.asks.account()
    if book.sync_incomes():
        return None
    return FuturesSnapshot(account=account, settings=settings)


def compare_futures(book: FuturesBook, told: FuturesSnapshot) -> list[Difference]:
    """Return all rows in which the belief differs from what the exchange told."""
    rows = [
        Difference("unresolved margin", one.key, f"{one.amount:g} of {one.symbol}", "nothing yet")
        for one in book.unresolved_moves()
    ]
    wallet = told.account.wallet
    if book.has_wallet and abs(book.wallet - wallet) > book.tolerance:
        rows.append(Difference("wallet", book.asks.asset, f"{book.wallet:.10g}", f"{wallet:.10g}"))
    for symbol in book.symbols:
        believed, found = book.setting(symbol), told.settings.get(symbol)
        if believed is None or believed == found:
            continue
        if found is not None and found == book.wanted_setting(symbol):
            book.adopt_setting(symbol, found)  # its answer was missing
        else:
            rows.append(Difference("setting", symbol, _say(believed), _say(found)))
    return rows


def adopt_futures(book: FuturesBook, told: FuturesSnapshot) -> None:
    """Make the exchange's side the belief."""
    book.adopt_wallet(told.account.wallet)
    for symbol in book.symbols:
        if symbol in told.settings:
            book.adopt_setting(symbol, told.settings[symbol])


def adopt_first(book: FuturesBook, told: FuturesSnapshot) -> None:
    """Take what nothing was believed of before: the wallet, and how contracts are set."""
    if not book.has_wallet:
        book.adopt_wallet(told.account.wallet)
    unknown: Sequence[str] = [one for one in book.symbols if book.setting(one) is None]
    for symbol in unknown:
        if symbol in told.settings:
            book.adopt_setting(symbol, told.settings[symbol])


def _say(setting: Setting | None) -> str:
    if setting is None:
        return "nothing"
    return f"{setting.leverage:g}x {'isolated' if setting.is_isolated else 'cross'}"
