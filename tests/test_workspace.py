"""Where content is found, and what is said when it is not."""

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import seawall.agents
import seawall.backtests
import seawall.strategies
from seawall import workspace, workspace_folders
from seawall.errors import WorkspaceError
from seawall.workspace import find_recipe, list_names, load
from seawall.workspace_folders import KINDS, VARIABLE, folders

HOLD = '''
class Hold:
    """Leave things as they are."""

    def decide(self, observation: object) -> None:
        """Ask for nothing."""
'''


@pytest.fixture(name="mine")
def make_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a workspace with the three folders, joined to Seawall for the length of one test."""
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        package = import_module(f"seawall.{kind}")
        shipped = next(iter(package.__path__))
        monkeypatch.setattr(package, "__path__", [shipped, str(tmp_path / kind)])
    monkeypatch.setattr(workspace_folders, "WORKSPACE", tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("seawall.agents.", "seawall.strategies.")):
            package_name, _, attribute = name.rpartition(".")
            vars(sys.modules.get(package_name, workspace)).pop(attribute, None)
            del sys.modules[name]


def write_agent(folder: Path, name: str, source: str = HOLD) -> None:
    """Put an agent's file into a workspace."""
    (folder / "agents" / f"{name}.py").write_text(source, encoding="utf-8")
    # The finder caches a folder's listing by its time stamp, which two writes can share.
    sys.path_importer_cache.clear()


def refusal_of(name: str) -> str:
    """Return why a name cannot be loaded."""
    with pytest.raises(WorkspaceError) as refused:
        load(name)
    message = str(refused.value)
    assert "\n" not in message
    return message


def add_plugin(folder: Path, distribution: str, entry: str, source: str = HOLD) -> None:
    """Lay down what an installed distribution with one entry point looks like."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[seawall.agents]\n{entry}\n")
    (folder / f"{distribution}_code.py").write_text(source)


def test_a_users_agent_has_the_import_name_of_a_shipped_one(mine: Path) -> None:
    """A file in the workspace is ``seawall.agents.FILE``, listed and loaded like any other."""
    write_agent(mine, "my_hold")
    agent = load("agents.my_hold:Hold")
    assert agent.__module__ == "seawall.agents.my_hold"
    assert "my_hold" in list_names("agents")


def test_a_files_one_definition_needs_no_colon(mine: Path) -> None:
    """Without a colon the name stands for what is named after the file, else the only thing."""
    write_agent(mine, "only_hold", HOLD + "\n_HIDDEN = 1\n")
    assert load("agents.only_hold").__name__ == "Hold"
    write_agent(mine, "two_steps", HOLD + "\nclass TwoSteps(Hold):\n    pass\n")
    assert load("agents.two_steps").__name__ == "TwoSteps"


def test_a_bare_function_is_found(mine: Path) -> None:
    """A function named after its file is an agent; what the file imports is not its own."""
    source = "from math import sqrt\n\n\ndef my_rule(observation):\n    return 0.5\n"
    write_agent(mine, "my_rule", source)
    assert load("agents.my_rule")(None) == 0.5


def test_several_definitions_ask_for_a_name(mine: Path) -> None:
    """Where nothing is named after the file, the message lists what there is."""
    write_agent(mine, "several", HOLD + "\nclass Other(Hold):\n    pass\n")
    assert "Hold, Other" in refusal_of("agents.several")


def test_an_empty_file_says_that_it_defines_nothing(mine: Path) -> None:
    """A file without a class or function names its lack."""
    write_agent(mine, "empty", "")
    assert "defines nothing" in refusal_of("agents.empty")


def test_an_unknown_file_names_the_nearest(mine: Path) -> None:
    """A typing error is answered with what was meant."""
    write_agent(mine, "momentum_mine")
    message = refusal_of("agents.momentum_mnie")
    assert "did you mean 'momentum_mine'?" in message
    assert "seawall list agents" in message


def test_an_unknown_definition_names_the_nearest(mine: Path) -> None:
    """A typing error behind the colon is answered too."""
    write_agent(mine, "holder")
    assert "did you mean 'Hold'?" in refusal_of("agents.holder:Hodl")


def test_what_a_file_imports_cannot_be_named(mine: Path) -> None:
    """A recipe runs what a file defines, not a program that it happens to import."""
    source = "from subprocess import Popen\nfrom math import pi\n" + HOLD + "\n_hidden = Hold()\n"
    write_agent(mine, "pop", source + "made = Hold()\n")
    assert "must define 'Popen' itself, has it from subprocess" in refusal_of("agents.pop:Popen")
    assert "must define 'pi' itself" in refusal_of("agents.pop:pi")
    for name in ("_hidden", "__builtins__", "__class__"):
        assert f"defines no {name!r}" in refusal_of(f"agents.pop:{name}")
    assert type(load("agents.pop:made")) is load("agents.pop:Hold")


def test_what_a_sibling_defines_can_be_named(mine: Path) -> None:
    """A file may hand on what another file of Seawall's folders defines."""
    write_agent(mine, "origin")
    write_agent(mine, "handed_on", "from .origin import Hold\n")
    assert load("agents.handed_on:Hold").__module__ == "seawall.agents.origin"


