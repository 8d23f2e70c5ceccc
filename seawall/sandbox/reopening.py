"""An exchange that goes on where it was stopped or killed: from its description and its file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from seawall.market.catalog import Catalog
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.opening import Opening, open_exchange
from seawall.sandbox.state import State, saved_number, saved_time_ms


@dataclass(frozen=True, kw_only=True)
class Member:
    """One account that an exchange opens with.

    Attributes:
        balances: of the spot wallet; ``futures``: in the futures wallet; plain units.
    """

    name: str
    key: str
    secret: str = field(repr=False)
    balances: Mapping[str, float] = field(default_factory=dict)
    futures: float = 0.0


class Opened(NamedTuple):
    """An exchange, its file if it has one, and by how much its history is shifted."""

    exchange: Exchange
    state: State | None
    shift_ms: int


def open_saved(
    opening: Opening,
    catalog: Catalog,
    *,
    now_ms: int,
    members: Iterable[Member] = (),
    path: Path | None = None,
    settings: Settings | None = None,
) -> Opened:
    """Return an exchange with its accounts; with a file, as it was when that was last written.

    The markets stand where they stood then, and what has happened since at the clock's pace happens
    first. Accounts of the file are as the file says, others as ``members`` says.

    Args:
        opening: what is listed; a file's own choice of history and shift counts.
        catalog: where series are read from.
        now_ms: the wall's time.
        members: accounts to open.
        path: the file, made where there is none; None: nothing is kept.
        settings: fees and limits.

    Raises:
        RecipeError, DataError, SeriesNotFound: as ``open_exchange`` and ``State``.
    """
    since_ms = opening.since_ms
    if path is not None:
        saved = saved_number(path, "since_ms")
        since_ms = saved if saved is not None else since_ms
        shift_ms = saved_number(path, "shift_ms")
        opening = replace(
            opening,
            since_ms=since_ms,
            shift_ms=opening.shift_ms if shift_ms is None else shift_ms,
            resume_ms=saved_time_ms(path),
        )
    if since_ms is None and opening.markets and opening.markets[0].startswith("simulated:"):
        since_ms = now_ms
        opening = replace(opening, since_ms=since_ms)
    exchange, shift_ms = open_exchange(opening, catalog, now_ms=now_ms, settings=settings)
    for one in members:
        exchange.open_account(
            one.name, key=one.key, secret=one.secret, balances=one.balances, futures=one.futures
        )
    if path is None:
        return Opened(exchange, None, shift_ms)
    state = State(path, exchange)
    state.remember("shift_ms", str(shift_ms))
    if since_ms is not None:
        state.remember("since_ms", str(since_ms))
    state.note_accounts()
    return Opened(exchange, state, shift_ms)
