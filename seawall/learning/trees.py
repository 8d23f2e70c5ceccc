"""Gradient-boosted trees: fitted by scikit-learn or LightGBM, asked as plain arrays.

The libraries fit on one thread with the seed they are given, so that the same rows give the same
trees to the bit. ``Forest`` holds what came out; each fit is compared with the library's own
answers before it is used, as the trees are read from what the libraries keep to themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seawall.errors import AgentError, WorkspaceError
from seawall.kernel import kernel
from seawall.market.series import FloatArray

Library = Literal["scikit-learn", "lightgbm"]
LIBRARIES: tuple[Library, ...] = ("scikit-learn", "lightgbm")
_MODULES = {"scikit-learn": "sklearn", "lightgbm": "lightgbm", "river": "river"}
_LEAF = -1
_N_COMPARED = 256
_TOLERANCE = 1e-9

IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TreeSettings:
    """How trees are grown.

    Attributes:
        library: who grows them.
        n_trees, n_leaves: trees, and leaves of each, at most; >= 1 and >= 2.
        learning_rate: share of each tree that counts, > 0.
        min_leaf: examples in a leaf, at least.
        l2: penalty on the leaves' values, >= 0.
        seed: of the library.
        falling: columns in which the score may only fall as they rise.
    """

    library: Library = "scikit-learn"
    n_trees: int = 100
    n_leaves: int = 8
    learning_rate: float = 0.05
    min_leaf: int = 50
    l2: float = 1.0
    seed: int = 1
    falling: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """Trees as arrays; the score of a row is ``base`` plus one leaf's value per tree.

    Attributes:
        feature: by node, the column that it asks, -1 for a leaf.
        threshold: a row goes left where its value is <= this.
        left, right: by node, where a row goes on.
        is_left_if_nan: by node, 1 where a row without the value goes left.
        value: by leaf, what it adds.
        roots: the first node of each tree.
        base: of the score, the log-odds.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    is_left_if_nan: IntArray
    value: FloatArray
    roots: IntArray
    base: float

    def score(self, row: FloatArray) -> float:
        """Return the score, log-odds, of one row of features."""
        return float(
            _score(
                row, self.feature, self.threshold, self.left, self.right, self.is_left_if_nan,
                self.value, self.roots, self.base,
            )
        )  # fmt: skip

    def scores(self, rows: FloatArray) -> FloatArray:
        """Return the score of each row, shape (n_rows,)."""
        return np.array([self.score(row) for row in np.ascontiguousarray(rows)])

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name, to be stored."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], n_features: int) -> "Forest":
        """Return the forest of stored arrays.

        Raises:
            AgentError: an array is missing, of another shape, or leads out of the trees.
        """
        try:
            whole = {
                name: np.ascontiguousarray(arrays[name], dtype=np.int64)
                for name in ("feature", "left", "right", "is_left_if_nan", "roots")
            }
            real = {
                name: np.ascontiguousarray(arrays[name], dtype=np.float64)
                for name in ("threshold", "value")
            }
            base = float(np.asarray(arrays["base"]).item())
        except (KeyError, TypeError, ValueError) as error:
            raise AgentError(f"trees must be whole arrays, {error} is not: fit them anew") from None
        forest = cls(
            feature=whole["feature"],
            threshold=real["threshold"],
            left=whole["left"],
            right=whole["right"],
            is_left_if_nan=whole["is_left_if_nan"],
            value=real["value"],
            roots=whole["roots"],
            base=base,
        )
        forest.check(n_features)
        return forest

    def check(self, n_features: int) -> None:
        """Raise ``AgentError`` where a walk could leave the arrays, or never end."""
        n = len(self.feature)
        inner = np.flatnonzero(self.feature != _LEAF)
        same = all(
            len(array) == n
            for array in (self.threshold, self.left, self.right, self.is_left_if_nan, self.value)
        )
        is_sound = same and bool(
            ((self.feature >= _LEAF) & (self.feature < n_features)).all()
            and ((self.roots >= 0) & (self.roots < n)).all()
            # A child lies behind its parent, so that every walk ends.
            and (self.left[inner] > inner).all()
            and (self.right[inner] > inner).all()
            and (self.left[inner] < n).all()
            and (self.right[inner] < n).all()
        )
        if not is_sound:
            raise AgentError("trees must hold together, these do not: fit them anew")


@kernel
def _score(  # noqa: PLR0917 - a kernel takes no keywords
    row: FloatArray,
    feature: IntArray,
    threshold: FloatArray,
    left: IntArray,
    right: IntArray,
    is_left_if_nan: IntArray,
    value: FloatArray,
    roots: IntArray,
    base: float,
) -> float:
    total = base
    for root in roots:
        node = root
        while feature[node] >= 0:
            x = row[feature[node]]
            goes_left = is_left_if_nan[node] == 1 if np.isnan(x) else x <= threshold[node]
            node = left[node] if goes_left else right[node]
        total += value[node]
    return total


def need_library(name: str, extra: str = "ml") -> str:
    """Return the version of a library that is installed.

    Raises:
        WorkspaceError: it is not; the message says which extra brings it.
    """
    try:
        import_module(_MODULES[name])
    except ModuleNotFoundError:
        more = "" if name != "lightgbm" else f", or pip install {name}"
        raise WorkspaceError(
            f"this agent needs {name}, which is not installed: pip install 'seawall[{extra}]'{more}"
        ) from None
    return version(name)


