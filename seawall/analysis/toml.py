"""A recipe as the TOML text that makes it again."""

import json
import math
import re
from collections.abc import Mapping, Sequence

from seawall.recipe import Recipe

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(recipe: Recipe) -> str:
    """Return every key of a recipe, defaults included; ``Recipe.from_toml`` reads it back."""
    return "\n".join(_section(recipe.to_dict(), ())).strip() + "\n"


def _section(values: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    """Return the lines of one section: its own values first, as TOML demands, then those below."""
    own = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in own.items()]
    if path and (lines or not values):
        lines.insert(0, f"[{'.'.join(_key(part) for part in path)}]")
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += ["", *_section(value, (*path, key))]
    return lines


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value).replace("Infinity", "inf")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):  # within a list
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return _text(str(value))


def _text(text: str) -> str:
    """Return a basic string: JSON's escapes are TOML's, but for DEL, which TOML forbids bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
