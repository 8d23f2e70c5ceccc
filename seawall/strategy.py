"""The job an agent is given, and the loop of one bar.

``AgentStrategy`` is an ordinary ``backtrader.Strategy``. At the close of a bar (or at its open,
where the recipe says so) it reveals the bar, asks the agent if it is awake, checks the answer
against the limits of the job and sends what is allowed to the broker. A job derives from it and
overrides ``permit``; everything that happens is in the journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

from seawall.action import Action, Cancel, Order, TargetWeight, to_json
from seawall.agent import (
    Agent,
    AgentInfo,
    Decision,
    Feedback,
    FitSchedule,
    Wake,
    to_decision,
)
from seawall.bt_orders import describe
from seawall.errors import AgentError, AgentLost, RecipeError, RecordingError, SeawallError
from seawall.journal import Journal, JournalKind
from seawall.loan_view import LoanView
from seawall.market.texts import TextWindow
from seawall.observation import Observation, SignalWindow, Window
from seawall.order_strategy import NO_FUTURES, OrderStrategy
from seawall.perpetual_action import PERPETUAL_ACTIONS, TargetLeverage
from seawall.perpetual_view import PerpetualView
from seawall.thinking import Thinking
from seawall.units import is_perpetual, to_time_text

_NEVER_MS = 1 << 62


class Steps(Protocol):
    """Whole numbers by step: an array, or what grows while the market goes on."""

    def tolist(self) -> list[int]:
        """Return them as a list; what grows returns itself."""
        ...

    def __getitem__(self, place: Any) -> Any:
        """Return one of them, or several."""
        ...


class Bill(NamedTuple):
    """What one decision cost, quote units > 0, and when it was taken."""

    time_ms: int
    cost: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """What one run hands to its strategy.

    Attributes:
        agent, info: who decides, and what it is told before the first bar.
        windows, signals: by symbol and by name; only what was revealed can be read from them.
        clock_ms: int64, shape (n_steps,), when each step is: the close stamps of all bars. A live
            session's grows step by step.
        n_closed: by symbol, int64 of shape (n_steps,): how many of its bars have closed by then.
        since_ms: bars that open earlier are warm-up: seen, not traded.
        embargo_ms: how much of the latest history ``fit`` must not see.
        journal: where everything is written.
        guarded: the contract whose position the job guards; ``""``: the market's first perpetual.
        texts: by name; only what was revealed can be read from them.
    """

    agent: Agent
    info: AgentInfo
    windows: Mapping[str, Window]
    signals: Mapping[str, SignalWindow]
    clock_ms: Steps
    n_closed: Mapping[str, Steps]
    since_ms: int
    journal: Journal
    embargo_ms: int = 0
    guarded: str = ""
    texts: Mapping[str, TextWindow] = field(default_factory=dict)


class AgentStrategy(OrderStrategy):
    """A job for an agent: what may be traded, how an answer is carried out, what is forbidden.

    Parameters:
        session: given by the engine.
        sizing: ``decision``: a target weight becomes a quantity at the price the agent saw;
            ``fill``: at the price it is filled at (exchange fills only).
        rebalance_band: a target weight this close to the present one is left alone, as a fraction
            of equity; 0 and full exits always trade.

    Attributes:
        trades: ``"spot"``, ``"perpetual"`` or ``"carry"``: the market that a job is checked in.
        guarded: the contract whose position the job guards; ``""``: none.
        bills: what the agent's thinking has cost; owed, and off the equity that it sees.
        is_missed: set by a live session: the bar is only seen; is_overdue: the agent was due at it.
    """

    params: Any = (("session", None),)
    trades: ClassVar[str] = "spot"
    guarded = ""

    def __init__(self) -> None:
        super().__init__()
        self.check_parameters()
        session: Session = self.p.session
        self.session = session
        self.agent, self.journal = session.agent, session.journal
        self.symbols = tuple(session.windows)
        self.perpetuals = tuple(symbol for symbol in self.symbols if is_perpetual(symbol))
        self._has_futures = bool(self.perpetuals) and hasattr(self.broker, "see_perpetual")
        self.feeds = dict(zip(self.symbols, self.datas, strict=False))
        closed = [counts.tolist() for counts in session.n_closed.values()]
        self._counts = list(zip(session.windows.values(), closed, strict=True))
        self._clock_ms: list[int] = session.clock_ms.tolist()
        self._quantities: Mapping[str, float] = {}
        self._at_open = session.info.decide_at == "open"
        self._is_halted = self.is_missed = self.is_overdue = False
        self._wake_ms, self._wake = 0, _NO_WAKE
        self._busy_ms = 0  # until then the agent thinks
        self._owed = 0.0
        self.bills: list[Bill] = []
        self._tends = type(self).tend is not AgentStrategy.tend
        self._fits = FitSchedule(self.agent)
        self._last: tuple[int, float] | None = None
        self._teaches = hasattr(self.agent, "learn") or hasattr(self.agent, "fit")
        self.n_decisions = 0

    # What a job overrides -------------------------------------------------------------------------

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a parameter of the job is not allowed."""
        if self.p.sizing not in ("decision", "fill"):
            raise RecipeError(f"strategy.sizing must be decision or fill, is {self.p.sizing!r}")
        self.check_numbers("rebalance_band")
        if not 0 <= self.p.rebalance_band < 1:
            raise RecipeError(
                f"strategy.rebalance_band must be >= 0 and < 1, is {self.p.rebalance_band}"
            )

    def check_numbers(self, *names: str) -> None:
        """Raise ``RecipeError`` where one of these parameters is no number."""
        for name in names:
            value = getattr(self.p, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise RecipeError(f"strategy.{name} must be a number, is {value!r}")

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action as it may be carried out, or why it is refused."""
        del observation
        return action

    def read_answer(self, answer: object) -> Decision:
        """Return an agent's answer as a decision of this job.

        Raises:
            AgentError: it is none.
        """
        return to_decision(answer, self.symbols)

    def find_actions(self) -> tuple[str, ...]:
        """Return the ``kind`` of each action that the job takes."""
        trading = (TargetWeight.kind, Order.kind, Cancel.kind)
        futures = tuple(one.kind for one in PERPETUAL_ACTIONS) if self._has_futures else ()
        return (*trading, *futures)

    def find_assets(self) -> tuple[str, ...]:
        """Return the assets of the loan that the job guards; none without one."""
        return ()

    def see_loan(self) -> LoanView | None:
        """Return what an agent may know of the loan now; ``None`` where the job has none."""
        return None

    def see_perpetual(self) -> PerpetualView | None:
        """Return what an agent may know of the futures account; ``None`` where there is none."""
        if not self._has_futures:
            return None
        view: PerpetualView | None = self.broker.see_perpetual()
        return view

    def halt(self, equity: float) -> str:
        """Return why trading has to end now for good, or ``""``; everything is then sold.

        Asked at every bar, also while the agent sleeps; ``equity`` in quote units.
        """
        del equity
        return ""

    def tend(self, time_ms: int) -> None:
        """Do what the job does by itself at every bar, also while the agent sleeps: nothing."""

    # The loop of one bar --------------------------------------------------------------------------

    def start(self) -> None:
        """Tell the agent what it is up to.

        Raises:
            AgentError: it cannot begin.
        """
        info = replace(
            self.session.info,
            actions=self.find_actions(),
            assets=self.find_assets(),
            guarded=self.guarded,
            read=self.read_answer,
        )
        try:
            _call(self.agent, "begin", info)
        except SeawallError:
            raise
        except (Exception, SystemExit) as error:
            raise AgentError(f"the agent cannot begin: {type(error).__name__}: {error}") from error

    def prenext(self) -> None:
        """Treat bars before all feeds have begun like any other."""
        self.next()

    def next(self) -> None:
        """At the close: ask."""
        self._step = step = self._step + 1
        if not self._at_open:
            self._ask(self._clock_ms[step], step)

    def next_open(self) -> None:
        """At the open: reveal nothing but it, and ask; the last one only values the account."""
        step = self._step + 1
        if self._at_open and step + 1 < len(self._clock_ms):
            self._ask(self._clock_ms[step] - self.session.info.timeframe_ms, step)

    def _ask(self, time_ms: int, step: int) -> None:
        """One bar: ask the agent if it is awake, then do what the job does by itself."""
        if time_ms < self.session.since_ms or self._is_halted:
            return
        self._reveal(step)
        if self.is_missed:
            self.is_overdue |= self._is_due(time_ms)
            return
        if why := self.halt(self.broker.getvalue() - self._owed):
            self._end_trading(self.observe(time_ms), why)
            return
        if self._is_due(time_ms):
            self.is_overdue = False
            self._take_decision(time_ms)
        if self._tends:
            self.tend(time_ms)

    def _is_due(self, time_ms: int) -> bool:
        is_awake = time_ms >= self._wake_ms or self.is_overdue or self._is_woken()
        return is_awake and time_ms >= self._busy_ms

    def _take_decision(self, time_ms: int) -> None:
        """One decision: observe, decide, permit, carry out."""
        observation = self.observe(time_ms)
        decision = self._decide(observation)
        self._reason = decision.reason
        thinking = decision.thinking
        if thinking is not None:
            self._charge(thinking, time_ms)
            self.broker.thinking_ms = thinking.latency_ms
        for action in decision.actions:
            permitted = self.permit(action, observation)
            if isinstance(permitted, str):
                self._record("refused", to_json(action), reason=permitted, symbol=_symbol(action))
                continue
            if permitted != action:
                self._record("reduced", describe(permitted), reason=_LIMIT, symbol=_symbol(action))
            self._carry_out(permitted, observation)
        if thinking is not None:
            self.broker.thinking_ms = 0

    def stop(self) -> None:
        """Tell the agent that it is over; what it raises then changes nothing any more."""
        try:
            _call(self.agent, "end")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the run has been made
            text = f"the agent's end() failed: {type(error).__name__}: {error}"
            self.journal.record(self._clock_ms[-1], "note", text)

    # Observation and decision ---------------------------------------------------------------------

    def _reveal(self, step: int) -> None:
        """Make visible what has closed by this step; at the open, also the opens that trade now."""
        for window, closed in self._counts:
            if self._at_open:
                before = closed[step - 1] if step else 0
                window.reveal(before, closed[step])
            else:
                window.n_visible = window.n_open = closed[step]

    def observe(self, time_ms: int) -> Observation:
        """Return what may be known now."""
        session, broker = self.session, self.broker
        if session.signals:
            for window in session.signals.values():
                window.reveal_until(time_ms)
        if self._is_changed:
            held = {s: broker.getposition(data).size for s, data in self.feeds.items()}
            self._quantities, self._is_changed = MappingProxyType(held), False
        return Observation(
            time_ms=time_ms,
            windows=session.windows,
            signals=session.signals,
            cash=broker.getcash(),
            equity=broker.getvalue() - self._owed,
            quantities=self._quantities,
            orders=self._open_orders() if self._alive else (),
            fills=self._new_fills() if self._fresh_fills else (),
            at_open=self._at_open,
            symbols=self.symbols,
            loan=self.see_loan(),
            perpetual=self.see_perpetual() if self._has_futures else None,
            texts=self._see_texts(time_ms) if session.texts else None,
        )

    def _see_texts(self, time_ms: int) -> dict[str, tuple[TextWindow, int]]:
        """Make visible what texts are known by now; return each window and how far it shows."""
        for window in self.session.texts.values():
            window.reveal_until(time_ms)
        return {name: (window, window.n_visible) for name, window in self.session.texts.items()}

    def _decide(self, observation: Observation) -> Decision:
        """Return the agent's decision; whatever goes wrong in it is an abstention."""
        self.n_decisions += 1
        try:
            if self._teaches:
                self._teach(observation)
            answer = self.agent.decide(observation)
            if answer is None and self._wake is _NO_WAKE:
                return _NOTHING
            decision = self.read_answer(answer)
            self._fall_asleep(decision.wake, observation.time_ms)
        except (RecordingError, AgentLost):  # what goes on without it would be another run
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises, it has abstained
            self._wake_ms, self._wake = 0, _NO_WAKE
            self._record("abstained", f"{type(error).__name__}: {error}")
            return _NOTHING
        if decision.abstained:
            self._record("abstained", decision.abstained, reason=decision.reason)
        elif decision.actions or decision.reason:
            text = "; ".join(describe(action) for action in decision.actions)
            self._record("decision", text, reason=decision.reason)
        return decision

    def _charge(self, thinking: Thinking, time_ms: int) -> None:
        """Put a decision's bill on the account, and let the agent think as long as it took."""
        self._busy_ms = time_ms + thinking.latency_ms
        if thinking.cost:
            self.bills.append(Bill(time_ms, thinking.cost))
            self._owed += thinking.cost
            if hasattr(self.broker, "charge"):
                self.broker.charge(thinking.cost, time_ms)
        n_tokens = f"{thinking.input_tokens:,} + {thinking.output_tokens:,} tokens"
        text = f"{thinking.n_calls} calls, {n_tokens}, {thinking.latency_ms:,} ms"
        self._record("thought", text, reason=f"cost {thinking.cost:.8g}")

    def _teach(self, observation: Observation) -> None:
        """Let the agent fit and learn, from what is known by now."""
        learn = getattr(self.agent, "learn", None)
        if self._fits.take(observation.time_ms):
            known_ms = observation.time_ms - self.session.embargo_ms
            _call(self.agent, "fit", observation.until(known_ms, self.session.info.timeframe_ms))
            self._record("note", f"fitted on what was known at {to_time_text(known_ms)}")
        if learn is not None:
            if self._last is not None and self._last[1] > 0:
                decided_ms, before = self._last
                change = observation.equity / before - 1
                now = observation.time_ms
                learn(Feedback(decided_ms=decided_ms, known_ms=now, equity_return=change))
            self._last = (observation.time_ms, observation.equity)

    def _fall_asleep(self, wake: Wake | None, now_ms: int) -> None:
        self._wake = wake or _NO_WAKE
        if wake is None or wake == _NO_WAKE:
            self._wake_ms = 0
        else:
            self._wake_ms = now_ms + wake.after_ms if wake.after_ms is not None else _NEVER_MS

    def _is_woken(self) -> bool:
        wake = self._wake
        if wake.at_fill and self._fresh_fills:
            return True
        if wake.ratio_above is not None and self._has_futures:
            ratio: float = self.broker.margin_ratio()
            if ratio > wake.ratio_above:
                return True
        for limits, sign in ((wake.above, 1.0), (wake.below, -1.0)):
            for symbol, level in limits.items():
                if sign * (self.session.windows[symbol].last_close() - level) > 0:
                    return True
        return False

    # Carrying out ---------------------------------------------------------------------------------

    def _carry_out(self, action: Action, observation: Observation) -> None:
        if isinstance(action, Cancel):
            self._cancel(action.order_id)
        elif isinstance(action, Order):
            self._send(action, observation)
        elif isinstance(action, TargetWeight):
            self._aim(action, observation)
        elif isinstance(action, TargetLeverage):
            self._lever(action, observation)
        elif isinstance(action, PERPETUAL_ACTIONS):
            self._ask_exchange(action)

    def _ask_exchange(self, action: Action) -> None:
        if self._has_futures:
            self.broker.ask(action, self._reason)
        else:
            self._record("refused", describe(action), symbol=_symbol(action), reason=NO_FUTURES)

    def _end_trading(self, observation: Observation, why: str) -> None:
        self._is_halted = True
        self._record("note", "trading has ended: everything is cancelled and sold", reason=why)
        self._cancel("all")
        for symbol in self.symbols:
            self._aim(TargetWeight(symbol=symbol, weight=0.0), observation)

    def _fill_ms(self) -> int:
        return self._clock_ms[self._step + 1]

    def _record(self, kind: JournalKind, text: str, *, reason: str = "", symbol: str = "") -> None:
        step = self._step + (1 if self._at_open else 0)
        time_ms = self._clock_ms[step]
        if self._at_open:
            time_ms -= self.session.info.timeframe_ms
        self.journal.record(time_ms, kind, text, reason=reason, symbol=symbol)


_LIMIT = "a limit of the strategy allows no more"
_NO_WAKE = Wake()
_NOTHING = Decision()


def _call(agent: Agent, name: str, *arguments: object) -> None:
    hook = getattr(agent, name, None)
    if hook is not None:
        hook(*arguments)


def _symbol(action: Action) -> str:
    return str(getattr(action, "symbol", ""))
