"""Morpho Blue as a specification in integers: one isolated market, rounded as its contract rounds.

Units: assets in wei of their token, shares as the contract counts them (a million to the wei at
first), rates per second and fractions as WAD (1e18), times in seconds. The oracle's price is loan
wei per collateral wei, scaled by 1e36.

There is no close factor and no protocol fee on liquidations: a liquidator takes as much as he asks
for, and pays its price divided by the incentive factor. When the last collateral is gone, what debt
remains is taken off the lenders' assets at once. The contract knows no health factor; here it is
what may be borrowed over what is owed, below one exactly where the contract allows a liquidation.

An operation that is refused changes nothing, the accrual of interest included.

Source: ``Morpho.sol`` and its libraries, Morpho Blue 1.0.0. Held to its bytecode in
``tests/test_evm_morpho.py``.
Left out: authorisations, callbacks, flash loans (they are free), and the overflow of 128 bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from seawall.errors import Refused
from seawall.venues.lending.fixed import WAD, ceil_div
from seawall.venues.lending.morpho_rates import FixedRate, RateModel
from seawall.venues.lending.morpho_shares import (
    to_assets_down,
    to_assets_up,
    to_shares_down,
    to_shares_up,
)

PRICE_SCALE = 10**36
CURSOR = 3 * 10**17
MAX_INCENTIVE = 115 * 10**16
MAX_FEE = 25 * 10**16
NO_DEBT = 2**256 - 1


@dataclass(frozen=True)
class Totals:
    """What the market as a whole holds and owes, as of ``last_update_s``.

    Attributes:
        supplied, supply_shares: the lenders' assets and shares.
        borrowed, borrow_shares: the borrowers'.
        rate_memory: the rate model's word to its later self.
    """

    last_update_s: int
    supplied: int = 0
    supply_shares: int = 0
    borrowed: int = 0
    borrow_shares: int = 0
    rate_memory: int = 0


@dataclass(frozen=True)
class Position:
    """One user's shares and collateral."""

    supply_shares: int = 0
    borrow_shares: int = 0
    collateral: int = 0


NOBODY = Position()


class Moved(NamedTuple):
    """Loan assets that changed hands, wei, and the shares that were made or unmade for them."""

    assets: int
    shares: int


class LiquidationRequest(NamedTuple):
    """What a liquidator asks for: collateral to seize, or debt shares to repay; the other is 0."""

    seized: int
    repaid_shares: int


class MorphoLiquidation(NamedTuple):
    """What one liquidation moved; wei.

    Attributes:
        repaid, repaid_shares: paid in by the liquidator.
        seized: collateral to the liquidator.
        bad_debt, bad_debt_shares: taken off the lenders' assets.
    """

    repaid: int
    repaid_shares: int
    seized: int
    bad_debt: int
    bad_debt_shares: int


class MorphoAccount(NamedTuple):
    """A user's position in numbers: wei; ``health`` is a WAD, ``NO_DEBT`` without debt."""

    collateral: int
    debt: int
    supplied: int
    max_borrow: int
    health: int


