"""A planted leak past the catalog: a table of the agent's own."""

from pathlib import Path

import pandas as pd

from seawall.observation import Observation


class ReadsAFile:
    """Follow a table of weights by time."""

    def __init__(self, *, path: str) -> None:
        self.weights = pd.read_csv(Path(path), index_col="time_ms")["weight"]

    def decide(self, observation: Observation) -> float | None:
        """Answer what the table says."""
        weight = self.weights.get(observation.time_ms)
        return None if weight is None else float(weight)
