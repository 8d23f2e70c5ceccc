"""How the futures account of a sandbox session is opened: looked at, set, and given its position.

Nothing is changed silently. Leverage and margin mode are set to the recipe's where a contract
stands still, and noted; where it has a position or orders they are the exchange's, and a mode that
differs is refused. A position that the recipe guards is opened only if the user said so; one that
is there already is adopted with everything else (``reconcile``).

Left out: exchanges other than Binance and our own (``allowed.FUTURES_TRIED``).
"""

from dataclasses import dataclass
from math import copysign

from seawall.engine.perpetual.world import perpetual_section
from seawall.errors import RecipeError
from seawall.paper.client import ExchangeClient
from seawall.paper.errors import PaperError
from seawall.paper.futures_asks import apply_setting
from seawall.paper.futures_book import FuturesBook
from seawall.paper.futures_reading import Setting, ToldAccount
from seawall.paper.futures_view import Listed
from seawall.paper.limits import Exposure, LimitKeeper
from seawall.paper.order import OrderIntent, OrderRecord
from seawall.paper.terms import find_grid
from seawall.perpetual_recipe import PerpetualSection, PositionSection
from seawall.perpetual_view import Contract
from seawall.recipe import Recipe
from seawall.units import BPS

OPENED = "the recipe's position, --open"  # the reason of that order
_NOTE, _SET_UP = "futures", "futures set up for"


@dataclass(frozen=True, kw_only=True)
class Start:
    """How an account is to be when a session begins.

    Attributes:
        section: of the recipe.
        symbols: the contracts that are traded.
        opens: whether the recipe's position is opened where nothing is held.
        mark: a number of the recipe's own.
    """

    section: PerpetualSection
    symbols: tuple[str, ...]
    opens: bool
    mark: float

    @classmethod
    def of(cls, recipe: Recipe, *, opens: bool) -> "Start":
        """Return what a recipe asks for.

        Raises:
            RecipeError: it has no perpetual.
        """
        section = perpetual_section(recipe)
        if section is None:
            raise RecipeError(
                f"a futures session trades perpetuals, market.symbols are "
                f"{list(recipe.market.symbols)}: write BASE/QUOTE:QUOTE"
            )
        mark = float(int(recipe.id[:12], 16))
        return cls(section=section, symbols=tuple(recipe.market.symbols), opens=opens, mark=mark)

    @property
    def guarded(self) -> str:
        """The contract whose position is guarded, or the first."""
        position = self.section.position
        return (position.symbol if position is not None else None) or self.symbols[0]

    def setting_of(self, symbol: str) -> Setting:
        """Return how the recipe wants a contract to be set; a leverage is a whole number."""
        position = self.section.position
        leverage = self.section.leverage_of(symbol)
        if position is not None and symbol == self.guarded:
            leverage = position.leverage
        if leverage != int(leverage):
            raise RecipeError(
                f"an exchange's leverage is a whole number, {symbol} has {leverage:g}: round it"
            )
        return Setting(leverage, self.section.mode_of(symbol) == "isolated")


def check_mode(book: FuturesBook) -> None:
    """Raise where the account is not one that is traded here.

    Raises:
        PaperError: it is in hedge mode, or has several margin assets.
        ExchangeFault: the exchange cannot be asked.
    """
    if why := book.asks.mode():
        raise PaperError(f"{why} in the exchange's preferences, then start again")


def check_held(told: ToldAccount, book: FuturesBook) -> None:
    """Raise where something is held that this session neither trades nor watches.

    Raises:
        PaperError: it shares the margin of the cross account.
    """
    others = sorted(set(told.positions) - set(book.symbols))
    if others:
        raise PaperError(
            f"positions share the margin, the account holds {', '.join(others)} beside what the "
            f"recipe trades, {', '.join(book.symbols)}: close them, or name them in market.symbols"
        )


