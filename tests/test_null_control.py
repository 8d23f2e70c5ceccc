"""Where nobody can win nobody does, who knows the future wins, and is refused for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from seawall.agents.buy_and_hold import BuyAndHold

from seawall import workspace_folders
from seawall.analysis.null_control import (
    CASH,
    HELD,
    RANDOM,
    RULES,
    NullControl,
    null_league,
    null_world,
    play,
    run_null_control,
    shuffle_candles,
)
from seawall.analysis.verdicts import judge
from seawall.errors import RecipeError
from seawall.market.catalog import VARIABLE, Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.market.simulate import simulate
from seawall.observation import Observation

Array = NDArray[np.float64]
MOST = 0.08


def candles(n_bars: int = 300, *, seed: int = 1) -> Candles:
    """Return candles with a strong drift, for shuffling."""
    key = SeriesKey("candles", "simulated", "ETH/USDT", "1h")
    made = simulate(key, seed=seed, n_bars=n_bars, since_ms=0, start_price=1_000.0)
    growth = np.exp(0.002 * np.arange(n_bars + 1))
    return Candles(
        key=key,
        time_ms=made.time_ms,
        open=made.open * growth[:-1],
        high=np.maximum(made.high * growth[1:], made.high * growth[:-1]),
        low=made.low * growth[:-1],
        close=made.close * growth[1:],
        volume=made.volume,
        source="made",
        is_simulated=True,
    )


class Oracle:
    """Holds before a bar that rises, because it has seen them all."""

    def __init__(self, seen: Candles) -> None:
        self.seen = seen

    def decide(self, observation: Observation) -> float:
        """Look up the next close."""
        n = int(np.searchsorted(self.seen.close_ms, observation.time_ms, "right"))
        is_over = n >= len(self.seen)
        return 0.0 if is_over else float(self.seen.close[n] > self.seen.open[n])


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 500), st.floats(1.0, 100.0))
def test_shuffled_candles_are_as_large_and_have_no_direction(
    seed: int, n_bars: int, mean_block: float
) -> None:
    """Every bar has the size of one that was given, and the mean price of up and down is 1."""
    given_bars = candles()
    made = shuffle_candles(given_bars, n_bars, np.random.default_rng(seed), mean_block=mean_block)
    assert len(made) == n_bars
    assert np.array_equal(made.open[1:], made.close[:-1])
    sizes = np.abs(np.log(given_bars.close / given_bars.open))
    moved = np.log(made.close / made.open)
    size = np.array([sizes[np.argmin(np.abs(up_or_down(sizes, move)))] for move in moved])
    up, down = np.exp(size - np.log(np.cosh(size))), np.exp(-size - np.log(np.cosh(size)))
    assert np.allclose(np.where(moved > 0, up, down), np.exp(moved), rtol=1e-9)
    assert np.allclose((up + down) / 2, 1.0, rtol=1e-12)


def up_or_down(sizes: Array, move: float) -> Array:
    """Return how far each size, turned either way, is from a move."""
    shift = np.log(np.cosh(sizes))
    return np.asarray(np.minimum(np.abs(sizes - shift - move), np.abs(-sizes - shift - move)))


def test_shuffling_takes_the_drift_away() -> None:
    """Candles that rise by 0.2 % a bar are up in half of the bars once shuffled."""
    made = shuffle_candles(candles(), 5_000, np.random.default_rng(1))
    rises = np.mean(made.close > made.open)
    assert 0.47 < rises < 0.53
    assert np.mean(candles().close > candles().open) > 0.55
    assert abs(np.mean(made.close / made.open - 1)) < 4 * np.std(made.close / made.open) / 70


def test_a_null_league_has_rules_coins_and_benchmarks() -> None:
    """Six agents: five shipped rules and a coin tosser of five seeds, against cash and holding."""
    league = null_league(6, 600, 3, n_resamples=99)
    names = {verdict.name for verdict in league.agents}
    assert len(names) == 6
    assert sum(name.startswith(RANDOM) for name in names) == 1
    assert all(set(verdict.leads) == {CASH, HELD} for verdict in league.agents)
    assert not league.winners
    assert len({verdict.total_return for verdict in league.agents}) == 6


def test_many_agents_are_rules_first_and_then_coins() -> None:
    """Beyond the rules there are as many coin tossers as are needed, each in the market apart."""
    league = null_league(len(RULES) + 3, 100, 1, n_resamples=20)
    tossers = [verdict for verdict in league.agents if verdict.name.startswith(RANDOM)]
    assert len(league.agents) == len(RULES) + 3
    assert len(tossers) == 3
    assert all(verdict.spread is not None for verdict in tossers)


def test_a_control_is_repeatable_and_counts_leagues() -> None:
    """The same seeds find the same, in a shuffled world too; the rate is of leagues."""
    one = run_null_control(2, n_bars=200, n_agents=3, source=candles())
    assert one == run_null_control(2, n_bars=200, n_agents=3, source=candles())
    found = NullControl(
        n_leagues=40, n_agents=5, n_bars=2_000, with_winner=(3,), with_one_above_cash=(3, 9),
        nominal=0.05,
    )  # fmt: skip
    assert (found.rate, found.rate_above_cash) == (0.025, 0.05)
    assert str(found).startswith("1 of 40 null leagues (5 agents, 2,000 bars) named a winner, 2")


def test_an_oracle_wins() -> None:
    """Who knows the next bar is told apart from cash and from holding where nobody else is."""
    recipe, world = null_world(1_000, 5)
    seen = world.candles["ETH/USDT"]
    held = play(BuyAndHold(), recipe, world)
    league = judge(
        {"oracle": play(Oracle(seen), recipe, world), "holder": held},
        {CASH: np.zeros_like(held), HELD: held},
        {"oracle": 1, "holder": 1},
        np.random.default_rng(1),
    )
    assert league.winners == ("oracle",)
    assert league.agents[0].deflated_sharpe > 0.99


def test_bad_input_is_refused() -> None:
    """Each message says what would be right."""
    with pytest.raises(RecipeError, match=r"n_agents must be >= 2 .* are 1 and 0"):
        null_league(1)
    with pytest.raises(RecipeError, match="n_leagues and n_processes must be >= 1, are 0 and 1"):
        run_null_control(0)
    with pytest.raises(RecipeError, match="n_bars and mean_block must be >= 1"):
        shuffle_candles(candles(), 0, np.random.default_rng(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_leagues", "is_free"), [(200, False), (80, True)], ids=["at default costs", "at no costs"]
)
def test_nobody_wins_where_nobody_can(n_leagues: int, is_free: bool) -> None:  # noqa: FBT001
    """Over 200 null leagues a winner is named, or one put above cash, in at most 8 %."""
    found = run_null_control(n_leagues, n_processes=2, is_free=is_free)
    sys.stdout.write(f"{found}\n")
    assert found.rate <= MOST, str(found)
    assert found.rate_above_cash <= MOST, str(found)


ORACLE = '''"""Reads the next bar in the catalog."""
import numpy as np
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey


class Oracle:
    """Hold before a bar that rises."""

    def __init__(self):
        self.seen = Catalog().read_candles(SeriesKey("candles", "null", "ETH/USDT", "1h"))

    def decide(self, observation):
        """Look up the next close."""
        n = int(np.searchsorted(self.seen.close_ms, observation.time_ms, "right"))
        return None if n >= len(self.seen) else float(self.seen.close[n] > self.seen.open[n])
'''
BOTH = """
import json
import numpy as np
from seawall import Recipe, run
from seawall.analysis.curves import to_period_returns
from seawall.analysis.figures import to_ms
from seawall.analysis.verdicts import judge
from seawall.conformance.tripwire import check_future

