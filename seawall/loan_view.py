"""What an agent sees of a loan: frozen, true for the bar at which it was cut.

Everything is read from one row of the run's trace, which is written once and never again. Amounts
are tokens, prices USD per token, rates fractions per year.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

from seawall.errors import AgentError
from seawall.market.series import FloatArray
from seawall.venues.lending import layout


@dataclass(frozen=True, kw_only=True)
class LoanTerms:
    """What does not change from bar to bar, unless the protocol's governance changes it.

    Attributes:
        protocol: such as ``"aave v3.0"``.
        assets: every asset, in the order of the trace; ``"ETH"`` is the coin that pays gas.
        collateral, debt: what the loan is made of.
        threshold: liquidation threshold, as a fraction of value, by asset; ``max_ltv`` likewise:
            what may be borrowed against it; ``bonus``: 0.05 where a liquidator gets 5 % more.
        swap_fee: of a swap's value; ``depth_usd``: one side of the pool it goes through.
        flash_premium: of a flash loan; ``has_flash_loans``: whether there are any.
        gas_units: by kind of step.
        delay_ms: from a decision until its transaction can be in a block.
        min_reserve_usd: what the job wants left in the wallet, without the coin for gas.
    """

    protocol: str
    assets: tuple[str, ...]
    collateral: str
    debt: str
    threshold: Mapping[str, float]
    max_ltv: Mapping[str, float]
    bonus: Mapping[str, float]
    swap_fee: float
    depth_usd: float
    flash_premium: float
    has_flash_loans: bool
    gas_units: Mapping[str, float]
    delay_ms: int = 0
    min_reserve_usd: float = 0.0

    def __post_init__(self) -> None:
        """Let nobody write to what is shown: the engine's own tables are others."""
        for name in ("threshold", "max_ltv", "bonus", "gas_units"):
            _put(self, name, MappingProxyType(dict(getattr(self, name))))


class LoanView:
    """A loan at one moment."""

    __slots__ = ("_pending", "_row", "terms")

    _pending: int
    _row: FloatArray
    terms: LoanTerms

    def __init__(self, row: FloatArray, terms: LoanTerms, pending: int = 0) -> None:
        _put(self, "_row", row)
        _put(self, "terms", terms)
        _put(self, "_pending", pending)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AgentError(f"what is seen of a loan is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AgentError(f"what is seen of a loan is frozen: {name} cannot be deleted")

    @property
    def row(self) -> FloatArray:
        """The row of the trace that all of it is read from, see ``venues.lending.layout``."""
        return self._row

    @property
    def health(self) -> float:
        """Health factor at the oracle's price; inf without debt; below 1 it can be liquidated."""
        return float(self._row[layout.SHOWN_HEALTH])

    @property
    def ltv(self) -> float:
        """Debt over collateral at the oracle's prices; 0.0 without debt."""
        debt = self.debt_usd
        return debt / self.collateral_usd if debt and self.collateral_usd else 0.0

    @property
    def collateral_usd(self) -> float:
        """Collateral at the oracle's prices, USD."""
        return float(self._row[layout.SHOWN_COLLATERAL_USD])

    @property
    def debt_usd(self) -> float:
        """Debt at the oracle's prices, USD."""
        return float(self._row[layout.SHOWN_DEBT_USD])

    @property
    def wallet_usd(self) -> float:
        """What lies in the wallet at market prices, USD, the coin for gas included."""
        return float(self._row[layout.SHOWN_WALLET_USD])

    @property
    def equity_usd(self) -> float:
        """Collateral and wallet less debt at market prices, USD."""
        return float(self._row[layout.SHOWN_EQUITY])

    @property
    def liquidation_threshold(self) -> float:
        """Threshold of the whole position, weighted by value; 0.0 without collateral."""
        worth = self.collateral_usd
        return float(self._row[layout.SHOWN_LIMIT_USD]) / worth if worth else 0.0

    @property
    def borrowable_usd(self) -> float:
        """What may still be borrowed at the oracle's prices, USD; < 0 where it is too much now."""
        return float(self._row[layout.SHOWN_BORROWABLE_USD]) - self.debt_usd

    @property
    def collateral(self) -> Mapping[str, float]:
        """Collateral in tokens, by asset."""
        return self._block(layout.T_COLLATERAL)

    @property
    def debt(self) -> Mapping[str, float]:
        """Debt in tokens, by asset, interest included."""
        return self._block(layout.T_DEBT)

    @property
    def wallet(self) -> Mapping[str, float]:
        """Tokens in the wallet, by asset."""
        return self._block(layout.T_WALLET)

    @property
    def prices(self) -> Mapping[str, float]:
        """What the protocol's oracle says, USD."""
        return self._block(layout.T_ORACLE)

    @property
    def market_prices(self) -> Mapping[str, float]:
        """What the market paid at the close, USD."""
        return self._block(layout.T_PRICE)

    @property
    def supply_rate(self) -> Mapping[str, float]:
        """Interest on collateral, per year."""
        return self._block(layout.T_SUPPLY_RATE)

    @property
    def borrow_rate(self) -> Mapping[str, float]:
        """Interest on debt, per year."""
        return self._block(layout.T_BORROW_RATE)

    @property
    def gas_price_gwei(self) -> float:
        """The gas price as it is known now."""
        return float(self._row[layout.SHOWN_GAS])

    def gas_cost_usd(self, units: float) -> float:
        """Return what so many units of gas would cost now, USD."""
        return units * self.gas_price_gwei * _GWEI * self.market_prices["ETH"]

    @property
    def n_liquidations(self) -> int:
        """How often it has been liquidated so far."""
        return int(self._row[layout.SHOWN_LIQUIDATIONS])

    @property
    def spent_usd(self) -> float:
        """Gas, swaps, premiums and services so far, USD."""
        return float(self._row[layout.SHOWN_SPENT])

    @property
    def pending(self) -> int:
        """Transactions that were sent and have not landed."""
        return self._pending

    def liquidation_price(self, asset: str | None = None) -> float:
        """Return the price of ``asset`` (default: the collateral) at which health is 1, USD.

        All else equal; nan where no price of it would do.
        """
        name = asset or self.terms.collateral
        held, owed = self.collateral[name], self.debt[name]
        slope = held * self.terms.threshold[name] - owed
        price = self.prices[name]
        rest = float(self._row[layout.SHOWN_LIMIT_USD]) - self.debt_usd - slope * price
        found = -rest / slope if slope else -1.0
        return found if found > 0 else float("nan")

    def _block(self, place: int) -> Mapping[str, float]:
        assets = self.terms.assets
        n = len(assets)
        start = layout.N_TRACE + place * n
        values = self._row[start : start + n].tolist()
        return MappingProxyType(dict(zip(assets, values, strict=True)))


_GWEI = 1e-9
_put = object.__setattr__  # what is frozen is still being made
