"""How a trained policy is kept: the file of stable-baselines3, with a note on what it sees.

The file is a zip. Its entry ``seawall.json`` says which algorithm and which encoding it was trained
with; a file without one, or with another encoding, is refused. To load the rest runs code that is
in it, so a policy is as trusted as an agent: load your own.
"""

import json
import zipfile
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from seawall import workspace_folders
from seawall.errors import RecipeError, ToolError
from seawall.gym.encoding import KINDS, Encoding

ALGORITHMS = ("PPO", "A2C", "DQN", "SAC", "TD3")
_NOTE = "seawall.json"
_SCHEMA = 1
_MISSING = (
    "a policy needs the packages stable-baselines3 and torch, which are not installed: pip install "
    "'seawall[rl]' (the README says how to get torch without CUDA)"
)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A trained policy.

    Attributes:
        model: of stable-baselines3.
        encoding: what it sees and answers.
        trained_on: id of the recipe it was trained on.
        every_ms: time between two decisions; 0: each bar.
    """

    model: Any
    encoding: Encoding
    trained_on: str
    every_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a policy's file says of itself."""

    algorithm: str
    encoding: Encoding
    trained_on: str
    every_ms: int


def find_path(path: str) -> Path:
    """Return a policy's file; a relative path lies in the workspace, or the working directory."""
    return (workspace_folders.WORKSPACE or Path.cwd()) / path


def save_policy(policy: Policy, path: Path) -> Path:
    """Write a policy and the note on it; return the file.

    Raises:
        RecipeError: the file cannot be written.
    """
    note = {
        "seawall_policy": _SCHEMA,
        "algorithm": type(policy.model).__name__,
        "encoding": policy.encoding.to_dict(),
        "trained_on": policy.trained_on,
        "every_ms": policy.every_ms,
    }
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            policy.model.save(file)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(_NOTE, json.dumps(note))
        part.replace(path)
    except OSError as error:
        raise RecipeError(f"a policy is written to a file, {path} cannot be ({error})") from None
    return path


def read_note(path: Path) -> Note:
    """Return what a policy's file says of itself, without loading the policy.

    Raises:
        RecipeError: it is no policy, or one of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            note = json.loads(archive.read(_NOTE))
    except FileNotFoundError:
        raise RecipeError(
            f"a policy is read from a file, there is no {path}: `seawall train RECIPE` makes one"
        ) from None
    except (OSError, zipfile.BadZipFile) as error:
        raise RecipeError(
            f"a policy is a zip of stable-baselines3, {path} is none ({error}): train it again"
        ) from None
    except (KeyError, ValueError):
        raise RecipeError(
            f"a policy says what it sees in {_NOTE}, {path} does not: train it with `seawall train`"
        ) from None
    try:
        return _parse(note)
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(
            f"a policy of this version is of schema {_SCHEMA}, {path} is not ({error}): train it "
            "again"
        ) from None


def _parse(note: dict[str, Any]) -> Note:
    if note["seawall_policy"] != _SCHEMA:
        raise ValueError(f"it is of schema {note['seawall_policy']!r}")
    algorithm, given = note["algorithm"], note["encoding"]
    if algorithm not in ALGORITHMS:
        raise ValueError(f"its algorithm is {algorithm!r:.40}")
    if set(given) != {field.name for field in fields(Encoding)} or given["kind"] not in KINDS:
        raise ValueError("its encoding has other parts")
    every_ms = note["every_ms"]
    if not isinstance(every_ms, int) or every_ms < 0:
        raise ValueError(f"its every_ms is {every_ms!r:.40}")
    return Note(
        algorithm=algorithm,
        encoding=Encoding(**given),
        trained_on=str(note["trained_on"]),
        every_ms=every_ms,
    )


def load_policy(path: Path) -> Policy:
    """Return the policy in a file; it runs on the CPU.

    Raises:
        RecipeError: it is no policy, one of another version, or not the one its note describes.
        ToolError: the extra ``rl`` is not installed.
    """
    note = read_note(path)
    try:
        library = import_module("stable_baselines3")
    except ImportError:
        raise ToolError(_MISSING) from None
    try:
        model = getattr(library, note.algorithm).load(path, device="cpu")
        shape = tuple(model.observation_space.shape)
    except Exception as error:
        raise RecipeError(
            f"a policy must be readable by the stable-baselines3 that is installed, {path} is not "
            f"({type(error).__name__}: {str(error)[:200]}): train it again"
        ) from error
    if shape != (len(note.encoding.names),):
        raise RecipeError(
            f"a policy sees what its note says, {len(note.encoding.names)} numbers, {path} sees "
            f"{shape}: train it again"
        )
    return Policy(
        model=model,
        encoding=note.encoding,
        trained_on=note.trained_on,
        every_ms=note.every_ms,
    )
