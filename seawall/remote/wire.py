"""Observations and decisions in the JSON form, both ways.

What is written is made by hand: it is written for every decision, and a model would cost more than
the agent. A test holds it to ``form``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from seawall.action import TargetWeight, to_json
from seawall.agent import AgentInfo, Decision, Wake
from seawall.errors import AgentError
from seawall.loan_view import LoanTerms, LoanView
from seawall.market.series import FloatArray
from seawall.observation import History, Observation
from seawall.perpetual_view import Contract, PerpetualView, PositionView
from seawall.remote.form import MOST_TEXTS, MOST_TEXTS_AT_FIRST, PROTOCOL, DecisionForm

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
    rng = _describe_rng(info.rng)  # before a number is taken
    return {
        "symbols": list(info.symbols),
        "timeframe_ms": info.timeframe_ms,
        "decide_at": info.decide_at,
        "taker_fee_bps": info.taker_fee_bps,
        "actions": list(info.actions),
        "assets": list(info.assets),
        "guarded": info.guarded,
        "seed": int(info.rng.integers(2**31)),
        "rng": rng,
    }


def _describe_rng(rng: np.random.Generator) -> str:
    """Return the state of random numbers and their seed as text; ``""`` where they are of others.

    Whole numbers of 128 bits are more than JSON's readers can be trusted with.
    """
    made, seeds = rng.bit_generator, rng.bit_generator.seed_seq
    if not (isinstance(made, np.random.PCG64) and isinstance(seeds, np.random.SeedSequence)):
        return ""
    seed = {
        "entropy": seeds.entropy,
        "spawn_key": list(seeds.spawn_key),
        "n_children_spawned": seeds.n_children_spawned,
    }
    return json.dumps({"state": made.state, "seed": seed}, default=int)


def hello(info: Mapping[str, object], state: str | None = None) -> Plain:
    """Return the handshake."""
    return {"type": "hello", "protocol": PROTOCOL, "info": info, "state": state}


def question(sequence: int, observation: Mapping[str, object]) -> Plain:
    """Return an observation with its number."""
    return {"type": "observation", "sequence": sequence, "observation": observation}


class Had(NamedTuple):
    """How many candles, values and texts of each series an agent has had, from the first on."""

    candles: Mapping[str, int]
    signals: Mapping[str, int]
    texts: Mapping[str, int]


NOTHING_HAD = Had({}, {}, {})


def count(observation: Observation) -> Had:
    """Return how much an observation shows."""
    return Had(
        {symbol: len(observation.history(symbol)) for symbol in observation.symbols},
        {name: len(observation.signal_history(name)[0]) for name in observation.signal_names},
        {name: observation.n_texts(name) for name in observation.text_names},
    )


def describe(
    observation: Observation, info: AgentInfo, *, bars: int, had: Had | None = None
) -> Plain:
    """Return an observation with the last ``bars`` candles of each symbol.

    Of an agent that keeps what it was sent ``had`` says how much that is: it is told what came
    since, however many bars.
    """
    is_at_open = info.decide_at == "open"
    loan, perpetual = observation.loan, observation.perpetual
    n = _to_send(observation, bars) if had is None else _since(observation, had)
    shown: Plain = {
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
            symbol: _last_candles(observation.history(symbol), n.candles[symbol])
            for symbol in observation.symbols
        },
        "signals": {
            name: _last_values(observation, name, n.signals[name])
            for name in observation.signal_names
        },
        "loan": None if loan is None else describe_loan(loan),
        "perpetual": None if perpetual is None else describe_perpetual(perpetual),
    }
    if observation.text_names:
        shown["texts"] = {
            name: [text._asdict() for text in observation.texts(name, n.texts[name])]
            for name in observation.text_names
        }
    if had is not None:
        known = count(observation)
        shown["before"] = {
            part: {name: there[name] - sent[name] for name in there}
            for part, there, sent in zip(Had._fields, known, n, strict=True)
        }
    return shown


def _to_send(observation: Observation, bars: int) -> Had:
    """Return how many of each series are sent to whoever keeps nothing."""
    return Had(
        dict.fromkeys(observation.symbols, bars),
        dict.fromkeys(observation.signal_names, bars),
        dict.fromkeys(observation.text_names, MOST_TEXTS),
    )


def _since(observation: Observation, had: Had) -> Had:
    """Return how many of each series are new to who has had so much."""
    found = Had(*(
        {name: n - min(before.get(name, 0), n) for name, n in known.items()}
        for known, before in zip(count(observation), had, strict=True)
    ))  # fmt: skip
    texts = {name: min(n, MOST_TEXTS_AT_FIRST) for name, n in found.texts.items()}
    return found if had.texts else found._replace(texts=texts)


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


def _last_candles(history: History, n: int) -> Plain:
    n_open = n + len(history.open) - len(history)  # one more where a bar is about to trade
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
