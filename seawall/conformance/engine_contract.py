"""The checks of an agent that needs the engine, in small worlds of it, in this process.

These are guards of a loan, and whoever trades or guards on a futures account.
"""

from seawall.conformance.contract import (
    has_state,
    judge_answers,
    judge_exit,
    judge_repeat,
    judge_restart,
    judge_views,
)
from seawall.conformance.engine_rehearsal import Playing, play_world
from seawall.conformance.engine_worlds import Trial
from seawall.conformance.rehearsal import MakeAgent, Take
from seawall.conformance.report import Finding
from seawall.engine.world import World
from seawall.recipe import Recipe


def check_trials(make_agent: MakeAgent, trials: list[Trial]) -> list[Finding]:
    """Return what is found about an agent in an ordinary world and in the unpleasant ones.

    Raises:
        AgentError: the agent cannot begin.
    """
    try:
        return _check_trials(make_agent, trials)
    except SystemExit as error:
        return [judge_exit(error)]


def _check_trials(make_agent: MakeAgent, trials: list[Trial]) -> list[Finding]:
    played = {trial.name: _play(make_agent, trial) for trial in trials}
    findings = [_judge_trial(trial, played[trial.name]) for trial in trials]
    findings.insert(1, judge_views([one.bent for passes in played.values() for one in passes]))
    ordinary = trials[0]
    if ordinary.world is None:
        return findings
    first = played[ordinary.name]
    again = play_world(make_agent, ordinary.world, ordinary.recipe)
    findings.append(judge_repeat(_all_takes(first), _all_takes(again)))
    if has_state(first[0].agent):
        findings.append(_check_restart(make_agent, ordinary.world, ordinary.recipe, first))
    return findings


def _play(make_agent: MakeAgent, trial: Trial) -> list[Playing]:
    return [] if trial.world is None else play_world(make_agent, trial.world, trial.recipe)


def _judge_trial(trial: Trial, passes: list[Playing]) -> Finding:
    found = judge_answers(trial.name, _all_takes(passes))
    if trial.world is not None:
        return found
    return Finding(check=found.check, passed=True, detail=f"left out: {trial.missing}")


def _check_restart(
    make_agent: MakeAgent, world: World, recipe: Recipe, first: list[Playing]
) -> Finding:
    """Stop half-way, hand ``state()`` to a fresh agent, and compare."""
    middle = len(first[0].takes) // 2
    again = play_world(make_agent, world, recipe, restart_at=middle)
    return judge_restart(_all_takes(first), _all_takes(again), again[0].fault)


def _all_takes(passes: list[Playing]) -> list[Take]:
    return [take for one in passes for take in one.takes]
