"""``seawall list``, ``show`` and ``doctor``."""

import inspect
import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Literal

import typer

from seawall import __version__, workspace, workspace_folders
from seawall.cli import screen
from seawall.cli.options import AsJson
from seawall.errors import RecipeError, SeawallError, WorkspaceError

PACKAGES = (
    "backtrader", "ccxt", "numba", "numpy", "pandas", "plotly", "pyarrow", "pydantic",
)  # fmt: skip
MANIFESTS = "*/*/*/*/manifest.json"  # of all series, below the data folder
ListKind = Literal["agents", "strategies", "backtests"]


def list_(
    kind: Annotated[ListKind, typer.Argument(help="agents, strategies or backtests")],
    *,
    as_json: AsJson = False,
) -> None:
    """List the agents, strategies or recipes that can be used, with a line about each."""
    rows = [(name, _first_line(kind, name)) for name in workspace.list_names(kind)]
    if as_json:
        screen.print_json([{"name": name, "about": about} for name, about in rows])
        return
    for name, about in rows:
        screen.out.print(f"{name:<24} {about}", markup=False, soft_wrap=True)


def show(
    name: Annotated[str, typer.Argument(help="An agent, a strategy or a recipe.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what an agent or a strategy does and its parameters, or a recipe's text."""
    kind, short = _find(name)
    text, parameters = _describe(kind, short)
    if as_json:
        screen.print_json({"kind": kind, "name": short, "text": text, "parameters": parameters})
        return
    screen.out.print(f"{kind}.{short}\n\n{text}", markup=False, soft_wrap=True)
    if parameters:
        listed = ", ".join(f"{key} = {value}" for key, value in parameters.items())
        screen.out.print(f"\nDefaults: {listed}", markup=False, soft_wrap=True)


def doctor(*, as_json: AsJson = False) -> None:
    """Say which versions, workspace and data folder are in use, and whether all of it works."""
    from seawall.market.catalog import Catalog

    found: dict[str, str] = {"seawall": __version__, "python": platform.python_version()}
    found |= {package: _version(package) for package in PACKAGES}
    found["workspace"] = str(workspace_folders.WORKSPACE or "none: only what ships with Seawall")
    root = Catalog().root
    found["data"] = f"{root} ({len(list(root.glob(MANIFESTS)))} series)"
    found["cores"] = str(os.cpu_count())
    problems = _find_problems()
    if as_json:
        screen.print_json({"found": found, "problems": problems})
    else:
        screen.print_table("seawall doctor", ("what", "found"), list(found.items()))
        for problem in problems:
            screen.say(f"problem: {problem}")
        screen.say("problems were found" if problems else "all is well")
    if problems:
        raise typer.Exit(WorkspaceError.exit_code)


def _find(name: str) -> tuple[str, str]:
    """Return kind and name of ``agents.sma_cross``, or of a plain name that only one kind has."""
    kind, dot, rest = name.partition(".")
    if dot and kind in workspace_folders.KINDS:
        return kind, rest
    if name.endswith(".toml"):
        return "backtests", name
    kinds = [kind for kind in workspace_folders.KINDS if name in workspace.list_names(kind)]
    if len(kinds) == 1:
        return kinds[0], name
    if kinds:
        raise WorkspaceError(f"{name} is in {' and '.join(kinds)}: write {kinds[0]}.{name}")
    every = [known for kind in workspace_folders.KINDS for known in workspace.list_names(kind)]
    raise WorkspaceError(
        f"there is no agent, strategy or recipe {name!r}{workspace.did_you_mean(name, every)}; "
        "`seawall list agents` names the agents"
    )


def _describe(kind: str, name: str) -> tuple[str, dict[str, str]]:
    if kind == "backtests":
        return _read_recipe(name), {}
    thing = workspace.load(f"{kind}.{name}")
    text = inspect.getdoc(thing) or "It has no docstring."
    if kind == "strategies":
        if not hasattr(thing, "params"):
            raise WorkspaceError(f"strategies.{name} must be a backtrader.Strategy, is {thing!r}")
        pairs = thing.params._getitems()  # noqa: SLF001 - backtrader's public way to read them
        return text, {key: repr(value) for key, value in pairs if key != "session"}
    parameters = inspect.signature(thing).parameters.values() if isinstance(thing, type) else ()
    known = [p for p in parameters if p.default is not inspect.Parameter.empty]
    return text, {p.name: repr(p.default) for p in known}


def _first_line(kind: str, name: str) -> str:
    try:
        text, _ = _describe(kind, name)
    except SeawallError as error:
        return f"cannot be loaded: {error}"
    if kind == "backtests":
        lines = [line for line in text.splitlines() if line.startswith("description")]
        return lines[0].partition("=")[2].strip().strip('"') if lines else ""
    return text.partition("\n")[0]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _read_recipe(name: str) -> str:
    path = workspace.find_recipe(name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"a recipe is a UTF-8 text file, {path} is not ({error})") from None


def _load_recipe(name: str) -> None:
    from seawall.recipe import Recipe

    Recipe.from_file(workspace.find_recipe(name))


def _find_problems() -> list[str]:
    """Return what does not work here: broken content, damaged series, a data folder in the way."""
    from seawall.market.catalog import Catalog
    from seawall.market.manifest import read_manifest

    work: list[Callable[[], object]] = []
    problems: list[str] = []
    for kind in workspace_folders.KINDS:
        try:
            names = workspace.list_names(kind)
        except SeawallError as error:
            problems.append(str(error))
            continue
        if kind == "backtests":
            work += [partial(_load_recipe, name) for name in names]
        else:
            work += [partial(workspace.load, f"{kind}.{name}") for name in names]
    root = Catalog().root
    work += [partial(read_manifest, path.parent) for path in sorted(root.glob(MANIFESTS))]
    for attempt in work:
        try:
            attempt()
        except (SeawallError, OSError) as error:
            problems.append(str(error))
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        problems.append(f"the data folder must be writable, {existing} is not: set SEAWALL_DATA")
    return list(dict.fromkeys(problems))  # a bad workspace is said by every kind of content
