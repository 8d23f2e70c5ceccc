"""The float64 kernels of a loan against the integers of its protocol, and what the race keeps."""

from dataclasses import dataclass
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import Refused
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

NAMES = ("WETH", "WBTC", "DAI", "USDC")
DECIMALS = (18, 18, 18, 18)  # so that wei stay far below what is compared
WETH, WBTC, DAI, USDC = range(4)
N = len(NAMES)
START = np.array([2_000.0, 30_000.0, 1.0, 1.0])
CODES = {
    "v2": layout.AAVE_V2, "v3.0": layout.AAVE_V3_0, "v3.3": layout.AAVE_V3_3,
    "v3.6": layout.AAVE_V3_3, "v3.7": layout.AAVE_V3_3,
    "comet": layout.COMET, "morpho": layout.MORPHO,
}  # fmt: skip
PROTOCOLS = tuple(CODES)
AAVE = PROTOCOLS[:5]
NEAR = 1e-9
START_S = 1_700_000_000


def _risk(protocol: str) -> np.ndarray:
    """Return parameters, a row per asset: threshold, LTV, bonus, fee, factor."""
    risk = np.zeros((N, layout.N_PARAMETERS))
    risk[:, layout.BONUS] = 1.0
    columns = [layout.THRESHOLD, layout.MAX_LTV, layout.BONUS, layout.PROTOCOL_FEE]
    if protocol in AAVE:
        fee = 0.0 if protocol == "v2" else 0.1
        risk[WETH, columns] = 0.83, 0.805, 1.05, fee
        risk[WBTC, columns] = 0.78, 0.73, 1.07, fee
        risk[DAI, columns] = 0.77, 0.63, 1.045, fee
        risk[USDC, columns] = 0.78, 0.75, 1.045, fee
        risk[:, layout.HEALTH_IN_BPS] = not RULES[protocol].health_from_sum
        risk[:, layout.LTV_IN_BPS] = True
    elif protocol == "comet":
        risk[WETH, columns[:2]], risk[WBTC, columns[:2]] = (0.895, 0.825), (0.77, 0.70)
        risk[[WETH, WBTC], layout.LIQUIDATION_FACTOR] = 0.95
    else:
        risk[WETH, columns[:3]] = 0.86, 0.86, 1.0 / (1.0 - 0.3 * (1.0 - 0.86))
    return risk


def _rules(protocol: str, n_feeds: int = 0) -> np.ndarray:
    rules = np.zeros(layout.N_RULES + n_feeds)
    rules[layout.PROTOCOL] = CODES[protocol]
    rules[layout.BASE_ASSET] = USDC
    rules[layout.STOREFRONT], rules[layout.DEPTH_USD] = 0.5, inf
    rules[layout.N_FEEDS] = n_feeds
    rules[layout.N_RULES :] = 0.005
    return rules


def _pool(protocol: str, risk: np.ndarray) -> IntegerPool:
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
        self.risk, self.rules = _risk(self.protocol), _rules(self.protocol)
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

    def accrue(self, seconds: float, rates: np.ndarray) -> None:
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
            amount = inf if rng.random() < 0.1 else worth / pair.prices[i]
            is_done = pair.rough.collateral[i] > 0 and pair.both(verb, i, amount, pair.prices)
        elif verb == "borrow":
            room = kernels.borrowable_of(pair.rough.collateral, pair.prices, pair.risk)
            room -= kernels.weigh(pair.rough.debt, pair.prices)
            worth = max(room * float(rng.uniform(0.3, 1.1)), 1e5)
            is_done = pair.both(verb, j, worth / pair.prices[j], pair.prices)
        elif verb == "repay":
            is_done = pair.both(verb, j, inf if rng.random() < 0.2 else worth / pair.prices[j])
        elif verb == "wait":
            pair.accrue(float(rng.integers(12, 86_400)), rng.uniform(0, 0.3, (2, N)))
            is_done = True
        elif verb == "move":
            factor = np.exp(rng.normal(-0.02, 0.08))
            pair.prices = np.round(pair.prices * [factor, factor**0.9, 1, 1], 8)
            is_done = True
        else:
            health = pair.rough.health(pair.prices)
            if health < inf:
                fall = float(rng.uniform(0.8, 1.01)) / health
                pair.prices = np.round(pair.prices * [fall, fall, 1, 1], 8)
            i, j = int(np.argmax(pair.rough.collateral)), int(np.argmax(pair.rough.debt))
            wanted = inf if rng.random() < 0.5 else worth / pair.prices[j]
            is_done = pair.liquidate(i, j, wanted) is not None
        done[verb] = done.get(verb, 0) + bool(is_done)
        pair.compare()
    return done


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_kernels_equal_the_integers_over_random_walks(protocol: str) -> None:
    """Supplies, loans, interest, prices, liquidations: to 1e-9, and refused alike at both."""
    total: dict[str, int] = {}
    for seed in range(12):
        done = _walk(Pair(protocol), np.random.default_rng(seed), 80)
        total = {verb: total.get(verb, 0) + done.get(verb, 0) for verb in total | done}
    assert min(total.values()) >= 10, total  # a walk that is always refused compares nothing