def fit_forest(rows: FloatArray, labels: NDArray[np.bool_], settings: TreeSettings) -> Forest:
    """Return trees fitted to ``labels``, to be scored as log-odds.

    Args:
        rows: float64, shape (n_rows, n_features); nan is "not known".
        labels: bool, shape (n_rows,), both values present.
        settings: how they are grown.

    Raises:
        WorkspaceError: the library is not installed.
        AgentError: the trees read from it do not answer as it does.
    """
    need_library(settings.library)
    grow = {"scikit-learn": _fit_by_sklearn, "lightgbm": _fit_by_lightgbm}[settings.library]
    forest, answer = grow(rows, labels, settings)
    forest.check(rows.shape[1])
    some = rows[:: max(len(rows) // _N_COMPARED, 1)]
    worst = float(np.abs(forest.scores(some) - answer(some)).max())
    if not worst <= _TOLERANCE:
        raise AgentError(
            f"trees must answer as {settings.library} {version(settings.library)} does, differ by "
            f"{worst:.1e}: use another version of it, and report this one"
        )
    return forest


Grown = tuple[Forest, Callable[[FloatArray], FloatArray]]  # and the library's own scores of rows


def _fit_by_sklearn(rows: FloatArray, labels: NDArray[np.bool_], settings: TreeSettings) -> Grown:
    limits: Any = import_module("threadpoolctl").threadpool_limits
    ensemble: Any = import_module("sklearn.ensemble")
    model: Any = ensemble.HistGradientBoostingClassifier(
        max_iter=settings.n_trees,
        max_leaf_nodes=settings.n_leaves,
        learning_rate=settings.learning_rate,
        min_samples_leaf=settings.min_leaf,
        l2_regularization=settings.l2,
        early_stopping=False,
        random_state=settings.seed,
        monotonic_cst=[-1 if n in settings.falling else 0 for n in range(rows.shape[1])],
    )
    with limits(limits=1):  # sums in one order: the same bits on any number of cores
        model.fit(rows, labels)
    nodes = [trees[0].nodes for trees in model._predictors]  # noqa: SLF001 - checked by its answers
    builder = _Builder()
    for tree in nodes:
        builder.add(tree)
    base = float(np.asarray(model._baseline_prediction).item())  # noqa: SLF001 - likewise
    return builder.build(base), lambda some: np.asarray(model.decision_function(some))


def _fit_by_lightgbm(rows: FloatArray, labels: NDArray[np.bool_], settings: TreeSettings) -> Grown:
    lightgbm: Any = import_module("lightgbm")
    booster = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": settings.n_leaves,
            "learning_rate": settings.learning_rate,
            "min_data_in_leaf": settings.min_leaf,
            "lambda_l2": settings.l2,
            "seed": settings.seed,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "monotone_constraints": [
                -1 if n in settings.falling else 0 for n in range(rows.shape[1])
            ],
        },
        lightgbm.Dataset(rows, labels.astype(np.float64)),
        num_boost_round=settings.n_trees,
    )
    builder = _Builder()
    for tree in booster.dump_model()["tree_info"]:
        builder.add_nested(tree["tree_structure"])
    return builder.build(0.0), lambda some: np.asarray(booster.predict(some, raw_score=True))


class _Builder:
    """Gathers the nodes of trees, each parent before its children."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, float, int, int, int, float]] = []
        self._roots: list[int] = []

    def add(self, nodes: Any) -> None:
        """Add one tree of scikit-learn: a structured array, parents before children."""
        first = len(self._nodes)
        self._roots.append(first)
        for node in nodes:
            if node["is_leaf"]:
                self._nodes.append((_LEAF, 0.0, 0, 0, 0, float(node["value"])))
            else:
                self._nodes.append(
                    (
                        int(node["feature_idx"]),
                        float(node["num_threshold"]),
                        first + int(node["left"]),
                        first + int(node["right"]),
                        int(node["missing_go_to_left"]),
                        0.0,
                    )
                )

    def add_nested(self, root: Mapping[str, Any]) -> None:
        """Add one tree of LightGBM, as it dumps it."""
        self._roots.append(len(self._nodes))
        self._add_below(root)

    def _add_below(self, node: Mapping[str, Any]) -> int:
        place = len(self._nodes)
        self._nodes.append((_LEAF, 0.0, 0, 0, 0, float(node.get("leaf_value", 0.0))))
        if "split_feature" in node:
            threshold = float(node["threshold"])
            # Where training saw no nan, LightGBM takes one for 0.
            is_left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0.0
            left, right = self._add_below(node["left_child"]), self._add_below(node["right_child"])
            feature = int(node["split_feature"])
            self._nodes[place] = (feature, threshold, left, right, int(is_left), 0.0)
        return place

    def build(self, base: float) -> Forest:
        """Return the forest."""
        columns: Sequence[Any] = list(zip(*self._nodes, strict=True)) or [()] * 6
        whole = [np.array(columns[n], dtype=np.int64) for n in (0, 2, 3, 4)]
        return Forest(
            feature=whole[0],
            threshold=np.array(columns[1], dtype=np.float64),
            left=whole[1],
            right=whole[2],
            is_left_if_nan=whole[3],
            value=np.array(columns[5], dtype=np.float64),
            roots=np.array(self._roots, dtype=np.int64),
            base=base,
        )
