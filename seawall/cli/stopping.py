"""The end of ``seawall paper stop``: what a session did, or what is done where nothing runs."""

from pathlib import Path

from seawall.errors import SeawallError
from seawall.paper.errors import PaperError
from seawall.paper.finishing import finish
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import Order, find_end
from seawall.paper.opening import Surroundings
from seawall.paper.places import JOURNAL
from seawall.paper.status import Status


def describe_left(found: Status) -> str:
    """Return what a session that does not run has left, as far as its journal knows."""
    listed = ", ".join([*_held(found), *(f"the order {one}" for one in found.open_orders)])
    return f"as last known it has left {listed}" if listed else "as last known nothing is left"


def _held(found: Status) -> list[str]:
    held = [f"{size:.8g} {symbol}" for symbol, size in found.holdings.items() if size]
    return held + ["a loan"] * (found.session.recipe.loan is not None)


def find_told(place: Path, found: Status, order: Order, *, ran: bool) -> str:
    """Return what a session did at its end, ``""`` where it did not do all that is asked for.

    An exchange's account is looked at again where the session ended before the switch was pressed.
    """
    if not ran and found.session.setup.mode != "shadow":
        return ""
    with PaperJournal(place / JOURNAL) as journal:
        return find_end(journal, found.session.number, order) or ""


def finish_here(
    place: Path,
    found: Status,
    order: Order,
    *,
    adopt: bool,
    keys: Path | None,
    seconds: float,
) -> str:
    """Carry out the switch where nothing runs; return what was done.

    Raises:
        PaperError: not all of it was.
    """
    left = describe_left(found)
    if found.session.setup.mode == "shadow":
        if not (found.open_orders or (order == "flatten" and _held(found))):
            return f"it has ended; {left}"
        raise PaperError(
            f"a shadow is closed by its own session, it has ended and {left}: seawall paper stop "
            f"--release {place}, start it again, then press the switch while it runs"
        )
    try:
        around = Surroundings(keys_file=keys)
        stopped = finish(place, order, adopt=adopt, around=around, seconds=seconds)
    except SeawallError as error:
        raise PaperError(
            f"no session has done {order}, and here it is not done ({left}): {error}"
        ) from error
    if not stopped.is_done:
        raise PaperError(f"nothing runs, and {order} is not done ({stopped.text}): do it again")
    return f"nothing ran, it is done now: {stopped.text}"
