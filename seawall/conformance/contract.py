"""The checks that need no engine: an agent rehearsed in small worlds, in this process."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from seawall.agent import Agent, Answer
from seawall.conformance.rehearsal import MakeAgent, Rehearsal, Take, rehearse
from seawall.conformance.report import Finding
from seawall.conformance.worlds import TestWorld, make_worlds
from seawall.given import to_shown
from seawall.observation import Observation
from seawall.recipe import Recipe

_NO_EXIT = "only the user ends a run: answer None, or raise an error"


@runtime_checkable
class _Restartable(Protocol):
    def decide(self, observation: Observation) -> Answer: ...
    def state(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...


class Played(Protocol):
    """Whoever plays an agent through a world."""

    agent: Agent

    def begin(self) -> None:
        """Tell the agent what it is up to."""


def has_state(agent: Agent) -> bool:
    """Return whether an agent says that it can be restarted."""
    return hasattr(agent, "state") or hasattr(agent, "restore")


def check_contract(make_agent: MakeAgent, recipe: Recipe) -> list[Finding]:
    """Return what is found about an agent in an ordinary world and in the unpleasant ones."""
    try:
        return _check_worlds(make_agent, recipe)
    except SystemExit as error:
        return [judge_exit(error)]


def judge_exit(error: SystemExit) -> Finding:
    """Return what to say of an agent that ends the process outside a decision."""
    detail = f"it raises SystemExit({to_shown(error.code)}) when it is loaded, made, begun, ended "
    detail += f"or restored: {_NO_EXIT}"
    return Finding(check="leaves the process alone", passed=False, detail=detail)


def _check_worlds(make_agent: MakeAgent, recipe: Recipe) -> list[Finding]:
    worlds = make_worlds(recipe)
    ordinary = worlds[0]
    first = rehearse(make_agent, ordinary, recipe)
    others = [rehearse(make_agent, world, recipe) for world in worlds[1:]]
    findings = [judge_answers(ordinary.name, first.takes)]
    findings.append(judge_views([first.bent, *(other.bent for other in others)]))
    findings += [judge_answers(w.name, r.takes) for w, r in zip(worlds[1:], others, strict=True)]
    again = rehearse(make_agent, ordinary, recipe)
    findings.append(judge_repeat(first.takes, again.takes))
    if has_state(first.agent):
        findings.append(_check_restart(make_agent, ordinary, recipe, first.takes))
    return findings


def judge_answers(world: str, takes: Sequence[Take]) -> Finding:
    """Return whether an agent answered what is allowed in one world."""
    check = f"answers what is allowed: {world}"
    wrong = next((take for take in takes if take.error), None)
    if wrong is None:
        return Finding(check=check, passed=True, detail=f"{len(takes)} decisions")
    if wrong.error.startswith("SystemExit"):
        remedy = _NO_EXIT
    elif "read-only" in wrong.error or "WRITEABLE" in wrong.error:  # numpy's own words
        remedy = "what an observation shows is read-only: work on a copy, prices.copy()"
    else:
        remedy = "answer None where there is too little to go by, weights or actions otherwise"
    return Finding(check=check, passed=False, detail=f"{wrong}; {remedy}")


def judge_views(written: Sequence[str]) -> Finding:
    """Return whether an agent left alone what it was shown; ``written``: what not, in words."""
    bent = next((text for text in written if text), "")
    detail = f"it has written to {bent}: work on a copy" if bent else "all is as it was shown"
    return Finding(check="leaves what it is shown alone", passed=not bent, detail=detail)


def judge_repeat(first: Sequence[Take], again: Sequence[Take]) -> Finding:
    """Return whether two rehearsals of one agent decided the same."""
    check = "decides the same twice in one process"
    pairs = zip(first, again, strict=True)
    other = next(((one, two) for one, two in pairs if one != two), None)
    if other is None:
        return Finding(check=check, passed=True, detail=f"{len(first)} decisions")
    remedy = "use the numbers of info.rng, and keep nothing on the class or module"
    return Finding(check=check, passed=False, detail=f"{other[0]} and then {other[1]}: {remedy}")


def _check_restart(
    make_agent: MakeAgent, world: TestWorld, recipe: Recipe, first: Sequence[Take]
) -> Finding:
    """Stop half-way, hand ``state()`` to a fresh agent, and compare the rest."""
    rehearsal = Rehearsal(make_agent(), world, recipe)
    rehearsal.begin()
    times = list(rehearsal.clock())
    middle = len(times) // 2
    for place, time_ms in enumerate(times):
        if place == middle:
            fault = restart(rehearsal, make_agent())
            if fault:
                return judge_restart((), (), fault)
        rehearsal.step(time_ms)
    return judge_restart(first[middle:], rehearsal.takes[middle:])


def judge_restart(first: Sequence[Take], again: Sequence[Take], fault: str = "") -> Finding:
    """Return whether an agent decided the same with and without a restart.

    ``fault``: why it could not be restarted.
    """
    check = "goes on where its state() was taken"
    if fault:
        return Finding(check=check, passed=False, detail=fault)
    other = next(((one, two) for one, two in zip(first, again, strict=True) if one != two), None)
    if other is None:
        return Finding(check=check, passed=True, detail=f"{len(first)} decisions")
    detail = f"{other[0]} without a restart, {other[1]} with one: put all it needs into state()"
    return Finding(check=check, passed=False, detail=detail)


def restart(rehearsal: Played, fresh: Agent) -> str:
    """Put a fresh agent with the old one's state in its place; return what is wrong, or ``""``."""
    old = rehearsal.agent
    if not (isinstance(old, _Restartable) and isinstance(fresh, _Restartable)):
        return "it has one of state() and restore() only: write both, or none"
    state: object = old.state()
    if not isinstance(state, bytes):
        return f"state() must return bytes, returns {type(state).__name__}: encode it"
    rehearsal.agent = fresh
    rehearsal.begin()
    fresh.restore(state)
    return ""
