"""Which folders agents, strategies and backtests lie in: those that ship, and the user's.

``seawall.agents``, ``seawall.strategies`` and ``seawall.backtests`` each span two folders: the one
that ships with Seawall, and the folder of the same name in the user's workspace, if there is one. A
file therefore has one import name everywhere, ``seawall.agents.hold``, and what it defines can be
pickled to a spawned process.

A workspace is ``$SEAWALL_WORKSPACE``, or the working directory if it holds all three folders. It is
found once, at import, and pinned in the environment so that child processes agree. Agents and
strategies are code: whatever lies in the workspace runs with the user's rights.
"""

import os
from pathlib import Path

from seawall.errors import WorkspaceError

KINDS = ("agents", "strategies", "backtests")
VARIABLE = "SEAWALL_WORKSPACE"


def _find_workspace() -> Path | None:
    """Return the user's workspace, and pin it for the processes that this one starts.

    ``None`` also where the variable names a folder that is no workspace: to raise here would break
    ``import seawall`` and ``seawall --help``; ``folders`` raises as soon as content is wanted.
    """
    path = Path(os.environ.get(VARIABLE) or os.curdir).resolve()
    if not all((path / kind).is_dir() for kind in KINDS):
        return None
    os.environ[VARIABLE] = str(path)
    return path


WORKSPACE = _find_workspace()


def folders(kind: str, package: str) -> list[str]:
    """Return the folders that one of the three packages spans: the shipped one, then the user's.

    Raises:
        WorkspaceError: ``$SEAWALL_WORKSPACE`` names no workspace, or a file of the workspace bears
            the name of one that ships with Seawall.
    """
    shipped = _shipped(kind, Path(package))
    if WORKSPACE is None:
        if named := os.environ.get(VARIABLE):
            raise WorkspaceError(
                f"{VARIABLE} must name a folder that holds {', '.join(KINDS)}, is {named!r}: "
                "create the folders or unset it"
            )
        return [str(shipped)]
    theirs = WORKSPACE / kind
    if theirs.resolve() == shipped.resolve():
        return [str(shipped)]
    # A private file too: `from ._rules import ...` of a user's agent would get the shipped one.
    if twice := (_all_names(theirs) & _all_names(shipped)) - {"__init__.py"}:
        raise WorkspaceError(
            f"{kind}/{min(twice)} ships with Seawall; give the one in {theirs} another name"
        )
    return [str(shipped), str(theirs)]


def list_files(kind: str, folder: Path) -> list[Path]:
    """Return the files of one kind in a folder: recipes, or code that is not private."""
    return list(folder.glob("[!_.]*.toml" if kind == "backtests" else "[!_.]*.py"))


def _shipped(kind: str, package: Path) -> Path:
    """Return the folder that ships: the top-level one in a checkout, the package's own in a wheel.

    A wheel fills the package's own folder; site-packages may hold a stray pyproject.toml, and an
    ``agents`` that is somebody else's.
    """
    checkout = package.parents[1]
    is_checkout = (checkout / "pyproject.toml").is_file() and not list_files(kind, package)
    return checkout / kind if is_checkout else package


def _all_names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("[!.]*.*") if path.suffix in {".py", ".toml"}}
