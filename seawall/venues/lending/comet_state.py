"""What Compound v3 keeps, and what it answers: totals, accounts, absorptions; all immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

INDEX_SCALE = 10**15


@dataclass(frozen=True)
class CometTotals:
    """What the deployment holds, as of ``last_accrual_s``.

    Attributes:
        supply_index, borrow_index: present value per principal, times 1e15.
        supply_principal, borrow_principal: of all accounts together.
        cash: base tokens held; ``held``: collateral tokens held, by asset.
        collateral: what of them is the accounts'; the rest is the protocol's, for sale.
    """

    last_accrual_s: int
    supply_index: int = INDEX_SCALE
    borrow_index: int = INDEX_SCALE
    supply_principal: int = 0
    borrow_principal: int = 0
    cash: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    collateral: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CometPosition:
    """One account: the base principal, negative where it is owed, and collateral by asset."""

    principal: int = 0
    collateral: Mapping[str, int] = field(default_factory=dict)


NOBODY = CometPosition()


class Absorption(NamedTuple):
    """What one absorption moved; wei.

    Attributes:
        seized: collateral by asset, now the protocol's.
        repaid: debt that was cancelled, or base that was credited beyond it.
        surplus: what of it stays the user's as base lent.
        bad_debt: what of it no collateral covered.
    """

    seized: Mapping[str, int]
    repaid: int
    surplus: int
    bad_debt: int


class CometLiquidation(NamedTuple):
    """An absorption, and what the liquidator then bought (by asset) and paid (base); wei."""

    absorption: Absorption
    bought: Mapping[str, int]
    paid: int


class CometAccount(NamedTuple):
    """An account in numbers: wei, USD with 8 decimals; ``health`` is a WAD.

    ``liquidation_usd`` over ``debt_usd`` is the health, below one exactly where the account may be
    absorbed; ``NO_DEBT`` without debt.
    """

    supplied: int
    debt: int
    debt_usd: int
    collateral_usd: int
    borrow_limit_usd: int
    liquidation_usd: int
    health: int
