"""An agent played through a small world, without engine, orders or costs.

Only what the agent is shown and what it answers matter here: a market order fills at once at the
newest price, other orders are taken and forgotten.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from seawall.action import Action, Order, TargetWeight
from seawall.agent import Agent, AgentInfo, Decision, Feedback, FitSchedule, to_decision
from seawall.conformance.worlds import TestWorld
from seawall.market.series import FloatArray, TimeArray
from seawall.observation import Observation, SignalWindow, Window
from seawall.recipe import Recipe
from seawall.units import to_time_text

MakeAgent = Callable[[], Agent]


@dataclass(frozen=True, kw_only=True)
class Take:
    """One decision of a rehearsal, or the error in its place."""

    time_ms: int
    decision: Decision = field(default_factory=Decision)
    error: str = ""

    def __str__(self) -> str:
        said = self.error or f"{list(self.decision.actions)} ({self.decision.reason!r})"
        return f"{to_time_text(self.time_ms)}: {said}"


class Rehearsal:
    """One agent in one world, step by step.

    Attributes:
        takes: every decision so far.
        bent: what the agent has written to, in words; ``""`` where it has left all alone.
    """

    def __init__(self, agent: Agent, world: TestWorld, recipe: Recipe) -> None:
        self.agent = agent
        self._world, self._recipe = world, recipe
        self._windows = {
            symbol: Window(series, place)
            for place, (symbol, series) in enumerate(world.candles.items())
        }
        self._signals = {name: SignalWindow(series) for name, series in world.signals.items()}
        self._quantities = dict.fromkeys(world.candles, 0.0)
        self._cash = recipe.account.cash
        self._last: tuple[int, float] | None = None
        self._fits = FitSchedule(agent)
        self.takes: list[Take] = []
        self.bent = ""

    def begin(self) -> None:
        """Tell the agent what it is up to."""
        market = self._recipe.market
        info = AgentInfo(
            symbols=tuple(self._world.candles),
            timeframe_ms=market.timeframe_ms,
            decide_at="close",
            taker_fee_bps=self._recipe.costs.taker_fee_bps,
            rng=np.random.default_rng(self._recipe.seed),
        )
        _call(self.agent, "begin", info)

    def clock(self) -> Iterator[int]:
        """Yield every time at which the agent is asked: each close, bars or none."""
        step_ms = self._recipe.market.timeframe_ms
        last_ms = max(int(series.close_ms[-1]) for series in self._world.candles.values())
        yield from range(self._world.since_ms, last_ms + 1, step_ms)

    def step(self, time_ms: int) -> None:
        """Ask the agent once, carry out what it asks, and look whether it has written anywhere."""
        observation = self._observe(time_ms)
        try:
            if self._fits.take(time_ms):
                known_by_now = observation.until(time_ms, self._recipe.market.timeframe_ms)
                _call(self.agent, "fit", known_by_now)
            if self._last is not None and self._last[1] > 0:
                change = observation.equity / self._last[1] - 1
                known = Feedback(decided_ms=self._last[0], known_ms=time_ms, equity_return=change)
                _call(self.agent, "learn", known)
            decision = to_decision(self.agent.decide(observation), observation.symbols)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an agent raises is a finding
            error_text = f"{type(error).__name__}: {error}"
            self.takes.append(Take(time_ms=time_ms, error=error_text))
            return
        finally:
            self._last = (time_ms, observation.equity)
        self.takes.append(Take(time_ms=time_ms, decision=decision))
        for action in decision.actions:
            self._carry_out(action, observation)

    def look_for_writing(self) -> None:
        """Compare all that was shown with what it was made from."""
        for symbol, window in self._windows.items():
            series, n = self._world.candles[symbol], window.n_visible
            shown = [window.field(row, n) for row in range(5)]
            made = [series.open, series.high, series.low, series.close, series.volume]
            same = all(_equal(a, b[:n]) for a, b in zip(shown, made, strict=True))
            if not same or not _equal(window.times(n), series.time_ms[:n]):
                self.bent = f"the candles of {symbol}"
        for name, signal in self._signals.items():
            values = self._world.signals[name].value
            if not _equal(signal.view(signal.n_visible)[1], values[: signal.n_visible]):
                self.bent = f"the signal {name}"

    def _observe(self, time_ms: int) -> Observation:
        for symbol, window in self._windows.items():
            series = self._world.candles[symbol]
            window.reveal(int(np.searchsorted(series.close_ms, time_ms, "right")))
        for signal in self._signals.values():
            signal.reveal_until(time_ms)
        return Observation(
            time_ms=time_ms,
            windows=self._windows,
            signals=self._signals,
            cash=self._cash,
            equity=self._cash + sum(self._values(self._quantities).values()),
            quantities=dict(self._quantities),
        )

    def _values(self, quantities: Mapping[str, float]) -> dict[str, float]:
        return {symbol: held * self._price(symbol) for symbol, held in quantities.items() if held}

    def _price(self, symbol: str) -> float:
        window = self._windows[symbol]
        closes = window.field(3, window.n_visible)
        return float(closes[-1]) if len(closes) else float("nan")

    def _carry_out(self, action: Action, observation: Observation) -> None:
        if not isinstance(action, (TargetWeight, Order)):
            return
        price, held = self._price(action.symbol), self._quantities[action.symbol]
        if not price > 0:
            return
        if isinstance(action, TargetWeight):
            quantity = action.weight * observation.equity / price - held
        elif action.type == "market":
            size = action.quantity if action.quantity is not None else (action.cash or 0.0) / price
            quantity = size if action.side == "buy" else -size
        else:
            return
        self._quantities[action.symbol] = held + quantity
        self._cash -= quantity * price


def rehearse(make_agent: MakeAgent, world: TestWorld, recipe: Recipe) -> Rehearsal:
    """Return the rehearsal of a fresh agent through a whole world."""
    rehearsal = Rehearsal(make_agent(), world, recipe)
    rehearsal.begin()
    for time_ms in rehearsal.clock():
        rehearsal.step(time_ms)
    rehearsal.look_for_writing()
    _call(rehearsal.agent, "end")
    return rehearsal


def _call(agent: Agent, name: str, *arguments: object) -> None:
    hook = getattr(agent, name, None)
    if hook is not None:
        hook(*arguments)


def _equal(one: FloatArray | TimeArray, other: FloatArray | TimeArray) -> bool:
    return bool(np.array_equal(one, other))
