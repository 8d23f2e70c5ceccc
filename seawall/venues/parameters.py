"""What one symbol costs to trade and how its orders are rounded, with defaults for a few."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite
from typing import Literal, Protocol, Self

from seawall.errors import RecipeError
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import SIMULATED, InstrumentSection, Recipe
from seawall.units import BPS, is_perpetual
from seawall.venues.spot import Rules

Ambiguity = Literal["worst", "best"]


class OrderGrid(Protocol):
    """A symbol's rounding rules as a catalog or recipe knows them; ``None`` is not known."""

    @property
    def tick_size(self) -> float | None:
        """Price step, quote units."""

    @property
    def lot_size(self) -> float | None:
        """Amount step, base units."""

    @property
    def min_notional(self) -> float | None:
        """Smallest order, quote units."""


# Tick, lot and minimum notional of Binance spot: values used by default where neither recipe nor
# catalog knows better; check against the exchange. A recipe's [instruments] wins, then what the
# catalog fetched, then this table.
_BINANCE_GRIDS = {
    "BTC/USDT": (0.01, 0.00001, 5.0),
    "ETH/USDT": (0.01, 0.0001, 5.0),
    "SOL/USDT": (0.01, 0.001, 5.0),
    "BNB/USDT": (0.01, 0.001, 5.0),
    "XRP/USDT": (0.0001, 0.1, 5.0),
    "LINK/USDT": (0.01, 0.01, 5.0),
    "AAVE/USDT": (0.01, 0.001, 5.0),
    "FET/USDT": (0.001, 0.1, 5.0),
}
# Of USD-M futures, likewise; only what is stable and well known.
_PERPETUAL_GRIDS = {
    "BTC/USDT:USDT": (0.1, 0.001, 100.0),
    "ETH/USDT:USDT": (0.01, 0.001, 20.0),
}
_KNOWN_VENUES = ("binance", SIMULATED)


@dataclass(frozen=True, kw_only=True)
class SpotParameters:
    """One symbol on one exchange. The defaults are a frictionless venue.

    Attributes:
        maker_fee_bps, taker_fee_bps, half_spread_bps: of notional.
        impact_bps: slippage of an order as large as the bar's volume; grows with the square root.
        fixed_fee_base: base units per fill, charged in quote at the fill price.
        allows_fee_debt: fees may take the cash below zero.
        participation_cap: largest share of a bar's volume that fills; inf: no cap.
        tick_size, lot_size, min_notional: 0.0 is none.
        is_touch: a limit fills where the bar reaches it; else the bar must trade beyond it.
        fills_at_close: market orders fill at the close just seen (optimistic).
        ambiguity: how what a bar does not tell is resolved.
        latency_ms: from the decision to the order's arrival.

    Raises:
        RecipeError: a value that no venue could have.
    """

    maker_fee_bps: float = 0.0
    taker_fee_bps: float = 0.0
    half_spread_bps: float = 0.0
    impact_bps: float = 0.0
    fixed_fee_base: float = 0.0
    allows_fee_debt: bool = False
    participation_cap: float = inf
    tick_size: float = 0.0
    lot_size: float = 0.0
    min_notional: float = 0.0
    is_touch: bool = False
    fills_at_close: bool = False
    ambiguity: Ambiguity = "worst"
    latency_ms: int = 0

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise RecipeError(f"{name} must be a finite number >= 0, is {value}: 0 is none")
        if not self.participation_cap > 0:
            raise RecipeError(
                f"participation_cap must be > 0, is {self.participation_cap}: inf is no cap"
            )

    @cached_property
    def rules(self) -> Rules:
        """What the kernels take, as fractions."""
        return Rules(
            maker_fee=self.maker_fee_bps * BPS,
            taker_fee=self.taker_fee_bps * BPS,
            half_spread=self.half_spread_bps * BPS,
            impact=self.impact_bps * BPS,
            fixed_fee_base=float(self.fixed_fee_base),
            lot_size=float(self.lot_size),
            min_notional=float(self.min_notional),
            allows_fee_debt=self.allows_fee_debt,
        )

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        symbol: str,
        filters: OrderGrid | None = None,
        *,
        ambiguity: Ambiguity = "worst",
    ) -> Self:
        """Return the venue of one symbol.

        Rounding rules come from the recipe's ``[instruments]``, else from ``filters`` (what the
        catalog fetched), else from the table of this module, else there are none.
        """
        costs, execution = recipe.costs, recipe.execution
        own = recipe.instruments.get(symbol, InstrumentSection())
        is_known = recipe.market.venue in _KNOWN_VENUES
        table = {**_BINANCE_GRIDS, **_PERPETUAL_GRIDS}.get(symbol, _NO_GRID)
        table = table if is_known else _NO_GRID
        tick, lot, minimum = (
            _first(getattr(own, name), getattr(filters, name, None), default)
            for name, default in zip(_GRID_FIELDS, table, strict=True)
        )
        return cls(
            maker_fee_bps=costs.maker_fee_bps,
            taker_fee_bps=costs.taker_fee_bps,
            half_spread_bps=costs.half_spread_bps,
            impact_bps=costs.impact_bps,
            fixed_fee_base=costs.fixed_fee_base,
            allows_fee_debt=costs.allow_fee_debt,
            participation_cap=execution.participation_cap,
            tick_size=tick,
            lot_size=lot,
            min_notional=minimum,
            is_touch=execution.limit_fill == "touch",
            fills_at_close=execution.fill == "close",
            ambiguity=ambiguity,
            latency_ms=execution.latency_ms,
        )


def find_parameters(
    recipe: Recipe,
    filters: Mapping[str, OrderGrid],
    *,
    ambiguity: Ambiguity = "worst",
    contracts: PerpetualSection | None = None,
) -> dict[str, SpotParameters]:
    """Return the venue of every symbol of a recipe.

    ``contracts``: of a market with perpetuals, their fees. Spread and impact are those of
    ``[costs]``; the fixed fee and the debt for fees are of spot alone.
    """
    found = {}
    for symbol in recipe.market.symbols:
        own = SpotParameters.from_recipe(recipe, symbol, filters.get(symbol), ambiguity=ambiguity)
        if contracts is not None and is_perpetual(symbol):
            own = _with_fees(own, contracts, symbol)
        found[symbol] = own
    return found


def _with_fees(own: SpotParameters, contracts: PerpetualSection, symbol: str) -> SpotParameters:
    maker, taker, _ = contracts.fees_of(symbol)
    return replace(
        own,
        maker_fee_bps=maker,
        taker_fee_bps=taker,
        fixed_fee_base=0.0,
        allows_fee_debt=False,
    )


_NO_GRID = (0.0, 0.0, 0.0)
_GRID_FIELDS = ("tick_size", "lot_size", "min_notional")
_NOT_NEGATIVE = (
    "maker_fee_bps", "taker_fee_bps", "half_spread_bps", "impact_bps", "fixed_fee_base",
    *_GRID_FIELDS, "latency_ms",
)  # fmt: skip


def _first(own: float | None, fetched: float | None, default: float) -> float:
    """Return the first that is known."""
    if own is not None:
        return own
    return default if fetched is None else fetched
