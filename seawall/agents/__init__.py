"""The agents: those that ship with Seawall and those of the user's workspace."""

from seawall.workspace_folders import folders

__path__ = folders("agents", __path__[0])
