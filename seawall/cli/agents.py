"""``seawall new agent``, ``seawall check agent`` and ``seawall check strategy``."""

from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated

import typer

from seawall import workspace, workspace_folders
from seawall.cli import screen
from seawall.cli.options import AsJson
from seawall.errors import AgentError, WorkspaceError
from seawall.recipe import Recipe, parse_setting

if TYPE_CHECKING:
    from seawall.conformance import Report

new_app = typer.Typer(no_args_is_help=True)
check_app = typer.Typer(no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="As in a recipe: sma_cross, or agents.sma_cross.")]
_Market = Annotated[
    str | None,
    typer.Option("--recipe", help="Check it in this recipe's market; else a made-up one."),
]
_Settings = Annotated[list[str], typer.Option("--set", help="KEY=VALUE: one of its parameters.")]


# What each kind of new agent can be run in at once, without data.
_DEMOS = {"agent.txt": "demo", "loan_agent.txt": "loan_demo", "margin_agent.txt": "margin_demo"}


@new_app.callback()
def _new() -> None:
    """Start something of your own."""


@check_app.callback()
def _check() -> None:
    """Check an agent or a strategy, look-ahead included."""


@new_app.command("agent")
def new_agent(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and _.")],
    *,
    loan: Annotated[bool, typer.Option("--loan", help="One that guards a loan.")] = False,
    margin: Annotated[bool, typer.Option("--margin", help="One that guards a position.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a working agent and its test into the workspace."""
    if loan and margin:
        raise WorkspaceError("a new agent guards a loan or a position: give --loan or --margin")
    home = workspace_folders.WORKSPACE or Path.cwd()
    agent, test = home / "agents" / f"{name}.py", home / "tests" / f"test_{name}.py"
    _check_name(name)
    for path in (agent, test):
        if path.exists():
            raise WorkspaceError(f"{path} is there already: choose another name")
    created = _make_folders(home)
    words = {"name": name, "title": "".join(part.capitalize() for part in name.split("_"))}
    templates = Path(__file__).parent / "templates"
    kind = "loan_agent.txt" if loan else "margin_agent.txt" if margin else "agent.txt"
    for path in (agent, test):
        template = templates / (kind if path is agent else f"test_{kind}")
        text = Template(template.read_text(encoding="utf-8")).substitute(words)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        made = {"agent": str(agent), "test": str(test), "created": [str(p) for p in created]}
        screen.print_json(made)
        return
    if created:
        screen.say(f"{home} is a workspace now: it holds {', '.join(workspace_folders.KINDS)}")
    screen.say(
        f"agent  {agent}\ntest   {test}\n"
        f"next   edit decide(), then\n"
        f"       seawall check agent {name}\n"
        f"       seawall run {_DEMOS[kind]} --agent {name}\n"
        f"       python -m pytest {test.relative_to(home)}"
    )


@check_app.command("agent")
def check_agent(
    name: _Name,
    recipe: _Market = None,
    settings: _Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    *,
    as_json: AsJson = False,
) -> None:
    """Run the conformance suite on an agent; exit code 6 where it fails."""
    from seawall.conformance import check_agent as check

    parameters = _parse_parameters(settings, "agent")
    with screen.progress(f"checking {name}") as advance:
        report = check(name, recipe=_load(recipe), parameters=parameters, progress=advance)
    _show(report, as_json=as_json)


@check_app.command("strategy")
def check_strategy(
    name: Annotated[str, typer.Argument(help="As in a recipe: golden_cross.")],
    recipe: _Market = None,
    settings: _Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    *,
    as_json: AsJson = False,
) -> None:
    """Look for look-ahead in a strategy, plain backtrader code included; exit code 6 if found."""
    from seawall.conformance import check_strategy as check

    parameters = _parse_parameters(settings, "strategy")
    with screen.progress(f"checking {name}") as advance:
        report = check(name, recipe=_load(recipe), parameters=parameters, progress=advance)
    _show(report, as_json=as_json)


def _load(recipe: str | None) -> Recipe | None:
    return None if recipe is None else Recipe.from_file(workspace.find_recipe(recipe))


def _parse_parameters(settings: list[str], section: str) -> dict[str, object] | None:
    parsed = dict(parse_setting(text) for text in settings)
    return {key.removeprefix(f"{section}."): value for key, value in parsed.items()} or None


def _show(report: "Report", *, as_json: bool) -> None:
    if as_json:
        screen.print_json(report.to_dict())
    else:
        rows = [(f.check, "passed" if f.passed else "FAILED") for f in report.findings]
        screen.print_table(report.name, ("check", ""), rows)
    failed = [finding for finding in report.findings if not finding.passed]
    if failed:
        if not as_json:
            for finding in failed:
                screen.say(f"{finding.check}\n    {finding.detail}")
        raise AgentError(f"{report.name} fails {len(failed)} of {len(report.findings)} checks")


def _check_name(name: str) -> None:
    if not name.isidentifier() or not name.isascii() or iskeyword(name) or name.startswith("_"):
        raise WorkspaceError(
            f"a name is lower-case letters, digits and _, is {name!r}: write my_agent"
        )
    if name != name.lower():
        raise WorkspaceError(f"a name is in lower case, is {name!r}: write {name.lower()}")
    if name in workspace.list_names("agents"):
        raise WorkspaceError(f"there is an agent {name!r} already: choose another name")


def _make_folders(home: Path) -> list[Path]:
    """Make a folder a workspace; return what had to be created."""
    missing = [home / kind for kind in workspace_folders.KINDS if not (home / kind).is_dir()]
    for folder in missing:
        folder.mkdir(parents=True)
    return missing