@pytest.mark.parametrize("protocol", AAVE)
def test_small_loans_are_liquidated_alike(protocol: str) -> None:
    """Around the limits of 1,000 and 2,000 dollars: what may be taken, and what leaves dust."""
    rng = np.random.default_rng(7)
    n_allowed = n_refused = 0
    for _ in range(150):
        pair = Pair(protocol)
        worth = float(rng.uniform(800, 8_000))
        pair.both("supply", WETH, worth / pair.prices[WETH])
        if rng.random() < 0.3:
            pair.both("supply", WBTC, float(rng.uniform(0.2, 1)) * worth / pair.prices[WBTC])
        limit = kernels.borrowable_of(pair.rough.collateral, pair.prices, pair.risk)
        pair.both("borrow", DAI, limit * float(rng.uniform(0.9, 0.999)), pair.prices)
        low = float(rng.uniform(0.7, 0.97))
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
    for _ in range(60):
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
    health = [kernels.health_of(collateral, debt, START, _risk(one)) for one in ("v3.6", "v3.3")]
    assert health == pytest.approx([1.195, 1.1949], rel=1e-12)


def test_a_debt_at_comet_grows_by_simple_interest() -> None:
    """10 % a year over a year in one step: 1.1 at Comet, 1 + x + x²/2 + x³/6 = 1.1051667 else."""
    year = kernels.YEAR_S
    assert kernels.grow_debt(layout.COMET, 0.1, year) == pytest.approx(1.1, rel=1e-15)
    assert kernels.grow_debt(layout.MORPHO, 0.1, year) == pytest.approx(1.10516666667, rel=1e-10)


# The race -----------------------------------------------------------------------------------------


