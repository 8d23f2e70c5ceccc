"""Deleverage when the loan's chance of being liquidated within the reaction time costs more.

Boosted trees learn from the market's past how probable it is that the price falls by more than a
distance before an action can take effect. Each bar is an example at a few distances, multiples of
the volatility at the time, and the next bar at others; the probability may only fall as the
distance grows. The loan's own distance is that from its health factor to ``level``. Among the
health factors that it could go to, and the one that it has, the agent picks the one at which acting
and the liquidation that is then still to be feared cost least together: it acts only where that
pays.

Left out: the fall is that of the market's first symbol, so a loan in an asset that moves with the
collateral (a staking loop) is thought to be in more danger than it is; the oracle's lag; more than
one liquidation.
"""

from collections.abc import Sequence
from math import log, sqrt
from typing import ClassVar, NamedTuple

import numpy as np

from seawall import AgentInfo, Decision, LoanView, Observation
from seawall.features import Bars, FeatureSet
from seawall.learning import (
    Examples,
    Training,
    find_falls,
)
from seawall.loan_action import Bundle
from seawall.market.series import FloatArray
from seawall.preview import preview
from seawall.rebalancing import to_health
from seawall.recipe import Recipe
from seawall.units import HOUR_MS

from ._learning import (
    ModelFiles,
    feature_names,
    history_bars,
    refit_period,
    tree_settings,
)
from ._parameters import duration, number, share, whole_number
from ._protection import SOON, need_loan

TARGET = "hazard"
MULTIPLES = np.geomspace(0.25, 8.0, 24)  # of the volatility over the reaction time
N_DISTANCES = 4  # of each bar, others at the next: all of them teach how deep a fall may be
SCALE = FeatureSet(("volatility_168",))
FEATURES = (
    "return_1", "return_6", "return_24", "volatility_24", "range_6", "range_24", "position_24",
    "position_168", "drawdown_168", "volume_24", "skewness_72",
)  # fmt: skip
COLUMNS = ("distance_in_volatilities", "log_distance")
UNKNOWN_FALL = 0.05  # feared until there is a model
_LEAST_SCALE = 1e-4
STEPS = (1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.6, 2.0)  # times the health factor now


class _Way(NamedTuple):
    """Steps, the health factor and the hazard they lead to, and what they cost."""

    bundle: Bundle
    target: float
    cost_usd: float
    hazard: float


