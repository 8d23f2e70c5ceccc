"""A recipe: one TOML file is one reproducible backtest.

Plain TOML values only, validated, printable, hashable. The same recipe on the same data gives the
same result to the bit. ``Recipe.id`` is the hash of everything that can change a number: the name
and the description cannot.
"""

import json
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from seawall.errors import RecipeError
from seawall.loan_recipe import LoanSection
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe_errors import explain, parse_toml, read_text
from seawall.recipe_section import Bps, NotNegative, Positive, Section
from seawall.units import is_perpetual, split_symbol, to_duration_ms, to_time_ms

SIMULATED = "simulated"
FIRST_MS, LAST_MS = to_time_ms("1970-01-01"), to_time_ms("2200-01-01")


class _Component(Section):
    """A strategy or an agent: its name, and parameters that its constructor checks."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            json.dumps(self.parameters, allow_nan=False)
        except (TypeError, ValueError) as error:
            allowed = "parameters are text, true, false, finite numbers, lists and tables"
            raise RecipeError(f"{allowed}, {self.name} has another ({error})") from None
        return self

    @property
    def parameters(self) -> dict[str, object]:
        """Everything but the name, as keyword arguments."""
        return dict(self.model_extra or {})


class StrategySection(_Component):
    """The job: ``strategies.FILE``."""

    name: str = "strategies.spot_trading"


class AgentSection(_Component):
    """Who does it: ``agents.FILE``."""


class CrashSection(Section):
    """A crash put into a simulated market.

    Attributes:
        at: when it starts.
        depth: fall from there to the bottom, as a fraction of the price.
        duration: from the start to the bottom.
        recovery: share of the fall that is won back afterwards.
    """

    at: str
    depth: Annotated[float, Field(gt=0, lt=1)]
    duration: str = "1d"
    recovery: Annotated[float, Field(ge=0, le=1)] = 0.3


class MarketSection(Section):
    """Which history the agent is put into.

    Attributes:
        venue: an exchange's name in the catalog, or ``simulated``.
        symbols: ``BASE/QUOTE``, all with one quote.
        timeframe: of the bars that are traded.
        higher_timeframes: coarser bars of the same symbols, for strategies that read them.
        since, until: first bar that may trade, and the end (not included).
        warmup: history before ``since`` that is seen and not traded.
        signals: ``venue/name/timeframe`` of series in the catalog, seen from when they were known.
        texts: ``venue/name`` of texts in the catalog, likewise; ``None``: none.
        start_prices, crash: for ``simulated`` markets.
    """

    venue: str
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    timeframe: str
    since: str
    until: str
    warmup: str = "0d"
    higher_timeframes: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    start_prices: Mapping[str, Positive] = Field(default_factory=dict)
    crash: CrashSection | None = None

    @field_validator("symbols", "higher_timeframes", "signals", "texts", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("since", "until", mode="before")
    @classmethod
    def _dates_are_text(cls, value: object) -> object:
        return value.isoformat() if hasattr(value, "isoformat") else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.timeframe_ms, self.warmup_ms  # both raise where they are no durations
        for symbol in self.symbols:
            _, quote = split_symbol(symbol)
            if is_perpetual(symbol) and symbol.partition(":")[2] != quote:
                raise RecipeError(
                    f"a perpetual here is linear, settled in its quote, {symbol!r} is not: write "
                    f"BASE/QUOTE:QUOTE, such as ETH/USDT:USDT"
                )
        quotes = {split_symbol(symbol)[1] for symbol in self.symbols}
        if len(quotes) > 1:
            raise RecipeError(f"market.symbols must share one quote, have {sorted(quotes)}")
        if len(set(self.symbols)) < len(self.symbols):
            raise RecipeError(f"market.symbols must be distinct, are {list(self.symbols)}")
        if self.since_ms >= self.until_ms:
            raise RecipeError(
                f"market.until must be after {self.since}, is {self.until}: the window is empty"
            )
        if self.since_ms - self.warmup_ms < FIRST_MS or self.until_ms > LAST_MS:
            raise RecipeError(
                "market.since less market.warmup, and market.until, must lie from 1970 to 2200, "
                f"are {self.since}, {self.warmup} and {self.until}: correct the window"
            )
        coarse = [to_duration_ms(text) for text in self.higher_timeframes]
        are_finer = any(ms <= self.timeframe_ms or ms % self.timeframe_ms for ms in coarse)
        if are_finer or len(set(coarse)) < len(coarse):
            raise RecipeError(
                f"market.higher_timeframes must be distinct multiples of {self.timeframe}, are "
                f"{list(self.higher_timeframes)}"
            )
        if self.crash is not None and self.venue != SIMULATED:
            raise RecipeError(
                f"market.crash belongs to venue = {SIMULATED!r}, venue is {self.venue!r}"
            )
        return self

    @property
    def since_ms(self) -> int:
        """First open time that may trade."""
        return to_time_ms(self.since)

    @property
    def until_ms(self) -> int:
        """End of the window, not included."""
        return to_time_ms(self.until)

    @property
    def warmup_ms(self) -> int:
        """Length of the history before ``since``."""
        return 0 if self.warmup in ("0", "0d") else to_duration_ms(self.warmup)

    @property
    def timeframe_ms(self) -> int:
        """Length of a bar."""
        return to_duration_ms(self.timeframe)

    @property
    def quote(self) -> str:
        """The one quote asset of all symbols."""
        return split_symbol(self.symbols[0])[1]


class AccountSection(Section):
    """What is owned at the start.

    Attributes:
        cash: quote units.
        initial_holdings: by base asset: base units as a number, or a share of ``cash`` as text
            (``"50%"``), turned into coin at the first price, free of charge.
    """

    cash: Positive = 100_000.0
    initial_holdings: Mapping[str, NotNegative | str] = Field(default_factory=dict)

    @field_validator("initial_holdings", mode="after")
    @classmethod
    def _check_shares(cls, value: Mapping[str, float | str]) -> Mapping[str, float | str]:
        for asset, held in value.items():
            if isinstance(held, str):
                to_share(held, f"account.initial_holdings.{asset}")
        return value


class ExecutionSection(Section):
    """When and how orders are carried out (README, "How an order is filled").

    Attributes:
        fills: ``exchange`` follows the rules of an exchange; ``stock`` keeps backtrader's own.
        fill: ``next_open``, or ``close``: at the close just seen (optimistic, and labelled so).
        decide_at: ``close``, or ``open``: the agent sees this bar's open and trades at it
            (optimistic, and labelled so).
        limit_fill: ``trade_through``: the bar must trade beyond the price; ``touch``: reach it.
        latency: from the decision to the order's arrival.
        participation_cap: largest share of a bar's volume that may be filled; the rest rests.
            ``inf``: no cap.
    """

    fills: Literal["exchange", "stock"] = "exchange"
    fill: Literal["next_open", "close"] = "next_open"
    decide_at: Literal["close", "open"] = "close"
    limit_fill: Literal["trade_through", "touch"] = "trade_through"
    latency: str = "0s"
    participation_cap: Annotated[float, Field(gt=0)] = 0.10

    @field_validator("participation_cap", mode="before")
    @classmethod
    def _read_infinity(cls, value: object) -> object:
        return inf if value == "inf" else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.latency_ms  # raises where it is no duration
        return self

    @property
    def latency_ms(self) -> int:
        """From the decision to the order's arrival."""
        return 0 if self.latency in ("0", "0s") else to_duration_ms(self.latency)


