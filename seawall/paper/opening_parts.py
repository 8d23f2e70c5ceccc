"""What both styles of session are opened with: the exchange, the folder, the agent."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seawall.agent import Agent
from seawall.engine.checks import check_agent
from seawall.engine.components import find_strategy, make_agent
from seawall.journal import Journal
from seawall.market.catalog import Catalog
from seawall.paper.account_lock import AccountLock
from seawall.paper.allowed import Market
from seawall.paper.asked import AskedAgent
from seawall.paper.calls import Calls
from seawall.paper.candles import CandleGate, CandleSource, check_timeframe, find_pause
from seawall.paper.client import ExchangeClient
from seawall.paper.clock import AskedClock, WallClock
from seawall.paper.connect import connect
from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.keys import SandboxKeys, load_keys
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.log import SessionLog
from seawall.paper.logged_journal import LoggedJournal
from seawall.paper.places import JOURNAL, LOG, SWITCH, lock_folder
from seawall.paper.plan import Plan, market_of
from seawall.paper.record import SHADOW_ACCOUNT, Record, Setup
from seawall.paper.redaction import Redactor, protect_output
from seawall.paper.session import Desk, PaperSession
from seawall.paper.signals import LiveSignals, check_signals
from seawall.paper.supervisor import Supervisor
from seawall.paper.terms import find_grid
from seawall.paper.wall import find_ports, raise_wall
from seawall.recipe import Recipe
from seawall.units import SECOND_MS

_SETTLE_MS = 300  # a public exchange may still be writing the candle that has just ended
_LOCAL_POLL_SECONDS = 0.01
_SPEED_SECONDS, _MAX_SPEED = 0.05, 200.0  # of our own exchange, for who signs


@dataclass(kw_only=True)
class Surroundings:
    """What a session gets from outside, by default from the wall; tests give their own.

    Attributes:
        clock: the exchange's time; made from the exchange if not given.
        wait: called where nothing is due.
        agent: in place of the recipe's.
        keys_file: a ``.env`` file.
        agent_hosts: what an agent must reach.
        agent_urls: addresses that agents take from elsewhere than the recipe: what of them is on
            loopback is open.
        has_wall: whether this process is held to the venue's hosts, for good.
        has_streams: whether a sandbox session listens to the account's stream.
        listens: whether signals stop the session; in the main thread only.
        catalog: where the recipe's signals are; the user's own if not given.
    """

    clock: Callable[[], int] | None = None
    wait: Callable[[], object] | None = None
    agent: Agent | None = None
    keys_file: Path | None = None
    agent_hosts: tuple[str, ...] = ()
    agent_urls: tuple[str, ...] = ()
    has_wall: bool = True
    has_streams: bool = True
    listens: bool = True
    catalog: Catalog | None = None


class Opening:
    """What the opening of one session builds step by step, and both styles share.

    Args:
        plan, around: of the session.
        stack: closes what was opened.
        to_end: only the kill switch is carried out: no agent is made, and it may be on.
    """

    def __init__(
        self, plan: Plan, around: Surroundings, stack: ExitStack, *, to_end: bool = False
    ) -> None:
        self.plan, self.around, self.stack = plan, around, stack
        self._to_end = to_end
        self.redactor = Redactor()
        self.has_begun = False
        self.supervisor: Supervisor | None = None

    def prepare(self) -> SandboxKeys | None:
        """Raise the wall, reach the exchange, lock the account; return the keys of a sandbox.

        Raises:
            PaperError: one of these fails; see the classes below it for why.
        """
        plan, around = self.plan, self.around
        self.catalog = around.catalog or Catalog()
        if not self._to_end:
            check_signals(plan.recipe.market.signals, self.catalog)
        # Our own exchange's clock is asked at each look: there is no skew to be measured.
        self.limits = replace(plan.limits, max_clock_skew_ms=None) if plan.is_local else plan.limits
        keys = None if plan.style == "shadow" else load_keys(plan.venue, file=around.keys_file)
        for secret in () if keys is None else keys.values.values():
            self.redactor.add(secret)
        if around.has_wall:
            protect_output(self.redactor)
            venues = [plan.venue_of(market) for market in plan.markets]
            agent = plan.recipe.agent
            named = [{} if agent is None else agent.parameters, around.agent_urls]
            raise_wall(venues, around.agent_hosts, find_ports(named))
        if around.agent is None and not self._to_end:
            # What is wrong with it is said before anything is begun.
            check_agent(plan.recipe, make_agent(plan.recipe), find_strategy(plan.recipe))
        self.exchanges = {market: self._reach(market, keys) for market in plan.markets}
        exchange = self.exchanges[plan.markets[0]]
        if keys is not None and isinstance(self.clock, AskedClock):
            _check_speed(self.clock)
        self._take_folder(keys)
        self.client = ExchangeClient(
            exchange, self.journal, clock=self.clock, redactor=self.redactor
        )
        return keys

    def _reach(self, market: Market, keys: SandboxKeys | None) -> Any:
        """Return a client of one market that knows its symbols; no file is there before.

        Raises:
            PaperError: the exchange does not answer, or lacks a symbol.
        """
        venue = self.plan.venue_of(market)
        symbols = [one for one in self.plan.recipe.market.symbols if market_of(one) == market]
        credentials = None if keys is None else keys.credentials()
        settings = {"enableRateLimit": not self.plan.is_local, "timeout": 10_000}
        exchange = connect(venue, credentials, settings=settings)
        self.stack.callback(exchange.session.close)
        if market == self.plan.markets[0]:
            self.clock = self.around.clock or self.make_clock(exchange)
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
        for symbol in symbols if self.plan.is_local else ():
            check_timeframe(calls, symbol, self.plan.recipe.market.timeframe)
        return exchange

    def _take_folder(self, keys: SandboxKeys | None) -> None:
        """Lock the account, look at the switch, open journal and log.

        Raises:
            PaperError: another session has the account, the switch is on, the journal is another's
                or the folder cannot be written to.
        """
        try:
            self.plan.folder.mkdir(parents=True, exist_ok=True)
            self._open_files(keys)
        except OSError as error:
            raise PaperError(
                f"a session writes into its folder, {self.plan.folder} cannot be written to "
                f"({error.strerror}): name another with --out"
            ) from error

    def _open_files(self, keys: SandboxKeys | None) -> None:
        plan = self.plan
        self.account = SHADOW_ACCOUNT if keys is None else keys.fingerprint
        places = plan.folder if keys is None else lock_folder()
        # Each exchange of our own has accounts of its own, also where their keys are the same.
        suffix = "" if not plan.is_local else re.sub(r"\W+", "-", plan.exchange)
        lock = AccountLock(places, plan.venue, self.account + suffix)
        self.lock = self.stack.enter_context(lock).name
        self.switch = KillSwitch(plan.folder / SWITCH)
        if not self._to_end:
            self.switch.check_released()
        if self.around.listens:
            self.switch.listen()
        self.journal = self.stack.enter_context(LoggedJournal(plan.folder / JOURNAL))
        self.record = Record(self.journal)
        self.log = self.stack.enter_context(SessionLog(plan.folder / LOG, self.redactor))
        self.journal.log, self.journal.is_shadow = self.log, keys is None

    def end(self, why: str) -> None:
        """Write down that the session ended, if it had begun."""
        if not self.has_begun:
            return
        now_ms = self.clock()
        self.journal.end_session(now_ms, why)
        self.log.write("session", now_ms, text=f"ended: {why}")

    def why(self) -> str:
        """Return why it ended."""
        return (self.supervisor.ending if self.supervisor is not None else "") or "stopped"

    # Parts ----------------------------------------------------------------------------------------

    def make_session(
        self,
        recipe: Recipe,
        desk: Desk,
        agent: AskedAgent,
        gate: CandleGate,
        sources: list[CandleSource],
        *,
        journal: Journal,
        first_prices: Mapping[str, float] | None = None,
        done_ms: int = 0,
    ) -> PaperSession:
        """Return the session of these parts; see ``PaperSession``."""
        agent.clean = self.redactor.clean
        return PaperSession(
            recipe, desk, agent, self.record, gate=gate, sources=sources, clock=self.clock,
            wait=self.wait, journal=journal, log=self.log, signals=self._make_signals(recipe),
            first_prices=first_prices, done_ms=done_ms, only_newest=self.plan.style == "sandbox",
        )  # fmt: skip

    def _make_signals(self, recipe: Recipe) -> LiveSignals | None:
        market = recipe.market
        if not market.signals:
            return None
        return LiveSignals(
            market.signals, self.catalog, self.journal,
            since_ms=market.since_ms, on_fault=self.tell_fault,
        )  # fmt: skip

    def tell_fault(self, text: str) -> None:
        """Note a fault that does not end the session."""
        self.journal.note(self.clock(), "fault", text)

    def make_agent(self) -> Agent:
        """Return the agent; what it wanted to remember is given back to it.

        Raises:
            PaperError: it does not take it.
        """
        agent = self.around.agent or make_agent(self.plan.recipe)
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

    def make_gate(self) -> tuple[CandleGate, list[CandleSource]]:
        """Return where candles are waited for, and where they come from."""
        sources = self.make_sources()
        return CandleGate(sources), sources

    def make_sources(self) -> list[CandleSource]:
        """Return where the candles of each symbol come from."""
        timeframe, settle_ms = self.plan.recipe.market.timeframe, self.settle_ms
        return [
            CandleSource(self.calls_of(symbol), symbol, timeframe, settle_ms=settle_ms)
            for symbol in self.plan.recipe.market.symbols
        ]

    @property
    def settle_ms(self) -> int:
        """How long after its end a candle is taken."""
        return self.plan.settle_ms or (0 if self.plan.is_local else _SETTLE_MS)

    def calls_of(self, symbol: str) -> Calls:
        """Return what sends the requests about a symbol: that of its market."""
        market = market_of(symbol)
        if market == self.plan.markets[0]:
            return self.client.calls
        exchange = self.exchanges[market]
        return Calls(exchange, clock=self.clock, redactor=self.redactor)

    def make_clock(self, exchange: Any) -> Callable[[], int]:
        """Return the exchange's time: asked at each look where the exchange is our own."""
        if self.plan.is_local:
            root = self.plan.exchange.removeprefix("local:").rstrip("/")
            return AskedClock(exchange.session, f"{root}/api/v3/time")
        return WallClock(lambda: int(exchange.fetch_time()))

    def wait(self) -> None:
        """Let time pass: sleep, or what the surroundings have in its place."""
        if self.around.wait is not None:
            self.around.wait()
            return
        if self.plan.is_local:
            time.sleep(_LOCAL_POLL_SECONDS)
        else:
            frame_ms = self.plan.recipe.market.timeframe_ms
            time.sleep(find_pause(self.clock() - self.settle_ms, frame_ms))

    def make_setup(self, since_ms: int, cash: float) -> Setup:
        """Return what the session begins with."""
        plan = self.plan
        return Setup(
            mode=plan.venue.mode,
            exchange=plan.venue.exchange,
            since_ms=since_ms,
            cash=cash,
            filters={
                symbol: find_grid(self.exchanges[market_of(symbol)], symbol)
                for symbol in plan.recipe.market.symbols
            },
            limits=asdict(self.limits),
            account=self.account,
            lock=self.lock,
            place=plan.exchange,
        )

    def begin(self, setup: Setup, *, is_again: bool) -> None:
        """Write down that the session has begun."""
        now_ms, plan = self.clock(), self.plan
        self.record.begin(now_ms, plan.venue.name, plan.recipe, setup)
        self.has_begun = True
        text = f"{'goes on' if is_again else 'begins'}: {plan.recipe.name} on {plan.venue.name}"
        self.log.write("session", now_ms, text=text, number=self.journal.session)


def _check_speed(clock: AskedClock) -> None:
    """Raise where our own exchange runs so fast that signed requests come too late.

    Raises:
        PaperError: it does.
    """
    before_ms, began = clock(), time.monotonic()
    time.sleep(_SPEED_SECONDS)
    speed = (clock() - before_ms) / (time.monotonic() - began) / SECOND_MS
    if speed > _MAX_SPEED:
        raise PaperError(
            f"a signed request is taken for 10 s of the exchange's time, at {speed:,.0f} times the "
            f"wall that is {10 * SECOND_MS / speed:.0f} ms: start the exchange with --speed 60, or "
            "run --shadow"
        )
