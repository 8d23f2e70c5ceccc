"""What Binance tells of a futures account, read with suspicion: two answers that must agree.

A positions list that is cut short looks like a flat account, and a guard that believes it lets a
position die. So the list is never read alone: the account itself names the same positions, and
where the two differ, or one lacks what a real answer has, the answer is none.

Amounts are quote units, quantities base units, prices quote per base.

Source: Binance USD-M futures, "Position Information V3", "Account Information V3", "Symbol
Configuration", "Get Income History".
Left out: hedge mode and multi-asset margin; an account in either is refused by ``read_mode``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, NamedTuple

from seawall.errors import DataError
from seawall.market.brackets import VENUE, Brackets, from_ccxt
from seawall.paper.reading import Unreadable, to_number

ToSymbol = Callable[[str], str]
FUNDING_FEE, REALISED = "FUNDING_FEE", "REALIZED_PNL"
_SAME = 1e-9  # base units of a position, relative


class ToldPosition(NamedTuple):
    """One position as the exchange tells it.

    Attributes:
        quantity: > 0 long. entry, mark: prices.
        liquidation: the price at which it would be liquidated; nan where there is none.
        isolated: margin set aside for it, without unrealised profit; 0.0 of a cross position.
        maintenance: margin that must be kept for it.
    """

    symbol: str
    quantity: float
    entry: float
    mark: float
    liquidation: float
    isolated: float
    maintenance: float


@dataclass(frozen=True, kw_only=True)
class ToldAccount:
    """A futures account at one moment, as the exchange tells it.

    Attributes:
        wallet: all money in it, isolated margins included, without unrealised profit.
        cross: the part that is not set aside for isolated positions.
        equity: the wallet and all unrealised profit; the exchange's margin balance.
        available: free for new orders. withdrawable: free to leave, or to back a position.
        positions: those that are open, by symbol.
    """

    wallet: float
    cross: float
    equity: float
    available: float
    withdrawable: float
    positions: Mapping[str, ToldPosition] = field(default_factory=dict)


class Setting(NamedTuple):
    """How a contract is set: its leverage, and whether its margin is isolated."""

    leverage: float
    is_isolated: bool


class Income(NamedTuple):
    """One change of the wallet.

    Attributes:
        key: unlike every other one's.
        kind: the exchange's word, such as ``FUNDING_FEE``.
        amount: > 0 received.
    """

    key: str
    time_ms: int
    kind: str
    symbol: str
    amount: float


def read_account(
    account: object, risks: Iterable[object], *, asset: str, to_symbol: ToSymbol
) -> ToldAccount:
    """Return an account.

    Args:
        account: the exchange's answer about the account.
        risks: its answer about positions.
        asset: of the margin.
        to_symbol: returns the unified symbol of the exchange's code.

    Raises:
        Unreadable: one of the two is no answer, or they tell of different positions.
    """
    if not isinstance(account, dict) or not isinstance(account.get("assets"), list):
        raise Unreadable("an account without assets is no answer")
    if not isinstance(account.get("positions"), list):
        raise Unreadable("an account without positions is no answer")
    wallet = next(
        (one for one in account["assets"] if isinstance(one, dict) and one.get("asset") == asset),
        None,
    )
    if wallet is None:
        raise Unreadable(f"an account without {asset} is no answer")
    known = _read_amounts(account["positions"])
    held = {one.symbol: one for one in (_read_risk(row, to_symbol) for row in risks) if one}
    listed = {to_symbol(code): amount for code, amount in known.items()}
    _check_same(listed, {symbol: one.quantity for symbol, one in held.items()})
    return ToldAccount(
        wallet=to_number(wallet.get("walletBalance")),
        cross=to_number(wallet.get("crossWalletBalance")),
        equity=to_number(wallet.get("marginBalance")),
        available=to_number(wallet.get("availableBalance")),
        withdrawable=to_number(wallet.get("maxWithdrawAmount")),
        positions=held,
    )


def read_settings(rows: Iterable[object], to_symbol: ToSymbol) -> dict[str, Setting]:
    """Return leverage and margin mode of every contract.

    Raises:
        Unreadable: a row lacks one of them.
    """
    found = {}
    for row in rows:
        if not isinstance(row, dict) or not row.get("symbol"):
            raise Unreadable("a contract's settings without a symbol are no answer")
        mode = str(row.get("marginType", "")).upper()
        if mode not in {"ISOLATED", "CROSSED"}:
            raise Unreadable(f"a margin mode is not known: {row.get('marginType')!r}")
        leverage = to_number(row.get("leverage"))
        if not leverage >= 1:
            raise Unreadable(f"a leverage must be >= 1, is {leverage}")
        found[to_symbol(str(row["symbol"]))] = Setting(leverage, mode == "ISOLATED")
    return found


def read_mode(answer: object) -> str:
    """Return why an account's mode cannot be traded in, ``""`` where it can.

    Raises:
        Unreadable: the answer does not say.
    """
    if not isinstance(answer, dict) or "dualSidePosition" not in answer:
        raise Unreadable("an account's mode without a word on hedging is no answer")
    if answer["dualSidePosition"] not in (False, "false"):
        return "a contract has one position here, the account is in hedge mode: set one-way mode"
    if answer.get("multiAssetsMargin") not in (False, "false", None):
        return (
            "the margin is one asset here, the account is in multi-assets mode: set "
            "single-asset mode"
        )
    return ""


def read_incomes(rows: Iterable[object], to_symbol: ToSymbol, asset: str) -> list[Income]:
    """Return changes of the wallet in one asset, in the order of the rows.

    Raises:
        Unreadable: a row lacks its number, time or amount.
    """
    found = []
    for row in rows:
        if not isinstance(row, dict) or not row.get("tranId") or not row.get("incomeType"):
            raise Unreadable("an income without a number or kind is no answer")
        if row.get("asset") != asset:
            continue
        kind, code = str(row["incomeType"]), str(row.get("symbol") or "")
        trade = str(row.get("tradeId") or "")
        found.append(
            Income(
                key=f"income {kind} {row['tranId']} {code} {trade}",
                time_ms=int(to_number(row.get("time"))),
                kind=kind,
                symbol=to_symbol(code) if code else "",
                amount=to_number(row.get("income")),
            )
        )
    return found


def read_brackets(answer: object, symbol: str, now_ms: int) -> Brackets:
    """Return a contract's brackets from ccxt's tiers by symbol.

    Raises:
        Unreadable: there are none, or they do not join.
    """
    tiers = answer.get(symbol) if isinstance(answer, dict) else None
    if not tiers:
        raise Unreadable(f"{symbol} has no brackets in the answer")
    try:
        return from_ccxt(
            tiers, symbol=symbol, venue=VENUE, seen_ms=now_ms, source="the session's exchange"
        )
    except DataError as error:
        raise Unreadable(str(error)) from None


class Premium(NamedTuple):
    """Where a contract's mark stands, and when its funding is settled next."""

    mark: float
    next_ms: int


