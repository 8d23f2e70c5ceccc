"""Perpetual futures in the engine: their world, and what a run leaves of them."""
