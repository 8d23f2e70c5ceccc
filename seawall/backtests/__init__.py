"""The backtests: those that ship with Seawall and those of the user's workspace."""

from seawall.workspace_folders import folders

__path__ = folders("backtests", __path__[0])