class Hazard:
    """Keep the expected cost of a liquidation within the reaction time below the cost of acting.

    Parameters:
        features: names, see ``seawall.features``; one of a signal needs it in ``market.signals``.
        reaction_bars: bars until an action has taken effect, for certain.
        level: health factor that must not be fallen below, at least 1.
        close_share: of the debt that is liquidated once it begins, 0 to 1: what it costs is that,
            times the protocol's bonus.
        caution: so many times the expected cost of a liquidation counts, > 0: who survives the
            reaction time is still in danger afterwards.
        refit, history, calibration_share, min_examples, library, n_trees, n_leaves, learning_rate,
            min_leaf, seed, model, save_to: as those of ``agents.gradient_boosting``.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        features: Sequence[str] = FEATURES,
        reaction_bars: int = 6,
        level: float = 1.0,
        close_share: float = 1.0,
        caution: float = 2.0,
        refit: str = "30d",
        history: str = "365d",
        calibration_share: float = 0.25,
        min_examples: int = 2_000,
        library: str = "scikit-learn",
        n_trees: int = 100,
        n_leaves: int = 8,
        learning_rate: float = 0.1,
        min_leaf: int = 50,
        seed: int = 1,
        model: str = "",
        save_to: str = "",
    ) -> None:
        known = feature_names(features)
        self.training = Training(
            target=TARGET,
            horizon=whole_number("reaction_bars", reaction_bars),
            features=known,
            columns=COLUMNS,
            trees=tree_settings(
                library=library,
                n_trees=n_trees,
                n_leaves=n_leaves,
                learning_rate=learning_rate,
                min_leaf=min_leaf,
                seed=seed,
                falling=(len(known.names), len(known.names) + 1),
            ),
            test_share=number("calibration_share", calibration_share, above=0.0, at_most=0.9),
            min_examples=whole_number("min_examples", min_examples),
        )
        self.level = number("level", level, above=1.0 - 1e-9)
        self.close_share = share("close_share", close_share)
        self.caution = number("caution", caution, above=0.0)
        self.refit_ms = refit_period(refit)
        self.history_ms = duration("history", history)
        self._files = ModelFiles(self.training, library=library, model=model, save_to=save_to)
        self._model = self._files.given
        self._bar_ms = HOUR_MS

    def begin(self, info: AgentInfo) -> None:
        """Note how long a bar is.

        Raises:
            AgentError: the model that was given is for other bars.
        """
        self._files.check(info.timeframe_ms)
        self._bar_ms = info.timeframe_ms

    def labels(self, recipe: Recipe) -> tuple[str, ...]:
        """Return what has to be said of its numbers: a model given may know the window."""
        return self._files.labels(recipe)

    def fit(self, history: Observation) -> None:
        """Fit the trees to what is known; too little leaves it without a model."""
        if self._files.given is not None:
            return
        features, horizon = self.training.features, self.training.horizon
        bars = Bars.of(history, history.symbols[0], self._bar_ms)
        n_used = history_bars(self.history_ms, self._bar_ms)
        bars = bars.last(n_used + max(features.lookback, SCALE.lookback))
        scale = self._to_horizon(SCALE.table(bars)[:, 0])
        rows, falls = features.table(bars), find_falls(bars, horizon)
        parts: list[Examples] = []
        turn = bars.close_ms // self._bar_ms  # the same whenever it is fitted
        for n in range(N_DISTANCES):
            places = turn + n * (len(MULTIPLES) // N_DISTANCES)
            multiples = MULTIPLES[places % len(MULTIPLES)]
            distances = multiples * scale
            columns = np.stack([multiples, np.log(distances)], axis=1)
            # Beyond the distance or not: 1.0 is a fall that went further.
            outcome = np.where(np.isfinite(falls - distances), falls > distances, np.nan)
            told = np.concatenate([rows, columns], axis=1)
            parts.append(Examples.from_bars(told, bars.close_ms, outcome, horizon))
        examples = Examples.join(parts)
        self._model = self.training.train(
            examples, examples.outcome > 0.0, timeframe_ms=self._bar_ms
        )

    def decide(self, observation: Observation) -> Decision | None:
        """Deleverage where the hazard costs more than acting, else leave the loan alone."""
        loan = need_loan(observation)
        if loan.pending or not loan.debt_usd > 0.0 or not loan.health > self.level:
            return None
        bars = Bars.of(observation, observation.symbols[0], self._bar_ms)
        row = self.training.features.latest(bars)
        scale = float(self._to_horizon(SCALE.latest(bars))[0])
        hazard = self._find_hazard(row, scale, loan.health)
        way = self._find_way_out(loan, row, scale, hazard)
        if way is None:
            return None
        why = (
            f"health {loan.health:.3f}: liquidated within {self.training.horizon} bars with "
            f"p = {hazard:.2%}, acting costs {way.cost_usd:,.0f} USD: to {way.target:.3f}, "
            f"p = {way.hazard:.2%}"
        )
        return Decision(actions=(way.bundle,), reason=why, wake=SOON)

    def end(self) -> None:
        """Keep the last model, where that was asked for."""
        self._files.keep(self._model)

    def _to_horizon(self, volatility: FloatArray) -> FloatArray:
        """Return the volatility per bar as one over the reaction time, never 0."""
        return np.maximum(volatility * sqrt(self.training.horizon), _LEAST_SCALE)

    def _find_hazard(self, row: FloatArray, scale: float, health: float) -> float:
        """Return the probability that the health factor falls below the level in time."""
        distance = 1.0 - self.level / health
        if self._model is None or not scale > 0.0:
            return 1.0 if distance < UNKNOWN_FALL else 0.0
        if distance <= 0.0:
            return 1.0
        told = np.concatenate([row, [distance / scale, log(distance)]])
        return self._model.probability(told)

    def _find_way_out(
        self, loan: LoanView, row: FloatArray, scale: float, hazard: float
    ) -> _Way | None:
        """Return the way that costs least, all told; ``None`` where that is to do nothing."""
        bonus = loan.terms.bonus[loan.terms.collateral]
        loss_usd = self.caution * self.close_share * loan.debt_usd * bonus
        least, found = hazard * loss_usd, None
        for step in STEPS:
            if least <= loan.gas_cost_usd(loan.terms.gas_units.get("transaction", 0.0)):
                break  # no transaction is as cheap
            target = loan.health * step
            bundle = to_health(loan, target) if target > 1.0 else None
            if bundle is None:
                continue
            after = preview(loan, bundle)
            left = self._find_hazard(row, scale, after.health)
            total = after.spent_usd + left * loss_usd
            if total < least:
                least = total
                found = _Way(bundle, after.health, after.spent_usd, left)
        return found
