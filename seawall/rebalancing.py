"""From a wish, a health factor, to the steps that lead there: pure functions of what is seen.

With collateral limit ``L`` (value times threshold) and debt ``D`` in USD, selling ``x`` tokens of
collateral to repay what they bring leads to health ``H`` where ``L - a x = H (D - b out(x))``.
``out`` of a constant-product pool is a ratio of two lines, so ``x`` is the root of a quadratic.
Borrowing to buy more collateral is the same equation the other way round.

Prices move between the writing of a bundle and its block, so a step names a fixed amount only
where it must: what a swap brings is repaid or supplied with "all". Where the wallet holds a reserve
of the same asset that has to stay, ``MARGIN`` of what the swap should bring is not counted on, and
lies in the wallet afterwards if nothing has moved. A balance worth less than ``NOTHING_USD``, or
than ``NOTHING_SHARE`` of the collateral, is none: 1e-16 tokens of rounding decide nothing.

Left out: only the loan's own pair is touched; other collateral and debts stay as they are.
"""

from math import inf, nan, sqrt

from seawall.errors import AgentError
from seawall.loan_action import Borrow, Bundle, FlashLoan, Repay, Supply, Swap, Withdraw
from seawall.loan_view import LoanView
from seawall.preview import GAS_COIN, Preview, Step
from seawall.venues.swap import cost_of

TOLERANCE = 1e-3  # closer than this share to its target, a health factor is there
MARGIN = 0.03  # share by which a swap may bring less than seen, where a step must name an amount
GUARD = 0.01  # share by which borrowing keeps off the protocol's limit
CROSSING = 0.10  # likewise on the way to a repayment: closer to the limit a flash loan is safer
INTEREST = 1e-4  # share of a debt that may accrue until the block: a day at 3.65 % a year
NOTHING_USD = 0.01  # what is worth less is rounding, not a balance
NOTHING_SHARE = 1e-9  # likewise, as a share of the collateral
MAX_ROUNDS = 8  # of withdraw, swap, repay in one bundle, where there are no flash loans


def to_health(
    loan: LoanView,
    target: float,
    *,
    use_wallet: bool = True,
    service_fee: float = 0.0,
    max_gas_usd: float = inf,
    max_slippage: float = inf,
) -> Bundle | None:
    """Return the bundle after which the health factor is ``target``; None where it is already.

    To raise it: repay out of the wallet and supply what it holds of the collateral, all beyond the
    job's reserve, if ``use_wallet``; then sell collateral. In one go where the protocol allows the
    withdrawal, with a flash loan of collateral where it does not, in up to ``MAX_ROUNDS`` rounds
    where there are no flash loans. To lower it: borrow, swap and supply, at most up to the largest
    loan-to-value, less ``GUARD``.

    Where the target is out of reach (a thin pool, a few rounds) it goes as far as it can; None also
    where nothing can be done. At the prices seen now the target is met to 0.1 %.

    Raises:
        AgentError: ``target`` is not > 1.
    """
    if not target > 1:
        raise AgentError(f"a target health factor must be > 1, is {target}: answer 1.5, or None")
    if is_there(loan, target):
        return None
    plan = _Plan(loan, use_wallet=use_wallet, service_fee=service_fee)
    if target == inf:
        plan.close()
    elif loan.health > target:
        plan.borrow_more(target)
    else:
        plan.repay(target)
    return plan.write(max_gas_usd, max_slippage)


def is_there(loan: LoanView, target: float) -> bool:
    """Return whether the health factor is at its target; at inf where next to nothing is owed."""
    if target == inf:
        return loan.debt_usd <= _nothing_usd(loan)
    return loan.health < inf and abs(loan.health / target - 1) <= TOLERANCE


def _nothing_usd(loan: LoanView) -> float:
    return max(NOTHING_USD, NOTHING_SHARE * loan.collateral_usd)


def close_loan(
    loan: LoanView,
    *,
    use_wallet: bool = True,
    service_fee: float = 0.0,
    max_gas_usd: float = inf,
    max_slippage: float = inf,
    sell_all: bool = False,
) -> Bundle | None:
    """Return the bundle that repays the debt.

    As much collateral is sold as that needs, and ``MARGIN`` more; what is left stays supplied,
    where nobody can seize it. With ``sell_all`` it is sold too, and everything is in the wallet.
    Without flash loans it may take more than one bundle. None where nothing is owed, or more than
    the collateral pays.
    """
    plan = _Plan(loan, use_wallet=use_wallet, service_fee=service_fee)
    if not plan.is_nothing(plan.d, plan.owed):
        plan.close(sell_all=sell_all)
    return plan.write(max_gas_usd, max_slippage)


