"""The float64 kernels of a loan against the integers of its protocol."""

from dataclasses import dataclass
from math import inf

import numpy as np
import pytest
from lending_accounts import (
    AAVE,
    DAI,
    DECIMALS,
    NAMES,
    PROTOCOLS,
    START,
    USDC,
    WBTC,
    WETH,
    N,
    risk_of,
    rules_of,
)

from seawall.errors import Refused
from seawall.market.series import FloatArray
from seawall.venues.lending import kernels, layout, race
from seawall.venues.lending.exact import ExactVenue
from seawall.venues.lending.exact_pools import (
    AaveIntegers,
    CometIntegers,
    IntegerPool,
    MorphoIntegers,
)
from seawall.venues.lending.rules import RULES
from seawall.venues.lending.venue import FloatVenue

NEAR = 1e-9
START_S = 1_700_000_000


def _pool(protocol: str, risk: FloatArray) -> IntegerPool:
    rows, decimals = dict(zip(NAMES, risk, strict=True)), dict(zip(NAMES, DECIMALS, strict=True))
    if protocol in AAVE:
        return AaveIntegers(RULES[protocol], decimals, rows, START_S)
    if protocol == "comet":
        del decimals["DAI"]
        return CometIntegers("USDC", decimals, rows, 0.5, START_S)
    return MorphoIntegers("WETH", "USDC", decimals, rows, START_S)


@dataclass
class Pair:
    """One account twice: ``rough`` in float64, ``fine`` in integers."""

    protocol: str

    def __post_init__(self) -> None:
        self.risk, self.rules = risk_of(self.protocol), rules_of(self.protocol)
        self.state = np.zeros(layout.state_size(N))
        self.rough = FloatVenue(self.state, self.risk, self.rules, NAMES)
        self.fine = ExactVenue(
            np.zeros(layout.state_size(N)), self.risk, self.rules, NAMES, DECIMALS,
            _pool(self.protocol, self.risk),
        )  # fmt: skip
        self.prices = START.copy()
        self.fine.set_prices(self.prices)

    def both(self, verb: str, *given: object) -> bool:
        """Do one thing at both; return whether both allowed it, which they must agree on."""
        answers = []
        for venue in (self.rough, self.fine):
            try:
                answers.append(getattr(venue, verb)(*given))
            except Refused:
                answers.append(None)
        rough, fine = answers
        assert (rough is None) == (fine is None), (verb, given, answers)
        if rough is not None:
            assert rough == pytest.approx(fine, rel=NEAR)
        return rough is not None

    def accrue(self, seconds: float, rates: FloatArray) -> None:
        """Let time pass at ``(supply, borrow)`` rates, shape (2, n_assets)."""
        row = np.zeros(layout.world_width(N, 0))
        row[layout.SECONDS] = seconds
        row[layout.N_WORLD + 3 * N :] = rates.ravel()
        race.accrue(self.state, row, self.risk, self.rules, N)
        self.fine.accrue(row)

    def liquidate(self, i: int, j: int, wanted: float) -> tuple[float, float, float, float] | None:
        """Liquidate at both and return what it did; None where both forbid it."""
        pair, prices = (self.rough.collateral, self.rough.debt), self.prices
        deal = kernels.liquidate(*pair, prices, self.risk, self.rules, i, j, wanted)
        try:
            fine = self.fine.liquidate(i, j, wanted, prices)
        except Refused:
            assert deal[0] == 0.0, (deal, wanted)
            return None
        self.fine.synchronise()
        assert deal[0] > 0.0, fine
        if self.protocol == "comet":
            assert deal[0] == pytest.approx(fine[0] * prices[USDC], rel=NEAR)
        else:
            assert deal[:3] == pytest.approx(fine[:3], rel=NEAR)
        assert deal[3] == pytest.approx(fine[3], rel=NEAR, abs=NEAR * deal[0] * prices[j])
        repaid, seized, _, bad = deal
        kernels.settle(*pair, prices, self.risk, self.rules, i, j, repaid, seized, bad)
        return deal

    def clear_remainders(self) -> None:
        """Pay off and take out what is worth little: it is what subtraction has left of much."""
        for k in range(N):
            if 0 < self.rough.debt[k] * self.prices[k] < 1e5:
                self.both("repay", k, inf)
            if 0 < self.rough.collateral[k] * self.prices[k] < 1e5:
                self.both("withdraw", k, inf, self.prices)

    def compare(self) -> None:
        """Hold balances and health together, as the protocol has them."""
        for k, (name, places) in enumerate(zip(NAMES, DECIMALS, strict=True)):
            if name in self.fine.pool.assets:
                held = self.fine.pool.collateral(name) / 10**places
                owed = self.fine.pool.debt(name) / 10**places
                dust = 4 * 10.0**-places
                assert self.rough.collateral[k] == pytest.approx(held, rel=NEAR, abs=dust)
                assert self.rough.debt[k] == pytest.approx(owed, rel=NEAR, abs=dust)
        rough, fine = self.rough.health(self.prices), self.fine.health(self.prices)
        assert rough == pytest.approx(fine, rel=NEAR)


