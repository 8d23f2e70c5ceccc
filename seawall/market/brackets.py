"""Dated leverage brackets of perpetual futures: what margin a position of which size must keep.

A tier holds from ``floor`` (included) to ``cap`` (not included) of notional at the mark price. Its
maintenance margin is ``notional * rate - amount``, where

    amount_n = floor_n * (rate_n - rate_{n-1}) + amount_{n-1}

makes the margin continuous from tier to tier. A position with leverage ``x`` may be as large as the
cap of the last tier whose ``max_leverage`` is at least ``x``.

``brackets.toml`` beside this module ships the tables of BTCUSDT and ETHUSDT for two dates; others
come into the catalog by ``seawall data get … --kind brackets`` or ``seawall data import``. A table
is in force from the day on which it was seen to the day of the next one: exchanges do not publish
when they changed.

Source of the formula: Binance, *Leverage and Margin of USDⓈ-M Futures*.
Left out: brackets that an exchange widens for some of its accounts.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, isclose, isfinite
from pathlib import Path

from seawall.errors import DataError
from seawall.units import to_time_ms, to_time_text

VENUE = "binance"
_FUTURES_VENUES = {"binanceusdm": VENUE}  # ccxt has a name of its own for this half of Binance
_TABLE = Path(__file__).with_name("brackets.toml")
_ONE_CENT = 0.01


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One bracket: quote units of notional, and fractions of it.

    Attributes:
        floor, cap: of the notional; ``floor`` is included, ``cap`` is not.
        rate: maintenance margin rate, > 0 and < 1.
        amount: maintenance amount, quote units.
        max_leverage: of the initial margin, >= 1.
    """

    floor: float
    cap: float
    rate: float
    amount: float
    max_leverage: float


@dataclass(frozen=True, kw_only=True)
class Brackets:
    """The tiers of one contract as somebody saw them on a day.

    Attributes:
        symbol: of the perpetual, ``ETH/USDT:USDT``.
        seen_ms: from when the table is in force, UTC.
        source: who says so.
        tiers: in order, the first from 0.

    Raises:
        DataError: the tiers do not join, or an amount is not what the formula gives.
    """

    symbol: str
    seen_ms: int
    source: str
    tiers: tuple[Tier, ...]
    venue: str = VENUE

    def __post_init__(self) -> None:
        floor, rate, amount, leverage = 0.0, 0.0, 0.0, inf
        if not self.tiers:
            raise DataError(f"brackets must have a tier, {self.name} have none: mend the source")
        for number, tier in enumerate(self.tiers, start=1):
            expected = tier.floor * (tier.rate - rate) + amount
            rules = {
                f"begin at {floor:,.10g}": tier.floor == floor,
                "end above its floor": floor < tier.cap < inf,
                f"have a rate above {rate:g} and below 1": rate < tier.rate < 1,
                f"have the amount {expected:,.10g}": isfinite(tier.amount)
                and isclose(tier.amount, expected, rel_tol=1e-6, abs_tol=_ONE_CENT),
                f"have a leverage from 1 to {leverage:g}": 1 <= tier.max_leverage <= leverage,
                "ask for more margin at first than is to be kept": tier.rate * tier.max_leverage
                < 1,
            }
            for rule, is_kept in rules.items():
                if not is_kept:
                    raise DataError(
                        f"tier {number} of the brackets of {self.name} must {rule}, is {tier}: "
                        "mend the source"
                    )
            floor, rate, amount, leverage = tier.cap, tier.rate, tier.amount, tier.max_leverage

    @property
    def name(self) -> str:
        """Symbol and day: ``ETH/USDT:USDT 2024-10-24``."""
        return f"{self.symbol} {self.day}"

    @property
    def day(self) -> str:
        """When it was seen: ``2024-10-24``."""
        return to_time_text(self.seen_ms).partition(" ")[0]

    @property
    def max_leverage(self) -> float:
        """The highest leverage of the contract: that of its smallest positions."""
        return self.tiers[0].max_leverage

    def largest(self, leverage: float) -> float:
        """Return the notional that a position of this leverage may have; 0.0 where none may."""
        return max((t.cap for t in self.tiers if t.max_leverage >= leverage), default=0.0)


