"""An agent's transactions: carried out whole or not at all, and paid for either way.

A transaction pays gas in ETH of the wallet. Inside it, steps move tokens between wallet and pool; a
swap pays the pool's fee and the price impact of a constant-product pool; a flash loan is there from
the first step on and taken back with its premium after the last. A step that the protocol forbids
undoes all of them; the gas is spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from seawall.errors import Refused
from seawall.market.series import FloatArray
from seawall.venues import swap
from seawall.venues.ledger import EntryKind
from seawall.venues.lending import layout, race
from seawall.venues.lending.venue import NATIVE, LendingVenue

_WRAPPED = ("ETH", "WETH")  # one for one, free but for gas
LARGEST_FLASH_USD = 1e9  # about what the largest pools ever held
_DUST = 1e-9  # of an amount: what float64 may be short of
_ROUNDING = 1e-13  # of a flash loan: less than gas, however large it is
_GWEI = 1e-9


class Step(Protocol):
    """One step, as ``seawall.loan_action`` has it."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one transaction cost, USD."""

    gas_units: float = 0.0
    gas: float = 0.0
    swap_fee: float = 0.0
    impact: float = 0.0
    service_fee: float = 0.0
    premium: float = 0.0
    swapped: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Moved:
    """One movement of tokens: ``amount`` of ``asset`` into ``account`` (< 0: out of it)."""

    kind: EntryKind
    account: str
    asset: str
    amount: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditions:
    """What a transaction meets when it is carried out.

    Attributes:
        prices: market, USD per token, shape (n_assets,).
        oracle: what the protocol checks with, likewise.
        seen: market prices when it was sent, likewise.
        gas_gwei, native_usd: what a unit of gas costs.
        is_down: the oracle cannot be read: what needs a price is refused.
    """

    prices: FloatArray
    oracle: FloatArray
    seen: FloatArray
    gas_gwei: float
    native_usd: float
    is_down: bool = False


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the chain and the pools charge.

    Attributes:
        names: assets, in order.
        gas_units: by kind of step, and ``transaction``, ``bundle`` and ``flash_loan``.
        swap_fee: of value; ``depth_usd``: one side of the pool.
        flash_premium: of a flash loan.
        has_flash_loans: whether the protocol lends so.
    """

    names: tuple[str, ...]
    gas_units: dict[str, float]
    swap_fee: float
    depth_usd: float
    flash_premium: float
    has_flash_loans: bool = True


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a transaction; ``error`` is empty where it was carried out."""

    costs: Costs
    moved: tuple[Moved, ...]
    error: str = ""


