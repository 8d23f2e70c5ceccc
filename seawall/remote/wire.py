"""Observations and decisions in the JSON form, both ways.

What is written is made by hand: it is written for every decision, and a model would cost more than
the agent. A test holds it to ``form``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from math import isfinite
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seawall.action import TargetWeight, to_json
from seawall.agent import AgentInfo, Decision, Wake
from seawall.errors import AgentError
from seawall.loan_view import LoanTerms, LoanView
from seawall.market.series import FloatArray
from seawall.observation import History, Observation
from seawall.perpetual_view import Contract, PerpetualView, PositionView
from seawall.remote.form import PROTOCOL, DecisionForm

Plain = dict[str, object]
Item = TypeVar("Item", np.float64, np.int64)


def write(message: Mapping[str, object]) -> bytes:
    """Return a message as one line of JSON, without its end."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def plain(value: float) -> float | str | None:
    """Return a number as JSON has it: nan is null, infinity is text."""
    if isfinite(value):
        return value
    return None if value != value else ("inf" if value > 0 else "-inf")  # noqa: PLR0124 - nan


# To an agent --------------------------------------------------------------------------------------


def describe_info(info: AgentInfo) -> Plain:
    """Return what an agent is told before the first bar; takes one random number of its rng."""
    return {
        "symbols": list(info.symbols),
        "timeframe_ms": info.timeframe_ms,
        "decide_at": info.decide_at,
        "taker_fee_bps": info.taker_fee_bps,
        "actions": list(info.actions),
        "assets": list(info.assets),
        "guarded": info.guarded,
        "seed": int(info.rng.integers(2**31)),
    }


def hello(info: Mapping[str, object], state: str | None = None) -> Plain:
    """Return the handshake."""
    return {"type": "hello", "protocol": PROTOCOL, "info": info, "state": state}


def question(sequence: int, observation: Mapping[str, object]) -> Plain:
    """Return an observation with its number."""
    return {"type": "observation", "sequence": sequence, "observation": observation}


def describe(observation: Observation, info: AgentInfo, *, bars: int) -> Plain:
    """Return an observation with the last ``bars`` candles of each symbol."""
    is_at_open = info.decide_at == "open"
    loan, perpetual = observation.loan, observation.perpetual
    return {
        "time_ms": observation.time_ms,
        "timeframe_ms": info.timeframe_ms,
        "is_at_open": is_at_open,
        "symbols": list(observation.symbols),
        "cash": plain(observation.cash),
        "equity": plain(observation.equity),
        "quantities": dict(observation.quantities),
        "orders": [asdict(order) for order in observation.orders],
        "fills": [asdict(fill) for fill in observation.fills],
        "candles": {
            symbol: _last_candles(observation.history(symbol), bars, bars + is_at_open)
            for symbol in observation.symbols
        },
        "signals": {
            name: _last_values(observation, name, bars) for name in observation.signal_names
        },
        "loan": None if loan is None else describe_loan(loan),
        "perpetual": None if perpetual is None else describe_perpetual(perpetual),
    }


def describe_loan(loan: LoanView) -> Plain:
    """Return a loan in the form."""
    numbers: Plain = {name: plain(getattr(loan, name)) for name in _LOAN_NUMBERS}
    blocks = {name: _plain_map(getattr(loan, name)) for name in _LOAN_BLOCKS}
    terms = loan.terms
    return {
        **numbers,
        **blocks,
        "liquidation_price": plain(loan.liquidation_price()),
        "n_liquidations": loan.n_liquidations,
        "pending": loan.pending,
        "terms": {name: _plain_term(getattr(terms, name)) for name in _TERMS},
        "row": _tail(loan.row, len(loan.row)),
    }


def describe_perpetual(view: PerpetualView) -> Plain:
    """Return a futures account in the form."""
    parts = view.parts
    contracts = parts[0]
    numbers: Plain = {name: plain(getattr(view, name)) for name in _ACCOUNT_NUMBERS}
    return {
        **numbers,
        "is_liquidated": view.is_liquidated,
        "positions": {s: _describe_position(one) for s, one in view.positions.items()},
        "marks": {symbol: plain(view.mark(symbol)) for symbol in contracts},
        "funding_rates": {symbol: plain(view.funding_rate(symbol)) for symbol in contracts},
        "next_funding_ms": {symbol: int(view.next_funding_ms(symbol)) for symbol in contracts},
        "contracts": {
            symbol: {name: _plain_term(getattr(one, name)) for name in _CONTRACT}
            for symbol, one in contracts.items()
        },
        "arrays": {
            name: _plain_nested(np.asarray(parts[place]).tolist())
            for name, place in _ARRAYS.items()
        },
    }


