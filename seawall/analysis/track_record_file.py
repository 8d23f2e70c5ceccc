"""The file of a track record: rows that can be read, and what is wrong with the others."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import pandas as pd

from seawall.errors import DataError
from seawall.units import to_time_text

TRADES = ("buy", "sell")
ACTIONS = (*TRADES, "hold", "deposit", "withdraw")
NEEDED = ("date", "action", "symbol", "quantity", "price", "cash", "holdings")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a track record, as it says; ``number``: its line in the file, its last if several.

    ``is_whole``: its holdings are stated by symbol, so that what is left out is gone.
    """

    number: int
    time_ms: int
    action: str
    symbol: str
    quantity: float
    price: float
    cash: float
    holdings: Mapping[str, float]
    fee: float | None = None
    equity: float | None = None
    is_whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row that does not add up: its line in the file, the rule, and what is wrong."""

    row: int
    rule: str
    text: str


def read_rows(path: Path) -> tuple[list[Row], list[Finding]]:
    """Return the rows of a file, and what is wrong with those that cannot be read.

    Raises:
        DataError: there is no such file, or a column is missing.
    """
    rows: list[Row] = []
    findings: list[Finding] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            missing = [name for name in NEEDED if name not in names]
            if missing:
                raise DataError(
                    f"a track record has the columns {', '.join(NEEDED)}, {path} lacks "
                    f"{', '.join(missing)}: rename or add them"
                )
            reader.fieldnames = names
            for values in reader:
                number = reader.line_num
                last_ms = rows[-1].time_ms if rows else None
                try:
                    rows.append(_to_row(number, values, last_ms))
                except ValueError as error:
                    findings.append(Finding(row=number, rule="readable", text=str(error)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the track record {path} cannot be read: {error}") from None
    return rows, findings


def _to_row(number: int, values: Mapping[str, str | None], last_ms: int | None) -> Row:
    """Return one row; ValueError says what cannot be read."""
    time_ms = _to_ms(values["date"] or "")
    if last_ms is not None and time_ms < last_ms:
        raise ValueError(f"dates go forward, {values['date']} comes after {to_time_text(last_ms)}")
    action = (values["action"] or "").strip().lower()
    if action not in ACTIONS:
        raise ValueError(f"an action is one of {', '.join(ACTIONS)}, is {action!r}")
    symbol = (values["symbol"] or "").strip()
    quantity, price = (_number(values, name, action) for name in ("quantity", "price"))
    if quantity < 0 or price < 0:
        raise ValueError(f"quantity and price are >= 0, are {quantity:g} and {price:g}")
    fee, equity = values.get("fee"), values.get("equity")
    held = (values["holdings"] or "").strip()
    return Row(
        number=number, time_ms=time_ms, action=action, symbol=symbol, quantity=quantity,
        price=price, cash=_to_float("cash", values["cash"]),
        holdings=_to_holdings(held, symbol), is_whole=held.startswith("{"),
        fee=_to_float("fee", fee) if fee else None,
        equity=_to_float("equity", equity) if equity else None,
    )  # fmt: skip


def _number(values: Mapping[str, str | None], name: str, action: str) -> float:
    if not values[name] and (
        action == "hold" or (name == "price" and action not in ("buy", "sell"))
    ):
        return 0.0
    return _to_float(name, values[name])


def _to_float(name: str, text: str | None) -> float:
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        raise ValueError(f"{name} must be a number, is {text!r:.40}") from None
    if not isfinite(value):
        raise ValueError(f"{name} must be finite, is {text!r:.40}")
    return value


def _to_ms(text: str) -> int:
    try:
        stamp = pd.Timestamp(text.strip())
        stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
        return int(stamp.value // 1_000_000)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"date must be a time, is {text!r:.40}") from None


def _to_holdings(text: str, symbol: str) -> dict[str, float]:
    if not text:
        return {}
    try:
        found = json.loads(text.replace("'", '"'))
    except ValueError:
        raise ValueError(f"holdings are a number or JSON by symbol, are {text!r:.60}") from None
    if isinstance(found, dict):
        return {str(name): _to_float("holdings", str(value)) for name, value in found.items()}
    return {symbol: _to_float("holdings", str(found))}
