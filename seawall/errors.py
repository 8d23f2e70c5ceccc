"""Every error that Seawall raises on purpose.

The tree::

    SeawallError            exit code 1
    ├── RecipeError         2   a recipe, or a parameter in it, is not allowed
    ├── DataError           3   market data is missing or not usable
    │   └── SeriesNotFound      the catalog has no such series
    ├── ExchangeError       4   an exchange is down, limits us, or does not have what was asked
    ├── WorkspaceError      5   agents, strategies or recipes cannot be found or loaded
    ├── AgentError          6   an agent breaks the contract, or fails its conformance suite
    │   └── AgentLost           an agent is gone for good, or cannot do this job: the run stops
    ├── ResultError         7   a stored result cannot be read
    ├── LedgerError         8   the books do not balance: a defect of Seawall, please report it
    ├── Refused             9   a protocol forbids an operation
    ├── ToolError           10  a program or package that a proof needs is missing or fails
    ├── PaperError          11  a paper session cannot start or go on: ``seawall.paper.errors``
    └── RecordingError      12  a recording lacks what a replay asks of it, or cannot be used

A message gives the rule, the value and the remedy, in that order and in one line.
"""


class SeawallError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class RecipeError(SeawallError):
    """A recipe, or a parameter in it, is not allowed."""

    exit_code = 2


class DataError(SeawallError):
    """Market data is missing or not usable."""

    exit_code = 3


class SeriesNotFound(DataError):  # noqa: N818 - reads as what happened
    """The catalog has no such series."""


class ExchangeError(SeawallError):
    """An exchange is down, limits us, or does not have what was asked."""

    exit_code = 4


class WorkspaceError(SeawallError):
    """Agents, strategies or recipes cannot be found or loaded."""

    exit_code = 5


class AgentError(SeawallError):
    """An agent breaks the contract, or fails its conformance suite."""

    exit_code = 6


class AgentLost(AgentError):  # noqa: N818 - reads as what happened
    """An agent in another process is gone for good, or one cannot do its job: the run stops."""


class ResultError(SeawallError):
    """A stored result cannot be read."""

    exit_code = 7


class LedgerError(SeawallError):
    """The books do not balance: a defect of Seawall, please report it."""

    exit_code = 8


class Refused(SeawallError):  # noqa: N818 - reads as what happened
    """A protocol forbids an operation; the message starts with the contract's own error."""

    exit_code = 9


class ToolError(SeawallError):
    """A program or package that a proof needs is missing or fails."""

    exit_code = 10


class RecordingError(SeawallError):
    """A recording of an agent lacks what a replay asks of it, or cannot be used: the run stops."""

    exit_code = 12
