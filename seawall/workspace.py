"""Where agents, strategies and backtests are found by name.

They lie in the folders of ``workspace_folders.py``. Installed packages add agents and strategies
through the entry points ``seawall.agents`` and ``seawall.strategies``.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from seawall.errors import WorkspaceError
from seawall.workspace_folders import list_files


def load(name: str) -> Any:
    """Return what a name such as ``"agents.sma_cross:SmaCross"`` stands for.

    ``"agents.sma_cross"`` without a colon is the one agent or strategy that the file defines.
    A name of an installed plugin is the name of its entry point; a file comes before a plugin.

    Raises:
        WorkspaceError: there is no such file or name, or importing it fails.
    """
    kind, _, rest = name.partition(".")
    if kind not in ("agents", "strategies") or not rest:
        raise WorkspaceError(
            f"a name is agents.FILE, strategies.FILE or FILE:NAME behind it, is {name!r}: "
            "write agents.buy_and_hold"
        )
    file, _, attribute = rest.partition(":")
    plugins = entry_points(group=f"seawall.{kind}", name=rest)
    if plugins and rest not in _file_names(kind):
        return _load_plugin(kind, plugins)
    module = _import(kind, file)
    if not attribute:
        return _only_definition(module, kind, file)
    if attribute.startswith("_") or not hasattr(module, attribute):
        raise WorkspaceError(
            f"{kind}/{file}.py defines no {attribute!r}{did_you_mean(attribute, vars(module))}"
        )
    value = getattr(module, attribute)
    # A recipe names what is meant to be run, not everything that such a file happens to import.
    home = str(getattr(value, "__module__", ""))
    if home != module.__name__ and not home.startswith("seawall."):
        raise WorkspaceError(
            f"{kind}/{file}.py must define {attribute!r} itself, has it from "
            f"{home or 'elsewhere'}: name what it defines"
        )
    return value


def list_names(kind: str) -> list[str]:
    """Return the sorted names of all agents, strategies or backtests that can be found.

    Raises:
        WorkspaceError: the workspace cannot be used, see ``folders``.
    """
    plugins = () if kind == "backtests" else entry_points(group=f"seawall.{kind}")
    return sorted(_file_names(kind) | {plugin.name for plugin in plugins})


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: a path as it stands, or the name of one in ``backtests/``.

    Raises:
        WorkspaceError: there is no such recipe.
    """
    if name.endswith(".toml") or Path(name).name != name:
        path = Path(name)
        if path.is_file():
            return path
        raise WorkspaceError(
            f"there is no recipe file {name}: `seawall list backtests` names those that ship"
        )
    package = import_module("seawall.backtests")
    for folder in package.__path__:
        if (path := Path(folder) / f"{name}.toml").is_file():
            return path
    raise WorkspaceError(
        f"there is no recipe {name!r}{did_you_mean(name, list_names('backtests'))}; "
        "`seawall list backtests` names them all"
    )


def _file_names(kind: str) -> set[str]:
    package = import_module(f"seawall.{kind}")
    return {path.stem for folder in package.__path__ for path in list_files(kind, Path(folder))}


def _load_plugin(kind: str, plugins: Iterable[EntryPoint]) -> Any:
    first, *others = sorted(set(plugins), key=lambda plugin: plugin.value)
    if others:
        raise WorkspaceError(
            f"two packages call a plugin {kind}.{first.name}, {first.value} and {others[0].value}: "
            "uninstall one of them"
        )
    try:
        return first.load()
    except (Exception, SystemExit) as error:
        raise WorkspaceError(
            f"the plugin {kind}.{first.name} cannot be loaded from {first.value}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _import(kind: str, file: str) -> ModuleType:
    if not all(part.isidentifier() for part in file.split(".")) or file.startswith("_"):
        raise WorkspaceError(f"{kind}/{file}.py is no module name: use letters, digits and _")
    name = f"seawall.{kind}.{file}"
    try:
        return import_module(name)
    except WorkspaceError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{name}.".startswith(f"{missing}."):
            raise WorkspaceError(
                f"there is no {kind}/{file}.py{did_you_mean(file, list_names(kind))}; "
                f"`seawall list {kind}` names them all"
            ) from None
        if missing.startswith("seawall."):
            raise WorkspaceError(f"{kind}/{file}.py imports {missing}: there is none") from error
        raise WorkspaceError(
            f"{kind}/{file}.py needs a package that is not installed: pip install "
            f"{missing.partition('.')[0]}, or what provides it"
        ) from error
    except (Exception, SystemExit) as error:  # a file may not end the process that lists it
        raise WorkspaceError(
            f"importing {kind}/{file}.py failed: {type(error).__name__}: {error}"
        ) from error


def _only_definition(module: ModuleType, kind: str, file: str) -> Any:
    """Return the one class or function of a file: the one named after it, else the only one."""
    own = {
        name: value
        for name, value in vars(module).items()
        if name[0] != "_"
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    }
    wanted = file.rpartition(".")[2].replace("_", "").lower()
    named = [value for name, value in own.items() if name.replace("_", "").lower() == wanted]
    if len(named) == 1:
        return named[0]
    if len(own) == 1:
        return next(iter(own.values()))
    raise WorkspaceError(
        f"{kind}/{file}.py must define one thing named after the file, defines "
        f"{', '.join(sorted(own)) or 'nothing'}: name it, {kind}.{file}:NAME"
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'X'?)`` with the nearest of the names, or nothing."""
    close = get_close_matches(name, list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
