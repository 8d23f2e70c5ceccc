"""Follow several agents at once, each as much as it has earned: the Hedge algorithm.

Every expert decides for an account on paper, which is filled at the next open and pays fee and
spread. Once the engine has said that an outcome is known (``learn``), each expert's weight is
multiplied by ``exp(rate * log return)`` of its account, so that a loss costs it weight as a gain
earns it. What is held is the mean of what the experts hold, by weight.

Source: Freund and Schapire, "A decision-theoretic generalization of on-line learning", Journal of
Computer and System Sciences 55 (1997); ``mixing``: Herbster and Warmuth, "Tracking the best
expert", Machine Learning 32 (1998).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np

from seawall import AgentInfo, Decision, Feedback, Observation, TargetWeight
from seawall.agent import Agent, as_agent, guards, to_decision
from seawall.errors import AgentError, RecipeError, SeawallError
from seawall.units import BPS, is_perpetual
from seawall.workspace import load

from ._parameters import number, share
from ._shadow import ShadowAccount

EXPERTS = ("agents.buy_and_hold", "agents.cash", "agents.momentum", "agents.sma_cross")
_FEWEST = 2
_GONE = -700.0  # the log of a weight that is none


class ExpertWeights:
    """Hold the mean of what the experts hold, weighted by what each has earned net of costs.

    Parameters:
        experts: names of agents that trade spot, or tables of a ``name`` and its parameters; two
            at least. They are asked at every bar, also those that would rather sleep.
        rate: how fast weights move, > 0; at 1 an expert's weight is its share of the wealth.
        mixing: share of all weight that is dealt out evenly after each step, so that nobody is lost
            for good; 0 to 1.
        band: change of a weight that is worth a trade, as a share of the equity; full exits always.
        half_spread_bps: that the experts' accounts pay each way beside the taker fee.
    """

    def __init__(
        self,
        *,
        experts: Sequence[str | Mapping[str, object]] = EXPERTS,
        rate: float = 5.0,
        mixing: float = 0.0,
        band: float = 0.02,
        half_spread_bps: float = 1.0,
    ) -> None:
        self._experts = _make_experts(experts)
        self.rate = number("rate", rate, above=0.0)
        self.mixing = share("mixing", mixing)
        self.band = share("band", band)
        self.half_spread_bps = number("half_spread_bps", half_spread_bps, above=-1e-9)
        students = [expert for expert in self._experts if hasattr(expert.agent, "fit")]
        if students:  # who has no hook is not asked for
            self.fit = self._fit
            periods = [int(getattr(expert.agent, "refit_ms", 0)) for expert in students]
            self.refit_ms = min((ms for ms in periods if ms > 0), default=0)
        self._known_ms = 0
        self._asked: dict[str, float] = {}

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each expert, by its label; they sum to 1."""
        largest = max(expert.log_weight for expert in self._experts)
        raw = [exp(max(expert.log_weight - largest, _GONE)) for expert in self._experts]
        total = sum(raw)
        return {
            expert.label: value / total for expert, value in zip(self._experts, raw, strict=True)
        }

    def begin(self, info: AgentInfo) -> None:
        """Give every expert an account, random numbers of its own, and all that is told.

        Raises:
            AgentError: the market is not one of spot alone.
        """
        if perpetuals := [symbol for symbol in info.symbols if is_perpetual(symbol)]:
            raise AgentError(f"expert_weights trades spot, the market has {perpetuals}: leave out")
        cost = (info.taker_fee_bps + self.half_spread_bps) * BPS
        for expert, rng in zip(self._experts, info.rng.spawn(len(self._experts)), strict=True):
            expert.begin(replace(info, rng=rng), cost)

    def _fit(self, history: Observation) -> None:
        """Fit the experts that want it, all of them as often as the most eager one."""
        for expert in self._experts:
            expert.call("fit", history)

    def learn(self, feedback: Feedback) -> None:
        """Note up to when outcomes are known."""
        self._known_ms = feedback.known_ms

    def decide(self, observation: Observation) -> Decision | None:
        """Move the weights by what has become known, ask the experts, and follow their mean."""
        for expert in self._experts:
            expert.account(observation).settle(observation)
            expert.update(observation.time_ms, self._known_ms, self.rate)
        self._mix()
        answers = [expert.ask(observation) for expert in self._experts]
        return self._follow(observation, [fault for fault in answers if fault])

    def end(self) -> None:
        """Tell the experts that it is over."""
        for expert in self._experts:
            expert.call("end")

    def _mix(self) -> None:
        if not self.mixing:
            return
        even = self.mixing / len(self._experts)
        for expert, weight in zip(self._experts, self.weights.values(), strict=True):
            expert.log_weight = log((1.0 - self.mixing) * weight + even)

    def _follow(self, observation: Observation, faults: Sequence[str]) -> Decision | None:
        weights = self.weights
        wanted = [expert.account(observation).weights(observation) for expert in self._experts]
        actions: list[TargetWeight] = []
        for symbol in observation.symbols:
            if not len(observation.prices(symbol)):
                continue
            parts = zip(weights.values(), wanted, strict=True)
            target = sum(weight * held[symbol] for weight, held in parts)
            target = min(max(target, 0.0), 1.0)
            held_now = observation.weight(symbol)
            is_exit = target < BPS < held_now and self._asked.get(symbol) != 0.0
            if is_exit or abs(target - held_now) > max(self.band, BPS):
                self._asked[symbol] = 0.0 if target < BPS else target
                actions.append(TargetWeight(symbol=symbol, weight=self._asked[symbol]))
        if not actions and not faults:
            return None
        told = ", ".join(f"{label} {weight:.1%}" for label, weight in weights.items())
        return Decision(actions=tuple(actions), reason="; ".join([told, *faults]))