@pytest.mark.parametrize("name", ["hold", "agents", "agents.", "backtests.demo", "os.path", ""])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    """Only agents and strategies can be loaded: a recipe cannot name other code."""
    assert "a name is agents.FILE, strategies.FILE" in refusal_of(name)


@pytest.mark.parametrize("name", ["agents.../x", "agents.a-b", "agents._private", "agents.a..b"])
def test_a_name_that_is_no_module_is_refused(name: str) -> None:
    """A path cannot be smuggled in as a name."""
    assert "no module name" in refusal_of(name)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("raise ValueError('no key')\n", "ValueError: no key"),
        ("x = 1 / 0\n", "ZeroDivisionError"),
        ("import sys\n\nsys.exit()\n", "SystemExit"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(mine: Path, source: str, reason: str) -> None:
    """Whatever a user's file raises arrives as one line with the file's name."""
    write_agent(mine, "broken_file", source)
    message = refusal_of("agents.broken_file")
    assert "agents/broken_file.py" in message
    assert reason in message


def test_a_missing_package_is_named_with_its_remedy(mine: Path) -> None:
    """An agent that needs what is not installed says what to install: the package, not its part."""
    write_agent(mine, "needy", "import no_such_package_here.part\n")
    assert "pip install no_such_package_here," in refusal_of("agents.needy")


def test_a_missing_sibling_is_not_taken_for_a_package(mine: Path) -> None:
    """Nobody is told to pip install a file of the workspace."""
    write_agent(mine, "lonely", "from .absent import Absent\n")
    message = refusal_of("agents.lonely")
    assert "imports seawall.agents.absent" in message
    assert "pip" not in message


def test_hidden_and_private_files_are_no_agents(mine: Path) -> None:
    """What an editor or a Mac leaves behind is not listed."""
    for name in (".#hold", "._hold", "_shared", "__init__"):
        write_agent(mine, name)
    assert not {".#hold", "._hold", "_shared", "__init__"} & set(list_names("agents"))


def test_folders_are_the_shipped_one_then_the_users(mine: Path) -> None:
    """The shipped folder comes first, so a user's file can add and never replace."""
    shipped, theirs = folders("agents", str(Path(seawall.__file__).parent / "agents"))
    assert shipped == next(iter(seawall.agents.__path__))
    assert theirs == str(mine / "agents")


def make_installed(folder: Path) -> Path:
    """Return a package folder as a wheel lays it down, with one shipped agent and one recipe."""
    for kind, files in (("agents", ("hold.py", "_rules.py")), ("backtests", ("demo.toml",))):
        (folder / "seawall" / kind).mkdir(parents=True)
        for file in (*files, "__init__.py"):
            (folder / "seawall" / kind / file).touch()
    return folder / "seawall"


@pytest.mark.parametrize(
    ("kind", "file"),
    [("agents", "hold.py"), ("agents", "_rules.py"), ("backtests", "demo.toml")],
)
def test_a_users_file_with_a_shipped_name_is_refused(mine: Path, kind: str, file: str) -> None:
    """Two files of one name would make a recipe mean two things."""
    package = make_installed(mine / "site") / kind
    (mine / kind / file).touch()
    with pytest.raises(WorkspaceError, match=f"{kind}/{file} ships with Seawall; give the one in"):
        folders(kind, str(package))


def test_an_installed_package_ships_its_own_folder(mine: Path) -> None:
    """A stray pyproject.toml in site-packages, and somebody's `agents` there, change nothing."""
    package = make_installed(mine / "site") / "agents"
    (mine / "site" / "pyproject.toml").touch()
    (mine / "site" / "agents").mkdir()
    assert folders("agents", str(package)) == [str(package), str(mine / "agents")]


def test_a_checkout_ships_its_top_level_folder(tmp_path: Path) -> None:
    """In a checkout the package's own folder holds an __init__.py alone."""
    (tmp_path / "pyproject.toml").touch()
    package = tmp_path / "seawall" / "agents"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "agents").mkdir()
    assert folders("agents", str(package))[0] == str(tmp_path / "agents")


