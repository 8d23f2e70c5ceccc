"""What an exchange says of its symbols: the grid that orders are on."""

from typing import Any


def find_grid(exchange: Any, symbol: str) -> dict[str, float | None]:
    """Return the order grid of a symbol as ccxt tells it in steps."""
    market = exchange.market(symbol)
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    least = (limits.get("cost") or {}).get("min")
    return {
        "tick_size": _to_float(precision.get("price")),
        "lot_size": _to_float(precision.get("amount")),
        "min_notional": _to_float(least),
    }


def _to_float(value: object) -> float | None:
    return float(str(value)) if value else None
