"""An observation made again from its JSON form: what a Seawall agent behind a server is asked with.

It shows what the form carries: as many candles as were sent, and not the volume's or price's past
beyond them. Who keeps what was sent (``Kept``) sees all of it.
"""

import json
from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from seawall.agent import AgentInfo
from seawall.errors import AgentError, SeawallError
from seawall.loan_view import LoanTerms, LoanView
from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, SeriesKey, Signal
from seawall.market.texts import Text, Texts, TextWindow
from seawall.observation import FillSeen, Observation, OpenOrder, SignalWindow, Window
from seawall.perpetual_view import Contract, PerpetualView
from seawall.remote.form import (
    Info,
    LoanForm,
    Number,
    ObservationForm,
    PerpetualForm,
    SignalForm,
    TextForm,
)
from seawall.remote.kept import Kept
from seawall.units import to_duration_text
from seawall.venues.lending import layout
from seawall.venues.perpetual import layout as futures_layout


def to_number(value: Number) -> float:
    """Return a number of the form: null is nan, text is infinity."""
    return nan if value is None else float(value)


def rebuild_info(form: Info) -> AgentInfo:
    """Return what an agent is told before the first bar."""
    return AgentInfo(
        symbols=tuple(form.symbols),
        timeframe_ms=form.timeframe_ms,
        decide_at=form.decide_at,
        taker_fee_bps=form.taker_fee_bps,
        rng=_rebuild_rng(form),
        actions=tuple(form.actions),
        assets=tuple(form.assets),
        guarded=form.guarded,
    )


def _rebuild_rng(form: Info) -> np.random.Generator:
    """Return the random numbers that the agent would have in the process, or others of its seed."""
    if not form.rng:
        return np.random.default_rng(form.seed)
    try:
        told = json.loads(form.rng)
        made = np.random.PCG64(np.random.SeedSequence(**told["seed"]))
        made.state = told["state"]
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise AgentError(f"info.rng must come back as it was sent, is none: {error}") from None
    return np.random.Generator(made)


def rebuild(form: ObservationForm, kept: Kept | None = None) -> Observation:
    """Return the observation that a form describes, with all that was sent before where it is kept.

    Raises:
        AgentError: its parts do not fit each other, or what was sent before.
    """
    if kept is None or form.before is None:
        kept = Kept()
    else:
        kept.before = form.before
    try:
        windows = {
            symbol: _rebuild_window(symbol, place, form, kept)
            for place, symbol in enumerate(form.candles)
        }
        signals = {name: _rebuild_signal(name, one, kept) for name, one in form.signals.items()}
        texts = {name: _rebuild_texts(name, one, kept) for name, one in form.texts.items()}
        for read in texts.values():
            read.reveal_until(form.time_ms)
        for window in signals.values():
            window.reveal_until(form.time_ms)
        return Observation(
            time_ms=form.time_ms,
            windows=windows,
            signals=signals,
            cash=to_number(form.cash),
            equity=to_number(form.equity),
            quantities=form.quantities,
            orders=tuple(OpenOrder(**order.model_dump()) for order in form.orders),
            fills=tuple(FillSeen(**fill.model_dump()) for fill in form.fills),
            at_open=form.is_at_open,
            symbols=tuple(form.symbols),
            loan=None if form.loan is None else _rebuild_loan(form.loan),
            perpetual=None if form.perpetual is None else _rebuild_perpetual(form.perpetual),
            texts={name: (read, read.n_visible) for name, read in texts.items()} or None,
        )
    except AgentError:
        raise
    except (SeawallError, ValueError, TypeError, LookupError, OverflowError) as error:
        raise AgentError(f"the parts of an observation must fit each other: {error}") from None


def _to_array(values: Any) -> FloatArray:
    flat = np.array(values, dtype=object)
    numbers = [to_number(value) for value in flat.ravel()]
    return np.array(numbers, dtype=np.float64).reshape(flat.shape)


