"""Whether a model may have read about the window it is tested on.

A model's training ends at its **cutoff**. What happened before may be remembered, and a result on
it says little about what the model would have done; a mask makes that harder, not impossible.
"""

from datetime import UTC, datetime
from typing import Literal

from seawall.errors import RecipeError
from seawall.recipe import SIMULATED, Recipe
from seawall.units import to_time_ms

Exposure = Literal["after", "before", "across", "unknown"]
FITTED = ".npz"  # how the file of a model ends that an agent has fitted
_WORDS: dict[Exposure, str] = {
    "before": "the window lies before the model's training cutoff of {day}: it may be remembered",
    "across": "the window begins before the model's training cutoff of {day}: it may be remembered",
    "unknown": "the model's training cutoff is not stated: the window may be remembered",
}


def to_cutoff_ms(cutoff: str) -> int | None:
    """Return a stated cutoff as UTC milliseconds, ``None`` where none is stated.

    Raises:
        RecipeError: it is no date.
    """
    return to_time_ms(cutoff) if cutoff else None


def find_exposure(since_ms: int, until_ms: int, cutoff: str) -> Exposure:
    """Return where a window lies by a cutoff: after it, before it, across it, or unknown."""
    cutoff_ms = to_cutoff_ms(cutoff)
    if cutoff_ms is None:
        return "unknown"
    if since_ms >= cutoff_ms:
        return "after"
    return "before" if until_ms <= cutoff_ms else "across"


def exposure_of(recipe: Recipe) -> Exposure | None:
    """Return where a recipe's window lies by its model's cutoff; ``None``: it names no model.

    An agent is taken for a language model where its parameters name a ``model`` that is no file of
    one that was fitted here.
    """
    parameters = recipe.agent.parameters if recipe.agent is not None else {}
    model = parameters.get("model")
    if not model or str(model).endswith(FITTED):
        return None
    cutoff = parameters.get("cutoff", "")
    if not isinstance(cutoff, str):
        raise RecipeError(f"agent.cutoff must be a date as text, is {cutoff!r}: write 2024-06-01")
    return find_exposure_in(recipe, cutoff)


def find_exposure_in(recipe: Recipe, cutoff: str) -> Exposure:
    """Return the same for a stated cutoff; a simulated market was never printed anywhere."""
    if recipe.market.venue == SIMULATED:
        return "after"
    return find_exposure(recipe.market.since_ms, recipe.market.until_ms, cutoff)


def refuse_rank(recipe: Recipe) -> str:
    """Return why a recipe's result must not be ranked with others, or ``""``.

    A model that may have read about the window is ranked only where it saw neither the market's
    name nor its dates; one from a file may have been fitted on any window that was recorded.
    """
    parameters = recipe.agent.parameters if recipe.agent is not None else {}
    if str(parameters.get("model", "")).endswith(FITTED) and recipe.market.venue != SIMULATED:
        return (
            "its model comes from a file, which may have been fitted on the window: leave out "
            "agent.model, so that it is fitted inside the run"
        )
    exposure = exposure_of(recipe)
    if exposure in (None, "after"):
        return ""
    mask = parameters.get("mask", ())
    if isinstance(mask, (list, tuple)) and {"names", "dates", "scale"} <= set(mask):
        return ""
    return (
        f"{describe(exposure, recipe)}: move market.since behind it, or set "
        'agent.mask = ["names", "dates", "scale"]'
    )


def describe(exposure: Exposure | None, recipe: Recipe) -> str:
    """Return what has to be said of an exposure, ``""`` for none."""
    cutoff = recipe.agent.parameters.get("cutoff", "") if recipe.agent is not None else ""
    return label_of(exposure, str(cutoff))


def label_of(exposure: Exposure | None, cutoff: str) -> str:
    """Return the label of a result, ``""`` where none is needed."""
    cutoff_ms = to_cutoff_ms(cutoff)
    day = "" if cutoff_ms is None else f"{datetime.fromtimestamp(cutoff_ms / 1e3, tz=UTC):%Y-%m-%d}"
    return "" if exposure is None else _WORDS.get(exposure, "").format(day=day)
