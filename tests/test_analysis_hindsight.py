"""The best possible policy: by hand, against every policy there is, and against every agent."""

from importlib import import_module
from itertools import product
from math import inf

import numpy as np
import pytest
from loan_runs import AGENTS, SHORT, run_agent, world_of
from numpy.typing import ArrayLike, NDArray

from seawall.analysis.hindsight import Hindsight, HindsightLoan, HindsightPath, hindsight
from seawall.analysis.hindsight_world import find_hindsight, to_loan, to_path
from seawall.analysis.league_table import BOUNDS
from seawall.errors import ResultError
from seawall.venues.swap import sell_for

Array = NDArray[np.float64]
HOUR_S = 3_600.0


def make_path(
    prices: ArrayLike, *, dip: float = 0.0, gas_usd: float = 0.0, **given: object
) -> HindsightPath:
    """Return hourly bars that open and close at ``prices``; the oracle dips by a share in each."""
    path: Array = np.asarray(prices, dtype=np.float64)
    n = len(path) - 1
    ones, zeros = np.ones(n), np.zeros(n)
    values: dict[str, object] = {
        "opens": path[:-1],
        "closes": path[1:],
        "debt_opens": ones,
        "debt_closes": ones,
        "standing": path,
        "worst": np.minimum(path[:-1], path[1:]) * (1 - dip),
        "is_safe": np.zeros(n, dtype=np.bool_),
        "threshold": 0.8 * ones,
        "max_ltv": 0.5 * ones,
        "bonus": 1.05 * ones,
        "supply_rate": zeros,
        "borrow_rate": zeros,
        "debt_supply_rate": zeros,
        "gas_usd": gas_usd * ones,
        "bar_s": HOUR_S * ones,
        "first_bar": 0,
    }
    return HindsightPath(**{**values, **given})  # type: ignore[arg-type]  # all by name


def make_crash(seed: int, n: int = 400) -> Array:
    """Return an hourly path of a market in turmoil: 1 % an hour, fat tails."""
    steps = np.random.default_rng(seed).standard_t(4, n) * 0.007 - 0.0008
    prices: Array = 2_000 * np.exp(np.concatenate([[0.0], np.cumsum(steps)]))
    return prices


def test_two_bars_up_are_levered_to_the_limit_at_each_open() -> None:
    """One token, no costs, half may be borrowed: 100 -> 110 -> 121 makes 144 of 100.

    At 100: 2 tokens, 100 owed; at 110 they leave 120, so 240 worth and 120 owed; at 121 that is
    264 - 120 = 144.
    """
    found = hindsight(make_path([100, 110, 121]), HindsightLoan(collateral=1.0, debt=0.0))
    assert found.final_equity_usd == pytest.approx(144.0, rel=1e-12)
    assert found.curve == pytest.approx([100.0, 120.0, 144.0])
    assert found.n_rebalances == 2
    assert found.health[2] == pytest.approx(0.8 * 240 / 110 * 121 / 120)


def test_a_fall_is_sold_at_once_for_fee_and_gas() -> None:
    """100 -> 80 at 1 % and 1 USD: everything is sold at the open, 100 - 1 - 1 = 98 stay."""
    loan = HindsightLoan(collateral=1.0, debt=0.0, swap_fee=0.01)
    found = hindsight(make_path([100, 80], gas_usd=1.0), loan)
    assert found.final_equity_usd == pytest.approx(98.0, rel=1e-12)
    assert (found.gas_usd, found.swap_cost_usd) == pytest.approx((1.0, 1.0))
    assert found.health[1] == inf


def test_a_fall_by_less_than_the_costs_is_sat_out() -> None:
    """100 -> 99 at 1 % and 1 USD: selling would cost 2, waiting 1."""
    loan = HindsightLoan(collateral=1.0, debt=0.0, swap_fee=0.01)
    found = hindsight(make_path([100, 99], gas_usd=1.0), loan)
    assert found.final_equity_usd == 99.0
    assert found.n_rebalances == 0


