"""What is wrong with a recipe or a league, in one line: its file, its TOML, or a key and value.

``what`` is what the message calls it, such as ``recipe demo``.
"""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from seawall.errors import RecipeError


def read_text(path: Path, what: str) -> str:
    """Return the text of a file.

    Raises:
        RecipeError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{what} cannot be read: {error}") from None


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Return the values of a TOML text.

    Raises:
        RecipeError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{what} is not TOML: {error}") from None


def explain(error: ValidationError, model: type[BaseModel], what: str = "a recipe") -> str:
    """Return the first thing that is wrong: key, value, what is allowed, the nearest name."""
    # A typo comes before the gap that it leaves.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        allowed = _keys_beside(model, first["loc"])
        close = get_close_matches(str(first["loc"][-1]), allowed, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        return f"{key} is no key of {what}: {meant}allowed there: {', '.join(allowed)}{more}"
    if first["type"] == "missing":
        return f"{key} is missing: {what} needs it{more}"
    value = first.get("input")
    return f"{key}: {first['msg'].removeprefix('Value error, ')}, is {value!r:.80}{more}"


def _keys_beside(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    here: type[BaseModel] = model
    for part in place[:-1]:
        found = _models(getattr(here.model_fields.get(str(part)), "annotation", None))
        here = found[0] if found else here
    return sorted(f.alias or n for n, f in here.model_fields.items())


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    parts = getattr(annotation, "__args__", ())
    return [found for part in parts for found in _models(part)]
