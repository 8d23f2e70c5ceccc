"""The future is absent from an observation, not hidden in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import AgentError
from seawall.market.series import Candles, SeriesKey, Signal
from seawall.observation import Observation, SignalWindow, Window
from seawall.units import DAY_MS, HOUR_MS

N_BARS = 40


def make_candles(n_bars: int = N_BARS) -> Candles:
    """Return candles whose close at bar i is 100 + i, so that a price says when it is from."""
    close = np.arange(100.0, 100.0 + n_bars)
    return Candles(
        key=SeriesKey("candles", "test", "ETH/USDT", "1h"),
        time_ms=HOUR_MS * np.arange(n_bars, dtype=np.int64),
        open=close - 0.5,
        high=close + 1.0,
        low=close - 1.0,
        close=close,
        volume=np.full(n_bars, 7.0),
    )


def make_signal() -> Signal:
    """Return one value a day, each known a day and an hour after the day it describes began."""
    days = DAY_MS * np.arange(5, dtype=np.int64)
    return Signal(
        key=SeriesKey("signal", "test", "mood", "1d"),
        time_ms=days,
        known_ms=days + DAY_MS + HOUR_MS,
        value=np.arange(5, dtype=np.float64),
    )


def observe(
    window: Window, *, at_open: bool = False, signal: SignalWindow | None = None
) -> Observation:
    """Return what an agent with 10 ETH and 500 USDT sees."""
    return Observation(
        time_ms=window.n_visible * HOUR_MS,
        windows={"ETH/USDT": window},
        signals={"mood": signal} if signal else {},
        cash=500.0,
        equity=500.0 + 10.0 * (99.0 + window.n_visible),
        quantities={"ETH/USDT": 10.0},
        at_open=at_open,
    )


@settings(max_examples=30)
@given(seen=st.integers(1, N_BARS))
def test_nothing_later_can_be_reached_even_through_the_base_of_a_view(seen: int) -> None:
    """The memory behind every array holds nan beyond the last visible bar."""
    window = Window(make_candles())
    window.reveal(seen)
    history = observe(window).history()
    for name in ("open", "high", "low", "close", "volume"):
        array = getattr(history, name)
        assert array.shape == (seen,)
        assert array.base is not None
        assert np.isnan(array.base[seen:]).all()
        assert len(array.base) == N_BARS
    assert history.close[-1] == 99.0 + seen


def test_views_cannot_be_written_and_the_observation_cannot_be_changed() -> None:
    """An agent that tries is told so."""
    window = Window(make_candles())
    window.reveal(5)
    observation = observe(window)
    with pytest.raises(ValueError, match="read-only"):
        observation.prices()[0] = 1.0
    with pytest.raises(AgentError, match="frozen"):
        observation.cash = 1e9  # type: ignore[misc]
    with pytest.raises(AgentError, match="frozen"):
        del observation.cash


def test_the_lock_on_a_view_cannot_be_taken_off() -> None:
    """Neither on an array nor on its base: limits are checked against what is shown."""
    window, signal = Window(make_candles()), SignalWindow(make_signal())
    window.reveal(5)
    signal.reveal_until(3 * DAY_MS)
    observation = observe(window, signal=signal)
    history = observation.history()
    shown = [observation.prices(), history.volume, history.time_ms]
    for array in (*shown, *observation.signal_history("mood")):
        for view in (array, array[1:], array.base):
            assert isinstance(view, np.ndarray)
            with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
                view.flags.writeable = True
    assert observation.price() == 104.0


def test_times_are_revealed_bar_by_bar_and_never_copied_twice() -> None:
    """All views share one memory, which holds 0 beyond the last visible bar."""
    window = Window(make_candles())
    window.reveal(3)
    first = observe(window).history().time_ms
    window.reveal(5)
    second = observe(window).history().time_ms
    assert np.shares_memory(first, second)
    assert second.tolist() == [HOUR_MS * n for n in range(5)]
    assert second.base is not None
    assert not second.base[5:].any()
    assert not first.flags.writeable


def test_a_kept_observation_stays_as_it_was() -> None:
    """Bars revealed later do not show in an observation taken before."""
    window = Window(make_candles())
    window.reveal(5)
    kept = observe(window)
    window.reveal(20)
    assert len(kept.history()) == len(kept.prices()) == 5
    assert kept.price() == 104.0


def test_at_the_open_only_the_open_of_the_next_bar_is_added() -> None:
    """``open`` and ``time_ms`` are one longer than ``close``; ``prices`` are the opens."""
    window = Window(make_candles())
    window.reveal(5, 6)
    observation = observe(window, at_open=True)
    history = observation.history()
    assert (len(history.open), len(history.time_ms), len(history.close)) == (6, 6, 5)
    assert observation.price() == history.open[-1] == 104.5
    base = history.close.base
    assert base is not None
    assert np.isnan(base[5:]).all()


def test_a_signal_is_seen_from_when_it_was_known() -> None:
    """The value of day 0 is known on day 1 at 01:00, not a millisecond earlier."""
    window, signal = Window(make_candles()), SignalWindow(make_signal())
    window.reveal(1)
    signal.reveal_until(DAY_MS + HOUR_MS - 1)
    assert np.isnan(observe(window, signal=signal).signal("mood"))
    signal.reveal_until(DAY_MS + HOUR_MS)
    assert observe(window, signal=signal).signal("mood") == 0.0
    with pytest.raises(AgentError, match="the recipe names"):
        observe(window, signal=signal).signal("moood")


def test_until_gives_what_was_known_earlier() -> None:
    """With bars of an hour, at 03:00 three bars had closed."""
    window = Window(make_candles())
    window.reveal(10)
    earlier = observe(window).until(3 * HOUR_MS, HOUR_MS)
    assert earlier.prices().tolist() == [100.0, 101.0, 102.0]
    assert earlier.time_ms == 3 * HOUR_MS


def test_weight_is_the_share_of_the_equity() -> None:
    """10 ETH at 104 beside 500 USDT: 1,040 of 1,540."""
    window = Window(make_candles())
    window.reveal(5)
    assert observe(window).weight() == pytest.approx(1040.0 / 1540.0)


def test_an_unknown_symbol_is_named() -> None:
    """The message lists what there is."""
    window = Window(make_candles())
    with pytest.raises(AgentError, match="no symbol 'BTC/USDT'"):
        observe(window).history("BTC/USDT")
