"""From a plan to a session that is ready to run, and what has to be closed after it.

The order matters: the venue is on the allow-list, keys are a sandbox's, the account is locked, the
switch is off, the journal can be read, belief and truth agree; only then is the agent made.

An earlier session is continued. In the shadow its bars are run once more, with what its agent has
said, so the account is what it was; in a sandbox the account is the exchange's, open orders are
taken over, and the agent is asked at the next close as if it had just been woken.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seawall.agent import Agent
from seawall.engine.components import make_agent
from seawall.journal import Journal
from seawall.paper.account_lock import AccountLock
from seawall.paper.asked import AskedAgent
from seawall.paper.broker import PaperBroker
from seawall.paper.calls import Calls, Rows
from seawall.paper.candles import CandleGate, CandleSource, find_start
from seawall.paper.client import ExchangeClient
from seawall.paper.clock import AskedClock, WallClock
from seawall.paper.connect import connect
from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.keys import SandboxKeys, load_keys
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import LimitKeeper
from seawall.paper.log import SessionLog
from seawall.paper.news import OrderStream
from seawall.paper.places import JOURNAL, LOG, SWITCH, lock_folder
from seawall.paper.plan import Plan, to_live
from seawall.paper.reconcile import reconcile
from seawall.paper.record import SHADOW_ACCOUNT, Record, SessionRow, Setup
from seawall.paper.redaction import Redactor, protect_output
from seawall.paper.sandbox_desk import SandboxDesk
from seawall.paper.session import LATE, PaperSession
from seawall.paper.shadow import ShadowBroker, ShadowDesk, ShadowSupervisor
from seawall.paper.supervisor import Supervisor
from seawall.paper.terms import find_grid
from seawall.paper.wall import raise_wall
from seawall.recipe import Recipe
from seawall.units import split_symbol

_SETTLE_MS = 300  # a public exchange may still be writing the candle that has just ended
_SETTLE_ORDERS_MS = 30_000  # by then an order that nobody knows can no longer arrive
_POLL_SECONDS, _LOCAL_POLL_SECONDS = 0.5, 0.01


@dataclass(kw_only=True)
class Surroundings:
    """What a session gets from outside, by default from the wall; tests give their own.

    Attributes:
        clock: the exchange's time; made from the exchange if not given.
        wait: called where nothing is due.
        agent: in place of the recipe's.
        keys_file: a ``.env`` file.
        agent_hosts: what an agent must reach.
        has_wall: whether this process is held to the venue's hosts, for good.
        has_streams: whether a sandbox session listens to the account's stream.
        listens: whether signals stop the session; in the main thread only.
    """

    clock: Callable[[], int] | None = None
    wait: Callable[[], object] | None = None
    agent: Agent | None = None
    keys_file: Path | None = None
    agent_hosts: tuple[str, ...] = ()
    has_wall: bool = True
    has_streams: bool = True
    listens: bool = True


@contextmanager
def open_session(plan: Plan, around: Surroundings | None = None) -> Iterator[PaperSession]:
    """Give a session that is ready to run; its end is written down, whatever happens.

    Raises:
        PaperError: it cannot begin; see the classes below it for why.
        SeawallError: the agent or the strategy cannot be made.
    """
    with ExitStack() as stack:
        opening = _Opening(plan, around or Surroundings(), stack)
        try:
            yield opening.open()
        except BaseException as error:
            opening.end(opening.redactor.clean_error(error))
            raise
        opening.end(opening.why())


class _Opening:
    """Builds one session, step by step."""

    def __init__(self, plan: Plan, around: Surroundings, stack: ExitStack) -> None:
        self.plan, self._around, self._stack = plan, around, stack
        self.redactor = Redactor()
        self.has_begun = False
        self._supervisor: Supervisor | None = None

    def open(self) -> PaperSession:
        """Return the session."""
        plan, around = self.plan, self._around
        # Our own exchange's clock is asked at each look: there is no skew to be measured.
        self.limits = replace(plan.limits, max_clock_skew_ms=None) if plan.is_local else plan.limits
        keys = None if plan.style == "shadow" else load_keys(plan.venue, file=around.keys_file)
        for secret in () if keys is None else keys.values.values():
            self.redactor.add(secret)
        if around.has_wall:
            protect_output(self.redactor)
            raise_wall([plan.venue], around.agent_hosts)
        exchange = self._reach(keys)
        self._take_folder(keys)
        self.client = ExchangeClient(
            exchange, self.journal, clock=self.clock, redactor=self.redactor
        )
        return self._open_shadow() if keys is None else self._open_sandbox(keys)

    def _reach(self, keys: SandboxKeys | None) -> Any:
        """Return a client that knows the exchange's markets; no file is there before.

        Raises:
            PaperError: the exchange does not answer, or lacks a symbol.
        """
        venue, symbols = self.plan.venue, self.plan.recipe.market.symbols
        credentials = None if keys is None else keys.credentials()
        settings = {"enableRateLimit": not self.plan.is_local, "timeout": 10_000}
        exchange = connect(venue, credentials, settings=settings)
        self._stack.callback(exchange.session.close)
        self.clock = self._around.clock or self._make_clock(exchange)
        try:
            calls = Calls(exchange, clock=self.clock, redactor=self.redactor)
            calls.call(exchange.load_markets)
        except ExchangeFault as error:
            raise PaperError(
                f"{venue.name} must answer before a session begins, does not ({error}): try later"
            ) from None
        missing = [symbol for symbol in symbols if symbol not in exchange.markets]
        if missing:
            raise PaperError(
                f"{venue.name} must list the recipe's symbols, lacks {', '.join(missing)}: set "
                "market.symbols"
            )
        return exchange

    def _take_folder(self, keys: SandboxKeys | None) -> None:
        """Lock the account, look at the switch, open journal and log."""
        plan = self.plan
        plan.folder.mkdir(parents=True, exist_ok=True)
        self.account = SHADOW_ACCOUNT if keys is None else keys.fingerprint
        places = plan.folder if keys is None else lock_folder()
        # Each exchange of our own has accounts of its own, also where their keys are the same.
        suffix = "" if not plan.is_local else re.sub(r"\W+", "-", plan.exchange)
        lock = AccountLock(places, plan.venue, self.account + suffix)
        self.lock = self._stack.enter_context(lock).name
        self.switch = KillSwitch(plan.folder / SWITCH)
        self.switch.check_released()
        if self._around.listens:
            self.switch.listen()
        self.journal = self._stack.enter_context(PaperJournal(plan.folder / JOURNAL))
        self.record = Record(self.journal)
        self.log = self._stack.enter_context(SessionLog(plan.folder / LOG, self.redactor))

    def end(self, why: str) -> None:
        """Write down that the session ended, if it had begun."""
        if not self.has_begun:
            return
        now_ms = self.clock()
        self.journal.end_session(now_ms, why)
        self.log.write("session", now_ms, text=f"ended: {why}")

    def why(self) -> str:
        """Return why it ended."""
        return (self._supervisor.ending if self._supervisor is not None else "") or "stopped"

    # The two styles -------------------------------------------------------------------------------

    def _open_shadow(self) -> PaperSession:
        plan, journal = self.plan, self.journal
        before = self._find_before()
        gate, sources = self._make_gate()
        timeframe = plan.recipe.market.timeframe
        done_ms = 0
        if before is None:
            gate.warm_up(plan.n_warm_up)
            setup = self._setup(find_start(gate, sources), plan.recipe.account.cash)
        else:
            setup = before.setup
            late = [(*key.split()[-2:], after_ms) for key, after_ms in journal.events(LATE)]
            for source in sources:
                mine = {int(opened): after for name, opened, after in late if name == source.symbol}
                gate.put(source.symbol, self.record.candles(source.symbol, timeframe), mine)
            done_ms = max((one[0] for one in self._all_values()), default=0)
        recipe = to_live(plan.recipe, setup.exchange, setup.since_ms)
        self._begin(setup, is_again=before is not None)
        if before is None:
            quote = {recipe.market.quote: setup.cash}
            journal.set_baseline("balance", quote, setup.since_ms)
        engine_journal, keeper = Journal(), LimitKeeper(self.limits, journal)
        broker = ShadowBroker.from_recipe(recipe, journal=engine_journal, filters=setup.grids())
        desk = ShadowDesk(broker, keeper, journal, self.clock, done_ms=done_ms)
        away_ms = self.clock() - recipe.market.timeframe_ms if before is not None else 0
        known = self.record.decisions([one.number for one in self.record.sessions()])
        agent = AskedAgent(self._make_agent(), self.record, known=known, away_ms=away_ms)
        session = self._make_session(
            recipe, desk, agent, gate, sources, journal=engine_journal, done_ms=done_ms
        )
        supervisor = ShadowSupervisor(
            self.client, keeper, self.switch, symbols=recipe.market.symbols, market="spot",
            equity=session.equity, pulse=session.pulse, watch=plan.watch,
        )  # fmt: skip
        supervisor.desk = desk
        self._supervisor = desk.supervisor = supervisor
        return session

    def _open_sandbox(self, keys: SandboxKeys) -> PaperSession:
        plan, journal = self.plan, self.journal
        gate, sources = self._make_gate()
        gate.warm_up(plan.n_warm_up)
        is_again = self._check_account()
        # A session has to be begun before anything is adopted in its name.
        setup = self._setup(find_start(gate, sources), 0.0)
        self._begin(setup, is_again=is_again)
        self._settle()
        reconcile(self.client, plan.recipe.market.symbols, market="spot", adopt=plan.adopt)
        recipe = to_live(plan.recipe, setup.exchange, setup.since_ms)
        self.record.amend(self._with_account(setup, recipe))
        keeper = LimitKeeper(self.limits, journal)
        broker = PaperBroker(self.client, keeper, quote=recipe.market.quote)
        if self._around.has_streams:
            broker.stream = self._open_stream(keys)
        desk = SandboxDesk(broker, self.log)
        agent = AskedAgent(self._make_agent(), self.record)
        session = self._make_session(recipe, desk, agent, gate, sources, journal=Journal())
        supervisor = Supervisor(
            self.client, keeper, self.switch, symbols=recipe.market.symbols, market="spot",
            equity=session.equity, pulse=session.pulse, watch=plan.watch,
        )  # fmt: skip
        self._supervisor = broker.supervisor = supervisor
        return session

    # Parts ----------------------------------------------------------------------------------------

    def _make_session(
        self,
        recipe: Recipe,
        desk: ShadowDesk | SandboxDesk,
        agent: AskedAgent,
        gate: CandleGate,
        sources: list[CandleSource],
        *,
        journal: Journal,
        done_ms: int = 0,
    ) -> PaperSession:
        return PaperSession(
            recipe, desk, agent, self.record, gate=gate, sources=sources, clock=self.clock,
            wait=self._around.wait or self._sleep, journal=journal, log=self.log, done_ms=done_ms,
        )  # fmt: skip

    def _make_agent(self) -> Agent:
        """Return the agent; what it wanted to remember is given back to it.

        Raises:
            PaperError: it does not take it.
        """
        agent = self._around.agent or make_agent(self.plan.recipe)
        state, restore = self.record.state(), getattr(agent, "restore", None)
        if state is not None and restore is not None:
            try:
                restore(state)
            except Exception as error:
                raise PaperError(
                    f"the agent must take back the state it gave, raises {type(error).__name__}: "
                    f"{error}: correct its restore(), or begin in another folder"
                ) from error
        return agent

    def _make_gate(self) -> tuple[CandleGate, list[CandleSource]]:
        market, calls = self.plan.recipe.market, self.client.calls
        settle_ms = self.plan.settle_ms or (0 if self.plan.is_local else _SETTLE_MS)
        sources = [
            CandleSource(calls, symbol, market.timeframe, settle_ms=settle_ms)
            for symbol in market.symbols
        ]
        return CandleGate(sources), sources

    def _make_clock(self, exchange: Any) -> Callable[[], int]:
        if self.plan.is_local:
            root = self.plan.exchange.removeprefix("local:").rstrip("/")
            return AskedClock(exchange.session, f"{root}/api/v3/time")
        return WallClock(lambda: int(exchange.fetch_time()))

    def _open_stream(self, keys: SandboxKeys) -> OrderStream:
        """Return the account's stream, listening; its client has a clock of its own to sign by."""
        venue, clock = self.plan.venue, self.clock
        if isinstance(clock, AskedClock):
            clock = self._make_clock(connect(venue))
        peek = clock.peek if isinstance(clock, WallClock) else clock

        def make() -> Any:
            client = connect(venue, keys.credentials(), flavour="pro")
            client.milliseconds = peek
            return client

        stream = OrderStream(make, self.plan.recipe.market.symbols, self.redactor.clean)
        stream.start()
        self._stack.callback(stream.stop)
        return stream

    def _sleep(self) -> None:
        time.sleep(_LOCAL_POLL_SECONDS if self.plan.is_local else _POLL_SECONDS)

    def _setup(self, since_ms: int, cash: float) -> Setup:
        plan = self.plan
        return Setup(
            mode=plan.venue.mode,
            exchange=plan.venue.exchange,
            since_ms=since_ms,
            cash=cash,
            filters={
                symbol: find_grid(self.client.exchange, symbol)
                for symbol in plan.recipe.market.symbols
            },
            limits=asdict(self.limits),
            account=self.account,
            lock=self.lock,
        )

    def _settle(self) -> None:
        """Wait until it is known of every order whether it arrived: one of a crash may be new.

        Raises:
            ExchangeFault: the exchange cannot be asked.
        """
        end_ms = self.clock() + _SETTLE_ORDERS_MS
        self.client.resolve_all()
        while self.journal.unresolved() and self.clock() < end_ms:
            (self._around.wait or self._sleep)()
            self.client.resolve_all()

    def _with_account(self, setup: Setup, recipe: Recipe) -> Setup:
        """Return a setup that says what the account holds of what is traded."""
        held = self.journal.believed("balance")
        coins = {one: held.get(split_symbol(one)[0], 0.0) for one in recipe.market.symbols}
        return replace(setup, cash=held.get(recipe.market.quote, 0.0), holdings=coins)

    def _find_before(self) -> SessionRow | None:
        """Return the session that is continued.

        Raises:
            PaperError: the folder is another recipe's.
        """
        sessions = self.record.sessions()
        if not sessions:
            return None
        before = sessions[-1]
        if before.recipe.id != self.plan.recipe.id or before.setup.exchange != (
            self.plan.venue.exchange
        ):
            raise PaperError(
                f"a shadow's folder belongs to one recipe and exchange, {self.plan.folder.name} "
                f"has {before.recipe.name} {before.recipe.id} on {before.setup.exchange}: name "
                "another folder"
            )
        return before

    def _check_account(self) -> bool:
        """Return whether there were sessions before.

        Raises:
            PaperError: they were another account's.
        """
        sessions = self.record.sessions()
        for before in sessions[-1:]:
            if (before.venue, before.setup.account) != (self.plan.venue.name, self.account):
                raise PaperError(
                    f"a journal is one account's, {self.plan.folder.name} belongs to "
                    f"{before.setup.account} on {before.venue}: name another folder"
                )
        return bool(sessions)

    def _begin(self, setup: Setup, *, is_again: bool) -> None:
        now_ms, plan = self.clock(), self.plan
        self.record.begin(now_ms, plan.venue.name, plan.recipe, setup)
        self.has_begun = True
        text = f"{'goes on' if is_again else 'begins'}: {plan.recipe.name} on {plan.venue.name}"
        self.log.write("session", now_ms, text=text, number=self.journal.session)

    def _all_values(self) -> Rows:
        numbers = [one.number for one in self.record.sessions()]
        return [value for number in numbers for value in self.journal.values(number)]