class MorphoMarket:
    """One market: a collateral token, a loan token, an oracle, a rate model and an LLTV.

    Attributes:
        lltv: the debt allowed per unit of collateral value; WAD.
        price: what the oracle says.
        fee: the share of interest that is the fee recipient's; WAD.
        totals, positions: the state.
        cash, collateral_held: tokens that the contract holds for this market.
    """

    def __init__(
        self, *, lltv: int, rate_model: RateModel, price: int, now_s: int, fee: int = 0
    ) -> None:
        if not 0 <= lltv < WAD:
            raise Refused(f"max LLTV exceeded: an LLTV is below 1e18, is {lltv}: lower it")
        if not 0 <= fee <= MAX_FEE:
            raise Refused(f"max fee exceeded: a fee is at most {MAX_FEE}, is {fee}: lower it")
        self.lltv = lltv
        self.fee = fee
        self.fee_recipient = "fee recipient"
        self.price = price
        self.rate_model = rate_model
        first = rate_model.quote(0, 0, 0)
        self.totals = Totals(last_update_s=now_s, rate_memory=first.memory)
        self.positions: dict[str, Position] = {}
        self.cash = 0
        self.collateral_held = 0

    @property
    def incentive(self) -> int:
        """What a liquidator gets per unit repaid: ``min(1.15, 1 / (1 - 0.3 (1 - LLTV)))``; WAD."""
        return compute_incentive(self.lltv)

    def set_price(self, price: int) -> None:
        """Let the oracle say ``price``: loan wei per collateral wei, times 1e36."""
        self.price = price

    def set_rate(self, rate_per_second: int) -> None:
        """Charge a rate given from outside (WAD) from the last update on."""
        self.rate_model = FixedRate(rate_per_second)

    def supply(self, user: str, assets: int, now_s: int, *, shares: int = 0) -> Moved:
        """Lend; either ``assets`` or ``shares`` says how much, the other is 0."""
        _require_one(assets, shares)
        with self._transaction(now_s):
            totals = self.totals
            if assets:
                shares = to_shares_down(assets, totals.supplied, totals.supply_shares)
            else:
                assets = to_assets_up(shares, totals.supplied, totals.supply_shares)
            self._change(user, supply_shares=shares)
            self._change_totals(supplied=assets, supply_shares=shares)
            self.cash += assets
        return Moved(assets, shares)

    def withdraw(self, user: str, assets: int, now_s: int, *, shares: int = 0) -> Moved:
        """Take back what was lent; either ``assets`` or ``shares`` says how much."""
        _require_one(assets, shares)
        with self._transaction(now_s):
            totals = self.totals
            if assets:
                shares = to_shares_up(assets, totals.supplied, totals.supply_shares)
            else:
                assets = to_assets_down(shares, totals.supplied, totals.supply_shares)
            self._change(user, supply_shares=-shares)
            self._change_totals(supplied=-assets, supply_shares=-shares)
            self._require_liquidity()
            self.cash -= assets
        return Moved(assets, shares)

    def borrow(self, user: str, assets: int, now_s: int, *, shares: int = 0) -> Moved:
        """Borrow against the collateral; either ``assets`` or ``shares`` says how much."""
        _require_one(assets, shares)
        with self._transaction(now_s):
            totals = self.totals
            if assets:
                shares = to_shares_up(assets, totals.borrowed, totals.borrow_shares)
            else:
                assets = to_assets_down(shares, totals.borrowed, totals.borrow_shares)
            self._change(user, borrow_shares=shares)
            self._change_totals(borrowed=assets, borrow_shares=shares)
            self._require_health(user)
            self._require_liquidity()
            self.cash -= assets
        return Moved(assets, shares)

    def repay(self, user: str, assets: int, now_s: int, *, shares: int = 0) -> Moved:
        """Pay debt back; by ``shares`` where all of it is to go."""
        _require_one(assets, shares)
        with self._transaction(now_s):
            totals = self.totals
            if assets:
                shares = to_shares_down(assets, totals.borrowed, totals.borrow_shares)
            else:
                assets = to_assets_up(shares, totals.borrowed, totals.borrow_shares)
            self._change(user, borrow_shares=-shares)
            self._change_totals(borrow_shares=-shares)
            self._lower_borrowed(assets)
            self.cash += assets
        return Moved(assets, shares)

    def supply_collateral(self, user: str, assets: int) -> None:
        """Add collateral, wei; no interest accrues on the way."""
        if assets == 0:
            raise Refused("zero assets: collateral to add is > 0, is 0: name an amount")
        self._change(user, collateral=assets)
        self.collateral_held += assets

    def withdraw_collateral(self, user: str, assets: int, now_s: int) -> None:
        """Take collateral out, wei, as far as the position stays healthy."""
        if assets == 0:
            raise Refused("zero assets: collateral to take is > 0, is 0: name an amount")
        with self._transaction(now_s):
            self._change(user, collateral=-assets)
            self._require_health(user)
            self.collateral_held -= assets

    def liquidate(
        self, user: str, now_s: int, *, seized: int = 0, repaid_shares: int = 0
    ) -> MorphoLiquidation:
        """Repay for an unhealthy user and take collateral for it; one of the two says how much."""
        _require_one(seized, repaid_shares)
        with self._transaction(now_s):
            if self._is_healthy(user):
                raise Refused(
                    f"position is healthy: a liquidation needs a health below 1e18, is "
                    f"{self.account(user, now_s).health}: wait"
                )
            if seized:
                repaid_shares = self._price_seizure(seized)
            else:
                seized = self._price_repayment(repaid_shares)
            repaid = self._to_debt_up(repaid_shares)
            self._change(user, borrow_shares=-repaid_shares)
            self._change_totals(borrow_shares=-repaid_shares)
            self._lower_borrowed(repaid)
            self._change(user, collateral=-seized)
            bad_debt = self._socialise_bad_debt(user)
            self.collateral_held -= seized
            self.cash += repaid
        return MorphoLiquidation(repaid, repaid_shares, seized, bad_debt.assets, bad_debt.shares)

    def find_full_liquidation(self, user: str, now_s: int) -> LiquidationRequest:
        """Return the largest liquidation: all the debt, or all the collateral where that is less.

        The position need not be liquidatable; ``(0, 0)`` where there is nothing to take.
        """
        with self._glance(now_s):
            position = self.positions.get(user, NOBODY)
            seized = self._price_repayment(position.borrow_shares)
        if seized <= position.collateral:
            return LiquidationRequest(0, position.borrow_shares)
        return LiquidationRequest(position.collateral, 0)

    def account(self, user: str, now_s: int) -> MorphoAccount:
        """Return what the user has, owes and may owe, interest up to ``now_s`` included."""
        with self._glance(now_s):
            position = self.positions.get(user, NOBODY)
            supplied = to_assets_down(
                position.supply_shares, self.totals.supplied, self.totals.supply_shares
            )
            debt = self._to_debt_up(position.borrow_shares)
            limit = self._find_max_borrow(position)
        health = limit * WAD // debt if debt else NO_DEBT
        return MorphoAccount(position.collateral, debt, supplied, limit, health)

    def collateral(self, user: str) -> int:
        """Return the user's collateral, wei; it earns nothing."""
        return self.positions.get(user, NOBODY).collateral

    def debt(self, user: str, now_s: int) -> int:
        """Return what the user owes at ``now_s``, wei, rounded up."""
        return self.account(user, now_s).debt

    def accrue(self, now_s: int) -> None:
        """Add the interest since the last update to both sides, and the fee to its recipient."""
        totals = self.totals
        elapsed_s = now_s - totals.last_update_s
        if elapsed_s == 0:
            return
        utilization = totals.borrowed * WAD // totals.supplied if totals.supplied else 0
        quote = self.rate_model.quote(totals.rate_memory, utilization, elapsed_s)
        interest = totals.borrowed * compound(quote.average, elapsed_s) // WAD
        self.totals = replace(totals, last_update_s=now_s, rate_memory=quote.memory)
        self._change_totals(borrowed=interest, supplied=interest)
        if self.fee:
            fee = interest * self.fee // WAD
            shares = to_shares_down(fee, self.totals.supplied - fee, self.totals.supply_shares)
            self._change(self.fee_recipient, supply_shares=shares)
            self._change_totals(supply_shares=shares)

    @contextmanager
    def _transaction(self, now_s: int) -> Iterator[None]:
        """Accrue, then let the block change the state: all of it, or nothing if it is refused."""
        before = self._remember()
        try:
            self.accrue(now_s)
            yield
        except Refused:
            self._restore(before)
            raise

    @contextmanager
    def _glance(self, now_s: int) -> Iterator[None]:
        """Look at the market as it will be at ``now_s``, and leave it as it was."""
        before = self._remember()
        try:
            self.accrue(now_s)
            yield
        finally:
            self._restore(before)

    def _remember(self) -> tuple[Totals, dict[str, Position], int, int]:
        return self.totals, dict(self.positions), self.cash, self.collateral_held

    def _restore(self, before: tuple[Totals, dict[str, Position], int, int]) -> None:
        self.totals, self.positions, self.cash, self.collateral_held = before

    def _change(
        self, user: str, *, supply_shares: int = 0, borrow_shares: int = 0, collateral: int = 0
    ) -> None:
        """Add to a position; nothing in it may fall below zero."""
        old = self.positions.get(user, NOBODY)
        new = Position(
            old.supply_shares + supply_shares,
            old.borrow_shares + borrow_shares,
            old.collateral + collateral,
        )
        if min(new.supply_shares, new.borrow_shares, new.collateral) < 0:
            raise Refused(
                f"Panic(0x11): no more can be taken than there is, {old} would become "
                f"{new}: ask for less"
            )
        self.positions[user] = new

    def _change_totals(
        self,
        *,
        supplied: int = 0,
        supply_shares: int = 0,
        borrowed: int = 0,
        borrow_shares: int = 0,
    ) -> None:
        """Add to the market's totals; none may fall below zero."""
        old = self.totals
        new = replace(
            old,
            supplied=old.supplied + supplied,
            supply_shares=old.supply_shares + supply_shares,
            borrowed=old.borrowed + borrowed,
            borrow_shares=old.borrow_shares + borrow_shares,
        )
        if min(new.supplied, new.supply_shares, new.borrowed, new.borrow_shares) < 0:
            raise Refused(
                f"Panic(0x11): no more can be taken than there is, {old} would become "
                f"{new}: ask for less"
            )
        self.totals = new

    def _lower_borrowed(self, assets: int) -> None:
        """Take what was repaid off the total; rounding may have repaid one wei more than it."""
        self.totals = replace(self.totals, borrowed=max(0, self.totals.borrowed - assets))

    def _socialise_bad_debt(self, user: str) -> Moved:
        """Where no collateral is left, take the debt that is off the books of both sides."""
        position = self.positions[user]
        if position.collateral:
            return Moved(0, 0)
        shares = position.borrow_shares
        assets = min(self.totals.borrowed, self._to_debt_up(shares))
        self._change(user, borrow_shares=-shares)
        self._change_totals(borrowed=-assets, supplied=-assets, borrow_shares=-shares)
        return Moved(assets, shares)

    def _price_seizure(self, seized: int) -> int:
        """Return the debt shares that buy ``seized`` collateral."""
        value = ceil_div(seized * self.price, PRICE_SCALE)
        due = ceil_div(value * WAD, self.incentive)
        return to_shares_up(due, self.totals.borrowed, self.totals.borrow_shares)

    def _price_repayment(self, repaid_shares: int) -> int:
        """Return the collateral that ``repaid_shares`` of debt buy."""
        if self.price == 0:
            raise Refused("Panic(0x12): collateral is priced > 0, is 0: name what to seize")
        due = to_assets_down(repaid_shares, self.totals.borrowed, self.totals.borrow_shares)
        return (due * self.incentive // WAD) * PRICE_SCALE // self.price

    def _to_debt_up(self, shares: int) -> int:
        return to_assets_up(shares, self.totals.borrowed, self.totals.borrow_shares)

    def _find_max_borrow(self, position: Position) -> int:
        return (position.collateral * self.price // PRICE_SCALE) * self.lltv // WAD

    def _is_healthy(self, user: str) -> bool:
        position = self.positions.get(user, NOBODY)
        if position.borrow_shares == 0:
            return True
        return self._find_max_borrow(position) >= self._to_debt_up(position.borrow_shares)

    def _require_health(self, user: str) -> None:
        if not self._is_healthy(user):
            position = self.positions[user]
            raise Refused(
                f"insufficient collateral: debt may reach {self._find_max_borrow(position)}, would "
                f"be {self._to_debt_up(position.borrow_shares)}: borrow less or add collateral"
            )

    def _require_liquidity(self) -> None:
        totals = self.totals
        if totals.borrowed > totals.supplied:
            raise Refused(
                f"insufficient liquidity: lent are {totals.supplied}, borrowed would be "
                f"{totals.borrowed}: ask for less"
            )


def compute_incentive(lltv: int) -> int:
    """Return the liquidation incentive factor of a market; WAD."""
    discount = CURSOR * (WAD - lltv) // WAD
    return min(MAX_INCENTIVE, WAD * WAD // (WAD - discount))


def compound(rate_per_second: int, elapsed_s: int) -> int:
    """Return e^(rate * time) - 1 by its first three terms, x + x²/2 + x³/6; WAD."""
    first = rate_per_second * elapsed_s
    second = first * first // (2 * WAD)
    third = second * first // (3 * WAD)
    return first + second + third


def _require_one(first: int, second: int) -> None:
    """Refuse two amounts, or none."""
    if (first == 0) == (second == 0):
        raise Refused(
            f"inconsistent input: exactly one of two amounts is 0, they are {first} and {second}: "
            "name one"
        )
