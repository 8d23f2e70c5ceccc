"""From a model's message to a decision of the job, or one line that says what is wrong with it.

What a model writes is data: it is read as JSON, checked field by field against what the job takes,
and mapped back from its mask. A text beside the call is not read as an answer unless it is the same
JSON by itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from seawall.action import Action, from_json
from seawall.agent import AgentInfo, Decision, Wake
from seawall.errors import AgentError
from seawall.given import to_number, to_shown
from seawall.journal import to_plain
from seawall.language.masks import Mask
from seawall.language.request import Reply
from seawall.language.tools import TOOL
from seawall.units import MINUTE_MS

LONGEST_REASON = 300
MOST_ACTIONS = 20
_KEYS = ("actions", "reason", "wake")
_WAKES = ("after_minutes", "above", "below", "health_below", "health_above")
_LONGEST_SLEEP = 365 * 24 * 60.0  # minutes


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a message says: a decision, or why it is none.

    Attributes:
        decision: without a wake where none was asked for.
        fault: why there is no decision, ``""`` where there is one.
        said: the message's own words, for the model to see when it is asked to repair them.
        is_refusal: the model will not answer; asking again would be to press it.
    """

    decision: Decision | None = None
    fault: str = ""
    said: str = ""
    is_refusal: bool = False


def read_reply(reply: Reply, info: AgentInfo, mask: Mask) -> Read:
    """Return what a reply says; whatever it is, nothing is raised."""
    refusal = reply.message.get("refusal")
    if reply.error or refusal:
        why = reply.error or f"it refuses: {to_shown(refusal)}"
        return Read(fault=why, is_refusal=not reply.error)
    if reply.finish == "content_filter":
        return Read(fault="the endpoint has filtered the answer", is_refusal=True)
    said = _find_words(reply)
    if reply.finish == "length":
        return Read(fault="the answer is longer than agent.max_tokens", said=said)
    try:
        return Read(decision=_to_decision(said, info, mask), said=said)
    except AgentError as error:
        return Read(fault=str(error), said=said)
    except (RecursionError, OverflowError):  # nested beyond reason, or a number of 400 digits
        return Read(fault=f"not an answer: {to_shown(said)}", said=said[:LONGEST_REASON])


def _find_words(reply: Reply) -> str:
    """Return the arguments of the first call of the tool, else the text."""
    calls = reply.message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and function.get("name") == TOOL:
            given = function.get("arguments")
            return json.dumps(given) if isinstance(given, Mapping) else str(given or "")
    content = reply.message.get("content")
    return content.strip() if isinstance(content, str) else ""


def _to_decision(said: str, info: AgentInfo, mask: Mask) -> Decision:
    if not said:
        raise AgentError(f"an answer calls {TOOL}, this one says nothing")
    try:
        found = json.loads(said, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise AgentError(f"an answer calls {TOOL} with JSON, is {to_shown(said)}") from None
    if not isinstance(found, dict):
        raise AgentError(f"an answer is a JSON object, is {to_shown(found)}")
    if strange := [key for key in found if key not in _KEYS]:
        raise AgentError(f"an answer has {', '.join(_KEYS)}, has {to_shown(strange[0])}")
    actions = found.get("actions", [])
    if not isinstance(actions, list) or len(actions) > MOST_ACTIONS:
        raise AgentError(f"actions is a list of at most {MOST_ACTIONS}, is {to_shown(actions)}")
    decision = Decision(
        actions=tuple(_to_action(one, info, mask) for one in actions),
        reason=to_plain(str(found.get("reason") or ""))[:LONGEST_REASON],
        wake=_to_wake(found.get("wake"), mask),
    )
    if info.read is not None:
        info.read(decision)  # raises what is wrong for the job
    return decision


def _to_action(given: object, info: AgentInfo, mask: Mask) -> Action:
    if not isinstance(given, dict):
        raise AgentError(f"an action is a JSON object, is {to_shown(given)}")
    kind = given.get("kind")
    if kind not in info.actions:
        raise AgentError(f"this job takes {', '.join(info.actions)}, kind is {to_shown(kind)}")
    if mask.is_mirrored and kind != "target_weight":
        raise AgentError(f"this job takes target_weight, kind is {to_shown(kind)}")
    symbol = given.get("symbol")
    shown = [mask.name(one) for one in info.symbols]
    if symbol is not None and symbol not in shown:
        raise AgentError(f"there is no symbol {to_shown(symbol)}: there are {', '.join(shown)}")
    return from_json(json.dumps(mask.unmask(given)))


def _to_wake(given: object, mask: Mask) -> Wake | None:
    if given is None or given == {}:
        return None
    if not isinstance(given, dict):
        raise AgentError(f"wake is a JSON object, is {to_shown(given)}")
    if strange := [key for key in given if key not in _WAKES]:
        raise AgentError(f"wake has {', '.join(_WAKES)}, has {to_shown(strange[0])}")
    minutes = given.get("after_minutes")
    after_ms = None
    if minutes is not None:
        length = to_number("after_minutes", minutes)
        if not length > 0:
            raise AgentError(f"after_minutes must be > 0, is {length}")
        after_ms = round(min(length, _LONGEST_SLEEP) * MINUTE_MS)
    above, below = (_to_levels(name, given.get(name), mask) for name in ("above", "below"))
    if mask.is_mirrored:
        above, below = below, above
    health = {
        name: to_number(name, given[name])
        for name in ("health_below", "health_above")
        if given.get(name) is not None
    }
    return Wake(
        after_ms=after_ms,
        above=above,
        below=below,
        health_below=health.get("health_below"),
        health_above=health.get("health_above"),
    )


def _to_levels(name: str, given: object, mask: Mask) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise AgentError(f"{name} holds prices by symbol, is {to_shown(given)}")
    pairs = (mask.level(symbol, to_number(f"a price in {name}", p)) for symbol, p in given.items())
    return dict(pairs)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