def test_a_dip_of_the_oracle_forces_the_least_sale_that_survives_it() -> None:
    """2 tokens and 100 owed at 100; the oracle dips to 55, so 44 may be owed per token.

    Sold: ``100 - 99 y = 44 (2 - y)``, y = 12 / 55, at 1 % a loss of 100 y / 100 = 0.218 USD.
    """
    loan = HindsightLoan(collateral=2.0, debt=100.0, swap_fee=0.01)
    found = hindsight(make_path([100, 100], dip=0.45), loan)
    assert found.final_equity_usd == pytest.approx(100 - 12 / 55, rel=1e-9)


def test_where_nobody_can_liquidate_a_dip_forces_nothing() -> None:
    """The same dip in a bar in which the protocol cannot be reached costs nothing."""
    path = make_path([100, 100], dip=0.45, is_safe=np.array([True]))
    found = hindsight(path, HindsightLoan(collateral=2.0, debt=100.0, swap_fee=0.01))
    assert found.final_equity_usd == 100.0


def test_a_liquidation_is_the_cheaper_sale_where_gas_is_dear() -> None:
    """2 tokens, 100 owed, gas 50 USD: the dip costs the bonus on what is seized, no gas.

    ``100 - y 100 / 1.05 = 44 (2 - y)``: y = 12 / 51.238, lost ``100 y (1 - 1 / 1.05)``.
    """
    loan = HindsightLoan(collateral=2.0, debt=100.0, swap_fee=0.01)
    found = hindsight(make_path([100, 100], dip=0.45, gas_usd=50.0), loan)
    seized = 12 / (100 / 1.05 - 44)
    assert found.final_equity_usd == pytest.approx(100 - 100 * seized * (1 - 1 / 1.05), rel=1e-9)
    assert found.gas_usd == 0.0


def test_before_the_first_transaction_can_land_nothing_is_done() -> None:
    """The fall of the first bar is suffered, that of the second is not."""
    path = make_path([100, 80, 60], first_bar=1)
    found = hindsight(path, HindsightLoan(collateral=1.0, debt=0.0))
    assert found.final_equity_usd == 80.0


def test_interest_is_paid_and_earned() -> None:
    """A loan that is too dear to change: 2 tokens at 4 % and 100 owed at 10 % for a year."""
    path = make_path(
        [100, 100],
        gas_usd=1e6,
        bar_s=np.full(1, 31_536_000.0),
        supply_rate=np.full(1, 0.04),
        borrow_rate=np.full(1, 0.10),
        bonus=np.full(1, 1e6),
    )
    found = hindsight(path, HindsightLoan(collateral=2.0, debt=100.0))
    assert found.final_equity_usd == pytest.approx(200 * np.exp(0.04) - 110)


def _enumerate(path: HindsightPath, loan: HindsightLoan, exposures: tuple[float, ...]) -> float:
    """Return the best of all policies that stay or go to one of some exposures at each open."""
    best = -inf
    for choices in product((None, *exposures), repeat=len(path.opens)):
        best = max(best, _play(path, loan, choices))
    return best


def _play(path: HindsightPath, loan: HindsightLoan, choices: tuple[float | None, ...]) -> float:
    """Return final equity of one policy, by bisection and plain rules; -inf where it is illegal."""
    held, owed = loan.collateral, loan.debt
    for bar, exposure in enumerate(choices):
        price = path.opens[bar]
        if exposure is not None:
            made = _move(held * price, owed + path.gas_usd[bar], exposure, loan)
            if made is None:
                return -inf
            is_up = made[0] > held * price
            held, owed = made[0] / price, made[1]
            if is_up and owed > path.max_ltv[bar] * path.standing[bar] * held:
                return -inf
        if owed > path.threshold[bar] * path.worst[bar] * held:
            return -inf
    return float(held * path.closes[-1] - owed)


