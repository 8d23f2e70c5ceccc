"""An online learner: river's logistic regression, one example at a time, never fitted anew.

An example is a bar, its label whether the return over the next ``horizon`` bars would have paid a
round trip. It is learnt once that return is known and the engine has said that outcomes up to then
are (``learn``). Before each example the model is asked what it would have said: where that has been
no better than the base rate, it has shown no skill, and nothing is held.

Source: Montiel et al., "River: machine learning for streaming data in Python", Journal of Machine
Learning Research 22 (2021).
"""

from collections.abc import Sequence
from math import isfinite, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from seawall import AgentInfo, Decision, Feedback, Observation, TargetWeight
from seawall.features import Bars, FeatureSet
from seawall.learning import Payoff, Sizing, need_library
from seawall.market.series import FloatArray
from seawall.units import BPS, HOUR_MS

from ._learning import feature_names
from ._parameters import number, whole_number

FEATURES = (
    "return_1", "return_6", "return_24", "return_72", "volatility_24", "rsi_14", "position_24",
    "position_168", "distance_72", "drawdown_168",
)  # fmt: skip
SCALE = FeatureSet(("volatility_168",))  # in which outcomes are measured
_LEAST_P = 1e-6


class RiverLogistic:
    """Hold each symbol while a logistic regression that never stops learning expects it to pay.

    Parameters:
        features: names, see ``seawall.features``; one of a signal needs it in ``market.signals``.
        horizon: bars from going in to where the label is measured.
        learning_rate: of the stochastic gradient, > 0 and at most 1; divided by ``horizon``, as the
            labels of so many bars overlap and tell nearly the same.
        l2: penalty on the weights, at least 0.
        memory: examples after which one counts for 1 / e in what skill and payoffs are, >= 10.
        min_examples: with fewer it holds nothing.
        weight: of the equity, over all symbols; > 0 and at most 1.
        edge: round trips that must be expected, at least 0.
        half_spread_bps: paid each way beside the taker fee that the recipe names, at least 0.

    Left out: the short side, and impact.
    """

    def __init__(
        self,
        *,
        features: Sequence[str] = FEATURES,
        horizon: int = 24,
        learning_rate: float = 0.01,
        l2: float = 0.0001,
        memory: int = 2_000,
        min_examples: int = 500,
        weight: float = 1.0,
        edge: float = 1.0,
        half_spread_bps: float = 1.0,
    ) -> None:
        need_library("river")
        self.features = feature_names(features)
        self.horizon = whole_number("horizon", horizon)
        rate = number("learning_rate", learning_rate, above=0.0, at_most=1.0)
        self.learning_rate = rate / self.horizon
        self.l2 = number("l2", l2, above=-1e-12)
        self.decay = 1.0 - 1.0 / whole_number("memory", memory, at_least=10)
        self.min_examples = whole_number("min_examples", min_examples)
        self.weight = number("weight", weight, above=0.0, at_most=1.0)
        self.edge = number("edge", edge, above=-1e-9)
        self.half_spread_bps = number("half_spread_bps", half_spread_bps, above=-1e-9)
        self._bar_ms = HOUR_MS
        self._sizing = Sizing.from_costs(0.0, self.half_spread_bps, self.edge)
        self._restart()

    def _restart(self) -> None:
        from river import linear_model, optim, preprocessing  # noqa: PLC0415 - an extra

        self._model: Any = preprocessing.StandardScaler() | linear_model.LogisticRegression(
            optimizer=optim.SGD(self.learning_rate), l2=max(self.l2, 0.0)
        )
        self._record = _Record(self.decay)
        self._waiting: dict[str, list[_Example]] = {}
        self._n_told: dict[str, int] = {}
        self._known_ms = 0
        self._is_long: dict[str, bool] = {}

    def begin(self, info: AgentInfo) -> None:
        """Begin anew; note how long a bar is, and what trading costs."""
        self._restart()
        self._bar_ms = info.timeframe_ms
        self._sizing = Sizing.from_costs(info.taker_fee_bps, self.half_spread_bps, self.edge)

    def fit(self, history: Observation) -> None:
        """Learn from the warm-up, bar by bar: what came of its bars is known."""
        for symbol in history.symbols:
            bars = Bars.of(history, symbol, self._bar_ms)
            self._take_bars(bars, symbol)
            self._learn_known(bars, symbol, history.time_ms)

    def learn(self, feedback: Feedback) -> None:
        """Note up to when outcomes are known."""
        self._known_ms = feedback.known_ms

    def decide(self, observation: Observation) -> Decision | None:
        """Learn what has become known, then go in or out of each symbol with a new bar."""
        actions: list[TargetWeight] = []
        reasons: list[str] = []
        for symbol in observation.symbols:
            bars = Bars.of(observation, symbol, self._bar_ms)
            if len(bars) == self._n_told.get(symbol, 0):
                continue
            newest = self._take_bars(bars, symbol)
            self._learn_known(bars, symbol, self._known_ms)
            is_long = self._is_long.get(symbol, False)
            wants, why = self._judge(newest, is_long=is_long)
            if wants != is_long:
                self._is_long[symbol] = wants
                weight = self.weight / len(observation.symbols) if wants else 0.0
                actions.append(TargetWeight(symbol=symbol, weight=weight))
                reasons.append(f"{symbol}: {why}")
        return Decision(actions=tuple(actions), reason="; ".join(reasons)) if actions else None

    def _take_bars(self, bars: Bars, symbol: str) -> "_Example | None":
        """Keep the bars that are new as examples whose outcome is awaited; return the newest."""
        n_told = self._n_told.get(symbol, 0)
        n_new = len(bars) - n_told
        self._n_told[symbol] = len(bars)
        rows, scales = self.features.table(bars, n_new), SCALE.table(bars, n_new)[:, 0]
        waiting = self._waiting.setdefault(symbol, [])
        newest: _Example | None = None
        for place, row, scale in zip(range(n_told, len(bars)), rows, scales, strict=True):
            newest = self._to_example(place, row, float(scale))
            if newest is not None:
                waiting.append(newest)
        return newest

    def _to_example(self, place: int, row: FloatArray, scale: float) -> "_Example | None":
        if not (np.isfinite(row).all() and isfinite(scale)):
            return None  # something is not known yet
        known = dict(zip(self.features.names, row.tolist(), strict=True))
        return _Example(place, known, max(scale * sqrt(self.horizon), BPS))

    def _learn_known(self, bars: Bars, symbol: str, known_ms: int) -> None:
        """Learn from the examples whose outcome was known at ``known_ms``."""
        waiting = self._waiting.get(symbol, [])
        n_ahead = self.horizon + 1
        n_learnt = 0
        for example in waiting:
            end = example.place + n_ahead
            if end >= len(bars) or bars.close_ms[end] > known_ms:
                break
            outcome = float(bars.open[end] / bars.open[example.place + 1]) - 1.0
            self._learn_one(example, outcome)
            n_learnt += 1
        del waiting[:n_learnt]

    def _learn_one(self, example: "_Example", outcome: float) -> None:
        label = outcome > self._sizing.round_trip
        before = self._probability(example)
        self._record.add(before, outcome / example.scale, label=label)
        self._model.learn_one(example.row, label)

    def _probability(self, example: "_Example") -> float:
        told: float = self._model.predict_proba_one(example.row).get(True, 0.5)
        return min(max(told, _LEAST_P), 1.0 - _LEAST_P)

    def _judge(self, example: "_Example | None", *, is_long: bool) -> tuple[bool, str]:
        """Return whether to be long now, and why."""
        record = self._record
        if example is None:
            return False, "a feature is not known"
        if record.n < self.min_examples:
            return False, f"{record.n} examples are too few"
        if not record.has_skill:
            return False, "it has lately known no more than the base rate"
        probability = self._probability(example)
        expected = example.scale * record.payoff.expect(probability)
        wants = self._sizing.is_worth_holding(expected, is_held=is_long)
        return wants, f"{self._sizing.explain(probability, expected)}, {record.n:,} examples learnt"


