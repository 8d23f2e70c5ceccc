"""Keeping secrets out of logs, errors and reports.

``Redactor`` replaces every secret it was told, as it is and as it looks in a URL or in base64, and
whatever stands where a key or a signature stands, told or not. ``RedactionFilter`` does it to log
records, tracebacks included; put it on handlers, where records of all loggers pass.
"""

import base64
import logging
import re
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import quote, quote_plus

from seawall.paper.keys import Secret

SHOWN = "***"
_MIN_LENGTH = 4  # a shorter text would blot out words
_PLACES = (
    re.compile(
        r"(?i)\b((?:signature|listenKey|api_?key|secret|passphrase|password|privateKey|token)"
        r"[\"']?\s*[=:]\s*[\"']?)([^\s\"'&,;}\]]+)"
    ),
    re.compile(
        r"(?i)((?:x-mbx-apikey|ok-access-\w+|x-bapi-(?:api-key|sign)|apikey|authent|authorization|"
        r"cb-access-\w+|api-sign|api-key)[\"']?\s*[=:]\s*[\"']?(?:bearer\s+|basic\s+)?)"
        r"([^\s\"'&,;}\]]+)"
    ),
)


class Redactor:
    """Replaces secrets in text by ``***``."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._forms: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        """Hide one more secret; an empty or very short one cannot be told from words."""
        value = secret.reveal()
        if len(value) < _MIN_LENGTH:
            return
        encoded = base64.b64encode(value.encode()).decode()
        forms = {value, quote(value, safe=""), quote_plus(value), encoded, repr(value)[1:-1]}
        self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Return a text without secrets."""
        for form in self._forms:
            text = text.replace(form, SHOWN)
        for place in _PLACES:
            text = place.sub(rf"\g<1>{SHOWN}", text)
        return text

    def clean_error(self, error: BaseException) -> str:
        """Return ``Class: message`` of an error without secrets."""
        return self.clean(f"{type(error).__name__}: {error}")


class RedactionFilter(logging.Filter):
    """Takes secrets out of a log record before its handler sees it."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean message, arguments, traceback and stack; keep every record."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a format that does not fit its arguments
            text = f"{record.msg} {record.args}"
        record.msg, record.args = self._redactor.clean(text), ()
        if record.exc_info:
            record.exc_text = self._format(record.exc_info[1])
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = self._redactor.clean(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.clean(record.stack_info)
        return True

    def _format(self, error: BaseException | None) -> str:
        lines = [] if error is None else traceback.format_exception(error)
        return self._redactor.clean("".join(lines)).rstrip()


def protect_output(redactor: Redactor, handlers: Iterable[logging.Handler] | None = None) -> None:
    """Clean what handlers log (by default the root logger's) and what an uncaught error prints."""
    chosen = logging.getLogger().handlers if handlers is None else handlers
    for handler in chosen:
        handler.addFilter(RedactionFilter(redactor))

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(redactor.clean("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
