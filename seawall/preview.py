"""What an action would do to a loan at the prices that are seen now, and what it would cost.

Nothing is checked and nothing happens: a preview tells what comes of an action if the protocol lets
it pass and no price moves meanwhile. Swaps are those of ``seawall.venues.swap``.
"""

from math import inf

from seawall.loan_action import (
    Borrow,
    Bundle,
    LoanAction,
    Repay,
    Supply,
    Swap,
    TargetHealth,
    Withdraw,
)
from seawall.loan_view import LoanView
from seawall.venues.swap import sell_for

GAS_COIN = "ETH"
_WRAPPED = (GAS_COIN, "WETH")  # one for one, free but for gas
Step = Supply | Withdraw | Borrow | Repay | Swap


class Preview:
    """Balances after the steps that it was told, beside what they cost.

    Attributes:
        collateral, debt, wallet: tokens by asset; a wallet below 0 is one that could not pay.
        debt_usd: at the oracle's prices; ``limit_usd``: collateral times thresholds, beyond which
            the debt can be liquidated; ``capacity_usd``: what may be borrowed in all.
        swap_fee_usd, impact_usd, service_fee_usd, premium_usd: paid so far.
        gas_units: of one transaction that does all of it.
    """

    def __init__(self, loan: LoanView) -> None:
        self.terms, self.prices, self.market_prices = loan.terms, loan.prices, loan.market_prices
        self.collateral = dict(loan.collateral)
        self.debt = dict(loan.debt)
        self.wallet = dict(loan.wallet)
        self.debt_usd = loan.debt_usd
        self.limit_usd = loan.liquidation_threshold * loan.collateral_usd
        self.capacity_usd = loan.borrowable_usd + loan.debt_usd
        self.swap_fee_usd = self.impact_usd = self.service_fee_usd = self.premium_usd = 0.0
        self.gas_units = self._units("transaction")
        self._pushed: dict[tuple[str, str], float] = {}  # USD sold so far: the pool remembers
        self._usd_per_unit = loan.gas_cost_usd(1.0)

    @property
    def health(self) -> float:
        """Health factor at the oracle's prices; inf where nothing is owed."""
        return self.limit_usd / self.debt_usd if self.debt_usd > 0 else inf

    @property
    def wallet_usd(self) -> float:
        """What lies in the wallet at market prices, USD, without the coin for gas."""
        return sum(
            tokens * self.market_prices[asset]
            for asset, tokens in self.wallet.items()
            if asset != GAS_COIN
        )

    @property
    def gas_usd(self) -> float:
        """The gas so far at the price that is known now, USD."""
        return self.gas_units * self._usd_per_unit

    @property
    def spent_usd(self) -> float:
        """Gas, fees, impact and premium so far, USD."""
        fees = self.swap_fee_usd + self.impact_usd + self.service_fee_usd + self.premium_usd
        return self.gas_usd + fees

    def take(self, step: Step) -> float:
        """Do one step and return the tokens it moved; of a swap, those that came out."""
        self.gas_units += self._units(step.kind)
        if isinstance(step, Swap):
            return self._swap(step)
        asset = step.asset
        if isinstance(step, Supply):
            amount = min(step.amount, self.wallet[asset]) if step.amount == inf else step.amount
            self._move(asset, collateral=amount, wallet=-amount)
        elif isinstance(step, Withdraw):
            amount = min(step.amount, self.collateral[asset])
            self._move(asset, collateral=-amount, wallet=amount)
        elif isinstance(step, Borrow):
            amount = step.amount
            self._move(asset, debt=amount, wallet=amount)
        else:
            there = self.wallet[asset] if step.amount == inf else step.amount
            amount = min(there, self.debt[asset])
            self._move(asset, debt=-amount, wallet=-amount)
        return amount

    def _swap(self, swap: Swap) -> float:
        amount = self.wallet[swap.sell] if swap.amount == inf else swap.amount
        self.wallet[swap.sell] -= amount
        if swap.sell in _WRAPPED and swap.buy in _WRAPPED:
            self.wallet[swap.buy] += amount
            return amount
        value = amount * self.market_prices[swap.sell]
        service = value * swap.service_fee
        pair, terms = (swap.sell, swap.buy), self.terms
        before = self._pushed.get(pair, 0.0)
        self._pushed[pair] = pushed = before + value - service
        first = sell_for(before, terms.depth_usd, terms.swap_fee)
        both = sell_for(pushed, terms.depth_usd, terms.swap_fee)
        bought = (both.value_usd - first.value_usd) / self.market_prices[swap.buy]
        self.wallet[swap.buy] += bought
        self.service_fee_usd += service
        self.swap_fee_usd += both.fee_usd - first.fee_usd
        self.impact_usd += both.impact_usd - first.impact_usd
        return bought

    def _move(
        self, asset: str, *, collateral: float = 0.0, debt: float = 0.0, wallet: float = 0.0
    ) -> None:
        price = self.prices[asset]
        self.collateral[asset] += collateral
        self.debt[asset] += debt
        self.wallet[asset] += wallet
        self.debt_usd += debt * price
        self.limit_usd += collateral * price * self.terms.threshold[asset]
        self.capacity_usd += collateral * price * self.terms.max_ltv[asset]

    def take_bundle(self, bundle: Bundle) -> None:
        """Do every step of a bundle, with its flash loan."""
        lent = bundle.flash_loan
        if len(bundle.actions) > 1 or lent is not None:
            self.gas_units += self._units("bundle")
        if lent is not None:
            self.gas_units += self._units("flash_loan")
            self.wallet[lent.asset] += lent.amount
        for step in bundle.actions:
            self.take(step)
        if lent is not None:
            premium = lent.amount * self.terms.flash_premium
            self.wallet[lent.asset] -= lent.amount + premium
            self.premium_usd += premium * self.market_prices[lent.asset]

    def _units(self, kind: str) -> float:
        return self.terms.gas_units.get(kind, 0.0)


def preview(loan: LoanView, action: LoanAction) -> Preview:
    """Return what would come of an action; a ``TargetHealth`` has to be made a bundle first."""
    seen = Preview(loan)
    if isinstance(action, Bundle):
        seen.take_bundle(action)
    elif not isinstance(action, TargetHealth):
        seen.take(action)
    return seen
