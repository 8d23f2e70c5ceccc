"""Hold what boosted trees expect to earn more than it costs to trade.

The trees are fitted again and again on what is known by then (walk-forward), on the recipe's
candles and on whatever signals the features name. An example is a bar; its label says whether the
return over the next ``horizon`` bars would have paid the fees and the spread of both ways. The
latest part of the examples is kept to turn scores into probabilities, and the examples before it
whose labels reach into it are left out. What a hit and a miss are worth is measured in units of the
volatility at the time: a wild market pays more often, and costs more where it does not.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from seawall import AgentInfo, Decision, Observation, TargetWeight
from seawall.features import Bars, FeatureSet
from seawall.learning import (
    Examples,
    Sizing,
    Training,
    find_payoff,
    find_returns,
)
from seawall.market.series import FloatArray
from seawall.recipe import Recipe
from seawall.units import BPS, HOUR_MS, to_time_text

from ._learning import (
    DEFAULT_FEATURES,
    ModelFiles,
    feature_names,
    history_bars,
    refit_period,
    tree_settings,
)
from ._parameters import duration, number, whole_number

TARGET = "direction"
SCALE = FeatureSet(("volatility_168",))  # in which outcomes are measured


class GradientBoosting:
    """Hold each symbol while boosted trees expect its return to pay a round trip.

    Long or flat. It goes in where the expected return over ``horizon`` bars is beyond ``edge``
    round trips, and out where a loss is expected. Where the scores told nothing of the examples
    that were kept apart, it holds nothing until it is fitted again.

    Parameters:
        features: names, see ``seawall.features``; one of a signal needs it in ``market.signals``.
        horizon: bars from going in to where the label is measured.
        refit: time between two fits, as a duration; ``"never"``: one fit.
        history: how far back examples reach, as a duration.
        weight: of the equity, over all symbols; > 0 and at most 1.
        edge: round trips that must be expected, at least 0.
        half_spread_bps: paid each way beside the taker fee that the recipe names, at least 0.
        calibration_share: latest share of the examples, kept for the probabilities; at most 0.9.
        min_examples: with fewer it is not fitted.
        library: ``"scikit-learn"`` or ``"lightgbm"``, which has to be installed beside.
        n_trees, n_leaves, learning_rate, min_leaf: how the trees are grown.
        seed: of the library; one thread grows them, so the same seed gives the same trees.
        model: a file to answer by; then nothing is fitted.
        save_to: a file for the last model of the run.

    Left out: the short side, and impact.
    """

    def __init__(
        self,
        *,
        features: Sequence[str] = DEFAULT_FEATURES,
        horizon: int = 24,
        refit: str = "30d",
        history: str = "365d",
        weight: float = 1.0,
        edge: float = 1.0,
        half_spread_bps: float = 1.0,
        calibration_share: float = 0.25,
        min_examples: int = 500,
        library: str = "scikit-learn",
        n_trees: int = 100,
        n_leaves: int = 8,
        learning_rate: float = 0.05,
        min_leaf: int = 50,
        seed: int = 1,
        model: str = "",
        save_to: str = "",
    ) -> None:
        self.training = Training(
            target=TARGET,
            horizon=whole_number("horizon", horizon),
            features=feature_names(features),
            trees=tree_settings(
                library=library,
                n_trees=n_trees,
                n_leaves=n_leaves,
                learning_rate=learning_rate,
                min_leaf=min_leaf,
                seed=seed,
            ),
            test_share=number("calibration_share", calibration_share, above=0.0, at_most=0.9),
            min_examples=whole_number("min_examples", min_examples),
        )
        self.refit_ms = refit_period(refit)
        self.history_ms = duration("history", history)
        self.weight = number("weight", weight, above=0.0, at_most=1.0)
        self.edge = number("edge", edge, above=-1e-9)
        self.half_spread_bps = number("half_spread_bps", half_spread_bps, above=-1e-9)
        self._files = ModelFiles(self.training, library=library, model=model, save_to=save_to)
        self._model = self._files.given
        self._sizing = Sizing.from_costs(0.0, self.half_spread_bps, self.edge)
        self._bar_ms = HOUR_MS
        self._is_long: dict[str, bool] = {}
        self._n_seen: dict[str, int] = {}

    def begin(self, info: AgentInfo) -> None:
        """Note how long a bar is, and what trading costs.

        Raises:
            AgentError: the model that was given is for other bars.
        """
        self._files.check(info.timeframe_ms)
        self._bar_ms = info.timeframe_ms
        self._sizing = Sizing.from_costs(info.taker_fee_bps, self.half_spread_bps, self.edge)

    def labels(self, recipe: Recipe) -> tuple[str, ...]:
        """Return what has to be said of its numbers: a model given may know the window."""
        return self._files.labels(recipe)

    def fit(self, history: Observation) -> None:
        """Fit the trees to what is known; too little leaves it without a model."""
        if self._files.given is not None:
            return
        parts = [self._gather(history, symbol) for symbol in history.symbols]
        examples = Examples.join([part for part, _ in parts])
        scales = np.concatenate([scale for _, scale in parts])
        labels = examples.outcome > self._sizing.round_trip
        payoff = find_payoff(examples.outcome / scales, labels)
        self._model = self.training.train(
            examples, labels, payoff=payoff, timeframe_ms=self._bar_ms
        )

    def decide(self, observation: Observation) -> Decision | None:
        """Go in or out of each symbol with a new bar, where the expected return says so."""
        actions: list[TargetWeight] = []
        reasons: list[str] = []
        for symbol in observation.symbols:
            n_bars = len(observation.history(symbol))
            if n_bars == self._n_seen.get(symbol, 0):
                continue
            self._n_seen[symbol] = n_bars
            is_long = self._is_long.get(symbol, False)
            wants, why = self._judge(observation, symbol, is_long=is_long)
            if wants != is_long:
                self._is_long[symbol] = wants
                weight = self.weight / len(observation.symbols) if wants else 0.0
                actions.append(TargetWeight(symbol=symbol, weight=weight))
                reasons.append(f"{symbol}: {why}")
        return Decision(actions=tuple(actions), reason="; ".join(reasons)) if actions else None

    def end(self) -> None:
        """Keep the last model, where that was asked for."""
        self._files.keep(self._model)

    def _gather(self, history: Observation, symbol: str) -> tuple[Examples, FloatArray]:
        """Return the examples of one symbol, and the volatility over the horizon at each."""
        bars = Bars.of(history, symbol, self._bar_ms)
        features = self.training.features
        n_used = history_bars(self.history_ms, self._bar_ms)
        bars = bars.last(n_used + max(features.lookback, SCALE.lookback))
        scale = self._to_horizon(SCALE.table(bars)[:, 0])
        returns = find_returns(bars, self.training.horizon)
        outcome = np.where(scale > 0.0, returns, np.nan)  # before it there are too few bars
        part = Examples.from_bars(
            features.table(bars), bars.close_ms, outcome, self.training.horizon + 1
        )
        return part, scale[np.isfinite(outcome)]

    def _to_horizon(self, volatility: FloatArray) -> FloatArray:
        """Return the volatility per bar as one over the horizon, at least 1 bp."""
        return np.maximum(volatility * sqrt(self.training.horizon), BPS)

    def _judge(self, observation: Observation, symbol: str, *, is_long: bool) -> tuple[bool, str]:
        """Return whether to be long of a symbol now, and why."""
        model = self._model
        if model is None:
            return False, "too little is known to fit a model"
        if not model.calibration.has_skill:
            return False, "the model has shown no skill on what it was not fitted to"
        bars = Bars.of(observation, symbol, self._bar_ms)
        scale = float(self._to_horizon(SCALE.latest(bars))[0])
        if not scale > 0.0:
            return False, "there are too few bars to tell the volatility"
        probability = model.probability(self.training.features.latest(bars))
        expected = scale * model.payoff.expect(probability)
        wants = self._sizing.is_worth_holding(expected, is_held=is_long)
        told = self._sizing.explain(probability, expected)
        return wants, f"{told}, fitted until {to_time_text(model.fitted_ms)}"
