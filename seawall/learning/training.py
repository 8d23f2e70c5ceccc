"""From examples to a model: trees on the earlier ones, probabilities on the later ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seawall.features import FeatureSet
from seawall.learning.calibration import calibrate
from seawall.learning.labels import Payoff
from seawall.learning.model import Model
from seawall.learning.split import split_purged
from seawall.learning.trees import TreeSettings, fit_forest, need_library
from seawall.market.series import FloatArray, TimeArray

NO_PAYOFF = Payoff(0.0, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """What a model learns from.

    Attributes:
        rows: float64, shape (n, n_columns); nan is "not known".
        close_ms: when each row was known, int64, shape (n,).
        known_ms: when its outcome was known, int64, shape (n,); later.
        outcome: what came of it, float64, shape (n,), finite.
    """

    rows: FloatArray
    close_ms: TimeArray
    known_ms: TimeArray
    outcome: FloatArray

    def __len__(self) -> int:
        return len(self.outcome)

    @classmethod
    def from_bars(
        cls, rows: FloatArray, close_ms: TimeArray, outcome: FloatArray, n_ahead: int
    ) -> "Examples":
        """Return those bars as examples whose outcome is known, ``n_ahead`` bars after each."""
        known_ms = np.full(len(close_ms), np.iinfo(np.int64).max)
        known_ms[: max(len(close_ms) - n_ahead, 0)] = close_ms[n_ahead:]
        is_known = np.isfinite(outcome)
        return cls(
            rows=rows[is_known],
            close_ms=close_ms[is_known],
            known_ms=known_ms[is_known],
            outcome=outcome[is_known],
        )

    @classmethod
    def join(cls, parts: Sequence["Examples"]) -> "Examples":
        """Return all examples of several parts, at least one."""
        return cls(
            rows=np.concatenate([part.rows for part in parts]),
            close_ms=np.concatenate([part.close_ms for part in parts]),
            known_ms=np.concatenate([part.known_ms for part in parts]),
            outcome=np.concatenate([part.outcome for part in parts]),
        )


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is made of examples.

    Attributes:
        target: what its probability is of.
        horizon: bars that the outcome looks ahead.
        features: of the bars; ``columns``: further columns of the rows, behind them.
        trees: how they are grown.
        test_share: latest share of the examples, kept for the probabilities.
        min_examples: with fewer there is no model; ``min_labels``: likewise of either kind, among
            those that are trained on.
    """

    target: str
    horizon: int
    features: FeatureSet
    trees: TreeSettings
    columns: tuple[str, ...] = ()
    test_share: float = 0.25
    min_examples: int = 500
    min_labels: int = 20

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return (*self.features.names, *self.columns)

    def train(
        self,
        examples: Examples,
        labels: NDArray[np.bool_],
        *,
        payoff: Payoff = NO_PAYOFF,
        timeframe_ms: int,
    ) -> Model | None:
        """Return a model of the labels; ``None`` where there are too few to learn from.

        Raises:
            WorkspaceError: the library is not installed.
            AgentError: its trees cannot be read.
        """
        split = split_purged(examples.close_ms, examples.known_ms, self.test_share)
        kept = labels[split.train]
        n_rarer = min(int(kept.sum()), int((~kept).sum()))
        if len(examples) < self.min_examples or n_rarer < self.min_labels:
            return None
        forest = fit_forest(examples.rows[split.train], kept, self.trees)
        scores = forest.scores(examples.rows[split.test])
        return Model(
            target=self.target,
            horizon=self.horizon,
            timeframe_ms=timeframe_ms,
            features=self.names,
            features_hash=self.features.hash,
            library=f"{self.trees.library} {need_library(self.trees.library)}",
            fitted_ms=int(examples.known_ms.max()),
            n_examples=len(examples),
            forest=forest,
            calibration=calibrate(scores, labels[split.test]),
            payoff=payoff,
        )
