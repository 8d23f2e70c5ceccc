"""How a sandbox session is opened: the account is the exchange's, and belief is made to agree."""

from dataclasses import replace
from typing import Any

from seawall.journal import Journal
from seawall.paper.asked import AskedAgent
from seawall.paper.broker import PaperBroker
from seawall.paper.candles import find_start
from seawall.paper.clock import AskedClock, WallClock
from seawall.paper.connect import connect
from seawall.paper.errors import PaperError
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
    is_again = _check_account(opening)
    # A session has to be begun before anything is adopted in its name.
    setup = opening.make_setup(find_start(gate, sources), 0.0)
    opening.begin(setup, is_again=is_again)
    _settle(opening)
    reconcile(opening.client, plan.recipe.market.symbols, market="spot", adopt=plan.adopt)
    recipe = to_live(plan.recipe, setup.exchange, setup.since_ms)
    opening.record.amend(_with_account(opening, setup, recipe))
    keeper = LimitKeeper(opening.limits, journal)
    broker = PaperBroker(opening.client, keeper, quote=recipe.market.quote)
    if opening.around.has_streams:
        broker.stream = _open_stream(opening, keys)
    desk = SandboxDesk(broker, opening.log)
    agent = AskedAgent(opening.make_agent(), opening.record)
    session = opening.make_session(recipe, desk, agent, gate, sources, journal=Journal())
    supervisor = Supervisor(
        opening.client, keeper, opening.switch, symbols=recipe.market.symbols, market="spot",
        equity=session.equity, pulse=session.pulse, watch=plan.watch,
    )  # fmt: skip
    opening.supervisor = broker.supervisor = supervisor
    return session


def _settle(opening: Opening) -> None:
    """Wait until it is known of every order whether it arrived: one of a crash may be new.

    Raises:
        ExchangeFault: the exchange cannot be asked.
    """
    end_ms = opening.clock() + _SETTLE_ORDERS_MS
    opening.client.resolve_all()
    while opening.journal.unresolved() and opening.clock() < end_ms:
        opening.wait()
        opening.client.resolve_all()


def _with_account(opening: Opening, setup: Setup, recipe: Recipe) -> Setup:
    """Return a setup that says what the account holds of what is traded."""
    held = opening.journal.believed("balance")
    coins = {one: held.get(split_symbol(one)[0], 0.0) for one in recipe.market.symbols}
    return replace(setup, cash=held.get(recipe.market.quote, 0.0), holdings=coins)


def _check_account(opening: Opening) -> bool:
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
