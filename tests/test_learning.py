"""Learning: labels, purged splits, probabilities, trees, model files, and when it is fitted."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import seawall
from seawall.agent import FitSchedule, as_agent
from seawall.errors import AgentError, WorkspaceError
from seawall.features import Bars, FeatureSet
from seawall.learning import (
    Calibration,
    Examples,
    Forest,
    Model,
    Payoff,
    Sizing,
    Training,
    TreeSettings,
    calibrate,
    check_timeframe,
    find_falls,
    find_payoff,
    find_returns,
    fit_forest,
    load_model,
    need_library,
    save_model,
    split_purged,
)
from seawall.learning import trees as trees_module
from seawall.market.series import FloatArray
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.units import DAY_MS, HOUR_MS

FEATURES = FeatureSet(["return_1", "rsi_14"])


def bars_of(opened: list[float], low: list[float] | None = None) -> Bars:
    """Return hourly bars that close where they open."""
    price = np.array(opened)
    return Bars(
        close_ms=HOUR_MS * np.arange(1, len(price) + 1, dtype=np.int64),
        open=price,
        high=price,
        low=price if low is None else np.array(low),
        close=price,
        volume=np.ones(len(price)),
    )


# Labels and splits --------------------------------------------------------------------------------


def test_a_return_begins_at_the_open_after_the_decision() -> None:
    """Opens 10, 20, 30, 60: decided at the first close, in at 20, out two bars later at 60: +200 %.

    Of the later bars the end is not known.
    """
    found = find_returns(bars_of([10.0, 20.0, 30.0, 60.0]), 2)
    assert found[0] == 2.0
    assert np.isnan(found[1:]).all()
    assert np.isnan(find_returns(bars_of([10.0, 20.0]), 5)).all()


def test_a_fall_is_the_deepest_low_ahead_and_never_a_rise() -> None:
    """From 10 the lows of the next two bars are 8 and 9: 20 %; from 20 they are 9 and 30: 55 %."""
    found = find_falls(bars_of([10.0, 20.0, 30.0, 40.0], [10.0, 8.0, 9.0, 35.0]), 2)
    assert found[:2].tolist() == pytest.approx([0.2, 0.55])
    assert np.isnan(found[2:]).all()
    assert find_falls(bars_of([10.0, 20.0]), 1)[0] == 0.0


@settings(max_examples=50, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    n_ahead=st.integers(1, 10),
    share=st.floats(0.05, 0.9),
    n_copies=st.integers(1, 3),
)
def test_no_label_that_is_trained_on_reaches_into_the_test(
    gaps: list[int], n_ahead: int, share: float, n_copies: int
) -> None:
    """Whatever the holes, and however many examples a bar has: all trained on is known before."""
    close_ms = np.cumsum(np.array(gaps, dtype=np.int64))
    outcome = np.zeros(len(close_ms))
    outcome[max(len(outcome) - n_ahead, 0) :] = np.nan
    part = Examples.from_bars(np.zeros((len(close_ms), 1)), close_ms, outcome, n_ahead)
    examples = Examples.join([part] * n_copies)
    split = split_purged(examples.close_ms, examples.known_ms, share)
    assert (examples.known_ms > examples.close_ms).all()
    if len(examples):
        first_ms = examples.close_ms[split.test].min()
        assert (examples.known_ms[split.train] <= first_ms).all()
        between = (examples.close_ms < first_ms) & (examples.known_ms > first_ms)
        assert len(split.train) + len(split.test) + between.sum() == len(examples)


# Probabilities and positions ----------------------------------------------------------------------


def test_a_calibration_recovers_the_log_odds() -> None:
    """Labels drawn with log-odds 2 s - 1: slope and offset come back."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=40_000)
    labels = rng.random(40_000) < 1 / (1 + np.exp(1 - 2 * scores))
    found = calibrate(scores, labels)
    assert found.slope == pytest.approx(2.0, abs=0.1)
    assert found.offset == pytest.approx(-1.0, abs=0.05)
    assert found.to_probability(0.5) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_scores_that_tell_nothing_or_the_opposite_give_the_base_rate(sign: float) -> None:
    """30 of 100 labels are true: (30 + 1) / (100 + 2), whatever the score."""
    labels = np.arange(100) < 30
    found = calibrate(sign * labels.astype(np.float64), labels)
    assert not found.has_skill
    assert found.to_probability(9.0) == pytest.approx(31 / 102)


