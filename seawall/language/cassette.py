"""The recording that every call to a model goes through: one SQLite file.

Modes: ``record`` answers what it holds and makes the other calls, each written before its answer
is used; ``replay`` makes none, needs no key and no network, and stops the run at the first request
it does not hold; ``refresh`` makes every call again and writes over what was there.

A request that is made twice in a run is told apart by its number: the same question may have got
two answers. Each row carries a hash of itself, so that a damaged one is refused. Several processes
may record into one file: who is first with a row wins, and the others use it.
"""

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from seawall.errors import RecordingError
from seawall.language.request import Reply, Request
from seawall.units import SECOND_MS

Mode = Literal["record", "replay", "refresh"]
MODES: tuple[Mode, ...] = ("record", "replay", "refresh")
SCHEMA = "1"
SUFFIX = ".cassette"
_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS calls (
    key TEXT NOT NULL, number INTEGER NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL,
    request TEXT NOT NULL, reply TEXT NOT NULL, recorded_ms INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (key, number)
) STRICT;
"""
Call = Callable[[Request], Reply]


class Recorded(NamedTuple):
    """One row: the ``number``-th request with this key, and what came back."""

    key: str
    number: int
    model: str
    prompt: str
    request: str
    reply: Reply
    recorded_ms: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a cassette holds.

    Attributes:
        n_calls, n_failed: rows, and those without an answer.
        models, prompts: what was asked, and with which versions of the prompt.
        input_tokens, output_tokens: in all.
        mean_latency_ms: of the calls.
        first_ms, last_ms: when they were recorded, UTC milliseconds; 0 where there are none.
        label: what has to be said wherever its numbers are shown.
    """

    n_calls: int
    n_failed: int
    models: tuple[str, ...]
    prompts: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    mean_latency_ms: float
    first_ms: int
    last_ms: int
    label: str


