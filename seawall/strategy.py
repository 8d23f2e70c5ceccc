"""The job an agent is given, and the loop of one bar.

``AgentStrategy`` is an ordinary ``backtrader.Strategy``. At the close of a bar (or at its open,
where the recipe says so) it reveals the bar, asks the agent if it is awake, checks the answer
against the limits of the job and sends what is allowed to the broker. A job derives from it and
overrides ``permit``; everything that happens is in the journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import backtrader as bt

from seawall.action import Action, Cancel, Order, TargetWeight, to_json
from seawall.agent import Agent, AgentInfo, Decision, Feedback, Wake, to_decision
from seawall.bt_orders import EXECTYPES, describe, limit_of, see_order, to_datetime
from seawall.errors import AgentError, RecipeError, SeawallError
from seawall.journal import Journal, JournalKind
from seawall.loan_action import LOAN_ACTIONS
from seawall.loan_view import LoanView
from seawall.market.series import TimeArray
from seawall.observation import FillSeen, Observation, OpenOrder, SignalWindow, Window

_NEVER_MS = 1 << 62


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """What one run hands to its strategy.

    Attributes:
        agent, info: who decides, and what it is told before the first bar.
        windows, signals: by symbol and by name; only what was revealed can be read from them.
        clock_ms: int64, shape (n_steps,), when each step is: the close stamps of all bars.
        n_closed: by symbol, int64 of shape (n_steps,): how many of its bars have closed by then.
        since_ms: bars that open earlier are warm-up: seen, not traded.
        embargo_ms: how much of the latest history ``fit`` must not see.
        journal: where everything is written.
    """

    agent: Agent
    info: AgentInfo
    windows: Mapping[str, Window]
    signals: Mapping[str, SignalWindow]
    clock_ms: TimeArray
    n_closed: Mapping[str, TimeArray]
    since_ms: int
    journal: Journal
    embargo_ms: int = 0


class AgentStrategy(bt.Strategy):
    """A job for an agent: what may be traded, how an answer is carried out, what is forbidden.

    Parameters:
        session: given by the engine.
        sizing: ``decision``: a target weight becomes a quantity at the price the agent saw;
            ``fill``: at the price it is filled at (exchange fills only).
        rebalance_band: a target weight this close to the present one is left alone, as a fraction
            of equity; 0 and full exits always trade.
    """

    params: Any = (("session", None), ("sizing", "decision"), ("rebalance_band", 0.02))

    def __init__(self) -> None:
        self.check_parameters()
        session: Session = self.p.session
        self.session = session
        self.agent, self.journal = session.agent, session.journal
        self.symbols = tuple(session.windows)
        self.feeds = dict(zip(self.symbols, self.datas, strict=False))
        closed = [counts.tolist() for counts in session.n_closed.values()]
        self._counts = list(zip(session.windows.values(), closed, strict=True))
        self._clock_ms: list[int] = session.clock_ms.tolist()
        self._quantities: Mapping[str, float] = {}
        self._is_changed = True
        self._at_open = session.info.decide_at == "open"
        self._step = -1
        self._is_halted = False
        self._wake_ms, self._wake = 0, _NO_WAKE
        self._alive: dict[int, Any] = {}
        self._targets: dict[str, tuple[float, Any]] = {}
        self._fresh_fills: list[FillSeen] = []
        self._has_fitted = False
        self._last: tuple[int, float] | None = None
        self._teaches = hasattr(self.agent, "learn") or hasattr(self.agent, "fit")
        self._reason = ""  # of the decision that is being carried out
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

    def see_loan(self) -> LoanView | None:
        """Return what an agent may know of the loan now; ``None`` where the job has none."""
        return None

    def halt(self, equity: float) -> str:
        """Return why trading has to end now for good, or ``""``; everything is then sold.

        Asked at every bar, also while the agent sleeps; ``equity`` in quote units.
        """
        del equity
        return ""

    # The loop of one bar --------------------------------------------------------------------------

    def start(self) -> None:
        """Tell the agent what it is up to.

        Raises:
            AgentError: it cannot begin.
        """
        try:
            _call(self.agent, "begin", self.session.info)
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
        """One decision: observe, decide, permit, carry out."""
        if time_ms < self.session.since_ms or self._is_halted:
            return
        self._reveal(step)
        if why := self.halt(self.broker.getvalue()):
            self._end_trading(self.observe(time_ms), why)
            return
        if time_ms < self._wake_ms and not self._is_woken():
            return
        observation = self.observe(time_ms)
        decision = self._decide(observation)
        self._reason = decision.reason
        for action in decision.actions:
            permitted = self.permit(action, observation)
            if isinstance(permitted, str):
                self._record("refused", to_json(action), reason=permitted, symbol=_symbol(action))
                continue
            if permitted != action:
                self._record("reduced", describe(permitted), reason=_LIMIT, symbol=_symbol(action))
            self._carry_out(permitted, observation)

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
            equity=broker.getvalue(),
            quantities=self._quantities,
            orders=self._open_orders() if self._alive else (),
            fills=self._new_fills() if self._fresh_fills else (),
            at_open=self._at_open,
            symbols=self.symbols,
            loan=self.see_loan(),
        )

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
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises, it has abstained
            self._wake_ms, self._wake = 0, _NO_WAKE
            self._record("abstained", f"{type(error).__name__}: {error}")
            return _NOTHING
        if decision.actions or decision.reason:
            text = "; ".join(describe(action) for action in decision.actions)
            self._record("decision", text, reason=decision.reason)
        return decision

    def _teach(self, observation: Observation) -> None:
        """Let the agent fit and learn, from what is known by now."""
        learn, fit = getattr(self.agent, "learn", None), getattr(self.agent, "fit", None)
        if fit is not None and not self._has_fitted:
            self._has_fitted = True
            known_ms = observation.time_ms - self.session.embargo_ms
            fit(observation.until(known_ms, self.session.info.timeframe_ms))
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

    def _aim(self, target: TargetWeight, observation: Observation) -> None:
        """Trade towards a weight; a target that is already on its way is left alone."""
        symbol, weight = target.symbol, target.weight
        price = observation.price(symbol)
        held = observation.quantities[symbol]
        standing = self._targets.get(symbol)
        if standing is not None and standing[1].alive():
            if standing[0] == weight:
                return
            self.cancel(standing[1])
        gap = weight - observation.weight(symbol)
        if gap == 0 or (weight != 0 and abs(gap) <= self.p.rebalance_band):
            return
        if not price > 0 or observation.equity <= 0:
            self._record("refused", describe(target), symbol=symbol, reason=_NO_PRICE)
            return
        quantity = abs(held) if weight == 0 else abs(weight * observation.equity / price - held)
        wishes = {"target_weight": weight} if self.p.sizing == "fill" else {"fit_to_cash": True}
        trade = self.buy if gap > 0 else self.sell
        order = trade(data=self.feeds[symbol], size=quantity, **wishes)
        self._targets[symbol] = (weight, order)
        self._alive[order.ref] = order

    def _send(self, order: Order, observation: Observation) -> None:
        """Send one order, and its bracket behind it."""
        data, price = self.feeds[order.symbol], observation.price(order.symbol)
        if not price > 0:
            self._record("refused", to_json(order), symbol=order.symbol, reason=_NO_PRICE)
            return
        size = order.quantity if order.quantity is not None else (order.cash or 0.0) / price
        wishes: dict[str, object] = {
            "cash": order.cash,
            "time_in_force": order.time_in_force,
            "post_only": order.post_only,
            "client_id": order.client_id,
        }
        wishes = {name: value for name, value in wishes.items() if value}
        exits = [(order.stop_loss, bt.Order.Stop), (order.take_profit, bt.Order.Limit)]
        exits = [(price, exectype) for price, exectype in exits if price is not None]
        trade, back = (self.buy, self.sell) if order.side == "buy" else (self.sell, self.buy)
        is_stop = order.type in ("stop", "stop_limit")
        entry = trade(
            data=data,
            size=size,
            exectype=EXECTYPES[order.type],
            price=order.stop_price if is_stop else order.limit_price,
            plimit=order.limit_price if order.type == "stop_limit" else None,
            trailamount=order.trail_amount,
            trailpercent=order.trail_fraction,
            valid=to_datetime(order.good_until_ms),
            transmit=not exits,
            **wishes,
        )
        self._alive[entry.ref] = entry
        for place, (level, exectype) in enumerate(exits, 1):
            is_last = place == len(exits)
            back(
                data=data, size=size, exectype=exectype, price=level, parent=entry, transmit=is_last
            )

    def _end_trading(self, observation: Observation, why: str) -> None:
        self._is_halted = True
        self._record("note", "trading has ended: everything is cancelled and sold", reason=why)
        self._cancel("all")
        for symbol in self.symbols:
            self._aim(TargetWeight(symbol=symbol, weight=0.0), observation)

    def _cancel(self, order_id: str) -> None:
        for order in list(self._alive.values()):
            names = ("all", str(order.ref), str(order.info.get("client_id") or ""))
            if order_id in names:
                self.cancel(order)

    # Bookkeeping ----------------------------------------------------------------------------------

    def resting_buys(self, symbol: str, price: float) -> float:
        """Return what living buy orders of ``symbol`` may still cost, quote units.

        ``price`` values those that have no limit: market orders and stops.
        """
        alive = [order for order in self._alive.values() if order.alive() and order.isbuy()]
        costs: list[float] = [
            abs(order.executed.remsize) * (limit_of(order) or order.created.price or price)
            for order in alive
            if order.data._name == symbol  # noqa: SLF001 - backtrader's public name of a feed
        ]
        return sum(costs)

    def notify_order(self, order: Any) -> None:
        """Keep the list of living orders, and what was filled since the last decision."""
        self._is_changed = True
        for bit in order.executed.iterpending():
            self._fresh_fills.append(
                FillSeen(
                    time_ms=self._clock_ms[self._step + 1],
                    order_id=str(order.ref),
                    symbol=order.data._name,  # noqa: SLF001 - backtrader's public name of a feed
                    quantity=bit.size,
                    price=bit.price,
                    fee=bit.closedcomm + bit.openedcomm,
                )
            )
        if order.status == bt.Order.Margin:
            self._record("rejected", _MARGIN, symbol=order.data._name)  # noqa: SLF001
        if order.alive():
            self._alive[order.ref] = order
        else:
            self._alive.pop(order.ref, None)

    def _open_orders(self) -> tuple[OpenOrder, ...]:
        return tuple([see_order(order) for order in self._alive.values() if order.alive()])

    def _new_fills(self) -> tuple[FillSeen, ...]:
        fresh = tuple(self._fresh_fills)
        self._fresh_fills.clear()
        return fresh

    def _record(self, kind: JournalKind, text: str, *, reason: str = "", symbol: str = "") -> None:
        step = self._step + (1 if self._at_open else 0)
        time_ms = self._clock_ms[step]
        if self._at_open:
            time_ms -= self.session.info.timeframe_ms
        self.journal.record(time_ms, kind, text, reason=reason, symbol=symbol)


_LIMIT = "a limit of the strategy allows no more"
_NO_WAKE = Wake()
_NOTHING = Decision()
_MARGIN = "backtrader's own fill rules: not enough cash at the open it is filled at"
_NO_PRICE = "an order needs a price and equity > 0: the symbol has not traded yet"


def _call(agent: Agent, name: str, *arguments: object) -> None:
    hook = getattr(agent, name, None)
    if hook is not None:
        hook(*arguments)


def _symbol(action: Action) -> str:
    return "" if isinstance(action, (Cancel, *LOAN_ACTIONS)) else action.symbol