class CostsSection(Section):
    """What trading costs.

    Attributes:
        maker_fee_bps, taker_fee_bps: of notional.
        half_spread_bps: paid by whoever takes, each way.
        impact_bps: slippage of an order as large as the whole bar's volume; it grows with the
            square root of the order's share of the volume.
        fixed_fee_base: base units per trade, charged in quote at the fill price.
        allow_fee_debt: fees may take the cash below zero; else an order is made smaller to fit.
    """

    maker_fee_bps: Bps = 10.0
    taker_fee_bps: Bps = 10.0
    half_spread_bps: Bps = 1.0
    impact_bps: Bps = 10.0
    fixed_fee_base: NotNegative = 0.0
    allow_fee_debt: bool = False


class InstrumentSection(Section):
    """Rounding rules of one symbol; 0 is none. What is left out comes from the catalog."""

    tick_size: NotNegative | None = None
    lot_size: NotNegative | None = None
    min_notional: NotNegative | None = None


class Recipe(Section):
    """One reproducible backtest; see the README for every key."""

    name: str = Field(default="unnamed", repr=False)
    description: str = Field(default="", repr=False)
    schema_version: Literal[1] = Field(default=1, alias="schema")
    seed: Annotated[int, Field(ge=0)] = 1
    market: MarketSection
    strategy: StrategySection = StrategySection()
    agent: AgentSection | None = None
    account: AccountSection = AccountSection()
    execution: ExecutionSection = ExecutionSection()
    costs: CostsSection = CostsSection()
    instruments: Mapping[str, InstrumentSection] = Field(default_factory=dict)
    loan: LoanSection | None = None
    perpetual: PerpetualSection | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(char < " " or char == "\x7f" for char in self.name):
            raise RecipeError(f"name must be one line of text, is {self.name!r:.80}: rename it")
        bases = {split_symbol(symbol)[0] for symbol in self.market.symbols}
        for asset in self.account.initial_holdings:
            if asset not in bases:
                raise RecipeError(
                    f"account.initial_holdings names {asset!r}: the market has {sorted(bases)}"
                )
        if self.perpetual is not None:
            self.perpetual.check_symbols(self.market.symbols)
        for symbol in self.instruments:
            if symbol not in self.market.symbols:
                raise RecipeError(
                    f"instruments names {symbol!r}: the market has {list(self.market.symbols)}"
                )
        return self

    @classmethod
    def from_toml(cls, text: str, *, name: str = "unnamed") -> Self:
        """Return the recipe that a TOML text describes.

        Raises:
            RecipeError: it is no TOML, or a key or value is not allowed; the message names it.
        """
        return cls.from_dict({"name": name, **parse_toml(text, f"recipe {name}")})

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the recipe of a file; its name is the file's unless it says otherwise."""
        return cls.from_toml(read_text(path, f"recipe {path}"), name=path.stem)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Return the recipe of plain values, such as ``to_dict`` gives.

        Raises:
            RecipeError: a key or value is not allowed; the message names it and what is.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise RecipeError(explain(error, cls)) from None
        except OverflowError as error:
            raise RecipeError(f"numbers in a recipe are of sensible size: {error}") from None

    def to_dict(self) -> dict[str, object]:
        """Return plain values, JSON-able; ``inf`` is kept as a float."""
        return self.model_dump(mode="python", by_alias=True, exclude_none=True)

    def with_settings(self, settings: Mapping[str, object]) -> Self:
        """Return a copy with some dotted keys set: ``{"agent.fast": 10}``."""
        values = json.loads(self.to_json())
        wanted = settings.get("agent.name")
        if wanted is not None and self.agent is not None and wanted != self.agent.name:
            values["agent"] = {}  # another agent has other parameters
        for key, value in settings.items():
            _set(values, key, value)
        return self.from_dict(values)

    def to_json(self) -> str:
        """Return the recipe as canonical JSON: sorted keys, no spaces, infinity as ``"inf"``."""
        values = self.model_dump(mode="python", by_alias=True, exclude_none=True)
        if self.execution.participation_cap == inf:
            values["execution"]["participation_cap"] = "inf"
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def id(self) -> str:
        """The hash of everything that can change a number, 16 hexadecimal digits."""
        values = {k: v for k, v in self.to_dict().items() if k not in ("name", "description")}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=list)
        return sha256(text.encode()).hexdigest()[:16]

    @property
    def labels(self) -> tuple[str, ...]:
        """What a reader has to be told wherever a number of this recipe is shown."""
        found = {
            "simulated": self.market.venue == SIMULATED,
            "optimistic: decides and fills at the same open": self.execution.decide_at == "open",
            "optimistic: fills at the close it has just seen": self.execution.fill == "close",
            "backtrader's own fill rules": self.execution.fills == "stock",
        }
        return tuple(label for label, holds in found.items() if holds)


def to_share(text: str, key: str) -> float:
    """Return 0.5 for ``"50%"``.

    Raises:
        RecipeError: it is no percentage between 0 and 100.
    """
    try:
        share = float(text.removesuffix("%").strip()) / 100 if text.endswith("%") else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RecipeError(f'{key} must be units as a number or a share such as "50%", is {text!r}')
    return share


def parse_setting(text: str) -> tuple[str, object]:
    """Return key and value of ``agent.fast=10``; the value is TOML, or plain text if it is none.

    Raises:
        RecipeError: there is no ``=`` in it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"a setting is KEY=VALUE, is {text!r}: write --set agent.fast=10")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _set(values: dict[str, object], key: str, value: object) -> None:
    *path, last = key.split(".")
    here = values
    for part in path:
        below = here.setdefault(part, {})
        if not isinstance(below, dict):
            raise RecipeError(f"{key} cannot be set: {part} is a value, not a section")
        here = below
    here[last] = value
