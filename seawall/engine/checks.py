"""What a recipe may not ask for, found before any data are read: what does not fit together."""

from collections.abc import Mapping

import backtrader as bt

from seawall.agent import Agent, guards
from seawall.engine.perpetual.world import perpetual_section
from seawall.errors import RecipeError
from seawall.loan_recipe import STABLECOINS
from seawall.loan_strategy import LoanStrategy
from seawall.margin_strategy import MarginStrategy
from seawall.recipe import Recipe


def check_job(recipe: Recipe, strategy_class: type[bt.Strategy]) -> None:
    """Raise RecipeError where a job and the sections of the recipe do not fit each other."""
    _check_loan(recipe, strategy_class)
    _check_perpetual(recipe, strategy_class)


def _check_loan(recipe: Recipe, strategy_class: type[bt.Strategy]) -> None:
    """Raise RecipeError where a loan has no job, a job no loan, or a hedge no perpetual."""
    name = recipe.strategy.name
    hedges = issubclass(strategy_class, LoanStrategy) and strategy_class.has_hedges
    if issubclass(strategy_class, LoanStrategy) and recipe.loan is None:
        raise RecipeError(f"{name} guards a loan, the recipe has none: add [loan]")
    if recipe.loan is None:
        return
    if not issubclass(strategy_class, LoanStrategy):
        raise RecipeError(
            f"[loan] needs a job that guards one, the job is {name}: set strategy.name to "
            "strategies.liquidation_protection, or remove [loan]"
        )
    if hedges or perpetual_section(recipe) is not None:
        _check_hedge(recipe, hedges=hedges)
    _refuse(recipe, _NOT_WITH_LOANS, "a loan is guarded from close to close")


def _check_hedge(recipe: Recipe, *, hedges: bool) -> None:
    """Raise RecipeError where a loan and perpetuals do not make one account."""
    name, loan, section = recipe.strategy.name, recipe.loan, perpetual_section(recipe)
    if not hedges:
        raise RecipeError(
            f"a loan with perpetuals needs a job that hedges one, the job is {name}: set "
            "strategy.name to strategies.hedged_loan, or take the perpetuals out of market.symbols"
        )
    if loan is None or section is None:
        raise RecipeError(
            f"{name} hedges with a perpetual, market.symbols are {list(recipe.market.symbols)}: "
            "add one such as ETH/USDT:USDT, or take strategies.liquidation_protection"
        )
    if section.position is not None:
        raise RecipeError(
            f"perpetual.position is for strategies.margin_protection, the job is {name}: leave it "
            "out, the agent opens the hedge"
        )
    dollars = ("USD", *STABLECOINS)
    for key, asset in (("loan.debt", loan.debt), ("the quote of the market", recipe.market.quote)):
        if asset not in dollars:
            raise RecipeError(
                f"{key} must be a dollar where a loan and an exchange are one account "
                f"({', '.join(dollars)}), is {asset}: take another"
            )


# What a recipe may set for spot alone: where it is, and what it must be.
_NOT_WITH_LOANS: Mapping[str, object] = {
    "execution.decide_at": "close",
    "execution.fill": "next_open",
    "execution.fills": "exchange",
    "account.initial_holdings": {},
}
_NOT_WITH_PERPETUALS = {
    key: value for key, value in _NOT_WITH_LOANS.items() if key != "account.initial_holdings"
}


def _refuse(recipe: Recipe, allowed: Mapping[str, object], why: str) -> None:
    """Raise RecipeError where a setting would have no effect, or a wrong one."""
    for key, wanted in allowed.items():
        section, name = key.split(".")
        found = getattr(getattr(recipe, section), name)
        if found != wanted:
            shown = f"{found!r}" if isinstance(found, str) else f"{dict(found)}"
            needed = f'leave it out, or set it to "{wanted}"' if wanted else "leave it out"
            raise RecipeError(f"{why}, {key} is {shown}: {needed}")


def _check_perpetual(recipe: Recipe, strategy_class: type[bt.Strategy]) -> None:
    """Raise RecipeError where a guard has no position, or a setting of spot would be wrong."""
    if issubclass(strategy_class, MarginStrategy) and not has_position(recipe):
        raise RecipeError(
            f"{recipe.strategy.name} guards a position, the recipe has none: add "
            "[perpetual.position] with a quantity"
        )
    if perpetual_section(recipe) is not None:
        _refuse(recipe, _NOT_WITH_PERPETUALS, "perpetuals are traded from close to next open")


def check_agent(recipe: Recipe, agent: Agent, strategy_class: type[bt.Strategy]) -> None:
    """Raise RecipeError where a guard has nothing to guard, or an agent the wrong job."""
    there = {"loan": recipe.loan is not None, "margin": has_position(recipe)}
    wanted = [kind for kind in there if guards(agent, kind)]
    name = recipe.agent.name if recipe.agent else type(agent).__name__
    if wanted and not any(there[kind] for kind in wanted):
        raise RecipeError(f"{name} guards {_GUARDED[wanted[0]]}")
    trades, given = getattr(agent, "trades", None), getattr(strategy_class, "trades", None)
    if trades is not None and trades != given:
        raise RecipeError(
            f"{name} answers for another kind of job ({trades}), {recipe.strategy.name} is "
            f"{given}: set strategy.name to a job of its kind, or take another agent"
        )


_GUARDED = {
    "loan": "a loan, the recipe has none: add [loan], and set strategy.name to "
    "strategies.liquidation_protection",
    "margin": "a leveraged position, the recipe has none: add [perpetual.position], and set "
    "strategy.name to strategies.margin_protection",
}


def has_position(recipe: Recipe) -> bool:
    """Return whether a recipe has a leveraged position to guard."""
    return recipe.perpetual is not None and recipe.perpetual.position is not None
