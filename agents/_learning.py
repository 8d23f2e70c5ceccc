"""Checks of parameters, and settings, that agents which learn share."""

from pathlib import Path

from seawall.errors import RecipeError
from seawall.features import FeatureSet
from seawall.language.cutoff import FITTED
from seawall.learning import (
    Model,
    Training,
    TreeSettings,
    check_timeframe,
    load_model,
    need_library,
    save_model,
)
from seawall.learning.trees import LIBRARIES
from seawall.recipe import SIMULATED, Recipe
from seawall.units import to_time_text

from ._parameters import duration, number, one_of, whole_number

DEFAULT_FEATURES = (
    "return_1", "return_6", "return_24", "return_72", "volatility_24", "volatility_168", "rsi_14",
    "range_24", "position_24", "position_168", "distance_72", "drawdown_168", "volume_24",
    "skewness_72", "hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine",
)  # fmt: skip
NEVER = "never"
_LARGEST_SEED = 2**31 - 1


def feature_names(value: object) -> FeatureSet:
    """Return the features of a list of names."""
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise RecipeError(f'agent.features must be names, is {value!r}: write ["return_24"]')
    try:
        return FeatureSet(value)
    except RecipeError as error:
        raise RecipeError(f"agent.features: {error}") from None


def refit_period(value: object) -> int:
    """Return the milliseconds between two fits, 0 for ``"never"``: once is enough."""
    return 0 if value == NEVER else duration("refit", value)


def history_bars(history_ms: int, timeframe_ms: int) -> int:
    """Return how many bars a duration of history has, at least one."""
    return max(history_ms // timeframe_ms, 1)


def file_path(name: str, value: object) -> Path | None:
    """Return a path, ``None`` for ``""``."""
    if not isinstance(value, str):
        raise RecipeError(f'agent.{name} must be a file, is {value!r}: write {name} = "model.npz"')
    if value and not value.endswith(FITTED):
        raise RecipeError(f"agent.{name} must be a file that ends in {FITTED}, is {value!r}")
    return Path(value) if value else None


class ModelFiles:
    """The file that an agent answers by, if it is given one, and that of its last model.

    Args:
        training: of the agent; a model that was given must be of the same kind.
        library: that fits, and has to be there where no model is given.
        model, save_to: the agent's parameters.

    Attributes:
        given: the model that is answered by without fitting; None where there is none.

    Raises:
        AgentError, RecipeError: the library is missing, or the file is none or another's.
    """

    def __init__(self, training: Training, *, library: str, model: str, save_to: str) -> None:
        self._save_to = file_path("save_to", save_to)
        path = file_path("model", model)
        self.given: Model | None = None
        if path is None:
            need_library(library)
        else:
            self.given = load_model(
                path,
                target=training.target,
                horizon=training.horizon,
                features=training.names,
                features_hash=training.features.hash,
            )

    def check(self, timeframe_ms: int) -> None:
        """Raise AgentError where the model that was given is for other bars."""
        if self.given is not None:
            check_timeframe(self.given, timeframe_ms)

    def labels(self, recipe: Recipe) -> tuple[str, ...]:
        """Return what has to be said of a result whose model came from a file: it may know it.

        A simulated window has the same dates for every seed, so there it is not known either.
        """
        model = self.given
        if model is None or model.fitted_ms <= recipe.market.since_ms:
            return ()
        until = to_time_text(model.fitted_ms)
        may = "may have been" if recipe.market.venue == SIMULATED else "was"
        return (f"in sample: its model {may} fitted on this window, until {until}",)

    def keep(self, model: Model | None) -> None:
        """Write the last model, where that was asked for."""
        if self._save_to is not None and model is not None:
            save_model(model, self._save_to)


def tree_settings(
    *,
    library: str,
    n_trees: int,
    n_leaves: int,
    learning_rate: float,
    min_leaf: int,
    seed: int,
    falling: tuple[int, ...] = (),
) -> TreeSettings:
    """Return how trees are grown."""
    if whole_number("seed", seed, at_least=0) > _LARGEST_SEED:
        raise RecipeError(f"agent.seed must be at most {_LARGEST_SEED}, is {seed}: write a smaller")
    names = {str(known): known for known in LIBRARIES}
    return TreeSettings(
        library=names[one_of("library", library, tuple(names))],
        n_trees=whole_number("n_trees", n_trees),
        n_leaves=whole_number("n_leaves", n_leaves, at_least=2),
        learning_rate=number("learning_rate", learning_rate, above=0.0, at_most=1.0),
        min_leaf=whole_number("min_leaf", min_leaf),
        seed=seed,
        falling=falling,
    )
