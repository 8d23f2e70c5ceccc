"""An agent's transactions: whole or not at all, and paid for either way."""

from math import inf

import numpy as np
import pytest

from seawall.loan_action import Borrow, Repay, Supply, Swap, Withdraw
from seawall.venues.gas import GAS_UNITS
from seawall.venues.lending import layout, race
from seawall.venues.lending.transactions import Conditions, Execution, Receipt, Terms
from seawall.venues.lending.venue import FloatVenue

NAMES = ("WETH", "USDC", "ETH")
PRICES = np.array([2_000.0, 1.0, 2_000.0])


class _Loan:
    """10 WETH against 10,000 USDC, 1,000 USDC and 1 ETH in the wallet; ETH at 2,000."""

    def __init__(self) -> None:
        n = len(NAMES)
        self.state = np.zeros(layout.state_size(n))
        self.collateral = race.block(self.state, layout.COLLATERAL, n)
        self.debt = race.block(self.state, layout.DEBT, n)
        self.wallet = race.block(self.state, layout.WALLET, n)
        self.collateral[0], self.debt[1] = 10.0, 10_000.0
        self.wallet[:] = 0.0, 1_000.0, 1.0
        race.block(self.state, layout.MARK, n)[:] = PRICES
        risk = np.zeros((n, layout.N_PARAMETERS))
        risk[:, layout.BONUS] = 1.05
        risk[0, layout.THRESHOLD], risk[0, layout.MAX_LTV] = 0.83, 0.80
        risk[1, layout.THRESHOLD], risk[1, layout.MAX_LTV] = 0.78, 0.75
        rules = np.zeros(layout.N_RULES + 2)
        rules[layout.PROTOCOL] = layout.AAVE_V3_3
        self.venue = FloatVenue(self.state, risk, rules, NAMES)

    def run(
        self,
        *steps: object,
        flash: tuple[str, float] | None = None,
        max_gas_usd: float = inf,
        max_slippage: float = inf,
        gas_gwei: float = 20.0,
        seen: float = 2_000.0,
        is_down: bool = False,
        premium: float = 0.0005,
    ) -> Receipt:
        """Carry out one transaction."""
        terms = Terms(
            names=NAMES,
            gas_units=dict(GAS_UNITS),
            swap_fee=0.0005,
            depth_usd=10_000_000.0,
            flash_premium=premium,
        )
        conditions = Conditions(
            prices=PRICES,
            oracle=PRICES,
            seen=np.array([seen, 1.0, seen]),
            gas_gwei=gas_gwei,
            native_usd=2_000.0,
            is_down=is_down,
        )
        execution = Execution(self.state, self.venue, terms, conditions)
        return execution.run(steps, flash=flash, max_gas_usd=max_gas_usd, max_slippage=max_slippage)

    @property
    def equity(self) -> float:
        """USD."""
        return float((self.collateral - self.debt + self.wallet) @ PRICES)


def test_gas_of_a_repayment() -> None:
    """21,000 + 189,949 units at 20 gwei and 2,000 USD are 0.00421898 ETH, 8.43796 USD."""
    loan = _Loan()
    receipt = loan.run(Repay(asset="USDC", amount=500.0))
    assert receipt.error == ""
    assert receipt.costs.gas == pytest.approx(8.43796)
    assert loan.wallet[2] == pytest.approx(1 - 0.00421898)
    assert loan.debt[1] == pytest.approx(9_500.0)
    assert loan.wallet[1] == pytest.approx(500.0)


def test_the_parts_are_the_change_of_the_equity() -> None:
    """Gas, pool fee, impact, service fee and premium add up to what the account lost."""
    loan = _Loan()
    before = loan.equity
    receipt = loan.run(
        Repay(asset="USDC", amount=6_000.0),
        Withdraw(asset="WETH", amount=3.1),
        Swap(sell="WETH", buy="USDC", amount=3.1, service_fee=0.0025),
        flash=("USDC", 6_000.0),
    )
    assert receipt.error == ""
    parts = race.parts_of(loan.state, len(NAMES))
    assert parts.sum() == pytest.approx(loan.equity - before, abs=1e-9)
    assert parts[layout.FLASH_PREMIUMS] == pytest.approx(-3.0)
    assert parts[layout.SERVICE_FEES] == pytest.approx(-15.5)
    assert parts[layout.SWAP_FEES] == pytest.approx(-(6_200.0 - 15.5) * 0.0005)
    assert loan.state[layout.SPENT] == pytest.approx(-parts.sum())


def test_a_failed_bundle_costs_its_gas_and_nothing_else() -> None:
    """The second step breaks the health factor: the first is undone too."""
    loan = _Loan()
    before = loan.collateral.copy(), loan.debt.copy(), loan.wallet[:2].copy()
    receipt = loan.run(Repay(asset="USDC", amount=500.0), Withdraw(asset="WETH", amount=9.0))
    assert "health factor must be >= 1" in receipt.error
    assert np.array_equal(loan.collateral, before[0])
    assert np.array_equal(loan.debt, before[1])
    assert np.array_equal(loan.wallet[:2], before[2])
    assert receipt.costs.gas > 0
    assert loan.wallet[2] < 1.0