def _lent(protocol: str) -> tuple[list[int], list[int]]:
    """Return what can be collateral, and what can be borrowed."""
    if protocol in AAVE:
        return [WETH, WBTC, DAI, USDC], [WETH, WBTC, DAI, USDC]
    return ([WETH, WBTC], [USDC]) if protocol == "comet" else ([WETH], [USDC])


def _choose(rng: np.random.Generator, all_of_them: list[int], rather: list[int]) -> int:
    """Return one of them; mostly one of ``rather``, so that prices matter."""
    usual = [k for k in all_of_them if k in rather]
    return int(rng.choice(usual if rng.random() < 0.8 else all_of_them))


def _walk(pair: Pair, rng: np.random.Generator, n_steps: int) -> dict[str, int]:
    """Do random things worth millions at both, comparing after each; return what was allowed."""
    done: dict[str, int] = {}
    collaterals, debts = _lent(pair.protocol)
    for _ in range(n_steps):
        verb = str(rng.choice(["supply", "withdraw", "borrow", "repay", "wait", "move", "take"]))
        i, j = _choose(rng, collaterals, [WETH, WBTC]), _choose(rng, debts, [DAI, USDC])
        worth = float(10 ** rng.uniform(5.5, 7))
        if verb == "supply":
            is_done = pair.both(verb, i, worth / pair.prices[i])
        elif verb == "withdraw":
            share = float(rng.uniform(0.1, 1.2))
            amount = inf if share > 1.15 else share * pair.rough.collateral[i]
            is_done = pair.rough.collateral[i] > 0 and pair.both(verb, i, amount, pair.prices)
        elif verb == "borrow":
            room = kernels.borrowable_of(pair.rough.collateral, pair.prices, pair.risk)
            room -= kernels.weigh(pair.rough.debt, pair.prices)
            worth = max(room * float(rng.uniform(0.3, 1.1)), 1e5)
            is_done = pair.both(verb, j, worth / pair.prices[j], pair.prices)
        elif verb == "repay":
            share = float(rng.uniform(0.1, 1.2))
            is_done = pair.both(verb, j, inf if share > 1 else share * pair.rough.debt[j])
        elif verb == "wait":
            rates = rng.uniform(0, 0.3, (2, N))
            rates[0] *= pair.protocol in AAVE  # elsewhere collateral earns nothing
            pair.accrue(float(rng.integers(12, 14_400)), rates)
            is_done = True
        elif verb == "move":
            factor = np.exp(rng.normal(-0.02, 0.08))
            pair.prices = np.round(pair.prices * [factor, factor**0.9, 1, 1], 8)
            is_done = True
        else:
            health = pair.rough.health(pair.prices)
            to = START[WETH] * float(rng.uniform(0.5, 1.5))
            if health < inf:
                to = pair.prices[WETH] * float(rng.uniform(0.8, 1.01)) / health
            to = min(max(to, 200.0), 20_000.0)  # a price has 8 decimals
            pair.prices = np.round(START * [to / START[WETH], to / START[WETH], 1, 1], 8)
            i, j = int(np.argmax(pair.rough.collateral)), int(np.argmax(pair.rough.debt))
            wanted = inf if rng.random() < 0.5 else float(rng.uniform(0.1, 1)) * pair.rough.debt[j]
            is_done = pair.liquidate(i, j, wanted) is not None
        done[verb] = done.get(verb, 0) + bool(is_done)
        pair.compare()
        pair.clear_remainders()
    return done


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_kernels_equal_the_integers_over_random_walks(protocol: str) -> None:
    """Supplies, loans, interest, prices, liquidations: to 1e-9, and refused alike at both."""
    total: dict[str, int] = {}
    for seed in range(16):
        done = _walk(Pair(protocol), np.random.default_rng(seed), 80)
        total = {verb: total.get(verb, 0) + done.get(verb, 0) for verb in total | done}
    assert min(total.values()) >= 10, total  # a walk that is always refused compares nothing