class _Plan:
    """Steps that are being written, and a preview of what they do."""

    def __init__(self, loan: LoanView, *, use_wallet: bool, service_fee: float) -> None:
        terms = loan.terms
        self.loan, self.terms = loan, terms
        self.use_wallet, self.service_fee = use_wallet, service_fee
        self.c, self.d = terms.collateral, terms.debt
        self.now = Preview(loan)
        self.steps: list[Step] = []
        self.lent: FlashLoan | None = None
        self.market = loan.market_prices
        self.nothing_usd = _nothing_usd(loan)
        kept = (1 - service_fee) * (1 - terms.swap_fee)  # of what is swapped, before impact
        self.inflow = {asset: self.market[asset] * kept for asset in (self.c, self.d)}
        self.thinness = 1 / terms.depth_usd
        self.limit_each = loan.prices[self.c] * terms.threshold[self.c]
        self.capacity_each = loan.prices[self.c] * terms.max_ltv[self.c]
        self.debt_each = loan.prices[self.d]
        # Compound asks for the borrowing limit whenever something leaves, Aave and Morpho for the
        # threshold.
        self.is_strict = terms.protocol.startswith("compound")

    @property
    def held(self) -> float:
        """Collateral tokens."""
        return self.now.collateral[self.c]

    @property
    def owed(self) -> float:
        """Debt tokens."""
        return self.now.debt[self.d]

    def is_nothing(self, asset: str, amount: float) -> bool:
        """Return whether so little of an asset is rounding."""
        return amount * self.market[asset] <= self.nothing_usd

    def write(self, max_gas_usd: float, max_slippage: float) -> Bundle | None:
        """Return the bundle, None where there is no step."""
        if not self.steps:
            return None
        return Bundle(
            actions=tuple(self.steps),
            flash_loan=self.lent,
            max_gas_usd=max_gas_usd,
            max_slippage=max_slippage,
        )

    def _add(self, *steps: Step) -> float:
        """Write steps down and return the tokens that the last one moved."""
        moved = 0.0
        for step in steps:
            moved = self.now.take(step)
            self.steps.append(step)
        return moved

    def _lend(self, asset: str, amount: float) -> None:
        self.lent = FlashLoan(asset=asset, amount=amount)
        self.now.wallet[asset] += amount

    def _swap(self, sell: str, buy: str, amount: float) -> float:
        """Swap so much, and "all" where the wallet holds no more of it."""
        is_whole = self.is_nothing(sell, abs(self.now.wallet[sell] - amount))
        given = inf if is_whole else amount
        return self._add(Swap(sell=sell, buy=buy, amount=given, service_fee=self.service_fee))

    def _is_free(self, asset: str) -> bool:
        """Return whether all that the wallet holds of an asset may be spent."""
        held = self.now.wallet[asset]
        return self.is_nothing(asset, held - self.spare(asset))

    # The wallet -----------------------------------------------------------------------------------

    def spare(self, asset: str) -> float:
        """Return the tokens of an asset that the wallet can give and keep the job's reserve."""
        if asset == GAS_COIN or not self.use_wallet:
            return 0.0
        beyond = max(self.now.wallet_usd - self.terms.min_reserve_usd, 0.0)
        held = self.now.wallet[asset]
        worth = held * self.market[asset]
        return held if worth <= beyond else beyond / self.market[asset]

    def _pay_from_wallet(self, target: float) -> None:
        """Repay, then supply, up to the target; what is worth less than its gas stays."""
        gap = self.now.debt_usd - self.now.limit_usd / target
        amount = min(self.spare(self.d), self.owed, gap / self.debt_each)
        if amount * self.market[self.d] > self._least_usd("repay"):
            self._add(Repay(asset=self.d, amount=amount))
        gap = target * self.now.debt_usd - self.now.limit_usd
        amount = min(self.spare(self.c), gap / self.limit_each)
        if amount * self.market[self.c] > self._least_usd("supply"):
            self._add(Supply(asset=self.c, amount=amount))

    def _least_usd(self, kind: str) -> float:
        """Return what a step must move to be worth its gas, USD."""
        gas_usd = self.loan.gas_cost_usd(self.terms.gas_units.get(kind, 0.0))
        return max(gas_usd, self.nothing_usd)

    # Selling collateral ---------------------------------------------------------------------------

    def repay(self, target: float) -> None:
        """Repay until the target is met, out of the wallet and of collateral sold."""
        self._pay_from_wallet(target)
        for _ in range(MAX_ROUNDS):
            if self.now.health >= target * (1 - TOLERANCE):
                return
            sold = self._sale_within_reach(target)
            part = min(sold, self.withdrawable())
            if part < sold and self.terms.has_flash_loans:
                premium = self.terms.flash_premium
                self._flash_repay(self._sale_within_reach(target, premium), premium)
                return
            if not self._sell_and_repay(part) or part == sold:
                return

    def _sell_and_repay(self, sold: float) -> bool:
        """Withdraw, swap, repay; False where that is not worth its gas."""
        if not sold * self.market[self.c] > self._least_usd("repay"):
            return False
        is_free = self._is_free(self.d)
        self._add(Withdraw(asset=self.c, amount=sold))
        self._repay_with(self._swap(self.c, self.d, sold), is_free=is_free)
        return True

    def _flash_repay(self, sold: float, premium: float) -> None:
        """Sell lent collateral, repay, and withdraw what goes back."""
        if not self.is_nothing(self.c, sold):
            is_free = self._is_free(self.d)
            self._lend(self.c, sold)
            self._repay_with(self._swap(self.c, self.d, sold), is_free=is_free)
            self._add(Withdraw(asset=self.c, amount=min(sold * (1 + premium), self.held)))

    def _repay_with(self, brought: float, *, is_free: bool) -> None:
        self._add(Repay(asset=self.d, amount=inf if is_free else brought * (1 - MARGIN)))

    def withdrawable(self) -> float:
        """Return the collateral tokens that may leave now, and keep off the protocol's limit.

        By ``CROSSING`` where a flash loan can do it otherwise, by ``MARGIN`` where none can.
        """
        limit, each = self.now.limit_usd, self.limit_each
        if self.is_strict:
            limit, each = self.now.capacity_usd, self.capacity_each
        guard = CROSSING if self.terms.has_flash_loans else MARGIN
        free = limit - self.now.debt_usd * (1 + guard)
        return min(max(free / each, 0.0), self.held)

    def _sale(self, target: float, premium: float) -> float:
        """Return the collateral tokens to sell for a health factor; nan where no sale reaches it.

        ``premium``: share of them that leaves the collateral on top.
        """
        is_free = self._is_free(self.d)
        relief = (1.0 if is_free else 1 - MARGIN) * self.debt_each / self.market[self.d]
        owed = self.now.debt_usd
        if is_free:
            owed -= self.now.wallet[self.d] * self.debt_each  # "all" repays it too

        def solve(limit: float, each: float, aim: float) -> float:
            return _solve_sale(
                gap=aim * owed - limit,
                weight=each * (1 + premium),
                relief=aim * relief,
                inflow=self.inflow[self.c],
                thinness=self.thinness,
            )

        sold = solve(self.now.limit_usd, self.limit_each, target)
        if not self.is_strict:
            return sold
        least = solve(self.now.capacity_usd, self.capacity_each, 1 + GUARD)
        return max(sold, least) if least >= 0 else nan

    def _sale_within_reach(self, target: float, premium: float = 0.0) -> float:
        """Return the sale for a target, or for the highest that the pool and the collateral give.

        By bisection: below a health factor that can be reached, every other can be reached too.
        """
        most = self.held / (1 + premium)
        sold = self._sale(target, premium)
        if sold <= most:
            return sold
        low, high = self.now.health, target
        for _ in range(40):
            middle = (low + high) / 2
            is_reached = self._sale(middle, premium) <= most
            low, high = (middle, high) if is_reached else (low, middle)
        sold = self._sale(low, premium)
        return sold if sold <= most else 0.0

    # Borrowing more -------------------------------------------------------------------------------

    def borrow_more(self, target: float) -> None:
        """Borrow, swap and supply until the target is met, as far as the largest ltv allows."""
        for _ in range(MAX_ROUNDS):
            borrowed = self._purchase(target, 0.0)
            part = min(borrowed, self.borrowable())
            if part < borrowed and self.terms.has_flash_loans:
                self._flash_supply(self._purchase(target, self.terms.flash_premium))
                return
            if not part * self.market[self.d] > self._least_usd("supply"):
                return
            self._add(Borrow(asset=self.d, amount=part))
            self._buy_and_supply(part)
            if part == borrowed:
                return

    def borrowable(self) -> float:
        """Return the debt tokens that may be borrowed now, and keep off the limit by ``GUARD``."""
        free = self.now.capacity_usd / (1 + GUARD) - self.now.debt_usd
        return max(free / self.debt_each, 0.0)

    def _buy_and_supply(self, spent: float) -> None:
        is_empty = self.is_nothing(self.c, self.now.wallet[self.c])
        bought = self._swap(self.d, self.c, spent)
        self._add(Supply(asset=self.c, amount=inf if is_empty else bought * (1 - MARGIN)))

    def _flash_supply(self, lent: float) -> None:
        """Buy with a flash loan, supply, borrow what goes back."""
        if not self.is_nothing(self.d, lent):
            self._lend(self.d, lent)
            self._buy_and_supply(lent)
            owed = lent + lent * self.terms.flash_premium
            self._add(Borrow(asset=self.d, amount=owed))

    def _purchase(self, target: float, premium: float) -> float:
        """Return the debt tokens to swap for a health factor; ``premium``: owed on top of them."""
        is_empty = self.is_nothing(self.c, self.now.wallet[self.c])
        counted = 1.0 if is_empty else 1 - MARGIN

        def solve(limit: float, each: float, aim: float) -> float:
            return _solve_purchase(
                room=limit - aim * self.now.debt_usd,
                lift=each * counted / self.market[self.c],
                burden=aim * (1 + premium) * self.debt_each,
                inflow=self.inflow[self.d],
                thinness=self.thinness,
            )

        spent = solve(self.now.limit_usd, self.limit_each, target)
        most = solve(self.now.capacity_usd, self.capacity_each, 1 + GUARD)
        found = min(spent, most)
        return found if found < inf else 0.0

    # Closing --------------------------------------------------------------------------------------

    def close(self, *, sell_all: bool = False) -> None:
        """Repay everything: out of the wallet, and of collateral sold."""
        for _ in range(MAX_ROUNDS):
            sold = self._sale_for_debt()
            if sold <= self.withdrawable():
                if not self.is_nothing(self.c, sold):
                    self._add(Withdraw(asset=self.c, amount=sold))
                    self._swap(self.c, self.d, sold)
                self._add(Repay(asset=self.d, amount=inf))
                if sell_all and not self.is_nothing(self.c, self.held):
                    self._swap(self.c, self.d, self._add(Withdraw(asset=self.c, amount=inf)))
                return
            if self.terms.has_flash_loans:
                self._flash_close(sold, sell_all=sell_all)
                return
            if not self._sell_and_repay(self.withdrawable()):
                return

    def _flash_close(self, sold: float, *, sell_all: bool) -> None:
        """Sell lent collateral, repay everything, and withdraw what goes back."""
        premium = self.terms.flash_premium
        most = self.held / (1 + premium)
        if sold > most:
            return
        if sell_all:
            sold = most
        self._lend(self.c, sold)
        self._swap(self.c, self.d, sold)
        back = inf if sell_all else sold + sold * premium
        self._add(Repay(asset=self.d, amount=inf), Withdraw(asset=self.c, amount=back))

    def _sale_for_debt(self) -> float:
        """Return the collateral tokens whose sale pays the debt, the rest from the wallet.

        inf where no sale pays it.
        """
        needed = max(self.owed * (1 + INTEREST) - self.spare(self.d), 0.0) * self.market[self.d]
        cost = cost_of(needed / (1 - MARGIN), self.terms.depth_usd, self.terms.swap_fee)
        return cost.value_usd / (1 - self.service_fee) / self.market[self.c]


def _solve_sale(
    *, gap: float, weight: float, relief: float, inflow: float, thinness: float
) -> float:
    """Return the smaller x with ``gap + weight x = relief out(x)``; nan where there is none.

    ``out(x) = inflow x / (1 + thinness inflow x)``: USD that x tokens bring, after fees.
    """
    if gap <= 0:
        return 0.0
    slope = gap * thinness * inflow + weight - relief * inflow
    root = slope * slope - 4 * weight * thinness * inflow * gap
    return 2 * gap / (sqrt(root) - slope) if slope < 0 <= root else nan


def _solve_purchase(
    *, room: float, lift: float, burden: float, inflow: float, thinness: float
) -> float:
    """Return the x > 0 with ``room + lift out(x) = burden x``; inf where there is none."""
    if room <= 0:
        return 0.0
    slope = burden - room * thinness * inflow - lift * inflow
    root = sqrt(slope * slope + 4 * burden * thinness * inflow * room)
    return 2 * room / (slope + root) if slope + root > 0 else inf