def test_a_variable_that_names_no_workspace_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error in the variable is told: the agents meant would be missed silently."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(workspace_folders, "WORKSPACE", workspace_folders._find_workspace())
    assert workspace_folders.WORKSPACE is None
    with pytest.raises(WorkspaceError, match=f"{VARIABLE} must name a folder that holds agents"):
        folders("agents", str(Path(seawall.__file__).parent / "agents"))


@pytest.mark.parametrize("missing", KINDS)
def test_a_working_directory_needs_all_three_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Code is not run from a folder that merely has an ``agents`` in it."""
    for kind in set(KINDS) - {missing}:
        (tmp_path / kind).mkdir()
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert workspace_folders._find_workspace() is None
    assert VARIABLE not in os.environ


def test_a_workspace_is_pinned_for_child_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative name becomes absolute, so that a child in another directory agrees."""
    for kind in KINDS:
        (tmp_path / "mine" / kind).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "mine")
    assert workspace_folders._find_workspace() == tmp_path / "mine"
    assert os.environ[VARIABLE] == str(tmp_path / "mine")


def test_a_recipe_is_found_by_name_and_by_path(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare word is a name in ``backtests/``; what looks like a path is one."""
    recipe = mine / "backtests" / "my_crash.toml"
    recipe.touch()
    assert find_recipe("my_crash") == recipe
    assert find_recipe(str(recipe)) == recipe
    monkeypatch.chdir(mine)
    assert find_recipe("backtests/my_crash.toml") == Path("backtests/my_crash.toml")
    assert "my_crash" in list_names("backtests")


def test_an_unknown_recipe_names_the_nearest(mine: Path) -> None:
    """A typing error in a recipe's name is answered with what was meant."""
    (mine / "backtests" / "my_crash.toml").touch()
    with pytest.raises(WorkspaceError, match="did you mean 'my_crash'"):
        find_recipe("my_crahs")


def test_an_absent_recipe_file_is_said_to_be_absent(tmp_path: Path) -> None:
    """A path is not looked up among the names."""
    with pytest.raises(WorkspaceError, match="there is no recipe file"):
        find_recipe(str(tmp_path / "absent.toml"))


def test_a_plugin_adds_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution's entry point is an agent under its own name."""
    add_plugin(tmp_path, "acme_hold", "acme.hold = acme_hold_code:Hold")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "acme.hold" in list_names("agents")
    assert load("agents.acme.hold").__module__ == "acme_hold_code"


def test_a_file_comes_before_a_plugin(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package cannot take the place of an agent that is already there."""
    write_agent(mine, "contested")
    add_plugin(tmp_path / "site", "acme_contest", "contested = acme_contest_code:Hold")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert load("agents.contested").__module__ == "seawall.agents.contested"


def test_a_broken_plugin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plugin raises arrives as one line with its name and where it is."""
    add_plugin(tmp_path, "acme_bad", "bad = acme_bad_code:Hold", "raise RuntimeError('gone')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = refusal_of("agents.bad")
    assert "acme_bad_code:Hold" in message
    assert "RuntimeError: gone" in message


def test_two_plugins_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of two is meant would depend on the order of installation."""
    for name in ("acme_one", "acme_two"):
        add_plugin(tmp_path, name, f"twin = {name}_code:Hold")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "two packages call a plugin agents.twin" in refusal_of("agents.twin")


def test_shipped_content_is_listed() -> None:
    """The folders of this version of Seawall are joined: each holds something."""
    assert "buy_and_hold" in list_names("agents")
    assert "spot_trading" in list_names("strategies")
    assert "demo" in list_names("backtests")