@dataclass
class Race:
    """An account of WETH against USDC through some bars; oracle and market agree."""

    protocol: str
    closes: list[float]
    health: float = 1.2
    rate: float = 0.0

    def __post_init__(self) -> None:
        self.risk, self.rules = _risk(self.protocol), _rules(self.protocol, 2)
        self.risk[[WETH, WBTC], layout.FEED], self.risk[[DAI, USDC], layout.FEED] = 0, 1
        self.rules[layout.SWAP_FEE], self.rules[layout.DEPTH_USD] = 0.0005, 5e7
        self.rules[layout.LIQUIDATION_GAS] = 500_000
        self.state = np.zeros(layout.state_size(N))
        race.block(self.state, layout.COLLATERAL, N)[WETH] = 10.0
        owed = 10 * 2_000 * self.risk[WETH, layout.THRESHOLD] / self.health
        race.block(self.state, layout.DEBT, N)[USDC] = owed
        race.block(self.state, layout.WALLET, N)[:] = 1.0, 0.0, 0.0, 500.0
        race.block(self.state, layout.MARK, N)[:] = START[0], START[0], 1.0, 1.0
        self.world = self._make_world()
        self.trace = np.zeros((len(self.closes) + 1, layout.trace_width(N)))
        self.wake = np.array([-inf, inf, 0.0])
        self.events: list[np.ndarray] = []
        race.show(self.state, self.risk, self.world[0], self.trace[0], 2)

    def _make_world(self) -> np.ndarray:
        path = np.array([2_000.0, *self.closes])
        world = np.zeros((len(path), layout.world_width(N, 2)))
        opens = np.concatenate([path[:1], path[:-1]])
        world[:, layout.SECONDS], world[:, layout.GAS_PRICE] = 3_600.0, 20.0
        world[:, layout.NATIVE_OPEN] = opens
        blocks = world[:, layout.N_WORLD : layout.N_WORLD + 5 * N].reshape(-1, 5, N)
        blocks[:, layout.OPEN], blocks[:, layout.CLOSE] = 1.0, 1.0
        blocks[:, layout.OPEN, :2], blocks[:, layout.CLOSE, :2] = opens[:, None], path[:, None]
        blocks[:, layout.RATIO] = 1.0
        blocks[:, [layout.SUPPLY_RATE, layout.BORROW_RATE]] = self.rate
        feeds = world[:, layout.N_WORLD + 5 * N :].reshape(-1, 4, 2)
        feeds[:, :, 0], feeds[:, :, 1] = path[:, None], 1.0
        feeds[:, layout.FEED_LOW, 0] = np.minimum(opens, path)
        feeds[:, layout.FEED_HIGH, 0] = np.maximum(opens, path)
        return world

    def live(self) -> "Race":
        """Live through all bars."""
        bar, events = 0, np.zeros((256, layout.N_EVENT))
        while bar < len(self.closes):
            bar, n_events, _ = race.live_through(
                self.state, self.risk, self.rules, self.world, self.trace, events, self.wake,
                bar, len(self.closes),
            )  # fmt: skip
            self.events.extend(events[:n_events].copy())
        return self

    @property
    def change(self) -> float:
        """What the equity has changed by, USD."""
        equity = self.trace[:, layout.SHOWN_EQUITY]
        return float(equity[-1] - equity[0])

    def held(self, place: int, k: int, row: int = -1) -> float:
        """Return tokens of a block of the trace."""
        return float(self.trace[row, layout.N_TRACE + place * N + k])


falls = st.lists(st.floats(-0.12, 0.06), min_size=1, max_size=25)


def _closes(moves: list[float]) -> list[float]:
    return (2_000 * np.cumprod(1 + np.array(moves))).tolist()


@settings(deadline=None, max_examples=60)
@given(protocol=st.sampled_from(PROTOCOLS), moves=falls, rate=st.floats(0, 0.5))
def test_the_parts_of_the_equity_change_add_up(
    protocol: str, moves: list[float], rate: float
) -> None:
    """Market, interest, bonus, fee and bad debt are the whole change, to 1e-9 of what is held."""
    lived = Race(protocol, _closes(moves), rate=rate).live()
    parts = race.parts_of(lived.state, N)
    assert abs(parts.sum() - lived.change) <= 1e-9 * 20_000


