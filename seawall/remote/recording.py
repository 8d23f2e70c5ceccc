"""What a remote agent has answered, kept so that a run with it can be reproduced.

A file of JSON lines: a header, then one line for each question asked, with its key, the answer as
it came or why there was none, and how long it took. The key of a question is a hash of everything
that was asked before it and of itself, so the same history has the same answer, and the two passes
of a run share what they have in common. A line that a crash has cut short is no line.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import SpooledTemporaryFile

from seawall import workspace_folders
from seawall.errors import RecipeError, RecordingError
from seawall.remote.form import PROTOCOL

SUFFIX = ".jsonl"
_HEADER: dict[str, object] = {"seawall_recording": 1, "protocol": PROTOCOL}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What came of one question.

    Attributes:
        answer: as it came, or ``None``.
        failure: why there is no answer; ``""`` where there is one.
        latency_ms: from the question to the answer, whole milliseconds.
    """

    answer: str | None
    failure: str = ""
    latency_ms: int = 0


def next_key(before: str, message: bytes) -> str:
    """Return the key of a question that follows the one with key ``before``."""
    return sha256(before.encode() + message).hexdigest()


class Recording:
    """The answers in one file; what is kept is on disk before it is used.

    Args:
        path: a ``.jsonl`` file; a relative one lies in the workspace, or the working directory.

    Raises:
        RecipeError: the path is none of a recording.
        RecordingError: the file is no recording, or one of another version.
    """

    def __init__(self, path: str) -> None:
        if not path.endswith(SUFFIX):
            raise RecipeError(f"agent.recording must be a {SUFFIX} file, is {path!r}: rename it")
        self.path = (workspace_folders.WORKSPACE or Path.cwd()) / path
        self._known: dict[str, Recorded] = {}
        self._is_whole = False  # whether the last line is known to have its end
        if self.path.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: str) -> Recorded | None:
        """Return what came of a question, or ``None`` where it has not been asked."""
        return self._known.get(key)

    def keep(self, key: str, recorded: Recorded) -> None:
        """Write down what came of a question.

        Raises:
            RecordingError: the file cannot be written.
        """
        line: dict[str, object] = {"key": key, "latency_ms": recorded.latency_ms}
        if recorded.failure:
            line["failure"] = recorded.failure
        else:
            line["answer"] = recorded.answer
        try:
            self._append(line)
        except OSError as error:
            raise RecordingError(
                f"a recording must be written, {self.path} cannot be ({error}): name another file"
            ) from None
        self._known[key] = recorded

    def _append(self, line: dict[str, object]) -> None:
        """Add one line in one write, behind the last whole one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                file.write(_to_line(_HEADER))
            elif not self._is_whole:
                file.seek(size - 1)
                if file.read(1) != b"\n":  # what a crash has cut short
                    file.write(b"\n")
            file.write(_to_line(line))
            self._is_whole = True

    def _read(self) -> None:
        try:
            first, *lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise RecordingError(f"a recording must be readable: {error}") from None
        header = _parse(first)
        if header != _HEADER:
            what = "is of another version" if "seawall_recording" in header else "is none"
            raise RecordingError(
                f"a recording begins with {_HEADER}, {self.path} {what}: name another file, or "
                "record it again"
            )
        for line in lines:
            entry = _parse(line)
            key, answer = entry.get("key"), entry.get("answer")
            latency_ms = entry.get("latency_ms")
            failure = str(entry.get("failure", ""))
            has_answer = isinstance(answer, str)
            if not (isinstance(key, str) and isinstance(latency_ms, int)) or has_answer == bool(
                failure
            ):
                continue  # cut short
            recorded = Recorded(
                answer=str(answer) if has_answer else None, failure=failure, latency_ms=latency_ms
            )
            self._known.setdefault(key, recorded)  # whoever was first has been used


class Backlog:
    """Questions that an agent has not been shown, in order; many of them lie on disk."""

    def __init__(self) -> None:
        self._file: SpooledTemporaryFile[bytes] | None = None
        self._sizes: list[tuple[int, int]] = []

    def add(self, sequence: int, message: bytes) -> None:
        """Append one."""
        if self._file is None:
            self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by clear
        self._file.write(message)
        self._sizes.append((sequence, len(message)))

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and message of each."""
        if self._file is None:
            return
        self._file.seek(0)
        for sequence, size in self._sizes:
            yield sequence, self._file.read(size)
        self._file.seek(0, os.SEEK_END)

    def clear(self) -> None:
        """Forget them."""
        if self._file is not None:
            self._file.close()
        self._file, self._sizes = None, []


_IN_MEMORY = 8 * 1024 * 1024  # bytes


def _to_line(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes) -> dict[str, object]:
    """Return the object on a line; none where there is no whole one."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
