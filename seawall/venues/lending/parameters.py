"""Dated risk and rate parameters of lending markets on Ethereum, looked up by market and time.

The table is ``parameters.toml`` beside this module: a row says what changed, when, how well that
day is known and who says so. A row holds until the next one of its asset; the last one until
further notice. Nothing is read before the first lookup.

Integers are basis points, as the contracts keep them: ``bonus_bps`` 10500 is a bonus of 5 %. The
properties of the same names without ``_bps`` are fractions: ``bonus`` is 1.05 (0 where the asset is
no collateral), rates are per year.

Aave v2 lists stETH, not wstETH: the lookup of wstETH there answers with stETH's row, and the row's
``asset`` says so.
"""

import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from seawall.errors import DataError, RecipeError
from seawall.units import to_time_ms, to_time_text

Market = Literal["aave-v2", "aave-v3", "compound-v3-usdc"]
Dating = Literal["stated", "estimated", "bracketed", "seen"]
RAY_PER_BPS = 10**23  # 1e27 is 100 %

_TABLE = Path(__file__).with_name("parameters.toml")
_STANDS_FOR = {("aave-v2", "wstETH"): "stETH"}


@dataclass(frozen=True, kw_only=True)
class AssetParameters:
    """One asset's parameters in one market, and the time they held.

    Attributes:
        market, asset: whose; ``asset`` is what the market lists (stETH for wstETH in Aave v2).
        since_ms: from when they held.
        until_ms: up to when, exclusive; ``None`` until further notice.
        dating: how well ``since_ms`` is known: ``stated`` by a source, ``estimated`` from the end
            of a vote, ``bracketed`` by two events, or first ``seen`` (may have held earlier).
        source: who says so.
        ltv_bps, threshold_bps: how much may be borrowed, and may be owed; 0: no collateral.
        bonus_bps: what a liquidator gets per unit repaid, 10500 is 5 % extra; 0: no collateral.
        reserve_factor_bps: the treasury's share of the interest.
        protocol_fee_bps: the treasury's share of a liquidation's bonus.
        base_bps, slope1_bps, slope2_bps: the rate curve, per year: ``base`` at utilisation 0,
            ``base + slope1`` at ``optimal_bps``, ``base + slope1 + slope2`` at 1.
        liquidation_factor_bps: Compound v3: the share of the seized value that is credited.
        is_borrowable, is_frozen: whether new loans, and any new deposits or loans, are allowed.
    """

    market: str
    asset: str
    since_ms: int
    until_ms: int | None
    dating: Dating
    source: str
    decimals: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    reserve_factor_bps: int
    base_bps: int
    slope1_bps: int
    slope2_bps: int
    optimal_bps: int
    protocol_fee_bps: int = 0
    liquidation_factor_bps: int = 0
    is_borrowable: bool = True
    is_frozen: bool = False

    @property
    def is_collateral(self) -> bool:
        """Whether what is supplied counts as collateral."""
        return self.threshold_bps > 0

    @property
    def ltv(self) -> float:
        """The largest loan to value at which may be borrowed, fraction."""
        return self.ltv_bps / 10_000

    @property
    def threshold(self) -> float:
        """The liquidation threshold, fraction."""
        return self.threshold_bps / 10_000

    @property
    def bonus(self) -> float:
        """What is seized per unit of value repaid, 1.05; 0 where the asset is no collateral."""
        return self.bonus_bps / 10_000

    @property
    def reserve_factor(self) -> float:
        """The treasury's share of the interest, fraction."""
        return self.reserve_factor_bps / 10_000

    @property
    def protocol_fee(self) -> float:
        """The treasury's share of a liquidation's bonus, fraction."""
        return self.protocol_fee_bps / 10_000

    @property
    def liquidation_factor(self) -> float:
        """Compound v3: the share of the seized value that is credited, fraction."""
        return self.liquidation_factor_bps / 10_000

    @property
    def base(self) -> float:
        """The borrow rate at utilisation 0, fraction per year."""
        return self.base_bps / 10_000

    @property
    def slope1(self) -> float:
        """What the borrow rate gains up to the optimal utilisation, fraction per year."""
        return self.slope1_bps / 10_000

    @property
    def slope2(self) -> float:
        """What the borrow rate gains from there to full utilisation, fraction per year."""
        return self.slope2_bps / 10_000

    @property
    def optimal(self) -> float:
        """The utilisation at which the curve turns steep, fraction."""
        return self.optimal_bps / 10_000

    def borrow_rate(self, utilisation: float) -> float:
        """Return the variable borrow rate at a utilisation in [0, 1], fraction per year."""
        if utilisation <= self.optimal:
            return self.base + self.slope1 * utilisation / self.optimal
        beyond = (utilisation - self.optimal) / (1.0 - self.optimal)
        return self.base + self.slope1 + self.slope2 * beyond

    def supply_rate(self, utilisation: float) -> float:
        """Return what suppliers get at a utilisation in [0, 1], fraction per year."""
        return self.borrow_rate(utilisation) * utilisation * (1.0 - self.reserve_factor)


