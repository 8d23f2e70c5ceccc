"""Imported by a server that forks children: what takes long at first has been done by then."""

import ccxt  # noqa: F401 - a second to import
from paper_child import RECIPE

from seawall.engine.run import run

# The compiled kernels are read from their cache at the first fill.
run(RECIPE.with_settings({"market.until": "2025-01-01T02:00", "agent.name": "agents.buy_and_hold"}))