def test_labels_of_one_kind_give_no_certainty() -> None:
    """100 of 100 are true: 101 / 102, not 1."""
    found = calibrate(np.arange(100.0), np.ones(100, dtype=np.bool_))
    assert found.to_probability(50.0) == pytest.approx(101 / 102)


@given(score=st.floats(-1e6, 1e6), slope=st.floats(0, 1e3), offset=st.floats(-1e3, 1e3))
def test_a_probability_is_one_whatever_the_score(score: float, slope: float, offset: float) -> None:
    """No overflow, and between 0 and 1."""
    assert 0.0 <= Calibration(slope, offset).to_probability(score) <= 1.0


def test_no_trade_that_would_not_pay_its_costs() -> None:
    """10 bps of fee and 1 of spread, both ways: 22 bps.

    With p = 0.5, +60 against -20 bps are +20: not worth going in, worth staying in.
    """
    sizing = Sizing.from_costs(10.0, 1.0, edge=1.0)
    payoff = Payoff(gain=0.0060, loss=-0.0020)
    assert sizing.round_trip == pytest.approx(0.0022)
    assert not sizing.is_worth_holding(payoff.expect(0.5), is_held=False)
    assert sizing.is_worth_holding(payoff.expect(0.5), is_held=True)
    assert sizing.is_worth_holding(payoff.expect(0.6), is_held=False)
    assert not sizing.is_worth_holding(payoff.expect(0.1), is_held=True)


def test_a_payoff_is_the_mean_of_each_kind() -> None:
    """Trades of +4, +2 and -3: 3 where the label is true, -3 where it is not."""
    found = find_payoff(np.array([4.0, 2.0, -3.0]), np.array([True, True, False]))
    assert found == Payoff(3.0, -3.0)
    assert find_payoff(np.empty(0), np.empty(0, dtype=np.bool_)) == Payoff(0.0, 0.0)


# Trees --------------------------------------------------------------------------------------------


