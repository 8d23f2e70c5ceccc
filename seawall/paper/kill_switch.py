"""The kill switch: a file or a signal that ends a session, whatever its agent wants.

``stop`` ends after the present bar and leaves what is open; ``cancel`` cancels all open orders;
``flatten`` cancels and sells what the session may sell. The switch is read on every turn, obeyed
before anything else, and stays on: a session does not begin while its file is there.
"""

import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal, NamedTuple, get_args

from seawall.paper.allowed import Market
from seawall.paper.client import ExchangeClient
from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderRecord
from seawall.units import split_symbol

Order = Literal["stop", "cancel", "flatten"]
_ORDERS: tuple[Order, ...] = get_args(Order)
SIGNALS: Mapping[signal.Signals, Order] = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    **({signal.SIGUSR1: "cancel", signal.SIGUSR2: "flatten"} if hasattr(signal, "SIGUSR1") else {}),
    **({signal.SIGHUP: "stop"} if hasattr(signal, "SIGHUP") else {}),
}
_OVER = "over"  # events: session, order and what was done
_STOPPING = "stopping; Ctrl-C again: at once"


class Stopped(NamedTuple):
    """What was done when a session was ended.

    Attributes:
        is_done: whether all that was told is confirmed by the exchange; where not, do it again.
        text: what was cancelled and sold, and what is left.
    """

    is_done: bool
    text: str