@pytest.mark.parametrize("protocol", AAVE)
def test_small_loans_are_liquidated_alike(protocol: str) -> None:
    """Around the limits of 1,000 and 2,000 dollars: what may be taken, and what leaves dust."""
    rng = np.random.default_rng(7)
    n_allowed = n_refused = 0
    for _ in range(300):
        pair = Pair(protocol)
        worth = float(rng.uniform(800, 6_000))
        pair.both("supply", WETH, worth / pair.prices[WETH])
        if rng.random() < 0.3:
            pair.both("supply", WBTC, float(rng.uniform(0.2, 1)) * worth / pair.prices[WBTC])
        limit = kernels.borrowable_of(pair.rough.collateral, pair.prices, pair.risk)
        pair.both("borrow", DAI, limit * float(rng.uniform(0.9, 0.999)), pair.prices)
        health = pair.rough.health(pair.prices)
        low = float(rng.uniform(0.95, 1) if rng.random() < 0.7 else rng.uniform(0.7, 1)) / health
        pair.prices = np.round(START * [low, low, 1, 1], 8)
        wanted = inf if rng.random() < 0.4 else float(pair.rough.debt[DAI] * rng.uniform(0.05, 1))
        if pair.rough.health(pair.prices) < 1:
            is_allowed = pair.liquidate(WETH, DAI, wanted) is not None
            n_allowed, n_refused = n_allowed + is_allowed, n_refused + (not is_allowed)
            pair.compare()
    assert n_allowed >= 40
    assert (n_refused >= 20) == (protocol not in {"v2", "v3.0"})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_liquidator_chooses_the_protocol_allows(protocol: str) -> None:
    """Whatever ``find_best`` names is taken by the integers, dust or not; nothing is left over."""
    rng = np.random.default_rng(11)
    collaterals, debts = _lent(protocol)
    n_taken = 0
    for _ in range(90):
        pair = Pair(protocol)
        worth = float(10 ** rng.uniform(3.2, 6))
        for k in rng.permutation(collaterals)[: int(rng.integers(1, 3))]:
            pair.both("supply", int(k), worth / pair.prices[k])
        limit = kernels.borrowable_of(pair.rough.collateral, pair.prices, pair.risk)
        for j in rng.permutation(debts)[: int(rng.integers(1, 3))]:
            pair.both("borrow", int(j), 0.49 * limit / pair.prices[j], pair.prices)
        pair.prices = np.round(START * [low := float(rng.uniform(0.3, 0.7)), low, 1, 1], 8)
        for _ in range(20):
            account = (pair.rough.collateral, pair.rough.debt, pair.prices, pair.risk, pair.rules)
            i, j, wanted = kernels.find_best(*account)
            if wanted <= 0:
                break
            before = pair.rough.collateral.copy(), pair.rough.debt.copy()
            deal = pair.liquidate(i, j, wanted)
            assert deal is not None
            n_taken += 1
            assert (pair.rough.collateral >= 0).all()
            assert (pair.rough.debt >= 0).all()
            if protocol != "comet":
                assert deal[1] <= before[0][i]
                assert deal[0] <= before[1][j]
    assert n_taken >= 30


def test_thresholds_are_averaged_in_whole_basis_points_until_v34() -> None:
    """3 parts at 83 % and 1 part at 78 % average to 81.75 %; 1 to 2 to 79.66 instead of 79.67 %.

    10,000 of WETH and 20,000 of WBTC carry 8,300 + 15,600 = 23,900: v3.6 says 23,900 over the
    debt of 20,000 = 1.195; until v3.4 the average is cut to 7,966 points, 23,898 over it = 1.1949.
    """
    collateral = np.array([5.0, 20_000 / 30_000, 0, 0])
    debt = np.array([0, 0, 0, 20_000.0])
    health = [kernels.health_of(collateral, debt, START, risk_of(one)) for one in ("v3.6", "v3.3")]
    assert health == pytest.approx([1.195, 1.1949], rel=1e-12)


def test_a_debt_at_comet_grows_by_simple_interest() -> None:
    """10 % a year over a year in one step: 1.1 at Comet, 1 + x + x²/2 + x³/6 = 1.1051667 else."""
    year = kernels.YEAR_S
    assert kernels.grow_debt(layout.COMET, 0.1, year) == pytest.approx(1.1, rel=1e-15)
    assert kernels.grow_debt(layout.MORPHO, 0.1, year) == pytest.approx(1.10516666667, rel=1e-10)
