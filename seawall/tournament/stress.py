"""What a result is stressed with: a later fill, dearer trading, noise, holes, another start.

===================  ==============================================================================
``one_bar_later``    everything is carried out one bar later
``double_fees``      fees, spread and impact twice, on spot and on futures
``double_gas``       gas twice; of a loan
``price_noise``      each bar's prices times ``exp(0.001 z)``, one ``z`` per time and symbol
``missing_bars``     one bar in a hundred is missing
``start_later=N``    trading begins N days later
``venue=NAME``       the candles of another exchange
===================  ==============================================================================

Noise and holes are drawn from the bars' times alone, so every agent meets the same ones. They are
of candles and marks that were read: a simulated market has other seeds for that.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import (
    PRICE_FIELDS,
    Candles,
    FloatArray,
    Series,
    SeriesKey,
    TimeArray,
)
from seawall.recipe import SIMULATED, Recipe
from seawall.units import DAY_MS, SECOND_MS, to_time_text

NONE = ""
NOISE = 1e-3
MISSING = 0.01
_PLAIN = ("one_bar_later", "double_fees", "double_gas", "price_noise", "missing_bars")
_OF_BARS = ("price_noise", "missing_bars")
_TWICE = ("maker_fee_bps", "taker_fee_bps", "half_spread_bps", "impact_bps", "fixed_fee_base")
_MOST_BPS = 9_999.0
_MASK = (1 << 64) - 1


def check_stress(text: str) -> None:
    """Raise where a text names no stress.

    Raises:
        RecipeError: it does not.
    """
    name, _, value = text.partition("=")
    is_number = value.isdecimal() and int(value) > 0
    if text in _PLAIN or (name == "start_later" and is_number) or (name == "venue" and value):
        return
    raise RecipeError(
        f"a stress is one of {', '.join(_PLAIN)}, start_later=DAYS or venue=NAME, is {text!r}: "
        "correct it"
    )


def why_not(text: str, recipe: Recipe) -> str:
    """Return why a stress says nothing of a recipe; ``""`` where it does."""
    is_simulated = recipe.market.venue == SIMULATED
    if is_simulated and (text in _OF_BARS or text.startswith("venue=")):
        return "a simulated market has no bars of an exchange"
    if text == "double_gas" and recipe.loan is None:
        return "there is no gas without a loan"
    return ""


def stressed(recipe: Recipe, text: str) -> Recipe:
    """Return the recipe under a stress; what is of the bars themselves leaves it as it is.

    Raises:
        RecipeError: nothing is left of the window.
    """
    name, _, value = text.partition("=")
    if text == "one_bar_later":
        latency_ms = recipe.execution.latency_ms + recipe.market.timeframe_ms
        return recipe.with_settings({"execution.latency": f"{latency_ms // SECOND_MS}s"})
    if text == "double_fees":
        return recipe.with_settings(_double_fees(recipe))
    if text == "double_gas" and recipe.loan is not None:
        return recipe.with_settings({"loan.gas.multiplier": 2 * recipe.loan.gas.multiplier})
    if name == "start_later":
        since_ms = recipe.market.since_ms + int(value) * DAY_MS
        return recipe.with_settings({"market.since": to_time_text(since_ms)})
    if name == "venue":
        return recipe.with_settings({"market.venue": value})
    return recipe


def _double_fees(recipe: Recipe) -> dict[str, object]:
    values: dict[str, object] = {
        f"costs.{name}": min(2 * getattr(recipe.costs, name), _MOST_BPS) for name in _TWICE
    }
    section = recipe.perpetual
    if section is not None:
        for name in ("maker_fee_bps", "taker_fee_bps"):
            values[f"perpetual.{name}"] = min(2 * getattr(section, name), _MOST_BPS)
        if section.contracts:
            values["perpetual.contracts"] = {
                symbol: {
                    name: min(2 * given, _MOST_BPS) if name in _TWICE else given
                    for name, given in one.model_dump(exclude_none=True).items()
                }
                for symbol, one in section.contracts.items()
            }
    return values


class StressedCatalog(Catalog):
    """A catalog whose candles and marks are noisy, or lack bars."""

    def __init__(self, catalog: Catalog, text: str) -> None:
        super().__init__(catalog.root)
        self._text = text

    def read(
        self, key: SeriesKey, since_ms: int | None = None, until_ms: int | None = None
    ) -> Series:
        """Return a stored series under the stress; see ``Catalog.read``."""
        series = super().read(key, since_ms, until_ms)
        if not isinstance(series, Candles) or not len(series):
            return series
        draw = _draws(series.time_ms, series.key.symbol.partition(":")[0])
        if self._text == "price_noise":
            return _times(series, np.exp(NOISE * _normal(draw)))
        kept = draw[0] >= MISSING
        kept[0] = kept[-1] = True  # the window is the same
        return _only(series, kept)


def stressed_catalog(catalog: Catalog, text: str) -> Catalog:
    """Return what a stressed run reads from."""
    return StressedCatalog(catalog, text) if text in _OF_BARS else catalog


def _times(series: Candles, factor: FloatArray) -> Candles:
    return replace(series, **{name: getattr(series, name) * factor for name in PRICE_FIELDS})


def _only(series: Candles, kept: "np.typing.NDArray[np.bool_]") -> Candles:
    fields: Mapping[str, object] = {
        name: getattr(series, name)[kept] for name in ("time_ms", *PRICE_FIELDS, "volume")
    }
    return replace(series, **fields)  # type: ignore[arg-type]  # names and kinds as they were


def _draws(time_ms: TimeArray, symbol: str) -> FloatArray:
    """Return two uniform numbers in (0, 1) per time, shape (2, n): the same for the same time.

    Source: Steele, Lea, Flood (2014), "Fast splittable pseudorandom number generators"
    (SplitMix64), at a counter made of the time and the symbol.
    """
    salt = sum(ord(char) << (8 * (place % 8)) for place, char in enumerate(symbol)) & _MASK
    with np.errstate(over="ignore"):
        counter = time_ms.astype(np.uint64) * np.uint64(2) + np.uint64(salt)
        return np.stack([_mix(counter), _mix(counter + np.uint64(1))])


def _mix(counter: "np.typing.NDArray[np.uint64]") -> FloatArray:
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (np.asarray((z >> np.uint64(11)).astype(np.float64)) + 0.5) / 2.0**53


def _normal(draws: FloatArray) -> FloatArray:
    """Return standard normal numbers of pairs of uniform ones (Box and Muller)."""
    found: FloatArray = np.sqrt(-2.0 * np.log(draws[0])) * np.cos(2.0 * np.pi * draws[1])
    return found
