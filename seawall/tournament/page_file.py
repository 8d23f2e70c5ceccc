"""What a league's page is made of, kept beside it: it can be written again without a run."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seawall.analysis.page import Figure, Page, Panel
from seawall.errors import ResultError

PAGE_FILE = "page.json"
SCHEMA = 1


def keep_page(page: Page, folder: Path) -> Path:
    """Write what a page is made of to ``folder/page.json``, whole or not at all; return the path.

    Raises:
        ResultError: it cannot be written.
    """
    path = folder / PAGE_FILE
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"schema": SCHEMA, "page": asdict(page)}), encoding="utf-8")
        return draft.replace(path)
    except OSError as error:
        raise ResultError(f"the league cannot be written to {folder}: {error}") from None


def load_page(folder: Path) -> Page:
    """Return the page that ``keep_page`` has kept.

    Raises:
        ResultError: there is none, it is damaged, or of another version.
    """
    path = folder / PAGE_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["schema"] != SCHEMA:
            raise ResultError(
                f"{path} is of schema {stored['schema']}, this version reads {SCHEMA}: play the "
                "league again, unchanged cells are not run"
            )
        return _to_page(stored["page"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"{path} must be the page of a league, cannot be read ({type(error).__name__}: "
            f"{error}): play the league again, unchanged cells are not run"
        ) from None


def _to_page(values: Mapping[str, Any]) -> Page:
    fields = {**values}
    fields["panels"] = [_to_panel(one) for one in values["panels"]]
    fields["figures"] = [Figure(**one) for one in values["figures"]]
    return Page(**fields)


def _to_panel(value: Any) -> Panel | tuple[Panel, Panel]:
    if isinstance(value, list):
        first, second = value
        return Panel(**first), Panel(**second)
    return Panel(**value)
