"""The one tool a model calls: ``decide``, whose schema is what the job takes and nothing else."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from seawall.action import json_schema
from seawall.language.masks import Mask

TOOL = "decide"
_NAMED = {"symbol": "symbols", "asset": "assets", "sell": "assets", "buy": "assets"}
_LEFT_OUT = ("title", "description", "discriminator", "default")
_AMOUNT = {"type": "number", "exclusiveMinimum": 0}
_MIRRORED = ("target_weight",)  # what a mirror can map back


def make_tool(
    actions: Sequence[str], *, symbols: Sequence[str], assets: Sequence[str], mask: Mask
) -> dict[str, object]:
    """Return the tool, as the API has it.

    Args:
        actions: the ``kind`` of each action that the job takes.
        symbols: what may be traded.
        assets: of a loan.
        mask: how they are called, and whether they are mirrored.
    """
    kinds = [kind for kind in actions if kind in _MIRRORED] if mask.is_mirrored else list(actions)
    names = {
        "symbols": [mask.name(symbol) for symbol in symbols],
        "assets": [mask.name(asset) for asset in assets],
    }
    definitions = _definitions()
    by_kind = {_kind_of(one): one for one in definitions.values() if _kind_of(one)}
    variants = [_inline(by_kind[kind], definitions, names) for kind in kinds]
    parameters = {
        "type": "object",
        "additionalProperties": False,
        "required": ["actions", "reason"],
        "properties": {
            "actions": {"type": "array", "items": {"anyOf": variants}},
            "reason": {"type": "string", "maxLength": 300},
            "wake": _make_wake(names["symbols"], with_loan=bool(assets)),
        },
    }
    return {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Say what to do now. No action leaves things as they are.",
            "parameters": parameters,
        },
    }


@cache
def _definitions() -> Mapping[str, Any]:
    """Return the schema of each action by its class; made once, it takes a while."""
    found: Mapping[str, Any] = json_schema()["$defs"]  # type: ignore[assignment]  # pydantic's
    return found


def _make_wake(symbols: Sequence[str], *, with_loan: bool) -> dict[str, object]:
    levels = {
        "type": "object",
        "additionalProperties": False,
        "properties": {symbol: {"type": "number"} for symbol in symbols},
    }
    properties: dict[str, object] = {
        "after_minutes": {"type": "number", "minimum": 1},
        "above": levels,
        "below": levels,
    }
    if with_loan:
        properties |= {
            "health_below": {"type": "number", "exclusiveMinimum": 0},
            "health_above": {"type": "number", "exclusiveMinimum": 0},
        }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _kind_of(definition: Mapping[str, Any]) -> str:
    kind: str = definition.get("properties", {}).get("kind", {}).get("const", "")
    return kind


def _inline(node: Any, definitions: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> Any:
    """Return a schema without references, titles and defaults, with names for free texts."""
    if isinstance(node, list):
        return [_inline(one, definitions, names) for one in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        return _inline(definitions[str(node["$ref"]).rpartition("/")[2]], definitions, names)
    found = {
        key: _inline(value, definitions, names)
        for key, value in node.items()
        if key not in _LEFT_OUT or not isinstance(value, (str, int, float, type(None), bool, dict))
    }
    properties = found.get("properties")
    if isinstance(properties, dict):
        for field, group in _NAMED.items():
            if field in properties and names[group]:
                properties[field] = {"type": "string", "enum": list(names[group])}
        if "amount" in properties and ("asset" in properties or "sell" in properties):
            properties["amount"] = {"anyOf": [dict(_AMOUNT), {"const": "all"}]}
        if "kind" in properties:
            found["required"] = sorted({*found.get("required", ()), "kind"})
    return found
