"""What a recipe's agent and job are made of: the hashes of their code, and of the files they name.

A recipe names code and does not hold it. What was run is known by the recipe and by these.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from seawall import workspace_folders

_KINDS = ("agents", "strategies")
_WORD = re.compile(r"\w+")
# How one file of agents or strategies names another: an import, or text that is nothing else.
_NAMED = re.compile(
    r"(?:from\s+\.|(?:agents|strategies)\.|import\s+)(\w+)|[\"'](\w+)(?:\{[^\"'\n]*)?[\"']"
)


def find_sources(values: Mapping[str, object]) -> list[str]:
    """Return a line with a hash for each file that a recipe's agent and job are made of.

    The files of both count, those that they import or name in turn, every agent or file that a
    parameter names, and the version of a package that a plugin comes from.

    Args:
        values: the recipe as plain values; its ``agent`` and ``strategy`` are looked at.
    """
    texts = sorted(set(_texts([values.get("agent"), values.get("strategy")])))
    words = {word for text in texts for word in _WORD.findall(text)}
    code = [f"{path.parent.name}/{path.name} {_hash(path)}" for path in _find_code(words)]
    plugins = [found for name, found in _plugins() if name in words]
    files = [f"{text} {_hash(path)}" for text in texts for path in _find_files(text)]
    return [*code, *sorted(plugins), *files]


@cache
def _plugins() -> list[tuple[str, str]]:
    """Return name, and place and version, of every installed agent and strategy."""
    return [
        (point.name, f"{point.value} {'' if point.dist is None else point.dist.version}")
        for kind in _KINDS
        for point in entry_points(group=f"seawall.{kind}")
    ]


def _find_code(words: set[str]) -> list[Path]:
    """Return the files that bear one of the names, and those that these name in turn."""
    known: dict[str, list[Path]] = {}
    for kind in _KINDS:
        for folder in import_module(f"seawall.{kind}").__path__:
            for path in sorted(Path(folder).rglob("*.py")):
                known.setdefault(path.stem, []).append(path)
    found: set[Path] = set()
    wanted = [word for word in words if word in known]
    while wanted:
        for path in known[wanted.pop()]:
            if path in found:
                continue
            found.add(path)
            text = path.read_text(encoding="utf-8", errors="replace")
            names = {one or other for one, other in _NAMED.findall(text)}
            wanted += [name for name in names if name in known]
    return sorted(found)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _find_files(text: str) -> list[Path]:
    """Return the files that a text may mean: of the working directory, and of the workspace."""
    if "/" not in text and "." not in text:
        return []
    folders = {Path.cwd(), workspace_folders.WORKSPACE or Path.cwd()}
    try:
        return sorted(folder / text for folder in folders if (folder / text).is_file())
    except (OSError, ValueError):  # too long, or a zero in it: no path
        return []


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
