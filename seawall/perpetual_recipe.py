"""The part of a recipe about perpetual futures: margin, brackets, mark, funding, transfers."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seawall.errors import RecipeError
from seawall.recipe_section import Bps, NotNegative, Positive, Section
from seawall.units import is_perpetual, to_duration_ms

MarginMode = Literal["cross", "isolated"]
Leverage = Annotated[float, Field(ge=1, le=1_000, allow_inf_nan=False)]


class BracketSection(Section):
    """Which leverage brackets apply.

    Attributes:
        missing: where no table of the symbol was in force, or seen, by the window: ``refuse``, or
            take the ``nearest`` one, which is printed as an assumption.
    """

    missing: Literal["refuse", "nearest"] = "refuse"


class FundingSection(Section):
    """Where the funding rates come from.

    Attributes:
        source: ``series`` of the catalog; ``rate``: the same one at every stamp. Simulated markets
            simulate theirs, unless a rate is given.
        rate: per interval, as a fraction; for ``source = "rate"``.
        interval: between two stamps, of a given rate or a simulated one; a series has its own.
        missing: what a hole in the series is: ``refuse``, or ``zero``, which is printed.
    """

    source: Literal["series", "rate"] = "series"
    rate: Annotated[float, Field(gt=-0.1, lt=0.1, allow_inf_nan=False)] | None = None
    interval: str = "8h"
    missing: Literal["refuse", "zero"] = "refuse"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.interval_ms
        if (self.source == "rate") != (self.rate is not None):
            raise RecipeError(
                f'perpetual.funding.rate belongs to source = "rate", source is {self.source!r} and '
                f"rate is {self.rate}: give both or neither"
            )
        return self

    @property
    def interval_ms(self) -> int:
        """Between two stamps."""
        return to_duration_ms(self.interval)


class MarkSection(Section):
    """Where the mark prices come from.

    Attributes:
        source: ``series`` of the catalog, which must cover the window; ``built`` from spot and
            perpetual candles; ``last``: the perpetual's own candles, wicks and all; ``auto``: the
            series where the catalog has one of the bars' timeframe, else built.
    """

    source: Literal["auto", "series", "built", "last"] = "auto"


class TransferSection(Section):
    """Moving money between the venues of one account.

    Attributes:
        delay, cost: between spot and perpetual of one exchange, which is immediate: it is done at
            the next open, like a market order; the cost in quote units each time.
        loan_delay, loan_cost: to and from the wallet of a loan, which is on a chain; the exchange's
            withdrawal fee or the chain's gas, in quote units each time.
    """

    delay: str = "0s"
    cost: NotNegative = 0.0
    loan_delay: str = "15m"
    loan_cost: NotNegative = 5.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.delay_ms, self.loan_delay_ms
        return self

    @property
    def delay_ms(self) -> int:
        """Between spot and perpetual."""
        return 0 if self.delay in ("0", "0s") else to_duration_ms(self.delay)

    @property
    def loan_delay_ms(self) -> int:
        """To and from a loan's wallet."""
        return 0 if self.loan_delay in ("0", "0s") else to_duration_ms(self.loan_delay)


class ContractSection(Section):
    """One contract, where it differs from ``[perpetual]``."""

    margin: MarginMode | None = None
    leverage: Leverage | None = None
    maker_fee_bps: Bps | None = None
    taker_fee_bps: Bps | None = None
    liquidation_fee_bps: Bps | None = None