class KillSwitch:
    """One session's switch.

    Args:
        file: where ``press`` writes, and what is looked for; beside the journal.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._signalled: Order | None = None
        self._has_interrupted = False

    def listen(self) -> None:
        """Let SIGTERM, SIGINT and SIGHUP stop, SIGUSR1 cancel, SIGUSR2 flatten; main thread only.

        A signal that whoever started the process had ignored (``nohup``) stays ignored.
        """
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def press(self, order: Order) -> None:
        """Tell the session that watches this file to end."""
        part = self._file.with_suffix(".part")
        part.write_text(order + "\n", "utf-8")
        part.replace(self._file)

    def release(self) -> None:
        """Take the switch back, so that a session may begin again."""
        self._file.unlink(missing_ok=True)
        self._signalled = None

    def read(self) -> Order | None:
        """Return what is told, the strongest of file and signal; ``None``: go on.

        A file that is there and cannot be understood means ``cancel``.
        """
        try:
            text = self._file.read_text("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return self._signalled
        except OSError:
            text = ""
        return _stronger(
            next((order for order in _ORDERS if order == text), "cancel"), self._signalled
        )

    def check_released(self) -> None:
        """Raise where the switch is on, before a session begins.

        Raises:
            PaperError: the file is there.
        """
        if self._file.exists():
            raise PaperError(
                f"the kill switch is on ({self.read()}): look at the account, then take it back "
                f"with seawall paper stop --release {self._file.parent}"
            )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._has_interrupted:
                raise KeyboardInterrupt
            self._has_interrupted = True
            _tell_at_once(_STOPPING)
        self._signalled = _stronger(SIGNALS[signal.Signals(number)], self._signalled)


def _tell_at_once(text: str) -> None:
    """Write a line to stderr from within a signal handler; below a live view where there is one."""
    is_terminal = os.isatty(2)
    line = f"\x1b7\r\n{text}\x1b8" if is_terminal else f"{text}\n"  # the cursor stays where it was
    with suppress(OSError):  # nobody may be listening any more
        os.write(2, line.encode())


def _stronger(one: Order, other: Order | None) -> Order:
    return one if other is None else max(one, other, key=rank)


def rank(order: Order) -> int:
    """Return how much an order asks for: each does what those before it do."""
    return _ORDERS.index(order)


def keep_end(journal: PaperJournal, time_ms: int, order: Order, text: str) -> None:
    """Write down that an order was carried out, all of it, and what was done."""
    key = f"{_OVER} {journal.session} {order} {time_ms}"
    journal.see(key, time_ms, _OVER, [journal.session, order, text])


def find_end(journal: PaperJournal, session: int, order: Order) -> str | None:
    """Return what a session said when it had done an order, or more; ``None``: it has not."""
    found = [
        text
        for _, (number, done, text) in journal.events(_OVER)
        if number == session and rank(done) >= rank(order)
    ]
    return str(found[-1]) if found else None


def carry_out(
    order: Order, client: ExchangeClient, symbols: Iterable[str], *, market: Market
) -> Stopped:
    """Do what the switch says, as far as the exchange lets us; may be called until it is done.

    An order whose fate is unknown is asked for before anything is sold, and nothing is sold while
    one is: what is held is not known until then.
    """
    wanted = list(symbols)
    if order == "stop":
        return Stopped(True, "stopped; what is open stays open")
    try:
        left = _cancel_all(client, wanted)
        if left:
            return Stopped(False, f"still open or unknown: {', '.join(left)}")
        if order == "cancel":
            return Stopped(True, "all orders are cancelled")
        return _flatten(client, wanted, market)
    except ExchangeFault as error:
        return Stopped(False, f"the exchange does not answer: {error}")


def _cancel_all(client: ExchangeClient, symbols: Iterable[str]) -> list[str]:
    """Cancel all of ours, then return what is open or unknown, foreign orders included."""
    journal = client.journal
    client.resolve_all()
    for record in [*journal.orders("open"), *journal.unresolved()]:
        client.cancel(record.intent.client_id)
    left = [one.intent.client_id for one in journal.unresolved()]
    for symbol in symbols:
        left += [one.client_id or one.news.exchange_id for one in client.open_orders(symbol)]
        client.sync_trades(symbol)
    return left


def _flatten(client: ExchangeClient, symbols: list[str], market: Market) -> Stopped:
    sent, small = [], []
    for symbol, quantity in _held(client, symbols, market).items():
        intent = _closing(client, symbol, quantity, market)
        if intent is None:
            small.append(symbol)
            continue
        sent.append(client.place(intent))
    if sent:
        return Stopped(False, "sold: " + "; ".join(_describe(one) for one in sent))
    return Stopped(True, "flat" + (f"; too little to sell of {', '.join(small)}" if small else ""))


def _held(client: ExchangeClient, symbols: list[str], market: Market) -> dict[str, float]:
    """Return what is to be sold, by symbol; coins are those of the traded symbols."""
    if market == "perpetual":
        return client.positions(symbols)
    balances = client.balances()
    held = {symbol: balances.get(split_symbol(symbol)[0], 0.0) for symbol in symbols}
    return {symbol: quantity for symbol, quantity in held.items() if quantity > 0}


def _closing(
    client: ExchangeClient, symbol: str, quantity: float, market: Market
) -> OrderIntent | None:
    """Return the order that closes a position; ``None`` where the exchange takes none so small."""
    exchange = client.exchange
    try:
        rounded = float(exchange.amount_to_precision(symbol, abs(quantity)))
    except Exception:  # noqa: BLE001 - ccxt's word for "below the smallest amount"
        return None
    limits = exchange.market(symbol).get("limits") or {}
    smallest = float((limits.get("amount") or {}).get("min") or 0.0)
    least = float((limits.get("cost") or {}).get("min") or 0.0)
    # What only reduces may be as small as a lot.
    is_worth_it = market == "perpetual" or not least or rounded * client.last_price(symbol) >= least
    if rounded <= 0 or rounded < smallest or not is_worth_it:
        return None
    return OrderIntent(
        client_id=client.journal.new_client_id(),
        symbol=symbol,
        side="sell" if quantity > 0 else "buy",
        type="market",
        quantity=rounded,
        reduce_only=market == "perpetual",
        reason="the kill switch: flatten",
    )


def _describe(record: OrderRecord) -> str:
    intent = record.intent
    return (
        f"{intent.side} {intent.quantity:g} {intent.symbol} is {record.state} {record.why}".strip()
    )
