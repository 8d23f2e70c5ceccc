"""What an agent asks of a futures account beside orders, carried out in a sandbox.

Margin is moved once and followed (``futures_book``). Leverage and margin mode may be set twice
without harm: they are asked for again until the exchange shows them, three times at most.

Left out: transfers. No sandbox's futures key reaches the spot wallet through the allow-list, which
has no route that moves money between wallets.
"""

from dataclasses import dataclass
from math import inf

from seawall.paper.errors import GuardRefused
from seawall.paper.faults import ExchangeFault
from seawall.paper.futures_book import FuturesBook
from seawall.paper.futures_reading import Setting
from seawall.paper.futures_side import FuturesSide
from seawall.perpetual_action import (
    AddMargin,
    PerpetualAction,
    SetLeverage,
    SetMarginMode,
    Transfer,
    describe_perpetual_action,
)
from seawall.units import SECOND_MS

_MOST_TRIES, _RETRY_MS = 3, 5 * SECOND_MS
NO_TRANSFER = (
    "a sandbox's futures account has no other wallet to move money to or from: move it on the "
    "exchange's page, the session counts it as what it is"
)


@dataclass(kw_only=True)
class _Wish:
    """A contract's setting that is not confirmed yet."""

    symbol: str
    setting: Setting
    text: str
    n_tries: int = 0
    next_ms: int = 0


class FuturesAsks:
    """Carries out what is asked of one futures account.

    Args:
        side: the account.

    Attributes:
        transfers: money that was moved between wallets: none can be.
    """

    def __init__(self, side: FuturesSide) -> None:
        self.side, self._book = side, side.book
        self._wishes: dict[str, _Wish] = {}
        self.transfers: tuple[()] = ()

    def ask(self, action: PerpetualAction, *, refusal: str = "") -> None:
        """Do what is asked, or write into the journal why not.

        Args:
            action: no ``TargetLeverage``: that is an order.
            refusal: why nothing that adds to the risk is done now; ``""`` where it may be.
        """
        text = describe_perpetual_action(action)
        symbol = getattr(action, "symbol", "")
        if isinstance(action, Transfer):
            self.side.record("refused", text, reason=NO_TRANSFER)
        elif self._book.setting(symbol) is None:
            known = f"there is no such contract here: it has {list(self._book.symbols)}"
            self.side.record("refused", text, symbol, known)
        elif isinstance(action, AddMargin):
            self._move(action, text, refusal)
        elif isinstance(action, SetLeverage):
            self._set_leverage(action, text, refusal)
        elif isinstance(action, SetMarginMode):
            before = self._setting(symbol)
            self._wish(symbol, before._replace(is_isolated=action.mode == "isolated"), text)

    def turn(self) -> None:
        """Ask again for what is not confirmed yet, where it is time to."""
        for wish in list(self._wishes.values()):
            if self.side.now_ms() >= wish.next_ms:
                self._try(wish)

    # Margin ---------------------------------------------------------------------------------------

    def _move(self, action: AddMargin, text: str, refusal: str) -> None:
        symbol, side = action.symbol, self.side
        held = side.told.positions.get(symbol)
        why = ""
        if not self._setting(symbol).is_isolated:
            why = "the margin of a cross position is the whole wallet: there is nothing to add"
        elif held is None:
            why = "there is no position to back: open one first"
        elif any(one.symbol == symbol for one in self._book.unresolved_moves()):
            why = "it is not known yet whether the last move of its margin arrived: wait"
        elif action.amount < 0 and refusal:
            why = refusal
        amount = min(action.amount, side.told.withdrawable) if action.amount > 0 else action.amount
        if not why and not abs(amount) >= 1e-8:  # noqa: PLR2004 - what an exchange shows
            why = "nothing is free in the futures wallet: reduce, or pay money in"
        if why:
            side.record("refused", text, symbol, why)
            return
        if amount < action.amount < inf:
            side.record("reduced", text, symbol, f"the wallet can spare no more than {amount:.8g}")
        moving = self._book.move_margin(symbol, amount)
        if moving.outcome == "unknown":
            side.record("sent", text, symbol, moving.text)
        else:
            side.record("done" if moving.outcome == "done" else "failed", text, symbol, moving.text)
        side.refresh(at_once=True)

    # Settings -------------------------------------------------------------------------------------

    def _set_leverage(self, action: SetLeverage, text: str, refusal: str) -> None:
        symbol, before = action.symbol, self._setting(action.symbol)
        if action.leverage != int(action.leverage):
            why = f"an exchange's leverage is a whole number, is {action.leverage:g}: round it"
            self.side.record("refused", text, symbol, why)
        elif action.leverage > before.leverage and refusal:
            self.side.record("refused", text, symbol, refusal)
        else:
            self._wish(symbol, before._replace(leverage=float(action.leverage)), text)

    def _setting(self, symbol: str) -> Setting:
        found = self._book.setting(symbol)
        return found or Setting(1.0, is_isolated=False)

    def _wish(self, symbol: str, setting: Setting, text: str) -> None:
        if setting == self._setting(symbol):
            self.side.record("done", text, symbol, "it is so already")
            return
        self._book.want_setting(symbol, setting)
        self._wishes[symbol] = _Wish(symbol=symbol, setting=setting, text=text)
        self._try(self._wishes[symbol])

    def _try(self, wish: _Wish) -> None:
        """Ask for a setting once, and write down what is known then."""
        symbol, wish.n_tries = wish.symbol, wish.n_tries + 1
        wish.next_ms = self.side.now_ms() + _RETRY_MS
        try:
            apply_setting(self._book, symbol, wish.setting)
        except (ExchangeFault, GuardRefused) as error:
            is_refused = isinstance(error, GuardRefused) or not error.fault.may_be_live
            if is_refused or wish.n_tries >= _MOST_TRIES:
                del self._wishes[symbol]
                self.side.record("failed", wish.text, symbol, str(error))
            return
        del self._wishes[symbol]
        self.side.record("done", wish.text, symbol)


def apply_setting(book: FuturesBook, symbol: str, setting: Setting) -> None:
    """Set a contract so, as far as it is not, and believe it.

    Raises:
        ExchangeFault: it was refused, or nobody knows whether it is set.
    """
    found = book.asks.settings().get(symbol)
    if found is None or found.is_isolated != setting.is_isolated:
        book.asks.set_mode(symbol, is_isolated=setting.is_isolated)
    if found is None or found.leverage != setting.leverage:
        book.asks.set_leverage(symbol, int(setting.leverage))
    book.adopt_setting(symbol, setting)