def read_premium(answer: object) -> Premium:
    """Return mark and next settlement from ccxt's funding rate.

    Raises:
        Unreadable: one of them is missing.
    """
    if not isinstance(answer, dict):
        raise Unreadable("a funding rate must be a row")
    mark = to_number(answer.get("markPrice"))
    if not mark > 0:
        raise Unreadable(f"a mark must be > 0, is {mark}")
    return Premium(mark, int(to_number(answer.get("fundingTimestamp"))))


def _read_amounts(rows: Iterable[Any]) -> dict[str, float]:
    """Return what the account says is held, by the exchange's code; what is zero is left out."""
    found = {}
    for row in rows:
        if not isinstance(row, dict) or not row.get("symbol"):
            raise Unreadable("a position without a symbol is no answer")
        amount = to_number(row.get("positionAmt"))
        if amount:
            found[str(row["symbol"])] = amount
    return found


def _read_risk(row: Any, to_symbol: ToSymbol) -> ToldPosition | None:
    """Return one position; ``None`` where nothing is held."""
    if not isinstance(row, dict) or not row.get("symbol"):
        raise Unreadable("a position without a symbol is no answer")
    quantity = to_number(row.get("positionAmt"))
    if not quantity:
        return None
    entry, mark = to_number(row.get("entryPrice")), to_number(row.get("markPrice"))
    if not (entry > 0 and mark > 0):
        raise Unreadable(f"a position has an entry and a mark > 0, has {entry} and {mark}")
    price = to_number(row.get("liquidationPrice"))
    return ToldPosition(
        symbol=to_symbol(str(row["symbol"])),
        quantity=quantity,
        entry=entry,
        mark=mark,
        liquidation=price if price > 0 else nan,
        isolated=to_number(row.get("isolatedWallet")),
        maintenance=to_number(row.get("maintMargin")),
    )


def _check_same(listed: Mapping[str, float], held: Mapping[str, float]) -> None:
    for symbol in {*listed, *held}:
        one, other = listed.get(symbol, 0.0), held.get(symbol, 0.0)
        if abs(one - other) > _SAME * max(abs(one), abs(other)):
            raise Unreadable(
                f"two answers about {symbol} differ: the account says {one:g}, its positions "
                f"{other:g}"
            )
