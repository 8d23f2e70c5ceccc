"""Learning from history without looking ahead: labels, purged splits, trees, probabilities, files.

What is fitted becomes a ``Model`` of plain arrays: it answers without the library that fitted it,
in microseconds, and its file holds no code.
"""

from seawall.learning.calibration import Calibration, calibrate
from seawall.learning.labels import Payoff, find_falls, find_payoff, find_returns
from seawall.learning.model import Model, check_timeframe, load_model, save_model
from seawall.learning.sizing import Sizing
from seawall.learning.split import Split, split_purged
from seawall.learning.training import Examples, Training
from seawall.learning.trees import Forest, TreeSettings, fit_forest, need_library

__all__ = [
    "Calibration",
    "Examples",
    "Forest",
    "Model",
    "Payoff",
    "Sizing",
    "Split",
    "Training",
    "TreeSettings",
    "calibrate",
    "check_timeframe",
    "find_falls",
    "find_payoff",
    "find_returns",
    "fit_forest",
    "load_model",
    "need_library",
    "save_model",
    "split_purged",
]