@dataclass(frozen=True, kw_only=True)
class EmodeParameters:
    """An efficiency mode of Aave v3: its values replace those of its assets as collateral."""

    market: str
    label: str
    since_ms: int
    until_ms: int | None
    dating: Dating
    source: str
    category: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    assets: tuple[str, ...]

    @property
    def ltv(self) -> float:
        """The largest loan to value at which may be borrowed, fraction."""
        return self.ltv_bps / 10_000

    @property
    def threshold(self) -> float:
        """The liquidation threshold, fraction."""
        return self.threshold_bps / 10_000

    @property
    def bonus(self) -> float:
        """What is seized per unit of value repaid, 1.01."""
        return self.bonus_bps / 10_000


class MorphoParameters(NamedTuple):
    """A market of Morpho Blue: ``lltv_bps`` is all that it sets, at its creation and for good."""

    collateral: str
    loan: str
    since_ms: int
    lltv_bps: int
    source: str

    @property
    def lltv(self) -> float:
        """The liquidation loan to value, fraction."""
        return self.lltv_bps / 10_000

    @property
    def incentive(self) -> float:
        """What is seized per unit of value repaid: ``min(1.15, 1 / (1 - 0.3 (1 - lltv)))``."""
        return min(1.15, 1.0 / (1.0 - 0.3 * (1.0 - self.lltv)))


class Bonus(NamedTuple):
    """A collateral's liquidation bonus from a day on: 10500 is 5 %."""

    since_ms: int
    bonus_bps: int
    source: str


Row = TypeVar("Row", AssetParameters, EmodeParameters)


def parameters_at(market: Market, asset: str, time_ms: int) -> AssetParameters:
    """Return what held for an asset in a market at a time.

    Raises:
        RecipeError: there is no such market, or it did not list the asset (yet), or the market
            itself did not exist yet.
    """
    _check_market(market, time_ms)
    rows = history(market, asset)
    return _at(rows, time_ms, f"{asset} in {_table()['market'][market]['name']}")


def history(market: Market, asset: str) -> tuple[AssetParameters, ...]:
    """Return all rows of an asset in a market, oldest first.

    Raises:
        RecipeError: there is no such market or asset.
    """
    listed = _markets(market)["asset"]
    name = _STANDS_FOR.get((market, asset), asset)
    if name not in listed:
        label = _table()["market"][market]["name"]
        raise RecipeError(
            f"an asset of {label} is one of {', '.join(listed)}, is {asset!r}"
            f"{_meant(asset, listed)}: name one of these"
        )
    return _rows(market, name)


def emode_at(market: Market, category: int, time_ms: int) -> EmodeParameters:
    """Return what an efficiency mode of a market set at a time.

    Raises:
        RecipeError: the market has no such mode, or did not exist yet.
    """
    _check_market(market, time_ms)
    modes = {rows[0].category: rows for rows in _emodes(market)}
    if category not in modes:
        known = ", ".join(map(str, modes)) or "none"
        label = _table()["market"][market]["name"]
        raise RecipeError(
            f"an e-mode of {label} is one of: {known}, is {category}: "
            "leave it out, or use Aave v3 with e-mode 1"
        )
    rows = modes[category]
    return _at(rows, time_ms, f"e-mode {category}")


def emode_history(market: Market, category: int) -> tuple[EmodeParameters, ...]:
    """Return what an efficiency mode of a market ever set, in order; empty where it has none."""
    return next((rows for rows in _emodes(market) if rows[0].category == category), ())


def starts_ms(market: Market) -> int:
    """Return when a market began."""
    return _ms(_markets(market)["since"])


def gaps(market: Market) -> str:
    """Return what of a market's history was looked for and not found, in words."""
    return str(_markets(market)["gaps"])


def morpho_at(collateral: str, loan: str, time_ms: int) -> MorphoParameters:
    """Return the parameters of a Morpho Blue market.

    Raises:
        RecipeError: the table has no such market, or Morpho Blue did not exist yet.
    """
    listed = _table()["morpho"]
    name = f"{collateral}/{loan}"
    if name not in listed:
        raise RecipeError(
            f"a market of Morpho is one of {', '.join(listed)}, is {name}"
            f"{_meant(name, listed)}: name one of these"
        )
    row = listed[name]
    since_ms = _ms(row["since"])
    if time_ms < since_ms:
        raise RecipeError(
            f"Morpho Blue exists since {to_time_text(since_ms)}, asked for is "
            f"{to_time_text(time_ms)}: choose a later window"
        )
    return MorphoParameters(collateral, loan, since_ms, row["lltv"], _source(row["source"]))


