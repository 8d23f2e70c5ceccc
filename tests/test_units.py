"""Times, durations and symbols read and write the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import RecipeError
from seawall.units import (
    DAY_MS,
    HOUR_MS,
    split_symbol,
    to_duration_ms,
    to_duration_text,
    to_time_ms,
    to_time_text,
)


@given(n=st.integers(1, 500), unit=st.sampled_from("smhdw"))
def test_a_duration_survives_the_way_to_text_and_back(n: int, unit: str) -> None:
    """Whatever unit it was written in, its length stays."""
    length_ms = to_duration_ms(f"{n}{unit}")
    assert to_duration_ms(to_duration_text(length_ms)) == length_ms


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-1h", "1.5h", "1y", "5 m"])
def test_what_is_no_duration_is_refused_with_the_value(text: str) -> None:
    """The message shows what was written and how to write it."""
    with pytest.raises(RecipeError, match="write 5m, 1h or 1d"):
        to_duration_ms(text)


def test_a_time_without_offset_is_utc() -> None:
    """2024-01-01 is 1,704,067,200 s after 1970 in UTC; an offset is honoured."""
    assert to_time_ms("2024-01-01") == 1_704_067_200_000
    assert to_time_ms("2024-01-01T02:00+02:00") == 1_704_067_200_000
    assert to_time_text(1_704_067_200_000 + HOUR_MS) == "2024-01-01 01:00"


@given(st.integers(0, 40_000))
def test_a_date_survives_the_way_to_text_and_back(day: int) -> None:
    """Every midnight from 1970 on."""
    assert to_time_ms(to_time_text(day * DAY_MS)) == day * DAY_MS


def test_a_symbol_has_base_and_quote() -> None:
    """A perpetual's settlement asset is not part of its quote."""
    assert split_symbol("ETH/USDT") == ("ETH", "USDT")
    assert split_symbol("ETH/USDT:USDT") == ("ETH", "USDT")
    with pytest.raises(RecipeError, match="write ETH/USDT"):
        split_symbol("ETHUSDT")