market = {"venue": "null", "symbols": ["ETH/USDT"], "timeframe": "1h",
          "since": "2023-01-02", "until": "2023-01-23"}
def recipe(name):
    return Recipe.from_dict({"name": name, "market": market, "agent": {"name": "agents." + name}})
def returns(name):
    equity = run(recipe(name)).equity["equity"]
    return to_period_returns(equity.to_numpy(), to_ms(equity.index))
if __name__ == "__main__":
    held = returns("buy_and_hold")
    verdicts = judge({"oracle": returns("oracle"), "sma_cross": returns("sma_cross")},
                     {"cash": np.zeros_like(held), "buy_and_hold": held},
                     {"oracle": 1, "sma_cross": 1}, np.random.default_rng(0))
    found = check_future(recipe("oracle"))
    print(json.dumps([verdicts.winners, [vars(one) for one in found]]))
"""


@pytest.mark.slow
def test_an_oracle_wins_and_is_refused_by_the_tripwire(tmp_path: Path) -> None:
    """The positive control: the league sees an edge, and the tripwire says that it is stolen."""
    for folder in ("agents", "strategies", "backtests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "agents" / "oracle.py").write_text(ORACLE, encoding="utf-8")
    _, world = null_world(24 * 30, 7)
    made = world.candles["ETH/USDT"]
    key = SeriesKey("candles", "null", "ETH/USDT", "1h")
    fields = {name: getattr(made, name) for name in ("open", "high", "low", "close", "volume")}
    Catalog(tmp_path / "data").write(
        Candles(key=key, time_ms=made.time_ms, source="null world", **fields), fetched_ms=None
    )
    environment = {
        **os.environ, workspace_folders.VARIABLE: str(tmp_path), VARIABLE: str(tmp_path / "data")
    }  # fmt: skip
    script = tmp_path / "both.py"
    script.write_text(BOTH, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    winners, findings = json.loads(ended.stdout)
    assert winners == ["oracle"]
    assert any(not one["passed"] and "look-ahead" in one["detail"] for one in findings), findings