@settings(deadline=None, max_examples=60)
@given(protocol=st.sampled_from(PROTOCOLS), moves=falls)
def test_a_liquidation_moves_value_and_makes_none(protocol: str, moves: list[float]) -> None:
    """What the account loses is what liquidator and protocol get, less what lenders lose."""
    lived = Race(protocol, _closes(moves)).live()
    for event in lived.events:
        gross = event[layout.SEIZED_USD]
        got = event[layout.BONUS_USD] + event[layout.FEE_USD]
        assert got >= -1e-9 * gross
        if protocol != "comet":
            assert event[layout.SEIZED] * event[layout.AT_PRICE] == pytest.approx(gross)
            assert gross - event[layout.REPAID_USD] == pytest.approx(
                got, rel=1e-9, abs=1e-9 * gross
            )
    total = sum(event[layout.BONUS_USD] for event in lived.events)
    fees = sum(event[layout.FEE_USD] for event in lived.events)
    bad = sum(event[layout.BAD_DEBT_USD] for event in lived.events)
    parts = race.parts_of(lived.state, N)
    named = parts[[layout.LIQUIDATION_BONUS, layout.LIQUIDATION_FEE, layout.BAD_DEBT]]
    assert named == pytest.approx([-total, -fees, bad], rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(protocol=st.sampled_from((*AAVE, "morpho")), moves=falls)
def test_tokens_that_leave_are_tokens_that_arrive(protocol: str, moves: list[float]) -> None:
    """Without interest the account's tokens fall by what was seized and repaid, to the last."""
    lived = Race(protocol, _closes(moves)).live()
    seized = sum(event[layout.SEIZED] for event in lived.events)
    repaid = sum(event[layout.REPAID] for event in lived.events)
    written_off = sum(event[layout.BAD_DEBT_USD] for event in lived.events)
    held, owed = (lived.held(place, k) for place, k in ((layout.T_COLLATERAL, WETH), (1, USDC)))
    assert held >= 0
    assert 10.0 - held == pytest.approx(seized, rel=1e-9, abs=1e-9)
    assert lived.held(1, USDC, 0) - owed == pytest.approx(repaid + written_off, rel=1e-9, abs=1e-6)
    assert lived.held(layout.T_WALLET, USDC) == 500.0


def test_a_debt_beyond_the_collateral_is_counted() -> None:
    """From 2,000 to 700 in one dark step: half is not worth what is owed; the rest is bad debt.

    10 WETH are worth 7,000 and pay back 7,000 / 1.05 = 6,666.67 of 13,833.33 USDC: 7,166.67 are
    left that nobody pays.
    """
    fall = Race("v3.3", [700.0])
    feeds = fall.world[:, layout.N_WORLD + 5 * N :].reshape(-1, 4, 2)
    feeds[0, :, 0] = 700.0  # the oracle has been there before anybody could act
    fall.live()
    (event,) = fall.events
    assert event[layout.REPAID] == pytest.approx(7_000 / 1.05)
    assert event[layout.BAD_DEBT_USD] == pytest.approx(20_000 * 0.83 / 1.2 - 7_000 / 1.05)
    assert fall.held(layout.T_DEBT, USDC) == 0.0
    assert race.parts_of(fall.state, N)[layout.BAD_DEBT] == event[layout.BAD_DEBT_USD]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_quiet_bar_changes_nothing(protocol: str) -> None:
    """No price move and no interest: the state is the same to the bit, liquidatable or not."""
    for health in (1.2, 1.000001):
        quiet = Race(protocol, [2_000.0] * 5, health=health)
        before = quiet.state[layout.N_STATE :].copy()
        quiet.live()
        after = quiet.state[layout.N_STATE :]
        firsts = slice(layout.FIRST_COLLATERAL * N, layout.ACCRUED * N + N)
        assert (np.delete(after, firsts) == np.delete(before, firsts)).all()
        assert not quiet.events
        assert quiet.change == 0.0


@settings(deadline=None, max_examples=40)
@given(protocol=st.sampled_from(PROTOCOLS), moves=falls)
def test_liquidators_leave_what_pays_nobody(protocol: str, moves: list[float]) -> None:
    """Every event left the liquidator a profit after gas and its sale; a loan at rest is healthy.

    A loan may stay below 1 only where one more liquidation would not pay.
    """
    lived = Race(protocol, _closes(moves)).live()
    for event in lived.events:
        assert event[layout.HEALTH_BEFORE] < 1
        assert event[layout.BONUS_USD] > event[layout.LIQUIDATOR_GAS_USD] or protocol == "comet"
    if lived.state[layout.HEALTH] < 1:
        account = (race.block(lived.state, layout.COLLATERAL, N), race.block(lived.state, 1, N))
        prices = np.array([lived.closes[-1], lived.closes[-1], 1.0, 1.0])
        i, j, wanted = kernels.find_best(*account, prices, lived.risk, lived.rules)
        deal = kernels.liquidate(*account, prices, lived.risk, lived.rules, i, j, wanted)
        gas = 500_000 * 20e-9 * lived.world[-1, layout.NATIVE_OPEN]
        held = kernels.weigh(account[0], prices)
        assert race.earn(deal, prices, lived.risk, lived.rules, i, j, held, gas) <= 0