def set_contracts(client: ExchangeClient, book: FuturesBook, start: Start) -> None:
    """Set what stands still to the recipe's leverage and margin mode, and note it.

    Once for each recipe: what its agent has set since is as it should be.

    Raises:
        PaperError: a contract that is in use has another margin mode.
        ExchangeFault: the exchange refuses, or does not answer.
    """
    if client.journal.recall(_SET_UP) == start.mark:
        return
    told, settings = book.asks.account(), book.asks.settings()
    for symbol in start.symbols:
        wanted, found = start.setting_of(symbol), settings.get(symbol)
        if found == wanted:
            continue
        is_used = symbol in told.positions or bool(client.open_orders(symbol))
        if is_used and found is not None:
            if found.is_isolated != wanted.is_isolated:
                raise PaperError(
                    f"the margin mode of a contract cannot change while it is in use, {symbol} is "
                    f"{_say(found)} and the recipe wants {_say(wanted)}: set perpetual.margin to "
                    "the exchange's, or close the position and its orders"
                )
            _note(client, f"{symbol} is in use and stays at {_say(found)}, not {_say(wanted)}")
            continue
        book.want_setting(symbol, wanted)
        apply_setting(book, symbol, wanted)
        _note(client, f"{symbol} was set to {_say(wanted)}")
    client.journal.remember(_SET_UP, start.mark)


def open_position(
    client: ExchangeClient, book: FuturesBook, keeper: LimitKeeper, start: Start
) -> OrderRecord | None:
    """Open the recipe's position where nothing is held and the user said so.

    Returns:
        The order, or ``None`` where none was sent; what became of it is resolved by the caller.

    Raises:
        PaperError: nothing is held and the user did not say so, or a limit forbids it.
        ExchangeFault: the exchange cannot be asked.
    """
    position = start.section.position
    if position is None:
        return None
    symbol, held = start.guarded, client.journal.believed("position")
    if held.get(symbol):
        _note(client, f"guards what is there: {held[symbol]:g} {symbol}")
        return None
    price = client.last_price(symbol)
    quantity = _size(position, price)
    if not start.opens:
        if _was_opened(client):
            return None  # it was closed, or liquidated: that is how things stand
        raise PaperError(
            f"the recipe guards {quantity:g} {symbol} and nothing is held: open it on the "
            "exchange and start with --adopt, or let the session open it with --open"
        )
    rounded = float(client.exchange.amount_to_precision(symbol, abs(quantity)))
    intent = OrderIntent(
        client_id=client.journal.new_client_id(),
        symbol=symbol,
        side="buy" if quantity > 0 else "sell",
        type="market",
        quantity=rounded,
        reason=OPENED,
    )
    equity = book.asks.account().equity
    breach = keeper.check_order(intent, Exposure(price, 0.0, equity=equity), client.clock())
    if breach is not None:
        raise PaperError(f"the position cannot be opened: {breach.limit}: {breach.text}")
    keeper.note_sent(client.clock())
    record = client.place(intent)
    if record.state == "rejected":
        raise PaperError(f"the position cannot be opened: the exchange says {record.why}")
    _note(client, f"opened {copysign(rounded, quantity):g} {symbol}")
    return record


def list_contracts(client: ExchangeClient, book: FuturesBook, start: Start) -> dict[str, Listed]:
    """Return the contracts as the exchange lists them now.

    Raises:
        ExchangeFault: the exchange cannot be asked.
    """
    found = {}
    for row, symbol in enumerate(start.symbols):
        brackets = book.asks.brackets(symbol)
        maker, taker = book.asks.fees(symbol)
        info = client.exchange.market(symbol).get("info") or {}
        own = start.section.fees_of(symbol)[2] * BPS
        contract = Contract(
            symbol=symbol,
            row=row,
            taker_fee=taker,
            maker_fee=maker,
            liquidation_fee=float(info.get("liquidationFee") or own),
            lot_size=find_grid(client.exchange, symbol)["lot_size"] or 0.0,
            max_leverage=brackets.max_leverage,
            interval_ms=book.asks.interval_ms(symbol),
        )
        found[symbol] = Listed(contract=contract, brackets=brackets)
    return found


def _size(position: PositionSection, price: float) -> float:
    if position.quantity is not None:
        return position.quantity
    return (position.notional or 0.0) / price


def _was_opened(client: ExchangeClient) -> bool:
    """Return whether the account has held something in a session before this one."""
    return any(one.session < client.journal.session for one in client.journal.orders("filled"))


def _say(setting: Setting) -> str:
    return f"{setting.leverage:g}x {'isolated' if setting.is_isolated else 'cross'}"


def _note(client: ExchangeClient, text: str) -> None:
    client.journal.note(client.clock(), _NOTE, text)
