"""Proofs that Seawall's specifications do what the protocols' own bytecode does, to the wei.

``packages`` brings the contracts from npm and compiles them, ``evm`` runs them, the rest deploys a
protocol and compares it with its specification step by step. Nothing that is fetched is kept in
the repository; the numbers that the contracts answered are, in ``tests/golden``.

What this needs beyond Seawall: ``pip install seawall[evm]``, and ``npm`` and ``node`` on the path.
"""
