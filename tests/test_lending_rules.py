"""Which of Aave's rules held when, on Ethereum."""

from itertools import pairwise

import pytest

from seawall.errors import RecipeError
from seawall.units import DAY_MS, to_time_ms
from seawall.venues.lending.rules import ACTIVATIONS, RULES, rules_at


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2020-12-03", "v2"),
        ("2021-05-19", "v2"),
        ("2022-11-08", "v2"),
        ("2023-03-11", "v3.0"),
        ("2024-08-05", "v3.0"),
        ("2025-04-07", "v3.3"),
        ("2025-10-10", "v3.5"),
        ("2026-02-02", "v3.6"),
        ("2026-10-01", "v3.7"),
    ],
)
def test_the_day_picks_the_rules(day: str, name: str) -> None:
    """Each crash window runs under the rules that it ran under."""
    assert rules_at(to_time_ms(day)).name == name


def test_before_v2_the_rules_have_to_be_named() -> None:
    """March 2020 had no Aave v2: a run there is a counterfactual, and says so itself."""
    with pytest.raises(RecipeError, match=r"began on 2020-12-03, the time is 2020-03-12"):
        rules_at(to_time_ms("2020-03-12"))


def test_rules_change_at_midnight_of_their_day() -> None:
    """The last millisecond before an activation still has the rules before it."""
    for before, after in pairwise(ACTIVATIONS):
        start_ms = to_time_ms(after.since)
        assert rules_at(start_ms).name == after.name
        assert rules_at(start_ms - 1).name == before.name
        assert rules_at(start_ms + DAY_MS).name == after.name


def test_every_version_has_a_day_and_a_source() -> None:
    """The table is complete, in order, and says where each day is known from."""
    assert [x.name for x in ACTIVATIONS] == list(RULES)
    assert all(x.source for x in ACTIVATIONS)
    assert [x.since for x in ACTIVATIONS] == sorted(x.since for x in ACTIVATIONS)
