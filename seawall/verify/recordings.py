"""What contracts once answered, as numbers in a file, so that plain tests need no EVM.

A recording is a list of steps, each with what it gave or why it was refused and the health factor
of the user whose loan it was about, and every number of the market at the end.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seawall.verify.aave_market import (
    UNLIMITED,
    Difference,
    Market,
    Outcome,
    Step,
    compare_outcomes,
    perform,
)


def record(market: Market, steps: Iterable[Step]) -> dict[str, Any]:
    """Return what a fresh market answers to some steps, ready for JSON."""
    rows = [[*step.to_row(), *_answer(market, step)] for step in steps]
    return {"users": list(market.users), "rows": rows, "state": flatten(market)}


def steps_of(recording: Mapping[str, Any]) -> list[Step]:
    """Return the steps that were recorded."""
    return [Step.from_row(row[:-2]) for row in recording["rows"]]


def replay(market: Market, recording: Mapping[str, Any]) -> list[Difference]:
    """Return where a fresh market differs from a recording."""
    differences: list[Difference] = []
    for *row, gave, health in recording["rows"]:
        step = Step.from_row(row)
        found, found_health = _answer(market, step)
        differences += compare_outcomes(to_outcome(gave), to_outcome(found))
        if health != found_health:
            differences.append(Difference(f"{row}: health", health, found_health))
    return differences + _compare_flat(recording["state"], flatten(market))


def to_outcome(gave: str | list[int]) -> Outcome:
    """Return what a row of a recording says that a step gave."""
    return Outcome((), gave) if isinstance(gave, str) else Outcome(tuple(gave), None)


def flatten(market: Market, *, keeps_empty: bool = False) -> dict[str, int | list[str]]:
    """Return every number of a market that is not 0, by name; no debt, no health factor.

    ``keeps_empty``: sets that have nothing in them are kept too.
    """
    state: dict[str, int | list[str]] = {}
    owners = {asset: vars(market.reserve(asset)) for asset in market.symbols}
    owners |= {user: vars(market.user(user)) for user in market.users}
    for owner, fields in owners.items():
        for name, value in fields.items():
            if isinstance(value, Mapping):
                state |= {f"{owner}.{name}.{asset}": n for asset, n in value.items() if n}
            elif isinstance(value, frozenset):
                state |= {f"{owner}.{name}": sorted(value)} if value or keeps_empty else {}
            elif value not in {0, UNLIMITED}:
                state[f"{owner}.{name}"] = value
    return state


def write_recordings(path: Path, content: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write recordings one number or step a line: a change in one is a change in one line."""
    versions = []
    for version, recordings in content.items():
        texts = ",\n".join(_to_text(recording) for recording in recordings)
        versions.append(f"{json.dumps(version)}: [\n{texts}\n]")
    path.write_text("{\n" + ",\n".join(versions) + "\n}\n")


def _to_text(recording: Mapping[str, Any]) -> str:
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in recording["rows"])
    state = json.dumps(recording["state"], indent=0)
    users = json.dumps(recording["users"])
    return f'{{"users": {users},\n"rows": [\n{rows}\n],\n"state": {state}}}'


def _answer(market: Market, step: Step) -> tuple[str | list[int], int | None]:
    outcome = perform(market, step)
    owner = step.borrower or step.user
    health = market.user(owner).health_wad if owner else UNLIMITED
    return outcome.refused or list(outcome.gives), None if health == UNLIMITED else health


def _compare_flat(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    return [
        Difference(name, expected.get(name, 0), found.get(name, 0))
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name, 0) != found.get(name, 0)
    ]
