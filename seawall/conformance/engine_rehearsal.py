"""An agent played through the engine: only the engine has loans and futures accounts to show.

It is asked at every close, however long it would like to sleep, and once for either way to resolve
what a bar does not tell.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from seawall.action import TargetWeight
from seawall.agent import (
    AgentInfo,
    Answer,
    Decision,
    Feedback,
    is_number,
    to_decision,
    to_loan_decision,
    to_margin_decision,
)
from seawall.conformance.contract import restart
from seawall.conformance.rehearsal import MakeAgent, Take
from seawall.engine.run import run_in
from seawall.engine.world import World
from seawall.errors import AgentError
from seawall.given import to_number
from seawall.loan_view import LoanView
from seawall.market.series import CANDLE_FIELDS
from seawall.observation import Observation
from seawall.perpetual_view import PerpetualView
from seawall.recipe import Recipe
from seawall.units import is_perpetual

_N_PASSES = 2  # the worst and the best


class Playing:
    """One agent in one world through one pass.

    Attributes:
        takes: every decision so far.
        bent: what the agent has written to, in words; ``""`` where it has left all alone.
        fault: why it could not be restarted, or ``""``.
        exit: what it wanted to end the process with outside a decision.
    """

    def __init__(
        self, make_agent: MakeAgent, world: World, recipe: Recipe, restart_at: int | None
    ) -> None:
        self.agent = make_agent()
        self._make_agent, self._world, self._recipe = make_agent, world, recipe
        self._restart_at = restart_at
        self._info: AgentInfo | None = None
        self._last: Observation | None = None
        self.takes: list[Take] = []
        self.bent = self.fault = ""
        self.exit: SystemExit | None = None

    def begin(self) -> None:
        """Tell a fresh agent what it is up to."""
        if self._info is not None:
            rng = np.random.default_rng(self._recipe.seed)
            self._call("begin", replace(self._info, rng=rng))

    def open(self, info: AgentInfo) -> None:
        """Take what the engine tells, and tell the agent."""
        self._info = info
        self._call("begin", info)

    def close(self) -> None:
        """Tell the agent that it is over, and look whether it has written anywhere."""
        self._look_for_writing()
        self._call("end")

    def ask(self, observation: Observation) -> Answer:
        """Return the agent's decision, awake at the next bar; keep it, or what it raises."""
        if len(self.takes) == self._restart_at:
            self._start_again()
        self._last = observation
        before = _describe(observation.loan), _describe_account(observation.perpetual)
        decision: Decision = self.guard(
            observation.time_ms, lambda: self._read(self.agent.decide(observation), observation)
        )
        if before != (_describe(observation.loan), _describe_account(observation.perpetual)):
            self.bent = "the loan's terms" if observation.loan else "the futures account"
        self.takes.append(Take(time_ms=observation.time_ms, decision=decision))
        return replace(decision, wake=None)

    def _read(self, answer: object, observation: Observation) -> Decision:
        """Return an answer as the recipe's job reads it."""
        symbols, loan = observation.symbols, self._world.loan
        perpetuals = [symbol for symbol in symbols if is_perpetual(symbol)]
        if loan is not None:
            return to_loan_decision(answer, loan.names, symbols, tuple(perpetuals))
        given = self._recipe.perpetual and self._recipe.perpetual.position
        if given:
            return to_margin_decision(answer, symbols, given.symbol or perpetuals[0])
        if is_number(answer):  # of the one contract, or a share of each pair
            weight = to_number("weight", answer) / len(perpetuals)
            answer = [TargetWeight(symbol=symbol, weight=weight) for symbol in perpetuals]
        return to_decision(answer, symbols)

    def guard(self, time_ms: int, call: Callable[[], Any]) -> Any:
        """Return what ``call`` returns; what it raises is kept, and raised again."""
        try:
            return call()
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}"
            self.takes.append(Take(time_ms=time_ms, error=text))
            raise

    def _start_again(self) -> None:
        try:
            self.fault = restart(self, self._make_agent())
        except SystemExit as error:
            self.exit = error
        except Exception as error:  # noqa: BLE001 - whatever an agent raises is a finding
            self.fault = f"state() or restore() raises {type(error).__name__}: {error}"

    def _call(self, name: str, *arguments: object) -> None:
        try:
            hook = getattr(self.agent, name, None)
            if hook is not None:
                hook(*arguments)
        except SystemExit as error:
            self.exit = error
            raise

    def _look_for_writing(self) -> None:
        """Compare the candles as they were shown last with what they were made from."""
        if self._last is None:
            return
        for symbol, series in self._world.candles.items():
            shown = self._last.history(symbol)
            for name in ("time_ms", *CANDLE_FIELDS):
                values = getattr(shown, name)
                if not np.array_equal(values, getattr(series, name)[: len(values)]):
                    self.bent = f"the candles of {symbol}"


class _Seat:
    """What the engine takes for the agent; it has the hooks that the agent has."""

    def __init__(self, playing: Playing) -> None:
        self._playing = playing
        for name, hook in (("fit", self._fit), ("learn", self._learn)):
            if hasattr(playing.agent, name):
                setattr(self, name, hook)
        self.refit_ms: object = getattr(playing.agent, "refit_ms", 0)

    def begin(self, info: AgentInfo) -> None:
        self._playing.open(info)

    def decide(self, observation: Observation) -> Answer:
        return self._playing.ask(observation)

    def end(self) -> None:
        self._playing.close()

    def _fit(self, history: Observation) -> None:
        agent: Any = self._playing.agent
        self._playing.guard(history.time_ms, lambda: agent.fit(history))

    def _learn(self, feedback: Feedback) -> None:
        agent: Any = self._playing.agent
        self._playing.guard(feedback.known_ms, lambda: agent.learn(feedback))


class _Fresh:
    """Stands for an agent in memory: where the engine copies it, a seat of its own is taken."""

    def __init__(self, seats: list[_Seat]) -> None:
        self._seats = seats

    def decide(self, observation: Observation) -> Answer:
        """Never asked: the engine asks copies."""
        raise AgentError(f"only copies are asked, at {observation.time_ms}")

    def __deepcopy__(self, memo: dict[int, object]) -> _Seat:
        del memo
        return self._seats.pop(0)


def play_world(
    make_agent: MakeAgent, world: World, recipe: Recipe, *, restart_at: int | None = None
) -> list[Playing]:
    """Return how fresh agents go through a whole world of the engine, one pass each.

    ``restart_at``: the decision before which another takes its place, with its ``state()``.

    Raises:
        SystemExit: the agent ends the process when it is begun, ended or made.
        AgentError: it cannot begin.
    """
    passes = [Playing(make_agent, world, recipe, restart_at) for _ in range(_N_PASSES)]
    try:
        run_in(world, recipe, agent=_Fresh([_Seat(one) for one in passes]))
    except AgentError:
        if not any(one.exit for one in passes):
            raise
    for one in passes:
        if one.exit is not None:
            raise one.exit
    return passes


def _describe(loan: LoanView | None) -> object:
    """Return what an agent could bend of a loan, as something that stays as it is."""
    if loan is None:
        return None
    terms = {
        name: dict(value) if hasattr(value, "items") else value
        for name, value in vars(loan.terms).items()
    }
    return terms, loan.health, loan.equity_usd, loan.spent_usd, dict(loan.wallet)


def _describe_account(view: PerpetualView | None) -> object:
    """Return what an agent could bend of a futures account, as something that stays as it is."""
    if view is None:
        return None
    return view.wallet, view.equity, view.reserve, tuple(map(repr, view.positions.values()))