def make_rows(
    n: int = 1_500, *, has_nan: bool = True, seed: int = 3
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return rows of which the first column tells and the second is noise, some not known."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3))
    labels = rows[:, 0] + 0.5 * rng.normal(size=n) > 0
    if has_nan:
        rows[rng.random((n, 3)) < 0.1] = np.nan
    return rows, labels


SMALL = TreeSettings(n_trees=20, n_leaves=6, min_leaf=20)


@pytest.mark.parametrize("library", ["scikit-learn", "lightgbm"])
@pytest.mark.parametrize("has_nan", [True, False])
def test_a_forest_answers_as_its_library(library: trees_module.Library, *, has_nan: bool) -> None:
    """To 1e-9 on rows it was fitted to (``fit_forest`` holds it to that) and on rows it was not.

    The first column tells: most of the new labels are found. Where training knew all, a value that
    is not known is no error.
    """
    pytest.importorskip({"scikit-learn": "sklearn"}.get(library, library))
    rows, labels = make_rows(has_nan=has_nan)
    forest = fit_forest(rows, labels, replace(SMALL, library=library))
    new, told = make_rows(seed=4)
    assert ((forest.scores(new) > 0) == told).mean() > 0.75
    again = fit_forest(rows, labels, replace(SMALL, library=library))
    assert np.array_equal(forest.scores(new), again.scores(new))


def test_a_tree_that_is_read_wrongly_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should another version keep its trees otherwise, the fit is refused, not used."""
    pytest.importorskip("sklearn")
    build = trees_module._Builder.build

    def build_wrong(self: trees_module._Builder, base: float) -> Forest:
        return build(self, base + 0.1)

    monkeypatch.setattr(trees_module._Builder, "build", build_wrong)
    with pytest.raises(AgentError, match="trees must answer as scikit-learn"):
        fit_forest(*make_rows(), SMALL)


def test_the_score_falls_where_it_must() -> None:
    """With the first column said to be falling, a rising one cannot raise the score."""
    pytest.importorskip("sklearn")
    rows, labels = make_rows(has_nan=False)
    forest = fit_forest(rows, ~labels, replace(SMALL, falling=(0,)))
    line = np.stack([np.linspace(-3, 3, 50), np.zeros(50), np.zeros(50)], axis=1)
    scores = forest.scores(line)
    assert (np.diff(scores) <= 1e-12).all()
    assert scores[0] > scores[-1]


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(trees_module._MODULES, "scikit-learn", "no_such_module")
    with pytest.raises(WorkspaceError, match=r"needs scikit-learn.*pip install 'seawall\[ml\]'"):
        need_library("scikit-learn")


# Model files --------------------------------------------------------------------------------------


def make_model() -> Model:
    """Return a model of one tree by hand: left of 0 it is -1, right of it +1."""
    forest = Forest(
        feature=np.array([0, -1, -1]),
        threshold=np.array([0.0, 0.0, 0.0]),
        left=np.array([1, 0, 0]),
        right=np.array([2, 0, 0]),
        is_left_if_nan=np.array([1, 0, 0]),
        value=np.array([0.0, -1.0, 1.0]),
        roots=np.array([0]),
        base=0.5,
    )
    return Model(
        target="direction",
        horizon=24,
        timeframe_ms=HOUR_MS,
        features=FEATURES.names,
        features_hash=FEATURES.hash,
        library="by hand 1.0",
        fitted_ms=5 * DAY_MS,
        n_examples=7,
        forest=forest,
        calibration=Calibration(2.0, -1.0),
        payoff=Payoff(0.01, -0.02),
    )


def load(path: Path, **changed: str) -> Model:
    """Load a model of the features of these tests."""
    return load_model(
        path,
        target=changed.get("target", "direction"),
        horizon=int(changed.get("horizon", 24)),
        features=FEATURES.names,
        features_hash=changed.get("features_hash", FEATURES.hash),
    )


def test_a_model_by_hand_answers_by_hand() -> None:
    """Right of 0 the score is 0.5 + 1, the odds e^(2 x 1.5 - 1) = e^2; nan goes left: e^-2."""
    model = make_model()
    assert model.probability(np.array([3.0, 0.0])) == pytest.approx(1 / (1 + np.exp(-2)))
    assert model.probability(np.array([np.nan, 0.0])) == pytest.approx(1 / (1 + np.exp(2)))


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    """Every part of it, and the same bytes for the same model."""
    model, path = make_model(), tmp_path / "new" / "model.npz"
    save_model(model, path)
    found = load(path)
    assert found.hash == model.hash
    assert found.to_bytes() == model.to_bytes() == path.read_bytes()
    assert (found.calibration, found.payoff) == (model.calibration, model.payoff)
    assert [one.name for one in path.parent.iterdir()] == ["model.npz"]


def rewrite(path: Path, **header: object) -> None:
    """Change the header of a model's file."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    known = {**json.loads(arrays["header"].tobytes()), **header}
    arrays["header"] = np.frombuffer(json.dumps(known).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    """Another format, target, set or order of features, changed content: a line for each."""
    path = tmp_path / "model.npz"
    save_model(make_model(), path)
    with pytest.raises(AgentError, match="must be a model of hazard, is one of direction"):
        load(path, target="hazard")
    with pytest.raises(AgentError, match="another version computed otherwise"):
        load(path, features_hash="0" * 16)
    with pytest.raises(AgentError, match="must look 12 bars ahead, looks 24"):
        load(path, horizon="12")
    with pytest.raises(AgentError, match="fitted on bars of 1h, these are of 5m"):
        check_timeframe(load(path), 5 * 60_000)
    for names, message in (
        (["rsi_14", "return_1"], "the same features in another order"),
        (["return_1", "range_3"], r"lacks \['range_3'\], it has \['rsi_14'\] beside"),
    ):
        with pytest.raises(AgentError, match=message):
            load_model(path, target="direction", horizon=24, features=names, features_hash="")
    rewrite(path, horizon=25)
    with pytest.raises(AgentError, match="is damaged, its hash does not fit"):
        load(path)
    rewrite(path, format=99)
    with pytest.raises(AgentError, match="must be a model file of format 1, is of 99"):
        load(path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """Absent, empty, text, cut off, a pickle, an archive of something else: never a traceback."""
    path = tmp_path / "model.npz"
    with pytest.raises(AgentError, match="there is no model file"):
        load(path)
    whole = make_model().to_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(AgentError, match="is no model file") as caught:
            load(path)
        said = str(caught.value)  # the file and the remedy, and no other library's advice
        assert said.startswith(f"{path} is no model file (it is damaged, or another program's): ")
        assert said.endswith("or leave out agent.model and fit the model anew")
    with pytest.raises(AgentError, match=r"is no model file \(Is a directory\)"):
        load(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(AgentError, match="is no model file"):
        load(path)
    np.savez(path, header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(AgentError, match="is no model file"):
        load(path)


def test_trees_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    """A child that lies before its parent would be a walk without an end."""
    model = make_model()
    bad = replace(model.forest, left=np.array([0, 0, 0]))
    path = tmp_path / "model.npz"
    save_model(replace(model, forest=bad), path)
    with pytest.raises(AgentError, match="trees must hold together"):
        load(path)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(AgentError, match="cannot be written"):
        save_model(make_model(), tmp_path / "taken" / "model.npz")


def test_too_few_examples_give_no_model() -> None:
    """Of either kind of label, or in all."""
    training = Training(target="t", horizon=1, features=FEATURES, trees=SMALL, min_examples=100)
    n = 400
    close_ms = np.arange(n, dtype=np.int64)
    part = Examples.from_bars(np.zeros((n, 2)), close_ms, np.ones(n), 1)
    assert training.train(part, part.outcome > 0, timeframe_ms=1) is None
    few = Examples.from_bars(np.zeros((50, 2)), close_ms[:50], np.arange(50.0), 1)
    assert training.train(few, few.outcome > 25, timeframe_ms=1) is None


# When it is fitted --------------------------------------------------------------------------------

RECIPE = Recipe.from_toml(
    """
[market]
venue = "simulated"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2025-01-01"
until = "2025-01-11"
warmup = "2d"
""",
    name="ten days",
)


class Student:
    """Notes what it is shown to be fitted on."""

    refit_ms: object = 3 * DAY_MS
    fits: ClassVar[list[tuple[int, int]]] = []

    def fit(self, history: Observation) -> None:
        """Note the newest close, and until when it is shown."""
        self.fits.append((int(history.history().time_ms[-1]) + HOUR_MS, history.time_ms))

    def decide(self, observation: Observation) -> None:
        """Do nothing."""


class OnlyOnce(Student):
    """Is fitted once."""

    refit_ms = 0


def test_an_agent_is_fitted_anew_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ten days at days 0, 3, 6 and 9, on what had closed an hour (the embargo) before.

    The journal says so each time.
    """
    monkeypatch.setattr(Student, "fits", [])
    result = seawall.run(RECIPE, agent=Student())
    since_ms = RECIPE.market.since_ms
    expected = [since_ms + day * DAY_MS - HOUR_MS for day in (0, 3, 6, 9)]
    assert Student.fits == [(ms, ms) for ms in expected]
    notes = result.journal[result.journal["kind"] == "note"]
    assert notes["time_ms"].tolist() == [ms + HOUR_MS for ms in expected]
    assert notes["text"].iloc[1] == "fitted on what was known at 2025-01-03 23:00"


def test_an_agent_that_says_nothing_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first decision."""
    monkeypatch.setattr(Student, "fits", [])
    seawall.run(RECIPE, agent=OnlyOnce())
    assert Student.fits == [(RECIPE.market.since_ms - HOUR_MS,) * 2]


@pytest.mark.parametrize("bad", [-1, 1.5, "7d", None])
def test_a_period_that_is_none_is_refused(bad: object) -> None:
    """With the rule and the value."""
    student = Student()
    student.refit_ms = bad
    with pytest.raises(AgentError, match="refit_ms must be whole milliseconds"):
        FitSchedule(as_agent(student))


def test_a_fit_that_raises_is_an_abstention_and_the_next_one_comes_in_time() -> None:
    """At days 0, 3, 6 and 9; all other decisions are taken."""

    class Dull(Student):
        def fit(self, history: Observation) -> None:
            raise ValueError(f"too hard at {history.time_ms}")

    result = seawall.run(RECIPE, agent=Dull())
    assert result.counts["abstained"] == 4
