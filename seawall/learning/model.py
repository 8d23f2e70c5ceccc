"""A fitted model, and its file.

The file is a NumPy archive of plain arrays and one JSON header: loading it runs no code. It says
which format and which features it is for and carries the hash of its content; a file that is of
another format, for other features, or damaged is refused by name. The version of the library that
fitted the trees is kept to be read, not needed: a ``Forest`` answers by itself.
"""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seawall.errors import AgentError
from seawall.learning.calibration import Calibration
from seawall.learning.labels import Payoff
from seawall.learning.trees import Forest
from seawall.market.series import FloatArray
from seawall.units import to_duration_text

FORMAT = 1
_HEADER = "header"
_UNREADABLE = (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What was learnt: features to a score, a score to a probability, and what a hit is worth.

    Attributes:
        target: what the probability is of, such as ``"direction"``.
        horizon: bars that the label looks ahead; ``timeframe_ms``: how long one is.
        features: names of the columns, in order; ``features_hash``: of what they mean.
        library: who fitted the trees, with its version.
        fitted_ms: when the newest outcome that it was fitted on was known, UTC milliseconds.
        n_examples: that it was fitted on.
        forest, calibration, payoff: the parts.
    """

    target: str
    horizon: int
    timeframe_ms: int
    features: tuple[str, ...]
    features_hash: str
    library: str
    fitted_ms: int
    n_examples: int
    forest: Forest
    calibration: Calibration
    payoff: Payoff

    def probability(self, row: FloatArray) -> float:
        """Return the probability of the target for one row of features, > 0 and < 1."""
        return self.calibration.to_probability(self.forest.score(row))

    @property
    def hash(self) -> str:
        """The hash of everything that it answers by, 16 hexadecimal digits."""
        return _hash(self._header(), self.forest.to_arrays())

    def _header(self) -> dict[str, object]:
        return {
            "target": self.target,
            "horizon": self.horizon,
            "timeframe_ms": self.timeframe_ms,
            "features": list(self.features),
            "features_hash": self.features_hash,
            "library": self.library,
            "fitted_ms": self.fitted_ms,
            "n_examples": self.n_examples,
            "calibration": self.calibration._asdict(),
            "payoff": self.payoff._asdict(),
        }

    def to_bytes(self) -> bytes:
        """Return the content of its file; the same model gives the same bytes."""
        header = {"format": FORMAT, "hash": self.hash, **self._header()}
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
        np.savez(buffer, allow_pickle=False, **{_HEADER: text}, **self.forest.to_arrays())
        return buffer.getvalue()


def check_timeframe(model: Model, timeframe_ms: int) -> None:
    """Raise ``AgentError`` where a model was fitted on bars of another length."""
    if model.timeframe_ms != timeframe_ms:
        raise AgentError(
            f"the model was fitted on bars of {to_duration_text(model.timeframe_ms)}, these are of "
            f"{to_duration_text(timeframe_ms)}: fit one on such bars"
        )


def save_model(model: Model, path: Path) -> None:
    """Write a model's file, whole or not at all.

    Raises:
        AgentError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(model.to_bytes())
        part.replace(path)
    except OSError as error:
        raise AgentError(f"the model cannot be written to {path}: {error}") from None


def load_model(
    path: Path, *, target: str, horizon: int, features: Sequence[str], features_hash: str
) -> Model:
    """Return the model of a file that was fitted for this target, horizon and these features.

    Raises:
        AgentError: there is no such file, it is damaged, or it is of another format, or for
            another target, horizon or set of features.
    """
    header, arrays = _read(path)
    _check_format(path, header)
    try:
        model = _to_model(header, arrays)
    except _UNREADABLE as error:
        raise AgentError(f"{path} is damaged ({error}): fit the model anew") from None
    if model.hash != header.get("hash"):
        raise AgentError(f"{path} is damaged, its hash does not fit: fit the model anew")
    if model.target != target:
        raise AgentError(
            f"{path} must be a model of {target}, is one of {model.target}: name another file"
        )
    if model.horizon != horizon:
        raise AgentError(
            f"{path} must look {horizon} bars ahead, looks {model.horizon}: set the agent's own "
            "number of bars to that"
        )
    if model.features != tuple(features) or model.features_hash != features_hash:
        raise AgentError(f"{path} {_compare(model, features)}: fit it anew, or name its features")
    return model


def _read(path: Path) -> tuple[Mapping[str, object], Mapping[str, NDArray[np.generic]]]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header: object = json.loads(arrays.pop(_HEADER).tobytes().decode())
        if not isinstance(header, dict):
            raise TypeError("its header is no table")
    except FileNotFoundError:
        raise AgentError(
            f"there is no model file {path}: fit one and keep it with agent.save_to"
        ) from None
    except (*_UNREADABLE, AttributeError) as error:
        why = getattr(error, "strerror", None) or "it is damaged, or another program's"
        raise AgentError(
            f"{path} is no model file ({why}): name one that agent.save_to has written, or leave "
            "out agent.model and fit the model anew"
        ) from None
    return header, arrays


def _check_format(path: Path, header: Mapping[str, object]) -> None:
    if header.get("format") != FORMAT:
        raise AgentError(
            f"{path} must be a model file of format {FORMAT}, is of {header.get('format')!r}: fit "
            "the model anew with this version"
        )


def _to_model(header: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]) -> Model:
    known = json.loads(json.dumps(header))
    features = tuple(str(name) for name in known["features"])
    return Model(
        target=str(known["target"]),
        horizon=int(known["horizon"]),
        timeframe_ms=int(known["timeframe_ms"]),
        features=features,
        features_hash=str(known["features_hash"]),
        library=str(known["library"]),
        fitted_ms=int(known["fitted_ms"]),
        n_examples=int(known["n_examples"]),
        forest=Forest.from_arrays(arrays, len(features)),
        calibration=Calibration(**known["calibration"]),
        payoff=Payoff(**known["payoff"]),
    )


def _compare(model: Model, features: Sequence[str]) -> str:
    """Return in words how a file's features differ from those that are wanted."""
    wanted = list(features)
    missing = [name for name in wanted if name not in model.features]
    extra = [name for name in model.features if name not in wanted]
    if missing or extra:
        return f"has other features: it lacks {missing[:3]}, it has {extra[:3]} beside"
    if list(model.features) != wanted:
        return "has the same features in another order"
    return "has features of these names that another version computed otherwise"


def _hash(header: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]) -> str:
    digest = sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