class _Example(NamedTuple):
    """A bar that was seen: its place, its features, and the volatility over the horizon."""

    place: int
    row: dict[str, float]
    scale: float


class _Record:
    """How good the model has been before it learnt each example, and what those were worth.

    Sums fade by ``decay`` with each example.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.n = 0
        self._weight = {True: 0.0, False: 0.0}
        self._worth = {True: 0.0, False: 0.0}
        self._gained = 0.0

    @property
    def has_skill(self) -> bool:
        """Whether the model's log loss has lately been below that of the base rate."""
        return self._gained > 0.0

    @property
    def payoff(self) -> Payoff:
        """The mean outcome where the label was true, and where not, in volatilities."""
        found = [
            self._worth[label] / self._weight[label] if self._weight[label] > 0.0 else 0.0
            for label in (True, False)
        ]
        return Payoff(*found)

    def add(self, probability: float, outcome: float, *, label: bool) -> None:
        """Take one example: what the model said before it, and what came."""
        base = (self._weight[True] + 1.0) / (self._weight[True] + self._weight[False] + 2.0)
        told, usual = (probability, base) if label else (1.0 - probability, 1.0 - base)
        self._gained = self._decay * self._gained + log(told) - log(usual)
        for either in (True, False):
            self._weight[either] *= self._decay
            self._worth[either] *= self._decay
        self._weight[label] += 1.0
        self._worth[label] += outcome
        self.n += 1
