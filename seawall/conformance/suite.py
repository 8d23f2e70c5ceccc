"""The whole suite for one agent or one strategy."""

import json
from collections.abc import Callable, Mapping

from seawall.agent import guards
from seawall.conformance.contract import check_contract
from seawall.conformance.engine_contract import check_trials
from seawall.conformance.loan_worlds import (
    default_hedged_recipe,
    default_loan_recipe,
    make_trials,
)
from seawall.conformance.margin_worlds import (
    default_carry_recipe,
    default_futures_recipe,
    default_margin_recipe,
    make_margin_trials,
)
from seawall.conformance.report import Finding, Report
from seawall.conformance.tripwire import ENDS, check_future
from seawall.conformance.worlds import default_recipe
from seawall.engine.components import find_strategy, make_agent
from seawall.engine.perpetual.world import perpetual_section
from seawall.errors import AgentError, RecipeError
from seawall.given import to_shown
from seawall.loan_strategy import LoanStrategy
from seawall.margin_strategy import MarginStrategy
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.strategy import AgentStrategy
from seawall.workspace import load

Advance = Callable[[int, int], None]
# Who does a job that is checked without a recipe of its own.
_JOB_AGENT, _LOAN_AGENT = "agents.sma_cross", "agents.defi_saver"
_MARGIN_AGENT, _CARRY_AGENT = "agents.reduce_at_margin_ratio", "agents.funding_threshold"
_HEDGE_AGENT = "agents.hedge_on_drawdown"


def check_agent(
    name: str,
    *,
    recipe: Recipe | None = None,
    parameters: Mapping[str, object] | None = None,
    catalog: Catalog | None = None,
    progress: Advance = lambda _done, _total: None,
) -> Report:
    """Return what the conformance suite finds about an agent.

    Args:
        name: ``sma_cross`` or ``agents.sma_cross``, or what else a recipe may name.
        recipe: the market it is checked in, for an agent that needs certain signals or symbols; a
            small made-up one if None, with a loan for an agent that ``guards = "loan"``, a
            leveraged position for one that guards ``"margin"``, spot and perpetual for one that
            ``trades = "carry"``. Only one that names a venue needs stored data.
        parameters: of the agent; the recipe's own if it names this agent and this is None.
        catalog: where the recipe's data are; the default one if None.
        progress: called with runs done and runs in all.

    Raises:
        WorkspaceError: there is no such agent.
        RecipeError: its parameters are not allowed, or it guards what the recipe does not have.
        AgentError: the recipe cannot be run at all, and the contract's checks do not say why.
    """
    job = to_agent_recipe(name, recipe or find_default(name), parameters)
    _check_guarded(name, job)
    if job.loan is not None:
        trials = make_trials(job, catalog or Catalog())
        findings = check_trials(lambda: make_agent(job), trials)
    elif perpetual_section(job) is not None:
        trials = make_margin_trials(job, catalog or Catalog())
        findings = check_trials(lambda: make_agent(job), trials)
    else:
        findings = check_contract(lambda: make_agent(job), job)
    try:
        findings += check_future(job, catalog=catalog, progress=progress)
    except AgentError as error:
        if all(finding.passed for finding in findings):
            raise
        findings.append(Finding(check=ENDS, passed=False, detail=str(error)))
    return Report(name=_qualified("agents", name), findings=tuple(findings))


def check_strategy(
    name: str,
    *,
    recipe: Recipe | None = None,
    parameters: Mapping[str, object] | None = None,
    catalog: Catalog | None = None,
    progress: Advance = lambda _done, _total: None,
) -> Report:
    """Return what the conformance suite finds about a strategy, plain backtrader code included.

    Arguments and errors are as in ``check_agent``. A job for agents is checked with the recipe's
    agent, or with a moving-average cross; one that guards a loan with ``defi_saver``, one that
    hedges it too with ``hedge_on_drawdown``, one that guards a position with
    ``reduce_at_margin_ratio``, a carry with ``funding_threshold``.
    """
    job = to_strategy_recipe(name, recipe or find_default(name, "strategies"), parameters)
    findings = check_future(job, catalog=catalog, progress=progress)
    return Report(name=_qualified("strategies", name), findings=tuple(findings))