class Execution:
    """One transaction while it is carried out on a state and its venue."""

    def __init__(
        self, state: FloatArray, venue: LendingVenue, terms: Terms, conditions: Conditions
    ) -> None:
        self._n = len(terms.names)
        self._state, self._venue, self._terms, self._at = state, venue, terms, conditions
        self._wallet = race.block(state, layout.WALLET, self._n)
        self._parts = race.parts_of(state, self._n)
        self._moved: list[Moved] = []
        self._swap_fee = self._impact = self._service = self._premium = self._swapped = 0.0
        self._max_slippage = inf
        self._pushed: dict[tuple[int, int], float] = {}  # USD sold so far, by pair

    def run(
        self,
        steps: Sequence[object],
        *,
        flash: tuple[str, float] | None = None,
        max_gas_usd: float = inf,
        max_slippage: float = inf,
    ) -> Receipt:
        """Carry out the steps; the state is changed, by the gas alone where they fail."""
        self._max_slippage = max_slippage
        units = self._count_gas(steps, has_flash=flash is not None)
        native = units * self._at.gas_gwei * _GWEI
        cost = native * self._at.native_usd
        if cost > max_gas_usd:
            allowed = max_gas_usd / self._at.native_usd
            why = (
                f"gas must cost at most {max_gas_usd:.2f} USD, costs {cost:.2f}: raise max_gas_usd"
            )
            return self._run_out(units, allowed, why)
        if native > self._wallet[self._terms.names.index(NATIVE)]:
            why = f"gas needs {native:.6g} ETH, the wallet has too little: keep more ETH in it"
            return Receipt(costs=Costs(), moved=(), error=why)
        self._pay_gas(native)
        paid, saved, wallet = list(self._moved), self._venue.save(), self._wallet.copy()
        try:
            self._take(flash)
            for step in steps:
                self._do(step)
            self._give_back(flash)
        except Refused as error:
            self._venue.restore(saved)
            self._wallet[:] = wallet
            costs = Costs(gas_units=units, gas=cost)
            return Receipt(costs=costs, moved=tuple(paid), error=str(error))
        self._book_costs()
        return Receipt(costs=self._costs(units, cost), moved=tuple(self._moved))

    # Steps ----------------------------------------------------------------------------------------

    def _do(self, step: object) -> None:
        kind = getattr(step, "kind", "")
        if kind == "swap":
            self._swap(step.sell, step.buy, step.amount, step.service_fee)  # type: ignore[attr-defined]
            return
        asset: str = step.asset  # type: ignore[attr-defined]  # the other four have one
        amount: float = step.amount  # type: ignore[attr-defined]
        k = self._find(asset)
        if kind in ("withdraw", "borrow") and self._at.is_down:
            raise Refused(f"the oracle must be readable to {kind} {asset}, is down: wait")
        if kind == "supply":
            moved = self._venue.supply(k, self._from_wallet(k, amount))
            self._move("supply", k, wallet=-moved, collateral=moved)
        elif kind == "withdraw":
            moved = self._venue.withdraw(k, amount, self._at.oracle)
            self._move("withdraw", k, wallet=moved, collateral=-moved)
        elif kind == "borrow":
            moved = self._venue.borrow(k, amount, self._at.oracle)
            self._move("borrow", k, wallet=moved, debt=-moved)
        elif kind == "repay":
            moved = self._repay(k, amount)
            self._move("repay", k, wallet=-moved, debt=moved)
        else:
            raise Refused(f"a step is supply, withdraw, borrow, repay or swap, is {kind!r}")

    def _repay(self, k: int, amount: float) -> float:
        held = float(self._wallet[k])
        if amount != inf:
            amount = self._from_wallet(k, amount)
        return self._venue.repay(k, min(amount, held))

    def _swap(self, sell: str, buy: str, amount: float, service_fee: float) -> None:
        i, j = self._find(sell), self._find(buy)
        sold = self._from_wallet(i, amount)
        prices = self._at.prices
        if sell in _WRAPPED and buy in _WRAPPED:
            self._move("wrap", i, wallet=-sold)
            self._move("wrap", j, wallet=sold)
            return
        worth = sold * prices[i]
        service = worth * service_fee
        out, fee, impact = self._sell(i, j, worth - service)
        self._check_slippage(i, j, (fee + impact) / worth if worth else 0.0)
        self._service += service
        self._swap_fee += fee
        self._impact += impact
        self._swapped += worth
        self._move("swap", i, wallet=-sold)
        self._move("swap", j, wallet=out / prices[j])

    def _sell(self, i: int, j: int, worth: float) -> swap.Swap:
        """Sell into the pool as this transaction has left it: halves cost what the whole does."""
        depth, fee = self._terms.depth_usd, self._terms.swap_fee
        before = self._pushed.get((i, j), 0.0)
        first, both = swap.sell_for(before, depth, fee), swap.sell_for(before + worth, depth, fee)
        self._pushed[i, j] = before + worth
        return swap.Swap(*(after - before for after, before in zip(both, first, strict=True)))

    def _check_slippage(self, i: int, j: int, lost: float) -> None:
        prices, seen = self._at.prices, self._at.seen
        worse = 1.0 - (prices[i] / prices[j]) / (seen[i] / seen[j])
        found = max(lost, lost + worse)
        if found > self._max_slippage:
            raise Refused(
                f"slippage must be at most {self._max_slippage:.4%}, is {found:.4%}: swap less at "
                "once, or raise max_slippage"
            )

    def _take(self, flash: tuple[str, float] | None) -> None:
        if flash is None:
            return
        if not self._terms.has_flash_loans:
            raise Refused("this protocol has no flash loans: bundle smaller steps")
        asset, amount = flash
        if not amount < inf:
            raise Refused("a flash loan must be finite, is all: name the amount")
        k = self._find(asset)
        if amount * self._at.prices[k] > LARGEST_FLASH_USD:
            raise Refused(
                f"a flash loan must be worth at most {LARGEST_FLASH_USD:,.0f} USD, is "
                f"{amount * self._at.prices[k]:,.0f}: no pool lends more"
            )
        self._move("flash_loan", k, wallet=amount)

    def _give_back(self, flash: tuple[str, float] | None) -> None:
        if flash is None:
            return
        asset, amount = flash
        k = self._find(asset)
        held, premium = float(self._wallet[k]), amount * self._terms.flash_premium
        if held < (amount + premium) * (1 - _ROUNDING):
            raise Refused(
                f"a flash loan must be paid back with its premium, {amount + premium:,.6g} "
                f"{asset}, the wallet has {held:,.6g}: swap more, or lend less"
            )
        lent = min(amount, held)
        paid = min(premium, held - lent)
        self._move("flash_loan", k, wallet=-lent)
        self._move("flash_premium", k, wallet=-paid)
        self._premium += (paid - (amount - lent)) * self._at.prices[k]

    def _from_wallet(self, k: int, amount: float) -> float:
        held = float(self._wallet[k])
        if amount == inf:
            return held
        if amount > held * (1 + _DUST):
            name = self._terms.names[k]
            raise Refused(
                f"the wallet must hold {amount:,.6g} {name}, holds {held:,.6g}: take less"
            )
        return min(amount, held)

    def _find(self, asset: str) -> int:
        if asset not in self._terms.names:
            known = ", ".join(self._terms.names)
            raise Refused(f"there is no {asset!r} in this loan: it has {known}")
        return self._terms.names.index(asset)

    def _move(
        self, kind: EntryKind, k: int, *, wallet: float, collateral: float = 0.0, debt: float = 0.0
    ) -> None:
        self._wallet[k] += wallet
        name = self._terms.names[k]
        for account, amount in (("wallet", wallet), ("collateral", collateral), ("debt", debt)):
            if amount:
                self._moved.append(
                    Moved(kind=kind, account=account, asset=name, amount=float(amount))
                )

    # Costs ----------------------------------------------------------------------------------------

    def _count_gas(self, steps: Sequence[object], *, has_flash: bool) -> float:
        units = self._terms.gas_units
        total = units["transaction"] + (units["flash_loan"] if has_flash else 0.0)
        if len(steps) > 1 or has_flash:
            total += units["bundle"]
        return total + sum(units[getattr(step, "kind", "")] for step in steps)

    def _pay_gas(self, native: float) -> None:
        k = self._terms.names.index(NATIVE)
        self._move("gas", k, wallet=-native)
        cost = native * self._at.prices[k]
        self._parts[layout.GAS] -= cost
        self._state[layout.SPENT] += cost

    def _run_out(self, units: float, native: float, why: str) -> Receipt:
        """Burn the gas that was allowed, as far as there is any, and do nothing else."""
        there = max(float(self._wallet[self._terms.names.index(NATIVE)]), 0.0)
        self._pay_gas(min(native, there))
        paid = -self._moved[0].amount if self._moved else 0.0
        costs = Costs(gas_units=units, gas=paid * self._at.native_usd)
        return Receipt(costs=costs, moved=tuple(self._moved), error=why)

    def _book_costs(self) -> None:
        for part, cost in (
            (layout.SWAP_FEES, self._swap_fee),
            (layout.IMPACT, self._impact),
            (layout.SERVICE_FEES, self._service),
            (layout.FLASH_PREMIUMS, self._premium),
        ):
            self._parts[part] -= cost
            self._state[layout.SPENT] += cost

    def _costs(self, units: float, gas: float) -> Costs:
        return Costs(
            gas_units=units,
            gas=gas,
            swap_fee=self._swap_fee,
            impact=self._impact,
            service_fee=self._service,
            premium=self._premium,
            swapped=self._swapped,
        )