_LOAN_NUMBERS = (
    "health", "ltv", "collateral_usd", "debt_usd", "wallet_usd", "equity_usd", "borrowable_usd",
    "liquidation_threshold", "gas_price_gwei", "spent_usd",
)  # fmt: skip
_LOAN_BLOCKS = (
    "collateral", "debt", "wallet", "prices", "market_prices", "supply_rate", "borrow_rate",
)  # fmt: skip
_ACCOUNT_NUMBERS = (
    "wallet", "equity", "available", "withdrawable", "margin_ratio", "reserve", "on_the_way",
    "funding",
)  # fmt: skip
_POSITION_NUMBERS = (
    "quantity", "entry_price", "mark_price", "leverage", "unrealised", "margin", "maintenance",
    "margin_ratio", "real_leverage", "liquidation_price",
)  # fmt: skip
_ARRAYS = {"account": 1, "positions": 2, "marks": 3, "tables": 4, "funding_rates": 5}
_TERMS = tuple(field.name for field in fields(LoanTerms))
_CONTRACT = tuple(field.name for field in fields(Contract))


def _describe_position(position: PositionView) -> Plain:
    numbers: Plain = {name: plain(getattr(position, name)) for name in _POSITION_NUMBERS}
    return {**numbers, "is_isolated": position.is_isolated}


def _last_candles(history: History, n: int, n_open: int) -> Plain:
    return {
        "time_ms": _last(history.time_ms, n_open).tolist(),
        "open": _tail(history.open, n_open),
        "high": _tail(history.high, n),
        "low": _tail(history.low, n),
        "close": _tail(history.close, n),
        "volume": _tail(history.volume, n),
    }


def _last_values(observation: Observation, name: str, n: int) -> Plain:
    known_ms, values = observation.signal_history(name)
    return {"known_ms": _last(known_ms, n).tolist(), "value": _tail(values, n)}


def _last(values: NDArray[Item], n: int) -> NDArray[Item]:
    return values[max(len(values) - n, 0) :]


def _tail(values: FloatArray, n: int) -> list[object]:
    """Return the last ``n`` numbers of an array."""
    last = _last(values, n)
    numbers: list[object] = last.tolist()
    return numbers if np.isfinite(last).all() else _plain_nested(numbers)


def _plain_nested(values: list[Any]) -> list[object]:
    return [_plain_nested(one) if isinstance(one, list) else plain(one) for one in values]


def _plain_map(values: Mapping[str, float]) -> Plain:
    return {name: plain(value) for name, value in values.items()}


def _plain_term(value: object) -> object:
    if isinstance(value, Mapping):
        return _plain_map(value)
    return plain(value) if isinstance(value, float) else value


# From an agent ------------------------------------------------------------------------------------


def to_answer(form: DecisionForm, info: AgentInfo) -> Decision:
    """Return what an agent has said as a decision of its job.

    Raises:
        AgentError: it says that it has no answer, or its answer is none of the job's.
    """
    if form.error:
        return Decision(abstained=form.error, reason=form.reason)
    actions = tuple(form.actions or ())
    wake = None if form.wake is None else Wake(**form.wake.model_dump())
    if form.weights is not None:
        actions = tuple(TargetWeight(symbol=s, weight=w) for s, w in form.weights.items())
    elif form.target is not None:
        if info.read is None:
            raise AgentError("a target needs a job that reads it, there is none: send actions")
        actions = info.read(float(form.target)).actions
    return Decision(actions=actions, reason=form.reason, wake=wake)


def to_form(sequence: int, decision: Decision) -> Plain:
    """Return a decision in the form."""
    said: Plain = {"type": "decision", "sequence": sequence}
    if decision.actions:
        said["actions"] = [json.loads(to_json(action)) for action in decision.actions]
    if decision.reason:
        said["reason"] = decision.reason
    if decision.wake is not None:
        wake = asdict(decision.wake)
        said["wake"] = {name: value for name, value in wake.items() if value is not None}
    if decision.abstained:
        said["error"] = decision.abstained
    return said
