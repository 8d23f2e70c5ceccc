"""A TOML script of what goes wrong, and when: faults of requests, and the operator's own verbs.

::

    [[fault]]                 # a fault of requests, as ``faults`` describes it
    path = "/api/v3/order$"
    stage = "after"
    is_drop = true
    n = 3
    after = "10m"             # of the exchange's time, since it opened; or at = 2024-08-05T01:00
    for = "5m"                # or until = 2024-08-05T01:05; for good where neither is said

    [[do]]                    # what the admin API does: price, skew, maintenance, sockets, events,
    verb = "price"            # liquidity, deposit, clear
    after = "1h"
    symbol = "ETH/USDT"
    factor = 0.8
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from seawall.errors import RecipeError
from seawall.sandbox.faults import Fault, read_fault
from seawall.units import to_duration_ms, to_time_ms

Table = Mapping[str, object]
_TIMES = ("at", "after", "until", "for")


@dataclass(frozen=True, kw_only=True)
class Act:
    """One verb of the operator, at a time of the exchange."""

    time_ms: int
    verb: str
    table: Table


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a script says: faults that wait, and acts in the order of their times."""

    faults: list[Fault] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)


def read_script(text: str, *, begin_ms: int, verbs: Collection[str]) -> Script:
    """Return what a script says.

    Args:
        text: TOML.
        begin_ms: the exchange's time from which ``after`` counts.
        verbs: what may be done.

    Raises:
        RecipeError: it is no TOML, or says what is no fault, no verb or no time.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"a script of faults is TOML, this is not: {error}") from None
    strange = sorted(whole.keys() - {"fault", "do"})
    if strange:
        raise RecipeError(f"a script has [[fault]] and [[do]], not {strange[0]!r}: remove it")
    faults = [_read_fault(table, begin_ms) for table in _tables(whole, "fault")]
    acts = [_read_act(table, begin_ms, verbs) for table in _tables(whole, "do")]
    return Script(faults=faults, acts=sorted(acts, key=lambda act: act.time_ms))


def _tables(whole: Table, name: str) -> list[Table]:
    tables = whole.get(name, [])
    if not isinstance(tables, list):
        raise RecipeError(
            f"a script has tables [[{name}]], there is one [{name}]: double the brackets"
        )
    return tables


def _read_fault(table: Table, begin_ms: int) -> Fault:
    since_ms, until_ms = _read_times(table, begin_ms)
    rest = {name: value for name, value in table.items() if name not in _TIMES}
    return read_fault(rest | {"since_ms": since_ms, "until_ms": until_ms})


def _read_act(table: Table, begin_ms: int, verbs: Collection[str]) -> Act:
    time_ms, until_ms = _read_times(table, begin_ms)
    verb = table.get("verb")
    if verb not in verbs:
        raise RecipeError(f"a script does {', '.join(verbs)}, is {verb!r}: choose one")
    if not time_ms or until_ms:
        raise RecipeError(f"{verb} is done once: give it at or after, and neither until nor for")
    rest = {name: value for name, value in table.items() if name not in {"verb", *_TIMES}}
    return Act(time_ms=time_ms, verb=str(verb), table=rest)


def _read_times(table: Table, begin_ms: int) -> tuple[int, int]:
    """Return from when to when something holds, 0 for always."""
    if {"at", "after"} <= table.keys() or {"until", "for"} <= table.keys():
        raise RecipeError("a time is said once: at or after, until or for; remove one")
    since_ms = to_time_ms(str(table["at"])) if "at" in table else 0
    if "after" in table:
        since_ms = begin_ms + to_duration_ms(str(table["after"]))
    until_ms = to_time_ms(str(table["until"])) if "until" in table else 0
    if "for" in table:
        until_ms = (since_ms or begin_ms) + to_duration_ms(str(table["for"]))
    return since_ms, until_ms
