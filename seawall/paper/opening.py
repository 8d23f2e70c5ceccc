"""From a plan to a session that is ready to run, and what has to be closed after it.

The order matters: the venue is on the allow-list, keys are a sandbox's, the account is locked, the
switch is off, the journal can be read, belief and truth agree; only then is the agent made.

An earlier session is continued. In the shadow its bars are run once more, with what its agent has
said, so the account is what it was; in a sandbox the account is the exchange's, open orders are
taken over, and the agent is asked at the next close as if it had just been woken.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from seawall.paper.errors import PaperError
from seawall.paper.opening_parts import Opening, Surroundings
from seawall.paper.opening_sandbox import open_sandbox
from seawall.paper.opening_shadow import open_shadow
from seawall.paper.plan import Plan
from seawall.paper.session import PaperSession

__all__ = ["Surroundings", "open_session"]
HASTY = "ended at once by a second Ctrl-C; what is open stays open"


@contextmanager
def open_session(plan: Plan, around: Surroundings | None = None) -> Iterator[PaperSession]:
    """Give a session that is ready to run; its end is written down, whatever happens.

    Raises:
        PaperError: it cannot begin; see the classes below it for why.
        SeawallError: the agent or the strategy cannot be made.
    """
    with ExitStack() as stack:
        opening = Opening(plan, around or Surroundings(), stack)
        try:
            keys = opening.prepare()
            yield open_shadow(opening) if keys is None else open_sandbox(opening, keys)
        except BaseException as error:
            is_hasty = isinstance(error, KeyboardInterrupt)
            with suppress(PaperError):  # of a full disk, say: what is raised is the first
                opening.end(HASTY if is_hasty else opening.redactor.clean_error(error))
            raise
        opening.end(opening.why())