def _rebuild_window(symbol: str, place: int, whole: ObservationForm, kept: Kept) -> Window:
    form = whole.candles[symbol]
    n, n_open = len(form.close), len(form.open)
    columns: dict[str, Any] = {name: _to_array(getattr(form, name)) for name in CANDLE_FIELDS}
    if n_open > n:  # the bar that is about to trade: its open is all that is known
        opening = columns["open"][n:]
        for name in ("high", "low", "close"):
            columns[name] = np.concatenate([columns[name], opening])
        columns["volume"] = np.concatenate([columns["volume"], np.zeros(n_open - n)])
    key = SeriesKey("candles", "remote", symbol, to_duration_text(whole.timeframe_ms))
    candles = Candles(key=key, time_ms=np.array(form.time_ms, np.int64), **columns)
    window, first = kept.join_candles(symbol, place, candles)
    window.reveal(first + n, first + n_open)
    return window


def _rebuild_texts(name: str, form: list[TextForm], kept: Kept) -> TextWindow:
    texts = kept.join_texts(name, [Text(one.known_ms, one.text) for one in form])
    known_ms = np.array([one.known_ms for one in texts], np.int64)
    return TextWindow(Texts(name=name, known_ms=known_ms, texts=tuple(one.text for one in texts)))


def _rebuild_signal(name: str, form: SignalForm, kept: Kept) -> SignalWindow:
    sent_ms, sent = np.array(form.known_ms, np.int64), _to_array(form.value)
    known_ms, values = kept.join_signal(name, sent_ms, sent)
    # Only when a value was known is carried; two of one moment still need an order.
    time_ms = known_ms - np.arange(len(known_ms))[::-1]
    key = SeriesKey("signal", "remote", name, "1s")
    return SignalWindow(Signal(key=key, time_ms=time_ms, known_ms=known_ms, value=values))


def _rebuild_loan(form: LoanForm) -> LoanView:
    row = _to_array(form.row)
    wanted = layout.trace_width(len(form.terms.assets))
    if row.shape != (wanted,):
        raise AgentError(
            f"loan.row must have {wanted} numbers for {len(form.terms.assets)} assets, has "
            f"{row.size}: send it as it came"
        )
    given = form.terms.model_dump()
    terms = {name: _to_term(value) for name, value in given.items()}
    return LoanView(row, LoanTerms(**{**terms, "assets": tuple(form.terms.assets)}), form.pending)


def _to_term(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: to_number(one) for name, one in value.items()}
    return to_number(value) if value in (None, "inf", "-inf") else value


def _rebuild_perpetual(form: PerpetualForm) -> PerpetualView:
    contracts = {
        symbol: Contract(**{**one.model_dump(), "max_leverage": to_number(one.max_leverage)})
        for symbol, one in form.contracts.items()
    }
    arrays = form.arrays
    positions, tables = _to_array(arrays.positions), _to_array(arrays.tables)
    n = len(contracts)
    fits = (
        len(arrays.account) == futures_layout.N_ACCOUNT
        and positions.shape == (n, futures_layout.N_POSITION)
        and len(arrays.marks) == n
        and tables.ndim == _TABLE_DIMENSIONS
        and tables.shape[::2] == (n, futures_layout.N_TIER)
        and sorted(one.row for one in contracts.values()) == list(range(n))
    )
    if not fits:
        raise AgentError("perpetual.arrays must fit its contracts: send them as they came")
    return PerpetualView(
        contracts=contracts,
        account=_to_array(arrays.account),
        positions=positions,
        marks=_to_array(arrays.marks),
        tables=tables,
        reserve=to_number(form.reserve),
        funding_rates=_to_array(arrays.funding_rates),
        next_funding_ms=form.next_funding_ms,
        on_the_way=to_number(form.on_the_way),
        is_liquidated=form.is_liquidated,
    )


_TABLE_DIMENSIONS = 3
