"""The built wheel, as a user has it: in an environment of its own, far from the checkout.

The wheel is installed without its dependencies; those of the running environment are lent to it by
a path file, in which the checkout is not. What is installed from a registry is in the slow tests.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
KINDS = ("agents", "strategies", "backtests")
SDK_MARK = '"""Not ours."""\n\nMARK = "the SDK"\n'

MY_AGENT = '''
class Mine:
    """Hold a fixed share."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def decide(self, observation: object) -> float:
        """Return the one target weight."""
        return self.share
'''

AFTER_CHDIR = """
import multiprocessing, os, tempfile
import seawall

def decide(agent):
    return type(agent).__module__, agent.decide(None), os.environ["SEAWALL_WORKSPACE"]

if __name__ == "__main__":
    os.chdir(tempfile.gettempdir())
    agent = seawall.load("agents.mine")(0.25)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.apply(decide, (agent,)), sep="|")
"""

pytestmark = pytest.mark.skipif(
    not (ROOT / "seawall").is_dir(), reason="these tests build the wheel of the checkout"
)


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment of its own, and how to run things in it."""

    folder: Path

    @property
    def site(self) -> Path:
        """Its site-packages."""
        paths = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", "venv", paths))

    def run(
        self, *command: str, cwd: Path, variables: Mapping[str, str] | None = None, code: int = 0
    ) -> str:
        """Run a program of this environment, and return its output, or its complaint."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SEAWALL_", "PYTHON"))}
        done = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=cwd,
            env={**clean, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def install(self, *what: str) -> None:
        """Install with the running environment's pip."""
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.folder, "install", "-q", *what],
            check=True,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module", name="wheel")
def build_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from a copy so that nothing is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("seawall", *KINDS):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return next((source / "dist").glob("*.whl"))


def make_environment(folder: Path, wheel: Path) -> Installed:
    """Return an environment with the wheel, and all that the running one has but the checkout."""
    venv.create(folder, with_pip=False)
    installed = Installed(folder=folder)
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (installed.site / "lent.pth").write_text("\n".join(sorted(lent)) + "\n", encoding="utf-8")
    installed.install("--no-deps", "--no-index", "--force-reinstall", str(wheel))
    return installed


@pytest.fixture(scope="module", name="installed")
def install_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return an environment that holds the wheel."""
    return make_environment(tmp_path_factory.mktemp("venv"), wheel)


@pytest.fixture(name="mine")
def make_workspace(tmp_path: Path) -> Path:
    """Return a user's workspace with one agent."""
    for kind in KINDS:
        (tmp_path / "mine" / kind).mkdir(parents=True)
    (tmp_path / "mine" / "agents" / "mine.py").write_text(MY_AGENT, encoding="utf-8")
    return tmp_path / "mine"


def names_of_content(kind: str) -> set[str]:
    """Return the names of the checkout's agents, strategies or recipes."""
    suffix = "*.toml" if kind == "backtests" else "*.py"
    return {path.stem for path in (ROOT / kind).glob(suffix) if path.name[0] not in "._"}


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    """No top-level ``agents`` or ``tests``: other distributions have those names."""
    with ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {re.sub(r"-.*\.dist-info", ".dist-info", top) for top in tops} == {
        "seawall",
        "seawall.dist-info",
    }


def test_the_wheel_holds_all_content(wheel: Path) -> None:
    """Each file of the three folders ships inside the package, and so do types and licence."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {
        f"seawall/{path.relative_to(ROOT).as_posix()}"
        for kind in KINDS
        for path in (ROOT / kind).rglob("*")
        if path.suffix in {".py", ".toml"}
    }
    assert len(shipped) > len(KINDS)
    assert shipped | {"seawall/py.typed", "seawall/verify/contracts/Token.sol"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_all_that_is_imported_is_declared() -> None:
    """A fresh environment holds what is declared, not what some other package happens to bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    brought = [extras[name] for name in extras if name not in ("bench", "dev")]
    wanted = (*project["dependencies"], *(one for extra in brought for one in extra))
    declared = {re.split(r"[<>=!~\[; ]", x)[0].replace("-", "_") for x in wanted}
    imported = set()
    for top in ("seawall", "agents", "strategies"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    imported.add((node.module or "").split(".")[0])
    assert imported - sys.stdlib_module_names - {"seawall"} <= declared


@pytest.mark.slow
def test_the_wheel_is_imported_from_its_own_environment(
    installed: Installed, tmp_path: Path
) -> None:
    """The tests below would prove nothing if they saw the checkout."""
    code = "import seawall, seawall.agents as a; print(seawall.__file__, *a.__path__)"
    for path in installed.run("python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.site)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_shipped_content_is_listed_from_any_directory(
    installed: Installed, tmp_path: Path, kind: str
) -> None:
    """The command line of the wheel finds every agent, strategy and recipe that ships."""
    listed = json.loads(installed.run("seawall", "list", kind, "--json", cwd=tmp_path))
    assert {row["name"] for row in listed} == names_of_content(kind)
    assert not [row for row in listed if "cannot be loaded" in row["about"]]


@pytest.mark.slow
def test_a_users_agent_works_after_chdir_and_in_a_spawned_process(
    installed: Installed, mine: Path, tmp_path: Path
) -> None:
    """The workspace is found when Seawall is imported, and child processes agree about it."""
    (tmp_path / "script.py").write_text(AFTER_CHDIR, encoding="utf-8")
    script = str(tmp_path / "script.py")
    expected = f"seawall.agents.mine|0.25|{mine}\n"
    assert installed.run("python", script, cwd=mine) == expected
    named = {"SEAWALL_WORKSPACE": "mine"}
    assert installed.run("python", script, cwd=tmp_path, variables=named) == expected


@pytest.mark.slow
def test_a_users_agent_is_listed_beside_the_shipped_ones(installed: Installed, mine: Path) -> None:
    """A file dropped into ``agents/`` is an agent."""
    listed = json.loads(installed.run("seawall", "list", "agents", "--json", cwd=mine))
    assert {row["name"] for row in listed} == {*names_of_content("agents"), "mine"}


@pytest.mark.slow
def test_a_variable_that_names_no_workspace_is_refused(
    installed: Installed, tmp_path: Path
) -> None:
    """One line with the remedy, the exit code of a WorkspaceError, no traceback."""
    named = {"SEAWALL_WORKSPACE": str(tmp_path)}
    said = installed.run("seawall", "list", "agents", cwd=tmp_path, variables=named, code=5)
    assert "SEAWALL_WORKSPACE must name a folder that holds agents" in said
    assert "Traceback" not in said


def test_a_users_file_with_a_shipped_name_is_refused(installed: Installed, mine: Path) -> None:
    """The message names the file and what to do, without a traceback."""
    (mine / "agents" / "cash.py").write_text(MY_AGENT, encoding="utf-8")
    said = installed.run("seawall", "list", "agents", cwd=mine, code=5)
    assert "agents/cash.py ships with Seawall; give the one in" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_another_distributions_agents_package_is_neither_overwritten_nor_shadowed(
    installed: Installed, mine: Path
) -> None:
    """The OpenAI Agents SDK is imported as ``agents``: both work, from a checkout too."""
    sdk = installed.site / "agents"
    sdk.mkdir()
    try:
        (sdk / "__init__.py").write_text(SDK_MARK, encoding="utf-8")
        code = "import agents, seawall.agents.cash as c; print(agents.MARK, c.Cash.__name__)"
        for cwd in (ROOT, mine):
            assert installed.run("python", "-c", code, cwd=cwd) == "the SDK Cash\n"
    finally:
        shutil.rmtree(sdk)


@pytest.mark.slow
def test_installing_over_another_distributions_agents_leaves_it_alone(
    wheel: Path, tmp_path: Path
) -> None:
    """Whichever of the two is installed first, the other one's files stay as they are."""
    venv.create(tmp_path, with_pip=False)
    installed = Installed(folder=tmp_path)
    sdk = installed.site / "agents"
    sdk.mkdir()
    (sdk / "__init__.py").write_text(SDK_MARK, encoding="utf-8")
    installed.install("--no-deps", "--no-index", str(wheel))
    assert [path.name for path in sdk.rglob("*")] == ["__init__.py"]
    assert (sdk / "__init__.py").read_text(encoding="utf-8") == SDK_MARK


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """The first command a user types works far from the checkout and writes its report."""
    said = installed.run("seawall", "demo", "--json", "--out", "demo", cwd=tmp_path)
    assert "sma_cross" in said
    assert (tmp_path / "demo" / "report.html").stat().st_size > 0


@pytest.mark.slow
def test_the_openai_agents_sdk_works_beside_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """The real SDK, installed after the wheel: its ``Agent`` and our agents in one process."""
    installed = make_environment(tmp_path / "venv", wheel)
    try:
        installed.install("openai-agents")
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"openai-agents cannot be installed here: {failed.stderr[-200:]}")
    code = (
        "import agents, seawall.agents.cash as c; "
        "print(agents.Agent(name='x').name, agents.__file__, c.Cash.__name__)"
    )
    for cwd in (tmp_path, ROOT):
        name, where, ours = installed.run("python", "-c", code, cwd=cwd).split()
        assert (name, ours) == ("x", "Cash")
        assert Path(where).is_relative_to(installed.site)