class _Expert:
    """One agent, its account on paper, and the log of its weight."""

    def __init__(self, label: str, agent: Agent) -> None:
        self.label, self.agent = label, agent
        self.log_weight = 0.0
        self._account: ShadowAccount | None = None
        self._cost = 0.0
        self._last: tuple[int, float] | None = None  # when it was asked last, and its equity then

    def begin(self, info: AgentInfo, cost: float) -> None:
        self._account, self._cost = ShadowAccount(info.symbols, cost), cost
        self.log_weight, self._last = 0.0, None
        self.call("begin", info)

    def account(self, observation: Observation) -> ShadowAccount:
        if self._account is None:
            self._account = ShadowAccount(observation.symbols, self._cost)
        return self._account

    def call(self, hook: str, *arguments: object) -> None:
        """Call a hook of the agent, where it has it."""
        found: Any = getattr(self.agent, hook, None)
        if found is not None:
            found(*arguments)

    def update(self, now_ms: int, known_ms: int, rate: float) -> None:
        """Move the weight by the account's return since the last time, where that is known."""
        account = self._account
        if account is None:
            return
        if self._last is None:
            self._last = (now_ms, account.equity)
            return
        asked_ms, before = self._last
        if known_ms < now_ms or not before > 0.0 or not np.isfinite(account.equity):
            return
        self._last = (now_ms, account.equity)
        growth = account.equity / before
        self.log_weight = max(
            self.log_weight + rate * log(growth) if growth > 0.0 else _GONE, _GONE
        )
        told = Feedback(decided_ms=asked_ms, known_ms=now_ms, equity_return=growth - 1.0)
        self.call("learn", told)

    def ask(self, observation: Observation) -> str:
        """Let the expert decide for its account; return what is wrong with that, or ``""``."""
        account = self.account(observation)
        seen = observation.with_account(
            cash=account.cash, equity=account.equity, quantities=account.quantities
        )
        try:
            decision = to_decision(self.agent.decide(seen), observation.symbols)
            account.ask(decision.actions, observation.time_ms)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an expert that raises has abstained
            return f"{self.label} abstained: {type(error).__name__}: {error}"
        return ""


def _make_experts(experts: object) -> list[_Expert]:
    if isinstance(experts, str) or not isinstance(experts, (list, tuple)):
        raise RecipeError(
            f'agent.experts must be agents, is {experts!r:.80}: write ["agents.sma_cross", ...]'
        )
    if len(experts) < _FEWEST:
        raise RecipeError(f"agent.experts must be {_FEWEST} at least, are {len(experts)}: add some")
    made: list[_Expert] = []
    for given in experts:
        name, parameters = _read(given)
        label = name.removeprefix("agents.")
        n_before = sum(one.label.partition("#")[0] == label for one in made)
        made.append(
            _Expert(f"{label}#{n_before + 1}" if n_before else label, _make(name, parameters))
        )
    return made


def _read(given: object) -> tuple[str, dict[str, object]]:
    """Return the name and the parameters of one expert of a recipe."""
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise RecipeError(
            f"an expert is a name, or a table with one, is {given!r:.80}: write "
            '{ name = "agents.sma_cross", fast = 10 }'
        )
    name = str(table["name"])
    parameters = {str(key): value for key, value in table.items() if key != "name"}
    return name if name.startswith("agents.") else f"agents.{name}", parameters


def _make(name: str, parameters: Mapping[str, object]) -> Agent:
    factory: Any = load(name)
    if guards(factory, "loan") or guards(factory, "margin"):
        raise RecipeError(f"an expert trades spot, {name} guards a position: choose another")
    try:
        return as_agent(factory(**parameters) if isinstance(factory, type) else factory)
    except SeawallError as error:
        raise type(error)(f"expert {name}: {error}") from None
    except TypeError as error:
        raise RecipeError(f"expert {name} cannot be made: {error}") from None