class PositionSection(Section):
    """A position that is open when the window begins, free of charge; the job is to guard it.

    Attributes:
        symbol: a perpetual of the market; its first by default.
        quantity: base units, > 0 long, < 0 short; or ``notional``, quote units, likewise signed.
        leverage: notional over the margin that backs it at the start: set aside for an isolated
            position, in the futures wallet for a cross one.
        entry: the entry price; the open of the first bar that trades by default.
        margin: as in ``[perpetual]``; a position cannot be in another mode than its contract.
    """

    symbol: str | None = None
    quantity: float | None = None
    notional: float | None = None
    leverage: Leverage = 5.0
    entry: Positive | None = None
    margin: MarginMode | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        sizes = {"quantity": self.quantity, "notional": self.notional}
        given = {name: size for name, size in sizes.items() if size is not None}
        if len(given) != 1:
            raise RecipeError(
                "a position has exactly one of perpetual.position.quantity and .notional, has "
                f"{sorted(given) or 'none'}: give one of them"
            )
        for name, size in given.items():
            if not (isfinite(size) and size):
                raise RecipeError(
                    f"perpetual.position.{name} must be a finite number other than 0, is {size}: "
                    "> 0 is long, < 0 short"
                )
        return self


class PerpetualSection(Section):
    """The futures account; the README has every key.

    Attributes:
        wallet: quote units in the futures wallet at the start, beside ``account.cash``, which is
            then on the spot side. Left out: all of ``account.cash`` is futures margin where the
            market has perpetuals alone and there is neither a position to guard nor a loan;
            else the wallet starts with the margin of the position, if any.
        margin: mode of every contract; ``leverage``: of the initial margin, likewise.
        maker_fee_bps, taker_fee_bps: of notional, in place of ``[costs]``, which is of spot.
        liquidation_fee_bps: of the notional that is liquidated.
        contracts: by symbol, what differs.
    """

    wallet: NotNegative | None = None
    margin: MarginMode = "cross"
    leverage: Leverage = 10.0
    maker_fee_bps: Bps = 2.0
    taker_fee_bps: Bps = 5.0
    liquidation_fee_bps: Bps = 125.0
    contracts: Mapping[str, ContractSection] = Field(default_factory=dict)
    position: PositionSection | None = None
    brackets: BracketSection = BracketSection()
    funding: FundingSection = FundingSection()
    mark: MarkSection = MarkSection()
    transfer: TransferSection = TransferSection()

    def mode_of(self, symbol: str) -> MarginMode:
        """Return the margin mode of one contract."""
        own = self.contracts.get(symbol)
        return own.margin if own is not None and own.margin is not None else self.margin

    def leverage_of(self, symbol: str) -> float:
        """Return the leverage of a contract's initial margin; the guarded position has its own."""
        own = self.contracts.get(symbol)
        return own.leverage if own is not None and own.leverage is not None else self.leverage

    def fees_of(self, symbol: str) -> tuple[float, float, float]:
        """Return maker, taker and liquidation fee of one contract, basis points."""
        own = self.contracts.get(symbol, ContractSection())
        return (
            self.maker_fee_bps if own.maker_fee_bps is None else own.maker_fee_bps,
            self.taker_fee_bps if own.taker_fee_bps is None else own.taker_fee_bps,
            self.liquidation_fee_bps
            if own.liquidation_fee_bps is None
            else own.liquidation_fee_bps,
        )

    def check_symbols(self, symbols: tuple[str, ...]) -> None:
        """Raise RecipeError where a contract or the position is none of the market's."""
        perpetuals = [symbol for symbol in symbols if is_perpetual(symbol)]
        if not perpetuals:
            raise RecipeError(
                f"[perpetual] needs a perpetual in market.symbols, they are {list(symbols)}: write "
                "BASE/QUOTE:QUOTE, such as ETH/USDT:USDT"
            )
        for symbol in self.contracts:
            if symbol not in perpetuals:
                raise RecipeError(
                    f"perpetual.contracts names {symbol!r}: the market has {perpetuals}"
                )
        if self.position is None:
            return
        symbol = self.position.symbol or perpetuals[0]
        if symbol not in perpetuals:
            raise RecipeError(
                f"perpetual.position.symbol is {symbol!r}: the market has {perpetuals}"
            )
        mode = self.mode_of(symbol)
        if self.position.margin not in (None, mode):
            raise RecipeError(
                "the margin mode of a contract cannot change while a position is open, "
                f"perpetual.position.margin is {self.position.margin!r} and {symbol} has {mode!r}: "
                "set perpetual.margin, or the contract's, to the position's"
            )