def test_gas_above_its_cap_fails_and_costs_the_cap() -> None:
    """Out of gas: what it was allowed to burn is burnt."""
    loan = _Loan()
    receipt = loan.run(Repay(asset="USDC", amount=500.0), max_gas_usd=5.0)
    assert "gas must cost at most 5.00 USD" in receipt.error
    assert receipt.costs.gas == pytest.approx(5.0)
    assert loan.debt[1] == 10_000.0


def test_without_eth_nothing_is_sent() -> None:
    """A wallet that cannot pay for gas pays nothing and does nothing."""
    loan = _Loan()
    loan.wallet[2] = 0.0
    receipt = loan.run(Repay(asset="USDC", amount=500.0))
    assert "the wallet has too little" in receipt.error
    assert receipt.costs.gas == 0.0


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((Borrow(asset="USDC", amount=6_001.0),), "at most 16,000.00 USD"),
        ((Borrow(asset="USDC", amount=inf),), "must be finite"),
        ((Repay(asset="USDC", amount=1_500.0),), "the wallet must hold"),
        ((Supply(asset="ETH", amount=0.5),), "must be collateral"),
        ((Withdraw(asset="WETH", amount=11.0),), "at most the collateral"),
        ((Withdraw(asset="DAI", amount=1.0),), "there is no 'DAI'"),
    ],
)
def test_what_the_protocol_forbids_is_said(steps: tuple[object, ...], message: str) -> None:
    """The refusal names the rule and the numbers."""
    assert message in _Loan().run(*steps).error


def test_a_price_that_fell_on_the_way_is_slippage() -> None:
    """Seen at 2,100, carried out at 2,000: 4.8 % worse than it was sent at."""
    loan = _Loan()
    steps = (Withdraw(asset="WETH", amount=1.0), Swap(sell="WETH", buy="USDC", amount=1.0))
    assert "slippage" in loan.run(*steps, max_slippage=0.03, seen=2_100.0).error
    assert loan.run(*steps, max_slippage=0.06, seen=2_100.0).error == ""


def test_a_dead_oracle_lets_repay_but_not_borrow() -> None:
    """What needs a price is refused, what does not goes on."""
    assert "must be readable" in _Loan().run(Borrow(asset="USDC", amount=1.0), is_down=True).error
    assert _Loan().run(Repay(asset="USDC", amount=1.0), is_down=True).error == ""


def test_wrapping_is_free_but_for_gas() -> None:
    """One ETH is one WETH: no pool, no fee."""
    loan = _Loan()
    receipt = loan.run(Swap(sell="ETH", buy="WETH", amount=0.5))
    assert receipt.costs.swap_fee == 0.0
    assert loan.wallet[0] == 0.5


def test_a_flash_loan_that_cannot_be_paid_back_undoes_all() -> None:
    """The premium is missing: nothing has happened but the gas."""
    loan = _Loan()
    loan.wallet[1] = 0.0
    receipt = loan.run(Repay(asset="USDC", amount=5_000.0), flash=("USDC", 5_000.0))
    assert "paid back with its premium" in receipt.error
    assert loan.debt[1] == 10_000.0


def test_two_halves_of_a_swap_cost_what_the_whole_does() -> None:
    """The pool remembers within a transaction: splitting a sale does not avoid its impact."""
    whole, halves = _Loan(), _Loan()
    first = Withdraw(asset="WETH", amount=3.0)
    one = whole.run(first, Swap(sell="WETH", buy="USDC", amount=3.0)).costs
    half = Swap(sell="WETH", buy="USDC", amount=1.5)
    two = halves.run(first, half, half).costs
    assert two.impact == pytest.approx(one.impact, rel=1e-9)
    assert two.swap_fee == pytest.approx(one.swap_fee, rel=1e-9)


def test_a_flash_loan_is_no_gift_however_large() -> None:
    """At no premium, what cannot be paid back to the last cent is refused, and so is too much."""
    loan = _Loan()
    loan.wallet[1] = 0.0
    swap = Swap(sell="USDC", buy="WETH", amount=800.0)
    for lent in (1e14, 9e8):
        assert loan.run(swap, flash=("USDC", lent), premium=0.0).error != ""
    assert loan.wallet[0] == 0.0
    assert race.parts_of(loan.state, len(NAMES))[layout.FLASH_PREMIUMS] == 0.0


def test_the_gas_is_paid_before_the_coin_for_it_can_be_sold() -> None:
    """Selling all ETH sells what the gas has left: the wallet never owes any."""
    loan = _Loan()
    assert loan.run(Swap(sell="ETH", buy="USDC", amount=inf)).error == ""
    assert loan.wallet[2] == 0.0
    receipt = loan.run(Repay(asset="USDC", amount=1.0), max_gas_usd=1e-6)
    assert receipt.costs.gas == 0.0
    assert loan.wallet[2] == 0.0
