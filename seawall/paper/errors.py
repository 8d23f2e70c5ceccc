"""What paper trading raises on purpose.

The tree::

    PaperError              exit code 11   a paper session cannot start or go on
    ├── GuardRefused              a request, a client or a market that is not on the allow-list
    ├── KeysRefused               keys are missing, kept carelessly, or may be those of production
    ├── JournalError              the journal cannot be read, or a step is not allowed in it
    ├── AccountLocked             another session holds the account
    └── NotReconciled             the exchange and the journal differ, and nobody adopted it
"""

from seawall.errors import SeawallError


class PaperError(SeawallError):
    """A paper session cannot start or go on."""

    exit_code = 11


class GuardRefused(PaperError):  # noqa: N818 - reads as what happened
    """A request, a client or a market is not on the allow-list; no socket was opened."""


class KeysRefused(PaperError):  # noqa: N818 - reads as what happened
    """Keys are missing, kept carelessly, or may be those of production."""


class JournalError(PaperError):
    """The journal cannot be read, or a step is not allowed in it."""


class AccountLocked(PaperError):  # noqa: N818 - reads as what happened
    """Another session holds the account."""


class NotReconciled(PaperError):  # noqa: N818 - reads as what happened
    """The exchange and the journal differ, and the difference was not adopted."""
