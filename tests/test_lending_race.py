"""What the race of oracle, interest and liquidators keeps, whatever the price does."""

from dataclasses import dataclass
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lending_accounts import AAVE, DAI, PROTOCOLS, START, USDC, WBTC, WETH, N, risk_of, rules_of

from seawall.market.series import FloatArray
from seawall.venues.lending import kernels, layout, race


@dataclass
class Race:
    """An account of WETH against USDC through some bars; oracle and market agree."""

    protocol: str
    closes: list[float]
    health: float = 1.2
    rate: float = 0.0

    def __post_init__(self) -> None:
        self.risk, self.rules = risk_of(self.protocol), rules_of(self.protocol, 2)
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
        self.events: list[FloatArray] = []
        race.show(self.state, self.risk, self.world[0], self.trace[0], 2)

    def _make_world(self) -> FloatArray:
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
    return [float(close) for close in 2_000 * np.cumprod(1 + np.array(moves))]


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
            fee = (0.1 if protocol in AAVE[1:] else 0.0) * gross * (1 - 1 / 1.05)
            assert event[layout.FEE_USD] == pytest.approx(fee)
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_liquidates_at_a_loss(protocol: str) -> None:
    """One fall of 18 %, twice: at 20 gwei it is worth 500,000 gas (20 USD), at 5,000 it is not."""
    cheap, dear = (Race(protocol, [1_640.0]) for _ in range(2))
    dear.world[:, layout.GAS_PRICE] = 5_000.0
    assert len(cheap.live().events) >= 1
    assert dear.live().events == []
    assert dear.state[layout.HEALTH] < 1


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
