"""The error tree: one base, one exit code each, drawn in its docstring."""

import inspect

import pytest

from seawall import errors
from seawall.errors import SeawallError

TREE = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, SeawallError)
]
# Those that add no exit code of their own: they are a special case of the class above them.
SPECIAL_CASES = {"SeriesNotFound", "AgentLost"}


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_every_error_is_drawn_in_the_tree(error: type[SeawallError]) -> None:
    """The docstring of the module shows the whole tree, with the exit code of each."""
    documentation = errors.__doc__ or ""
    line = next((x for x in documentation.splitlines() if error.__name__ in x), "")
    assert line, f"{error.__name__} is not drawn"
    assert error.__name__ in SPECIAL_CASES or str(error.exit_code) in line.split()


def test_exit_codes_tell_the_errors_apart() -> None:
    """A script that calls the command line can tell from the exit code what went wrong."""
    codes = [error.exit_code for error in TREE if error.__name__ not in SPECIAL_CASES]
    assert len(set(codes)) == len(codes)
    assert min(codes) == SeawallError.exit_code == 1


def test_exit_codes_are_stable() -> None:
    """Lock-in: these numbers are part of what scripts rely on."""
    assert {error.__name__: error.exit_code for error in TREE} == {
        "SeawallError": 1,
        "RecipeError": 2,
        "DataError": 3,
        "SeriesNotFound": 3,
        "ExchangeError": 4,
        "WorkspaceError": 5,
        "AgentError": 6,
        "AgentLost": 6,
        "ResultError": 7,
        "LedgerError": 8,
        "Refused": 9,
        "ToolError": 10,
        "RecordingError": 12,
    }


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_an_error_says_its_message_alone(error: type[SeawallError]) -> None:
    """The command line prints ``str(error)``: one line, without the class's name."""
    assert str(error("capital must be > 0, is -1: give it in quote units")) == (
        "capital must be > 0, is -1: give it in quote units"
    )
