"""What a league keeps of a run beside its equity: plain numbers by name."""

import math
from collections.abc import Mapping
from dataclasses import fields

import pandas as pd

from seawall.result import Result

N_DECISIONS = "n_decisions"
N_ABSTAINED = "n_abstained"
N_LIQUIDATIONS = "n_liquidations"
THINKING = "thinking_cost"
PERCENTILE = "random_percentile"
LATENCY_MS = "latency_ms"


def worth_of(result: Result) -> dict[str, float | None]:
    """Return metrics, the better bound, counts and costs of a run; what is not defined is None."""
    found: dict[str, object] = {
        one.name: getattr(result.metrics, one.name) for one in fields(result.metrics)
    }
    found |= {f"n_{kind}": count for kind, count in result.counts.items()}
    found[N_LIQUIDATIONS] = result.n_liquidations
    found["best_total_return"] = result.band.optimistic
    found |= {f"part_{name}": value for name, value in result.parts.items()}
    found |= _thinking(result.ledger)
    return {name: _plain(value) for name, value in found.items()}


def why_abstained(result: Result) -> str:
    """Return why the agent mostly had no answer; ``""`` where it always had one."""
    journal = result.journal
    if "kind" not in journal:
        return ""
    found = journal.loc[journal["kind"] == "abstained", "text"].mode()
    return str(found.iloc[0]) if len(found) else ""


def _thinking(ledger: pd.DataFrame) -> Mapping[str, object]:
    """Return what deciding itself cost, quote units, >= 0."""
    if ledger.empty or "kind" not in ledger:
        return {}
    mine = ledger[(ledger["kind"] == "thinking") & (ledger["amount"] < 0)]
    return {THINKING: float(-mine["amount"].sum())} if len(mine) else {}


def _plain(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
