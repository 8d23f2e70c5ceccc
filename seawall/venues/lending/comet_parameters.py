"""What one deployment of Compound v3 is made of: its curves, its collaterals, its limits.

Factors and utilisation are WAD (1e18), rates a fraction per year or WAD per second as the name
says.

Source: constructor and rate functions of ``Comet.sol``; the launch configuration of cUSDCv3,
2022-08-26.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from seawall.venues.lending.fixed import WAD, YEAR_S


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A rate over utilisation with a kink; WAD, the base and the slopes per year.

    The contract cuts the yearly numbers to whole WAD per second when it is deployed.
    """

    kink: int
    base: int
    slope_low: int
    slope_high: int

    def rate(self, utilization: int) -> int:
        """Return the rate per second at a utilisation; WAD."""
        low = min(utilization, self.kink)
        high = max(utilization - self.kink, 0)
        slope_low, slope_high = self.slope_low // YEAR_S, self.slope_high // YEAR_S
        return self.base // YEAR_S + slope_low * low // WAD + slope_high * high // WAD


@dataclass(frozen=True, kw_only=True)
class Collateral:
    """What one asset counts for: factors as WAD, ``supply_cap`` in wei or none."""

    decimals: int
    borrow_factor: int
    liquidate_factor: int
    liquidation_factor: int
    supply_cap: int | None = None

    @property
    def scale(self) -> int:
        """Wei per token."""
        return int(10**self.decimals)


@dataclass(frozen=True, kw_only=True)
class CometParameters:
    """One deployment of Comet.

    Attributes:
        base: the token lent; ``base_decimals``: its decimals.
        collaterals: by asset, in the contract's order.
        supply_curve, borrow_curve: rates over utilisation.
        storefront_factor: the part of the liquidation penalty that buyers get; WAD.
        borrow_min: the smallest debt that may be left after borrowing, wei.
        target_reserves: collateral is for sale below it, wei.
    """

    base: str
    base_decimals: int
    collaterals: Mapping[str, Collateral]
    supply_curve: Curve
    borrow_curve: Curve
    storefront_factor: int
    borrow_min: int
    target_reserves: int

    @property
    def base_scale(self) -> int:
        """Wei per base token."""
        return int(10**self.base_decimals)


def _listed(decimals: int, borrow: int, liquidate: int, liquidation: int) -> Collateral:
    """Return a collateral by its factors in thousandths, without a cap."""
    return Collateral(
        decimals=decimals,
        borrow_factor=borrow * WAD // 1000,
        liquidate_factor=liquidate * WAD // 1000,
        liquidation_factor=liquidation * WAD // 1000,
    )


CUSDC_V3 = CometParameters(
    base="USDC",
    base_decimals=6,
    collaterals={
        "COMP": _listed(18, 650, 700, 930),
        "WBTC": _listed(8, 700, 770, 950),
        "WETH": _listed(18, 825, 895, 950),
        "UNI": _listed(18, 750, 810, 930),
        "LINK": _listed(18, 790, 850, 930),
    },
    supply_curve=Curve(
        kink=8 * WAD // 10, base=0, slope_low=325 * WAD // 10_000, slope_high=4 * WAD // 10
    ),
    borrow_curve=Curve(
        kink=8 * WAD // 10,
        base=15 * WAD // 1000,
        slope_low=35 * WAD // 1000,
        slope_high=25 * WAD // 100,
    ),
    storefront_factor=WAD // 2,
    borrow_min=100 * 10**6,
    target_reserves=5_000_000 * 10**6,
)
"""Compound's USDC market as it was launched, 2022-08-26; supply caps left out."""
