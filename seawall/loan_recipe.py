"""The recipe's ``[loan]``: what is borrowed against what, where, and what the world charges."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from seawall.errors import RecipeError
from seawall.recipe_section import Bps, NotNegative, Positive, Section
from seawall.units import to_duration_ms, to_time_ms

Protocol = Literal["aave", "compound", "morpho"]
Rules = Literal["dated", "v2", "v3.0", "v3.3", "v3.4", "v3.5", "v3.6", "v3.7"]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

STABLECOINS = ("USDC", "USDT", "DAI")
USUAL_STABLE, USUAL = 0.8, 0.4  # utilisation of a pool of dollars, and of any other


class PriceSection(Section):
    """Where an asset's price in USD comes from.

    Attributes:
        symbol: of the market, such as ``ETH/USDT``; its quote is taken as one USD.
        value: a price in place of a symbol: 1.0 is a peg, and printed as an assumption.
        numerator, denominator: of the market too; the price is the first over the second, such as
            BTC/USDT over BTC/USDC for USDC.
        venue: where numerator and denominator come from, if not from the market's venue.
        rate, growth: tokens of ``symbol``'s base per token at the window's start, and its growth a
            year: the exchange rate of a staked token; labelled as a model. wstETH has one of its
            own where ``rate`` is left out.
        market_discount: share by which the market pays less than the oracle says, by time: a depeg.
    """

    symbol: str | None = None
    value: Positive | None = None
    numerator: str | None = None
    denominator: str | None = None
    venue: str | None = None
    rate: Positive | None = None
    growth: Annotated[float, Field(gt=-1, lt=1)] = 0.0
    market_discount: "DepegSection | None" = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = (self.symbol is not None) + (self.value is not None)
        ways += self.numerator is not None
        if ways != 1 or (self.numerator is None) != (self.denominator is None):
            raise RecipeError(
                "a price of the loan is one of symbol, value, or numerator and denominator: "
                'write { symbol = "ETH/USDT" } or { value = 1.0 }'
            )
        return self


class DepegSection(Section):
    """A staked token that the market pays less for: falls to ``depth`` and comes back in part."""

    at: str
    depth: Annotated[float, Field(gt=0, lt=1)]
    duration: str = "1d"
    recovery: Annotated[float, Field(ge=0, le=1)] = 0.8

    @model_validator(mode="after")
    def _check(self) -> Self:
        to_time_ms(self.at)
        to_duration_ms(self.duration)
        return self


class FaultSection(Section):
    """Something wrong with an oracle, on demand.

    Attributes:
        kind: ``stale``: it does not report; ``down``: it cannot even be read, nobody acts;
            ``wick``: it reports the price times ``factor``; ``capped``: the exchange rate of a
            staked token is capped ``below`` the rate of that moment and grows by ``growth`` a year.
        asset: whose feed it is.
        since, until: from when to when (not included).
    """

    kind: Literal["stale", "down", "wick", "capped"]
    asset: str
    since: str
    until: str
    factor: Positive = 1.0
    below: Annotated[float, Field(ge=0, lt=1)] = 0.0
    growth: NotNegative = 0.0968

    @model_validator(mode="after")
    def _check(self) -> Self:
        if to_time_ms(self.since) >= to_time_ms(self.until):
            raise RecipeError(
                f"a fault ends after it begins, is {self.since} to {self.until}: correct it"
            )
        return self


class OracleSection(Section):
    """The price that the protocol sees.

    Attributes:
        deviation: it reports when the price has moved by this share; by asset, or for all.
        heartbeat: and at least so often; by asset, or for all.
        faults: what is wrong with it, and when.
    """

    deviation: Mapping[str, Fraction] | Fraction = 0.005
    heartbeat: Mapping[str, str] | str = "1h"
    faults: tuple[FaultSection, ...] = ()

    @field_validator("faults", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        texts = [self.heartbeat] if isinstance(self.heartbeat, str) else self.heartbeat.values()
        for text in texts:
            to_duration_ms(text)
        return self

    def deviation_of(self, asset: str) -> float:
        """Return the threshold of one asset's feed."""
        given = self.deviation
        return given if isinstance(given, float) else given.get(asset, 0.005)

    def heartbeat_s(self, asset: str) -> int:
        """Return the heartbeat of one asset's feed in seconds."""
        given = self.heartbeat
        return to_duration_ms(given if isinstance(given, str) else given.get(asset, "1h")) // 1000


class GasSection(Section):
    """What the chain charges.

    Attributes:
        source: ``series``: the day's average, refused where there is none; ``model``: the model
            where there is no series.
        multiplier: times the price of either.
        baseline_gwei: of the model; left out, the one it was fitted with.
        series: the signal of daily averages in gwei, ``venue/name/timeframe`` in the catalog.
    """

    source: Literal["series", "model"] = "series"
    multiplier: Positive = 1.0
    baseline_gwei: Positive | None = None
    series: str = "gas/ethereum_avg.gas_price_gwei/1d"


