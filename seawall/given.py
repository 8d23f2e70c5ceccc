"""What an agent gave, as plain values: numbers, times and texts, or one line that says why not."""

from math import inf
from numbers import Integral, Real

import numpy as np

from seawall.errors import AgentError
from seawall.journal import to_plain


def to_number(name: str, value: object) -> float:
    """Return a real number as a float; one that is too large, of either sign, is inf.

    Raises:
        AgentError: it is no real number; a bool is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise AgentError(
            f"{name} must be a real number, is {to_shown(value)}: make it one with float()"
        )
    try:
        return float(value)
    except OverflowError:
        return inf  # no one can mean it: whoever checks says that it is not finite


def to_whole(name: str, value: object, largest: int) -> int:
    """Return a whole number of milliseconds from 0 to ``largest`` as an int.

    Raises:
        AgentError: it is none, or out of range.
    """
    is_whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    if is_whole and not isinstance(value, bool):
        number = int(value)  # type: ignore[call-overload]  # mypy cannot see that it is a number
        if 0 <= number <= largest:
            return int(number)
    raise AgentError(
        f"{name} must be whole milliseconds from 0 to {largest}, is {to_shown(value)}: "
        "round it with int(), or leave it out"
    )


def to_text(name: str, value: object) -> str:
    """Return a text that UTF-8 can hold; lone surrogates become ``?``.

    Raises:
        AgentError: it is no text.
    """
    if not isinstance(value, str):
        raise AgentError(f"{name} must be text, is {to_shown(value)}: make it one with str()")
    return to_plain(str(value))


def to_bool(name: str, value: object) -> bool:
    """Return a truth value, numpy's too, as a bool.

    Raises:
        AgentError: it is none.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise AgentError(f"{name} must be True or False, is {to_shown(value)}: use bool()")
    return bool(value)


def to_shown(value: object) -> str:
    """Return at most 80 characters of what an agent gave, whatever it is, for a message."""
    try:
        return to_plain(f"{value!r:.80}")
    except Exception:  # noqa: BLE001 - an agent's own __repr__, or an int of 5,000 digits
        return f"a {type(value).__name__} that cannot be shown"