def shipped_brackets() -> tuple[Brackets, ...]:
    """Return the tables that ship with Seawall, by symbol and date."""
    return _load()


def find_shipped(venue: str, symbol: str) -> tuple[Brackets, ...]:
    """Return the shipped tables of one contract, the oldest first."""
    venue = to_bracket_venue(venue)
    return tuple(one for one in _load() if (one.venue, one.symbol) == (venue, symbol))


def to_bracket_venue(venue: str) -> str:
    """Return the venue under which brackets are kept: Binance's futures are ``binance``."""
    return _FUTURES_VENUES.get(venue, venue)


def is_linear(symbol: str) -> bool:
    """Return whether a symbol is a perpetual that is settled in its quote: ``ETH/USDT:USDT``."""
    pair, _, settle = symbol.partition(":")
    return bool(settle) and pair.rpartition("/")[2] == settle


def from_ccxt(
    tiers: Sequence[Mapping[str, object]], *, symbol: str, venue: str, seen_ms: int, source: str
) -> Brackets:
    """Return brackets from ccxt's tiers of one symbol, which freqtrade keeps in its file too.

    Args:
        tiers: each with ``minNotional, maxNotional, maintenanceMarginRate, maxLeverage`` and,
            from Binance, the amount as ``info.cum``; without it the formula gives the amount.
        symbol: of the perpetual.
        venue: as ccxt names it.
        seen_ms: from when the table is in force.
        source: who says so.

    Raises:
        DataError: a number is missing, or the tiers do not join.
    """
    read: list[Tier] = []
    rate = amount = 0.0
    for found in tiers:
        if not isinstance(found, Mapping):
            raise _broken(symbol, f"a tier is {found!r}")
        info = found.get("info")
        given = info.get("cum") if isinstance(info, Mapping) else None
        floor = _number(found, "minNotional", symbol)
        next_rate = _number(found, "maintenanceMarginRate", symbol)
        amount = floor * (next_rate - rate) + amount if given is None else _to_float(given, symbol)
        rate = next_rate
        read.append(
            Tier(
                floor=floor,
                cap=_number(found, "maxNotional", symbol),
                rate=rate,
                amount=amount,
                max_leverage=_number(found, "maxLeverage", symbol),
            )
        )
    return Brackets(
        symbol=symbol, seen_ms=seen_ms, source=source, tiers=tuple(read),
        venue=to_bracket_venue(venue),
    )  # fmt: skip


def _number(tier: Mapping[str, object], name: str, symbol: str) -> float:
    return _to_float(tier.get(name), symbol, name)


def _to_float(value: object, symbol: str, name: str = "cum") -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # what it cannot take is told below
    except (TypeError, ValueError):
        raise _broken(symbol, f"{name} is {value!r}") from None


def _broken(symbol: str, what: str) -> DataError:
    return DataError(
        "a tier has minNotional, maxNotional, maintenanceMarginRate and maxLeverage, in that of "
        f"{symbol} {what}: fetch the file again"
    )


@cache
def _load() -> tuple[Brackets, ...]:
    found = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    tables = [
        Brackets(
            symbol=table["symbol"],
            venue=table["venue"],
            seen_ms=to_time_ms(table["seen"].isoformat()),
            source=found["source"][table["source"]],
            tiers=_join(table["tiers"]),
        )
        for table in found["table"]
    ]
    return tuple(sorted(tables, key=lambda one: (one.venue, one.symbol, one.seen_ms)))


def _join(rows: Sequence[Sequence[float]]) -> tuple[Tier, ...]:
    """Return tiers from rows of cap, rate, amount and leverage: each begins where one ends."""
    floors = [0.0, *(float(row[0]) for row in rows)]
    return tuple(
        Tier(
            floor=floor,
            cap=float(cap),
            rate=float(rate),
            amount=float(amount),
            max_leverage=float(leverage),
        )
        for floor, (cap, rate, amount, leverage) in zip(floors, rows, strict=False)
    )