class RatesSection(Section):
    """Interest.

    Attributes:
        source: ``series``: dated rates of the catalog, refused where there are none; ``strategy``:
            the protocol's own curve at ``utilisation``; ``dated``: the first where the catalog has
            them for the whole window, else the second, and labelled so.
        utilisation: of each asset's pool; by asset, or for all. What is left out is ``USUAL``.
        pool_supply: tokens in an asset's pool: own size then moves the rate.
        series: the venue of the signals ``ASSET.borrow_rate`` and ``ASSET.supply_rate``, 1d.
    """

    source: Literal["dated", "series", "strategy"] = "dated"
    utilisation: Mapping[str, Fraction] | Fraction = Field(default_factory=dict)
    pool_supply: Mapping[str, Positive] = Field(default_factory=dict)
    series: str = "aave-v3-ethereum"

    def utilisation_of(self, asset: str) -> float:
        """Return the stated utilisation of one asset's pool."""
        given = self.utilisation
        if isinstance(given, float):
            return given
        return given.get(asset, USUAL_STABLE if asset in STABLECOINS else USUAL)


class SwapSection(Section):
    """The pool through which the wallet trades: ``fee_bps`` of the value, ``depth_usd`` a side."""

    fee_bps: Bps = 5.0
    depth_usd: Positive = 50_000_000.0


class RiskSection(Section):
    """Parameters of one asset that take the place of the dated ones, as fractions."""

    threshold: Fraction | None = None
    max_ltv: Fraction | None = None
    bonus: NotNegative | None = None
    protocol_fee: Annotated[float, Field(ge=0, lt=1)] | None = None


class LoanSection(Section):
    """A loan that can be liquidated.

    Attributes:
        protocol: where.
        rules: ``dated``: those of the simulated day; a version: those, as a counterfactual where
            the day had others, and labelled so.
        collateral, debt: assets.
        amount: collateral tokens; or ``equity``: collateral tokens less debt.
        debt_amount, ltv, leverage, health: one of them says how much is owed.
        e_mode: whether the efficiency mode of correlated assets is on.
        wallet: tokens beside the loan; ``ETH`` pays gas.
        prices: by asset; what is left out takes the market's first symbol with that base (WETH is
            ETH), stablecoins 1.0.
        exact: run the integers of the protocol instead of the float64 kernel.
        block_time: until a transaction can be in a block, beside ``execution.latency``.
        parameters: in place of the dated ones, by asset.
    """

    protocol: Protocol = "aave"
    rules: Rules = "dated"
    collateral: str = "WETH"
    debt: str = "USDC"
    amount: Positive | None = None
    equity: Positive | None = None
    debt_amount: Positive | None = None
    ltv: Fraction | None = None
    leverage: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    health: Positive | None = None
    e_mode: bool = False
    wallet: Mapping[str, NotNegative] = Field(default_factory=dict)
    prices: Mapping[str, PriceSection] = Field(default_factory=dict)
    exact: bool = False
    block_time: str = "12s"
    flash_premium_bps: Bps | None = None
    oracle: OracleSection = OracleSection()
    gas: GasSection = GasSection()
    rates: RatesSection = RatesSection()
    swap: SwapSection = SwapSection()
    parameters: Mapping[str, RiskSection] = Field(default_factory=dict)

    @field_validator("prices", mode="before")
    @classmethod
    def _short_prices(cls, value: object) -> object:
        """Take ``"ETH/USDT"`` and ``1.0`` for the sections that they mean."""
        if not isinstance(value, Mapping):
            return value
        return {asset: _to_price(given) for asset, given in value.items()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.collateral == self.debt:
            raise RecipeError(
                f"loan.collateral and loan.debt must differ, both are {self.debt}: change one"
            )
        if (self.amount is None) == (self.equity is None):
            raise RecipeError(
                "a loan has exactly one of loan.amount and loan.equity, both in tokens of the "
                "collateral: give one of them"
            )
        sizes = [n for n in ("debt_amount", "ltv", "leverage", "health") if getattr(self, n)]
        if len(sizes) != 1:
            raise RecipeError(
                "a loan has exactly one of loan.debt_amount, loan.ltv, loan.leverage and "
                f"loan.health, has {sizes or 'none'}: give one of them"
            )
        if self.health is not None and not self.health > 1:
            raise RecipeError(
                f"loan.health must be > 1, is {self.health}: at 1 it can already be liquidated"
            )
        to_duration_ms(self.block_time)
        return self

    @property
    def block_ms(self) -> int:
        """Until a transaction can be in a block."""
        return to_duration_ms(self.block_time)


def _to_price(given: object) -> object:
    if isinstance(given, str):
        return {"symbol": given}
    if isinstance(given, (int, float)) and not isinstance(given, bool) and isfinite(given):
        return {"value": float(given)}
    return given
