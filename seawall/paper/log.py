"""The log of a session: one JSON object a line, without secrets, readable by this user only."""

import json
import os
from pathlib import Path
from typing import Self

from seawall.paper.errors import PaperError
from seawall.paper.redaction import Redactor
from seawall.units import to_time_text


class SessionLog:
    """Appends lines to a file; each is written at once.

    Args:
        file: made where there is none; ``None`` writes nothing.
        redactor: cleans every line.
    """

    def __init__(self, file: Path | None, redactor: Redactor) -> None:
        self._redactor, self._handle = redactor, -1
        if file is not None:
            self._handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
            self._end_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def write(self, kind: str, time_ms: int, **fields: object) -> None:
        """Write one line: when, on the exchange's clock, what, and whatever else there is to say.

        A value that is no JSON is written as text; a number that is none as ``null``.

        Raises:
            PaperError: it cannot be written: the disk is full, say.
        """
        if self._handle < 0:
            return
        line = {"time": to_time_text(time_ms // 1000 * 1000), "time_ms": time_ms, "kind": kind}
        text = json.dumps(_to_plain({**line, **fields}), default=str, allow_nan=False)
        try:
            self._put(self._redactor.clean(text) + "\n")
        except OSError as error:
            raise PaperError(
                f"a session has a log, it cannot be written ({error.strerror}): free the disk, "
                "then start the session again; its journal has what was confirmed"
            ) from error

    def _put(self, text: str) -> None:
        rest = text.encode()
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def _end_line(self) -> None:
        """End a line that an earlier session could not write to its end."""
        if os.fstat(self._handle).st_size:
            os.lseek(self._handle, -1, os.SEEK_END)
            if os.read(self._handle, 1) != b"\n":
                self._put("\n")


def _to_plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _to_plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(one) for one in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
