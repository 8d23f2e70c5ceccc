"""Other tools at the job of ``bench.loan``, each run by the Python of an environment of its own.

Nothing in here imports Seawall: it is not installed there.
"""