class Cassette:
    """A recording of calls to a model.

    Args:
        path: of the file; made in the modes that write, with its folder.
        mode: ``record``, ``replay`` or ``refresh``.
        now_ms: the clock that rows are dated by.

    Raises:
        RecordingError: there is none to replay, it is no cassette, or another version's.
    """

    def __init__(
        self, path: Path, mode: Mode = "record", *, now_ms: Callable[[], int] | None = None
    ) -> None:
        self.path, self.mode = path, mode
        self._now_ms = now_ms or _wall_clock_ms
        self.counts: Counter[str] = Counter()
        if mode == "replay" and not path.is_file():
            raise RecordingError(
                f"a replay needs a cassette, there is no {path}: record one with "
                'agent.mode = "record", a key and an endpoint'
            )
        if mode != "replay":
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unusable(path, error) from None
        self._check()

    def ask(self, request: Request, call: Call) -> Reply:
        """Return what came back of a request: recorded, or by ``call`` and then recorded.

        Raises:
            RecordingError: a replay lacks it, or its row is damaged.
        """
        key = request.key
        number = self.counts[key]
        found = None if self.mode == "refresh" else self._find(key, number)
        if found is None:
            if self.mode == "replay":
                raise RecordingError(self._explain_miss(request, number))
            found = self._write(request, number, call(request))
        self.counts[key] = number + 1
        return found

    def rows(self) -> Iterator[Recorded]:
        """Return every call, by time and key.

        Raises:
            RecordingError: a row is damaged.
        """
        with self._opened() as connection:
            found = connection.execute(
                "SELECT key, number, model, prompt, request, reply, recorded_ms, digest "
                "FROM calls ORDER BY recorded_ms, key, number"
            ).fetchall()
        for *row, digest in found:
            yield self._read(tuple(row), digest)

    def summary(self) -> Summary:
        """Return what the cassette holds."""
        rows = list(self.rows())
        replies = [row.reply for row in rows]
        return Summary(
            n_calls=len(rows),
            n_failed=sum(bool(reply.error) for reply in replies),
            models=tuple(sorted({row.model for row in rows})),
            prompts=tuple(sorted({row.prompt for row in rows})),
            input_tokens=sum(reply.input_tokens for reply in replies),
            output_tokens=sum(reply.output_tokens for reply in replies),
            mean_latency_ms=sum(one.latency_ms for one in replies) / max(len(replies), 1),
            first_ms=rows[0].recorded_ms if rows else 0,
            last_ms=rows[-1].recorded_ms if rows else 0,
            label=self.label,
        )

    @property
    def label(self) -> str:
        """What has to be said wherever its numbers are shown; ``""``: nothing."""
        with self._opened() as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'label'").fetchone()
        return "" if row is None else str(row[0])

    def set_label(self, label: str) -> None:
        """Say what has to be told of the recording, such as ``"scripted"``."""
        with self._opened() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('label', ?)", (label,))

    # The file -------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; whatever SQLite finds wrong with the file is one kind of error."""
        try:
            with closing(self._open()) as connection:
                yield connection
        except (OSError, sqlite3.Error, UnicodeError) as error:
            raise _unusable(self.path, error) from None

    def _open(self) -> sqlite3.Connection:
        """Return a connection; a replay can neither write nor make the file."""
        if self.mode == "replay":
            # A folder that may not be written to, such as an installed package's, is no matter.
            is_still = not os.access(self.path.parent, os.W_OK)
            address = f"{self.path.resolve().as_uri()}?mode=ro" + "&immutable=1" * is_still
            return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _check(self) -> None:
        with self._opened() as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if tables and "meta" not in tables:
                raise RecordingError(
                    f"{self.path} must be a cassette, it is another database: name another file"
                )
            if self.mode != "replay":
                with connection:
                    connection.executescript(_TABLES)
                    connection.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (SCHEMA,))
            row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        if row is None or row[0] != SCHEMA:
            raise RecordingError(
                f"a cassette must be of version {SCHEMA}, {self.path} says "
                f"{None if row is None else row[0]!r}: record it again with this Seawall"
            )

    def _find(self, key: str, number: int) -> Reply | None:
        with self._opened() as connection:
            found = connection.execute(
                "SELECT key, number, model, prompt, request, reply, recorded_ms, digest "
                "FROM calls WHERE key = ? AND number = ?",
                (key, number),
            ).fetchone()
        if found is None:
            return None
        *row, digest = found
        return self._read(tuple(row), digest).reply

    def _write(self, request: Request, number: int, reply: Reply) -> Reply:
        """Write a row, and return what the file has: another process may have been first."""
        text = json.dumps(asdict(reply), sort_keys=True, separators=(",", ":"))
        row = (
            request.key, number, request.model, request.prompt, request.canonical(), text,
            self._now_ms(),
        )  # fmt: skip
        how = "REPLACE" if self.mode == "refresh" else "IGNORE"
        with self._opened() as connection, connection:
            connection.execute(
                f"INSERT OR {how} INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - two words of our own
                (*row, _digest(row)),
            )
        found = self._find(request.key, number)
        if found is None:
            raise RecordingError(
                f"what is written to {self.path} must be there, is not: another process takes rows "
                "out of it; give each its own cassette"
            )
        return found

    def _read(self, row: tuple[object, ...], digest: str) -> Recorded:
        if _digest(row) != digest:
            raise RecordingError(
                f"a row of {self.path} must have the hash it says, {str(row[0])[:12]} number "
                f"{row[1]} has not: it is damaged; record it again"
            )
        key, number, model, prompt, request, reply, recorded_ms = row
        return Recorded(
            str(key), int(str(number)), str(model), str(prompt), str(request),
            Reply(**json.loads(str(reply))), int(str(recorded_ms)),
        )  # fmt: skip

    def _explain_miss(self, request: Request, number: int) -> str:
        held = self.summary()
        what = f"{self.path} holds no answer to request {request.key[:12]} (number {number})"
        if request.model not in held.models:
            what += f": it is of the model {', '.join(held.models) or 'none'}, not {request.model}"
        elif request.prompt not in held.prompts:
            what += f": it is of prompt {', '.join(held.prompts)}, not {request.prompt}"
        else:
            what += ": the market, the job, the prompt's settings or Seawall differ from then"
        return f"a replay must hold every request, {what}; record it again"


def read_cassette(path: Path) -> Cassette:
    """Return a cassette to look into.

    Raises:
        RecordingError: there is none, or it is another version's.
    """
    return Cassette(path, "replay")


def _digest(row: tuple[object, ...]) -> str:
    return sha256("\0".join(str(value) for value in row).encode()).hexdigest()


def _unusable(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"a cassette must be a readable SQLite file, {path} is not ({error!s:.90}): check the "
        "folder, or record it again under another name"
    )


def _wall_clock_ms() -> int:
    return int(time.time() * SECOND_MS)