def _check_guarded(name: str, job: Recipe) -> None:
    """Raise RecipeError where an agent guards something, and the recipe has nothing of it."""
    has_position = job.perpetual is not None and job.perpetual.position is not None
    there = {"loan": job.loan is not None, "margin": has_position}
    wanted = [what for what in there if guards(_load("agents", name), what)]
    if not wanted or any(there[what] for what in wanted):
        return
    words = {"loan": ("a loan", "[loan]"), "margin": ("a position", "[perpetual.position]")}
    what, section = words[wanted[0]]
    raise RecipeError(
        f"{name} guards {what}, the recipe has none: name one with {section}, or leave it out"
    )


def guards_loan(name: str) -> bool:
    """Return whether an agent says that it guards a loan.

    Raises:
        WorkspaceError: there is no such agent.
    """
    return guards(_load("agents", name), "loan")


def guards_margin(name: str) -> bool:
    """Return whether an agent says that it guards a leveraged position.

    Raises:
        WorkspaceError: there is no such agent.
    """
    return guards(_load("agents", name), "margin")


def find_default(name: str, kind: str = "agents") -> Recipe:
    """Return the recipe that an agent or a strategy is checked with unless one is given.

    Raises:
        WorkspaceError: there is no such agent or strategy.
    """
    found = _load(kind, name)
    is_loan_job = isinstance(found, type) and issubclass(found, LoanStrategy)
    if is_loan_job and getattr(found, "has_hedges", False):
        return default_hedged_recipe()
    is_margin_job = isinstance(found, type) and issubclass(found, MarginStrategy)
    if is_loan_job or guards(found, "loan"):
        return default_loan_recipe()
    if is_margin_job or guards(found, "margin"):
        return default_margin_recipe()
    trades = getattr(found, "trades", "")
    if trades == "carry":
        return default_carry_recipe()
    return default_futures_recipe() if trades == "perpetual" else default_recipe()


def _load(kind: str, name: str) -> object:
    """Return an agent or a strategy; ``None`` where it ends the process: its checks say so."""
    try:
        found: object = load(_qualified(kind, name))
    except SystemExit:
        return None
    return found


def to_agent_recipe(
    name: str, base: Recipe, parameters: Mapping[str, object] | None = None
) -> Recipe:
    """Return ``base`` with another agent; parameters are kept where it is the same one."""
    full_name = _qualified("agents", name)
    if parameters is None and base.agent is not None:
        is_same = _qualified("agents", base.agent.name) == full_name
        parameters = base.agent.parameters if is_same else None
    return _with_section(base, "agent", {"name": full_name, **(parameters or {})})


def to_strategy_recipe(
    name: str, base: Recipe, parameters: Mapping[str, object] | None = None
) -> Recipe:
    """Return ``base`` with another strategy, and with an agent only where it is a job for one."""
    full_name = _qualified("strategies", name)
    if parameters is None and _qualified("strategies", base.strategy.name) == full_name:
        parameters = base.strategy.parameters
    job = _with_section(base, "strategy", {"name": full_name, **(parameters or {})})
    job = job.model_copy(update={"agent": None})
    try:
        found = find_strategy(job)
    except SystemExit as error:
        raise AgentError(
            f"{full_name} must not end the process, raises SystemExit({to_shown(error.code)}) when "
            "it is loaded: only the user ends a run"
        ) from error
    if not issubclass(found, AgentStrategy):
        return job
    agent = base.agent
    usual = _CARRY_AGENT if found.trades == "carry" else _JOB_AGENT
    if issubclass(found, (LoanStrategy, MarginStrategy)):
        usual = _LOAN_AGENT if issubclass(found, LoanStrategy) else _MARGIN_AGENT
        if getattr(found, "has_hedges", False):
            usual = _HEDGE_AGENT
    wanted = {"name": usual} if agent is None else {"name": agent.name, **agent.parameters}
    return _with_section(job, "agent", wanted)


def _with_section(recipe: Recipe, key: str, section: Mapping[str, object]) -> Recipe:
    return Recipe.from_dict({**json.loads(recipe.to_json()), key: dict(section)})


def _qualified(kind: str, name: str) -> str:
    return name if name.startswith(f"{kind}.") else f"{kind}.{name}"
