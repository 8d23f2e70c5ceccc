"""How a sandbox session is opened: the account is the exchange's, and belief is made to agree."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from seawall.journal import Journal
from seawall.paper.asked import AskedAgent
from seawall.paper.broker import PaperBroker
from seawall.paper.candles import find_start
from seawall.paper.clock import AskedClock, WallClock
from seawall.paper.connect import connect
from seawall.paper.errors import PaperError
from seawall.paper.futures_asks import FuturesAsks
from seawall.paper.futures_book import FuturesBook
from seawall.paper.futures_opening import (
    Start,
    check_held,
    check_mode,
    list_contracts,
    open_position,
    set_contracts,
)
from seawall.paper.futures_record import FuturesRecorder, to_world
from seawall.paper.futures_side import FuturesSide
from seawall.paper.gauges import gauges_of_futures, keep_gauges
from seawall.paper.journal import PaperJournal
from seawall.paper.keys import SandboxKeys
from seawall.paper.limits import LimitKeeper
from seawall.paper.news import OrderStream
from seawall.paper.opening_parts import Opening
from seawall.paper.plan import to_live
from seawall.paper.reconcile import reconcile
from seawall.paper.record import Setup
from seawall.paper.sandbox_desk import SandboxDesk
from seawall.paper.session import PaperSession
from seawall.paper.supervisor import Supervisor
from seawall.recipe import Recipe
from seawall.units import split_symbol

_SETTLE_ORDERS_MS = 30_000  # by then an order that nobody knows can no longer arrive


def open_sandbox(opening: Opening, keys: SandboxKeys) -> PaperSession:
    """Return a sandbox session that is ready to run.

    Raises:
        PaperError: the account is another's, or differs from the journal and is not to be adopted.
        ExchangeFault: the exchange cannot be asked.
    """
    plan, journal = opening.plan, opening.journal
    gate, sources = opening.make_gate()
    gate.warm_up(plan.n_warm_up)
    is_again = check_account(opening)
    # A session has to be begun before anything is adopted in its name.
    setup = opening.make_setup(find_start(gate, sources), 0.0)
    opening.begin(setup, is_again=is_again)
    market, symbols = plan.markets[0], plan.recipe.market.symbols
    recipe = to_live(plan.recipe, setup.exchange, setup.since_ms)
    keeper, engine_journal = LimitKeeper(opening.limits, journal), Journal()
    futures = None
    if market == "perpetual":
        opening.client.open_futures(symbols, asset=recipe.market.quote)
    settle(opening)
    reconcile(opening.client, symbols, market=market, adopt=plan.adopt)
    if opening.client.futures is not None:
        book = opening.client.futures
        futures = _open_futures(opening, book, keeper, engine_journal, setup.since_ms)
    opening.record.amend(_with_account(opening, setup, recipe, futures))
    broker = PaperBroker(
        opening.client, keeper, quote=recipe.market.quote,
        side=None if futures is None else futures.side, futures=futures,
    )  # fmt: skip
    if opening.around.has_streams:
        broker.stream = _open_stream(opening, keys)
    recorder = None
    if futures is not None:
        opening.stack.callback(_look_last, futures.side, journal)
        recorder = FuturesRecorder(
            futures.side, opening.client.calls, opening.record, recipe, settle_ms=opening.settle_ms
        )
    desk = SandboxDesk(broker, opening.log, since_ms=setup.since_ms, recorder=recorder)
    agent = AskedAgent(opening.make_agent(), opening.record)
    session = opening.make_session(recipe, desk, agent, gate, sources, journal=engine_journal)
    supervisor = Supervisor(
        opening.client, keeper, opening.switch, symbols=symbols, market=market,
        equity=session.equity, pulse=session.pulse, watch=plan.watch,
    )  # fmt: skip
    opening.supervisor = broker.supervisor = supervisor
    return session


def settle(opening: Opening) -> None:
    """Wait until it is known of all that was sent whether it arrived: some may be new at a crash.

    Raises:
        ExchangeFault: the exchange cannot be asked.
    """
    client, book = opening.client, opening.client.futures
    end_ms = opening.clock() + _SETTLE_ORDERS_MS
    while True:
        client.resolve_all()
        if book is not None:
            book.resolve_moves()
        is_open = opening.journal.unresolved() or (book is not None and book.unresolved_moves())
        if not is_open or opening.clock() >= end_ms:
            return
        opening.wait()


def _open_futures(
    opening: Opening, book: FuturesBook, keeper: LimitKeeper, journal: Journal, since_ms: int
) -> FuturesAsks:
    """Return a futures account that is as the recipe wants it, or as the exchange has it.

    Raises:
        PaperError: it cannot be so, or the user has to say so first.
        ExchangeFault: the exchange cannot be asked.
    """
    client, plan = opening.client, opening.plan
    start = Start.of(plan.recipe, opens=plan.opens)
    check_mode(book)
    check_held(book.asks.account(), book)
    set_contracts(client, book, start)
    if open_position(client, book, keeper, start) is not None:
        settle(opening)
        for symbol in start.symbols:
            client.sync_trades(symbol)
    listed = list_contracts(client, book, start)
    return FuturesAsks(FuturesSide(client, listed, journal, since_ms=since_ms))


def _look_last(side: FuturesSide, journal: PaperJournal) -> None:
    """Count what the wallet has received since, and keep how things stand; the session is over."""
    with suppress(PaperError):  # the next start counts it
        side.book.sync_incomes()
        side.refresh(at_once=True)
        keep_gauges(journal, gauges_of_futures(side.peek()))


def _with_account(
    opening: Opening, setup: Setup, recipe: Recipe, futures: FuturesAsks | None
) -> Setup:
    """Return a setup that says what the account holds of what is traded."""
    if futures is not None:
        positions = opening.journal.believed("position")
        coins = {one: positions.get(one, 0.0) for one in recipe.market.symbols}
        world = to_world(futures.side, futures.side.listed)
        return replace(setup, cash=futures.side.told.equity, holdings=coins, world=world)
    held = opening.journal.believed("balance")
    coins = {one: held.get(split_symbol(one)[0], 0.0) for one in recipe.market.symbols}
    return replace(setup, cash=held.get(recipe.market.quote, 0.0), holdings=coins)


def check_account(opening: Opening) -> bool:
    """Return whether there were sessions before.

    Raises:
        PaperError: they were another account's.
    """
    sessions = opening.record.sessions()
    for before in sessions[-1:]:
        if (before.venue, before.setup.account) != (opening.plan.venue.name, opening.account):
            raise PaperError(
                f"a journal is one account's, {opening.plan.folder.name} belongs to "
                f"{before.setup.account} on {before.venue}: name another folder"
            )
    return bool(sessions)


def _open_stream(opening: Opening, keys: SandboxKeys) -> OrderStream:
    """Return the account's stream, listening; its client has a clock of its own to sign by."""
    venue, clock = opening.plan.venue, opening.clock
    if isinstance(clock, AskedClock):
        clock = opening.make_clock(connect(venue))
    peek = clock.peek if isinstance(clock, WallClock) else clock

    def make() -> Any:
        client = connect(venue, keys.credentials(), flavour="pro")
        client.milliseconds = peek
        return client

    stream = OrderStream(make, opening.plan.recipe.market.symbols, opening.redactor.clean)
    stream.start()
    opening.stack.callback(stream.stop)
    return stream
