"""The exchange's events about our orders, as news: they make a session look sooner.

A thread listens to the account's stream and hands over what it hears; the session writes it to the
journal, where an event that comes twice, late, or in another order changes nothing, and asks the
exchange's REST side for the fills. Events in a gap are never sent again, and a stream may go silent
without an end, so nothing waits for one: the session looks on its timer anyway, and at once after
each drop.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from seawall.paper.order import OrderNews
from seawall.paper.reading import Unreadable, read_order

_SILENCE_SECONDS = 60.0  # after so long without an event the stream is asked for anew
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 60.0


class Heard(NamedTuple):
    """What a stream has told.

    Attributes:
        client_id: of the order; ``""``: the stream was dropped, or told what cannot be read.
        news: what it said; ``None`` for a drop, and of an order that waits apart: what it has
            become has to be asked for.
        text: why it was dropped.
    """

    client_id: str
    news: OrderNews | None
    text: str


class OrderStream:
    """Listens in a thread of its own, from ``start`` to ``stop``.

    Args:
        connect: makes a guarded client with streams; called in the thread, in its loop.
        symbols: whose orders.
        clean: takes secrets out of errors.

    Attributes:
        n_heard: events so far.
    """

    def __init__(
        self, connect: Callable[[], Any], symbols: Iterable[str], clean: Callable[[str], str]
    ) -> None:
        self._connect, self._symbols, self._clean = connect, list(symbols), clean
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="order stream", daemon=True)
        self.n_heard = 0

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was heard can still be taken."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(10)

    def take(self) -> list[Heard]:
        """Return what was heard since the last call, in the order in which it came."""
        found: list[Heard] = []
        with suppress(Empty):
            while True:
                found.append(self._heard.get_nowait())
        return found

    # In the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        # What ccxt leaves running when its client is closed fails later, and is nobody's.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            client, before = None, self.n_heard
            try:
                client = self._connect()
                await client.load_markets()
                async with asyncio.TaskGroup() as group:
                    for symbol in self._symbols:
                        group.create_task(self._watch(client, symbol))
            except Exception as error:  # noqa: BLE001 - ccxt raises anything; the stream is a help only
                self._heard.put(Heard("", None, self._clean(_describe(error))))
            finally:
                if client is not None:
                    with suppress(Exception):
                        await client.close()
            has_worked = self.n_heard > before
            wait_seconds = (
                _FIRST_WAIT_SECONDS if has_worked else min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            )
            await asyncio.sleep(wait_seconds)

    async def _watch(self, client: Any, symbol: str) -> None:
        while True:
            with suppress(TimeoutError):
                rows = await asyncio.wait_for(client.watch_orders(symbol), _SILENCE_SECONDS)
                for row in list(rows):
                    self._hear(row)

    def _hear(self, row: Any) -> None:
        """Read an event at once: the client changes what it has given away."""
        self.n_heard += 1
        client_id = str(row.get("clientOrderId") or "") if isinstance(row, dict) else ""
        if isinstance(row, dict) and "aid" in (row.get("info") or {}):
            self._heard.put(Heard(client_id, None, ""))
            return
        try:
            news = read_order(row, client_id)
        except (Unreadable, ValueError) as error:
            self._heard.put(Heard("", None, self._clean(f"an event cannot be read: {error}")))
            return
        self._heard.put(Heard(client_id, news, ""))


def _describe(error: BaseException) -> str:
    """Return an error in one line; of a group its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"the stream of orders was dropped: {type(error).__name__}: {error}"