def bonuses(market: Market, asset: str) -> tuple[Bonus, ...]:
    """Return the dated bonuses of any collateral, oldest first; empty where none is known.

    The table knows more of them than of full rows: enough to check liquidation events with.
    """
    listed = _table()["bonus"].get(market, {})
    if asset in listed:
        return tuple(Bonus(_ms(day), bps, _source(key)) for day, bps, key in listed[asset])
    if asset not in _markets(market)["asset"]:
        return ()
    return tuple(Bonus(r.since_ms, r.bonus_bps, r.source) for r in _rows(market, asset))


@cache
def _table() -> Mapping[str, Any]:
    """Return the parsed table, read once."""
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


def _markets(market: str) -> Mapping[str, Any]:
    listed = _table()["market"]
    if market not in listed:
        raise RecipeError(
            f"a lending market is one of {', '.join(listed)}, is {market!r}"
            f"{_meant(market, listed)}: name one of these"
        )
    found: Mapping[str, Any] = listed[market]
    return found


def _check_market(market: str, time_ms: int) -> None:
    """Raise RecipeError where a market did not exist yet."""
    found = _markets(market)
    since_ms = _ms(found["since"])
    if time_ms < since_ms:
        raise RecipeError(
            f"{found['name']} exists since {to_time_text(since_ms)}, asked for is "
            f"{to_time_text(time_ms)}: {found['remedy']}"
        )


@cache
def _rows(market: str, asset: str) -> tuple[AssetParameters, ...]:
    """Return the rows of an asset, each filled from the one before it."""
    kept = {field.name for field in fields(AssetParameters)}
    return tuple(
        AssetParameters(market=market, asset=asset, **_named(row, kept))
        for row in _filled(_markets(market)["asset"][asset])
    )


@cache
def _emodes(market: str) -> tuple[tuple[EmodeParameters, ...], ...]:
    kept = {field.name for field in fields(EmodeParameters)}
    found: list[tuple[EmodeParameters, ...]] = []
    for label, rows in _markets(market).get("emode", {}).items():
        made = [
            EmodeParameters(
                market=market,
                label=label,
                category=row["id"],
                assets=tuple(row["assets"]),
                **_named({k: v for k, v in row.items() if k not in ("id", "assets")}, kept),
            )
            for row in _filled(rows)
        ]
        found.append(tuple(made))
    return tuple(found)


def _filled(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with what a row leaves out taken from the one before, and with their ends."""
    filled: list[dict[str, Any]] = []
    for row in rows:
        filled.append({**(filled[-1] if filled else {}), **row})
    for row, after in zip(filled, [*filled[1:], None], strict=True):
        row["since_ms"] = _ms(row["since"])
        row["until_ms"] = None if after is None else _ms(after["since"])
        row["source"] = _source(row["source"])
    return filled


def _named(row: Mapping[str, Any], kept: set[str]) -> dict[str, Any]:
    """Return a row under the names of the fields: ``ltv`` is ``ltv_bps``."""
    return {
        (name if name in kept else f"{name}_bps"): value
        for name, value in row.items()
        if name != "since"
    }


def _at(rows: tuple[Row, ...], time_ms: int, what: str) -> Row:
    place = bisect_right([row.since_ms for row in rows], time_ms) - 1
    if place < 0:
        raise RecipeError(
            f"{what} is listed since {to_time_text(rows[0].since_ms)}, asked for is "
            f"{to_time_text(time_ms)}: choose a later window or another asset"
        )
    return rows[place]


def _ms(moment: date | str) -> int:
    """Return the milliseconds of a day or time of the table; days begin at midnight UTC."""
    if isinstance(moment, str):
        return to_time_ms(moment)
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return to_time_ms(moment.isoformat())


def _source(key: str) -> str:
    try:
        return str(_table()["source"][key])
    except KeyError:
        raise DataError(
            f"a row names its source, {_TABLE.name} has none called {key!r}: add it to [source]"
        ) from None


def _meant(given: str, known: Mapping[str, object]) -> str:
    plain = {name.lower(): name for name in known}
    close = get_close_matches(given.lower(), list(plain), n=1, cutoff=0.5)
    return f" (did you mean {plain[close[0]]}?)" if close else ""