def _move(
    value: float, owed: float, exposure: float, loan: HindsightLoan
) -> tuple[float, float] | None:
    """Return a position in USD traded to ``exposure`` times its equity, by bisection."""

    def after(sold: float) -> tuple[float, float]:
        if sold >= 0:
            return value - sold, owed - sell_for(sold, loan.depth_usd, loan.swap_fee).value_usd
        return value + sell_for(-sold, loan.depth_usd, loan.swap_fee).value_usd, owed - sold

    low, high = -20 * abs(value - owed) - 1, value
    for _ in range(100):
        middle = (low + high) / 2
        held, debt = after(middle)
        if held > exposure * (held - debt):
            low = middle
        else:
            high = middle
    held, debt = after(high)
    return None if held - debt <= 0 else (held, debt)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("gas_usd", "depth_usd"), [(0.0, inf), (0.3, inf), (0.3, 2_000.0)])
def test_no_policy_of_a_small_world_does_better(
    seed: int, gas_usd: float, depth_usd: float
) -> None:
    """All 7^4 policies of four bars and six exposures, tried one by one, end no higher."""
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.concatenate([[0], np.cumsum(rng.normal(0, 0.08, 4))]))
    path = make_path(prices, dip=0.03, gas_usd=gas_usd)
    loan = HindsightLoan(collateral=1.5, debt=50.0, swap_fee=0.003, depth_usd=depth_usd)
    most = _enumerate(path, loan, (0.0, 0.5, 1.0, 1.3, 1.6, 1.95))
    found = hindsight(path, loan, n_states=480)
    assert found.final_equity_usd >= most * (1 - 1e-9)
    assert found.final_equity_usd <= most * 1.25  # and is of this world


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gas_usd", [5.0, 100.0])
def test_refining_the_grid_changes_it_by_less_than_1_percent(seed: int, gas_usd: float) -> None:
    """A grid of twice as many states, on windows in turmoil."""
    path = make_path(make_crash(seed), dip=0.005, gas_usd=gas_usd, **_levered(400))
    loan = HindsightLoan(collateral=22.0, debt=24_000.0, swap_fee=5e-4, depth_usd=5e7)
    usual, fine = (hindsight(path, loan, n_states=n).final_equity_usd for n in (240, 480))
    assert usual == pytest.approx(fine, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_a_coarse_grid_is_polished_to_a_fine_one(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shallow pool 64 states come within 0.5 % of 480; unpolished they do not."""
    path = make_path(make_crash(seed), dip=0.005, gas_usd=5.0, **_levered(400))
    loan = HindsightLoan(collateral=22.0, debt=24_000.0, swap_fee=5e-4, depth_usd=2e6)
    fine = hindsight(path, loan, n_states=480).final_equity_usd
    assert hindsight(path, loan, n_states=64).final_equity_usd == pytest.approx(fine, rel=0.005)
    module = import_module("seawall.analysis.hindsight")
    monkeypatch.setattr(module, "polish", lambda _path, _start, targets: targets)
    assert hindsight(path, loan, n_states=64).final_equity_usd < 0.995 * fine


def _levered(n: int) -> dict[str, Array]:
    ones = np.ones(n)
    rates = {"supply_rate": 0.02 * ones, "borrow_rate": 0.05 * ones}
    return {"threshold": 0.83 * ones, "max_ltv": 0.805 * ones, **rates}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_keeps_all_the_rules(seed: int) -> None:
    """Replayed, nothing is owed beyond the limit of any bar, and costs explain every jump."""
    path = make_path(make_crash(seed), dip=0.005, gas_usd=5.0, **_levered(400))
    loan = HindsightLoan(collateral=22.0, debt=24_000.0, swap_fee=5e-4, depth_usd=5e7)
    found = hindsight(path, loan)
    years = HOUR_S / 31_536_000
    held = found.collateral[1:] / np.exp(0.02 * years)
    owed = found.debt[1:] / np.where(found.debt[1:] > 0, 1 + 0.05 * years, 1.0)
    assert np.all(owed <= path.threshold * path.worst * held * (1 + 1e-9) + 1e-6)
    before = found.collateral[:-1] * path.opens - found.debt[:-1]
    after = held * path.opens - owed
    lost = float((before - after).sum())
    assert lost == pytest.approx(found.gas_usd + found.swap_cost_usd, rel=1e-6)


@pytest.mark.parametrize("gas_usd", [0.0, 1e5])
def test_doing_nothing_never_ends_higher(gas_usd: float) -> None:
    """A loan that survives by itself is a policy too; at ruinous gas it is the best one."""
    prices = 2_000 * np.exp(0.02 * np.sin(np.arange(50)))
    path = make_path(prices, gas_usd=gas_usd)
    loan = HindsightLoan(collateral=22.0, debt=20_000.0, wallet_debt=1_000.0, swap_fee=0.01)
    found = hindsight(path, loan)
    untouched = 22.0 * prices[-1] - 19_000.0
    assert found.final_equity_usd >= untouched * (1 - 1e-12)
    if gas_usd:
        assert found.final_equity_usd == pytest.approx(untouched, rel=1e-12)


def test_the_wallet_survives_a_loan_that_is_lost_before_anything_lands() -> None:
    """2 tokens, 150 owed, price 100 -> 10 in the first bar: the loan is left, 30 USD stay."""
    path = make_path([100, 10, 10], first_bar=1)
    found = hindsight(path, HindsightLoan(collateral=2.0, debt=150.0, wallet_debt=30.0))
    assert found.final_equity_usd == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"opens": np.ones(3)}, "values of closes"),
        ({"closes": np.array([np.nan, 1.0])}, "finite closes"),
        ({"worst": np.array([0.0, 1.0])}, "above 0"),
        ({"max_ltv": np.array([0.9, 0.9])}, "max_ltv <= threshold"),
    ],
)
def test_paths_that_are_none_are_refused(given: dict[str, Array], words: str) -> None:
    """Lengths, gaps and limits are looked at first."""
    with pytest.raises(ResultError, match=words):
        make_path([100, 110, 121], dip=0.0, gas_usd=0.0, **given)


@pytest.mark.parametrize(
    ("loan", "n_states", "words"),
    [
        (HindsightLoan(collateral=1.0, debt=0.0), 8, "16 to 8000"),
        (HindsightLoan(collateral=-1.0, debt=0.0), 100, ">= 0"),
        (HindsightLoan(collateral=1.0, debt=0.0, swap_fee=1.0), 100, "swap_fee"),
        (HindsightLoan(collateral=1.0, debt=0.0, depth_usd=0.0), 100, "depth_usd"),
    ],
)
def test_loans_that_are_none_are_refused(loan: HindsightLoan, n_states: int, words: str) -> None:
    """Each with the rule, the value and the remedy."""
    with pytest.raises(ResultError, match=words):
        hindsight(make_path([100, 110]), loan, n_states=n_states)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHORT))
@pytest.mark.parametrize("agent", AGENTS)
def test_no_shipped_agent_does_better(name: str, agent: str) -> None:
    """In short simulated windows, bars resolved either way."""
    world, result = world_of(name), run_agent(name, agent)
    for bound, run in zip(BOUNDS, (result, result.other or result), strict=True):
        best: Hindsight = find_hindsight(world, result.recipe, bound)
        assert float(run.loan["equity"].iloc[-1]) <= best.final_equity_usd * (1 + 1e-9)


def test_what_it_reads_of_a_world_is_what_the_run_met() -> None:
    """Prices and limits of a run's table are those of the path, bar by bar."""
    name = "crash"
    result = run_agent(name, "do_nothing")
    assert world_of(name).loan is not None
    path = to_path(world_of(name).loan, "worst", latency_ms=0)  # type: ignore[arg-type]
    loan = to_loan(world_of(name).loan)  # type: ignore[arg-type]
    shown = result.loan
    assert path.closes == pytest.approx(shown["market_price"].to_numpy()[1:])
    ratio = shown["collateral_WETH"] / shown["debt_USDC"]
    before_any = ~(shown["liquidation_price"].shift(1, fill_value=0.0) < 0)
    health = path.threshold[0] * path.standing * ratio
    alive = before_any & np.isfinite(shown["health"])
    assert health[alive].to_numpy() == pytest.approx(shown["health"][alive].to_numpy(), rel=1e-4)
    assert loan.collateral == shown["collateral_WETH"].iloc[0]
    assert loan.wallet_collateral == shown["wallet_ETH"].iloc[0]
    assert path.first_bar == 2  # a block after the first close, the whole bar before it
