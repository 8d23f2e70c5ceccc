"""What import-linter cannot see: the folders of content, and what every file must not hold.

Content is `agents/` and `strategies/`. It imports the library by name and its siblings relatively
(`from .hold import Hold`), and reaches the other folder by name alone (`seawall.workspace.load`).
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTENT = ("agents", "strategies", "backtests")
LONGEST_MODULE = 450
TEXT = {".py", ".pyi", ".toml", ".md", ".json", ".html", ".css", ".js", ".cfg", ".txt", ".yml"}
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|mnt|opt)/\w|[A-Z]:\\Users\\")

pytestmark = pytest.mark.skipif(
    not (ROOT / "seawall").is_dir(), reason="these tests read the checkout, which is not here"
)


def python_files(*tops: str) -> list[Path]:
    """Return the Python files under some folders of the checkout."""
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a file's path as a reader would write it."""
    return path.relative_to(ROOT).as_posix()


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of all that a module imports, a relative one with its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            joint = "" if start.endswith(".") else "."
            yield from (f"{start}{joint}{alias.name}" for alias in node.names)


def is_content(name: str) -> bool:
    """Return whether an absolute import reaches content, under its right or its top-level name."""
    parts = name.split(".")
    if parts[0] == "seawall":
        return len(parts) > 1 and parts[1] in CONTENT
    return parts[0] in CONTENT


def content_violations(source: str) -> list[str]:
    """Return the imports that a file of content may not make."""
    return [
        name
        for name in imported_names(ast.parse(source))
        if name.startswith("..") or is_content(name) or name.split(".")[0] == "importlib"
    ]


def library_violations(source: str) -> list[str]:
    """Return the content that a file of the library names, by import or in a string of code."""
    tree = ast.parse(source)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    quoted = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and id(node) not in documentation
        and isinstance(node.value, str)
        and re.fullmatch(r"seawall\.(agents|strategies)\.\w+", node.value)
    ]
    return [name for name in imported_names(tree) if is_content(name)] + quoted


def test_content_folders_are_no_packages() -> None:
    """A folder without __init__.py never hides another distribution's package of that name."""
    assert [name_of(p) for kind in CONTENT for p in (ROOT / kind).rglob("__init__.py")] == []


def test_content_exists_in_every_folder() -> None:
    """The rules below would hold for empty folders too: there is something to hold them to."""
    assert len(python_files("agents")) > 1
    assert len(python_files("strategies")) > 1
    assert list((ROOT / "backtests").glob("*.toml"))


def test_backtests_hold_recipes_alone() -> None:
    """A recipe is plain TOML that can be parsed; code has no place among them."""
    assert python_files("backtests") == []
    for path in (ROOT / "backtests").rglob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8")), name_of(path)


@pytest.mark.parametrize("path", python_files("agents", "strategies"), ids=name_of)
def test_content_imports_the_library_and_its_siblings_alone(path: Path) -> None:
    """Agents and strategies reach each other by name: neither is needed to import the other."""
    assert content_violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", python_files("seawall"), ids=name_of)
def test_the_library_names_no_content(path: Path) -> None:
    """The library works with any agent: a shipped one is as replaceable as a user's."""
    assert library_violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import seawall.agents.hold",
        "import seawall.strategies.spot_trading as job",
        "from seawall.strategies import spot_trading",
        "from seawall.strategies.spot_trading import SpotTrading",
        "from seawall import strategies",
        "from ..strategies import spot_trading",
        "import agents",
        "from agents.hold import Hold",
        "from strategies import spot_trading",
        "from importlib import import_module",
        "def late():\n    from seawall.strategies import spot_trading",
    ],
)
def test_a_planted_import_in_content_is_caught(line: str) -> None:
    """Every way of writing it is caught, inside a function too."""
    assert content_violations(line)


@pytest.mark.parametrize(
    "line",
    [
        "from .hold import Hold",
        "from . import hold",
        "from seawall.agent import AgentInfo",
        "from seawall.action import TargetWeight",
        "import numpy as np",
        "from seawall.workspace import load",
    ],
)
def test_what_content_may_import_passes(line: str) -> None:
    """The rule stops nothing that an agent needs."""
    assert content_violations(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "from seawall.agents.hold import Hold",
        "from seawall.agents import hold",
        "import seawall.strategies.spot_trading",
        "import_module('seawall.agents.hold')",
    ],
)
def test_planted_content_in_the_library_is_caught(line: str) -> None:
    """An import and a quoted module name are caught alike."""
    assert library_violations(line)


@pytest.mark.parametrize("path", python_files("seawall", "agents", "strategies"), ids=name_of)
def test_modules_are_short_enough_to_read(path: Path) -> None:
    """A module is read in one sitting: about 400 lines, and never more than the limit."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_no_file_names_a_path_of_some_machine() -> None:
    """What is written here works on any machine: no home folder, no mount of one of ours."""
    folders = ("seawall", "agents", "strategies", "backtests", "tests", "bench", "stubs", "docs")
    candidates = [*ROOT.iterdir(), *(ROOT / ".ci").iterdir()]
    candidates += [path for top in folders for path in (ROOT / top).rglob("*")]
    texts = [
        path
        for path in candidates
        if path.is_file() and (path.suffix in TEXT or path.name in {"Makefile", "run"})
    ]
    assert len(texts) > len(folders)
    found = [name_of(p) for p in texts if MACHINE_PATH.search(p.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_machine_path"),
    [
        ("open('" + "/ho" + "me/ann/data.csv')", True),
        ("cd " + "/wo" + "rk/main", True),
        ("C:" + "\\Users\\ann", True),
        ("https://example.org/home/page", False),
        ("data/work/file", False),
        ("~/agents/mine", False),
    ],
)
def test_the_pattern_of_machine_paths_catches_what_it_should(
    text: str, *, is_machine_path: bool
) -> None:
    """Planted paths are caught; addresses and relative paths are not."""
    assert bool(MACHINE_PATH.search(text)) is is_machine_path
