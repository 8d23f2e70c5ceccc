"""The log of a session: one JSON object a line, without secrets, readable by this user only."""

import json
import os
from pathlib import Path
from typing import Self

from seawall.paper.redaction import Redactor
from seawall.units import to_time_text


class SessionLog:
    """Appends lines to a file; each is written at once.

    Args:
        file: made where there is none; ``None`` writes nothing.
        redactor: cleans every line.
    """

    def __init__(self, file: Path | None, redactor: Redactor) -> None:
        self._redactor = redactor
        self._stream = None
        if file is not None:
            handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            self._stream = os.fdopen(handle, "w", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, kind: str, time_ms: int, **fields: object) -> None:
        """Write one line: when, on the exchange's clock, what, and whatever else there is to say.

        A value that is no JSON is written as text; a number that is none as ``null``.
        """
        if self._stream is None:
            return
        line = {"time": to_time_text(time_ms // 1000 * 1000), "time_ms": time_ms, "kind": kind}
        text = json.dumps(_to_plain({**line, **fields}), default=str, allow_nan=False)
        self._stream.write(self._redactor.clean(text) + "\n")


def _to_plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _to_plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(one) for one in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
