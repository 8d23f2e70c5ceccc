"""Agents in other processes and languages: one JSON form, over stdio, HTTP and MCP.

``form`` is the form and its JSON Schema; ``wire`` writes observations in it, ``rebuild`` reads
them. ``stdio`` and ``http`` are the two ways to an agent, ``link`` what they have in common,
``recording`` what makes a run with one reproducible. ``server`` offers a Seawall agent over HTTP,
``mcp`` a running backtest to an MCP client.
"""
