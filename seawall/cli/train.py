"""``seawall train``: a policy by reinforcement learning, and its test out of sample."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.cli.options import AsJson, Offline, RecipeName, Settings
from seawall.cli.recipes import check_reach, load_recipe
from seawall.errors import RecipeError

if TYPE_CHECKING:
    from seawall.analysis.training_page import TrainingReport
    from seawall.gym.train import Plan, Training
    from seawall.recipe import Recipe


def train(
    recipe: RecipeName,
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    *,
    steps: Annotated[int, typer.Option(min=2, help="Decisions in all.")] = 60_000,
    paths: Annotated[int, typer.Option(min=1, help="Simulated paths to train on.")] = 16,
    test_paths: Annotated[int, typer.Option(min=1, help="Simulated paths to test on.")] = 8,
    every: Annotated[str | None, typer.Option(help="Time between decisions: 4h.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 1,
    rules: Annotated[
        str | None, typer.Option(help="Agents tested beside it; the recipe's own otherwise.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; results/policy-... otherwise.")] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Train a policy on a recipe with PPO; test it on other paths, or on the rest of the window."""
    from seawall.analysis.contender import split_names, to_contender
    from seawall.analysis.training_page import write_training
    from seawall.gym.train import Plan
    from seawall.gym.train import train as train_policy

    loaded = load_recipe(recipe, settings)
    if rules:
        check_reach(loaded, settings, split_names(rules))
    plan = Plan(
        recipe=loaded, steps=steps, paths=paths, test_paths=test_paths, every=every, seed=seed
    )
    contenders = [to_contender(name) for name in split_names(rules or _usual_rules(loaded))]
    sections = [_to_section(one.recipe(loaded)) for one in contenders]
    folder = out or screen.results_folder() / f"policy-{Path(recipe).stem}-{loaded.id}"
    began = time.monotonic()
    with screen.progress(f"training on {loaded.name}") as advance, screen.prints_aside():
        training = train_policy(
            plan, folder / "policy.zip", rules=sections, offline=offline, progress=advance
        )
    shown = _to_report(training, time.monotonic() - began)
    (folder / "training.json").write_text(shown.to_json() + "\n", "utf-8")
    page = write_training(shown, folder / "report.html")
    if as_json:
        screen.print_json({"policy": str(training.path), "report": str(page), **vars(shown)})
        return
    _print(shown)
    screen.say(f"policy  {training.path}\nreport  {page}")


def _to_section(recipe: "Recipe") -> dict[str, object]:
    """Return a recipe's agent as the section it stands in."""
    if recipe.agent is None:
        raise RecipeError("a rule is an agent, this recipe has none: name one with --rules")
    return {"name": recipe.agent.name, **recipe.agent.parameters}


def _usual_rules(recipe: "Recipe") -> str:
    """Return who a policy is tested beside: doing nothing, and the recipe's own agent."""
    from seawall.engine.checks import has_position

    is_guarded = recipe.loan is not None or has_position(recipe)
    usual = ["do_nothing"] if is_guarded else ["cash", "buy_and_hold"]
    own = [] if recipe.agent is None else [recipe.agent.name.removeprefix("agents.")]
    return ",".join(dict.fromkeys([*usual, *own]))


def _to_report(training: "Training", seconds: float) -> "TrainingReport":
    from seawall.analysis.training_page import OutOfSample, TrainingReport

    plan = training.plan
    return TrainingReport(
        recipe=plan.recipe.name,
        labels=plan.recipe.labels,
        steps=plan.steps,
        seconds=seconds,
        ends=[one.steps for one in training.episodes],
        returns=[one.total_return for one in training.episodes],
        tested=[OutOfSample(**vars(one)) for one in training.tested],
        split=_describe_split(plan),
    )


def _describe_split(plan: "Plan") -> str:
    if plan.is_simulated:
        return f"trained on {plan.paths} simulated paths, tested on {plan.test_paths} others"
    trained, tested = plan.training.market, plan.tests[0].market
    return (
        f"trained on {trained.since} to {trained.until}, tested on {tested.since} to {tested.until}"
    )


def _print(shown: "TrainingReport") -> None:
    rows = [
        (
            one.agent,
            screen.percent(sum(one.total_returns) / len(one.total_returns)),
            screen.percent(min(one.total_returns)),
            screen.percent(max(one.total_returns)),
            str(sum(one.n_liquidations)),
        )
        for one in shown.tested
    ]
    header = ("agent", "mean return", "worst", "best", "liquidations")
    screen.print_table(f"out of sample: {shown.split}", header, rows)
