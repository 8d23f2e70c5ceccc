"""Features: numbers that a model may know at the close of a bar, and nothing later.

Each is a pure function of closed bars and of signals that were known by then. ``FeatureSet.table``
gives them for all bars at once, to fit on; ``FeatureSet.latest`` for the newest bar, to decide on;
the two are the same numbers.
"""

from seawall.features.bars import Bars
from seawall.features.feature_set import FeatureSet

__all__ = ["Bars", "FeatureSet"]
