"""What a file's name and folders say about the series in it.

Understood are ``candles/binance/ETH-USDT-5m.parquet``, ``candles/binance-perp/ETH-USDT-PERP-1h``,
``funding/binance/BTC-USDT-PERP``, ``sentiment/fear-greed-1d``, freqtrade's
``binance/futures/ETH_USDT_USDT-1h-mark.feather`` and Binance's ``ETHUSDT-5m-2024-01.csv``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from seawall.market.series import Kind
from seawall.market.tables import SUFFIXES

_FOLDER_KINDS: dict[str, Kind] = {
    "candles": "candles",
    "mark": "mark",
    "funding": "funding",
    "signals": "signal",
    "sentiment": "signal",
    "onchain": "signal",
    "gas": "signal",
}
_NAME_KINDS: dict[str, Kind] = {
    "mark": "mark",
    "funding_rate": "funding",
    "fundingRate": "funding",
    "futures": "candles",
}
_FOREIGN_FOLDERS = {
    "trades": "single trades are",
    "orderbook": "order books are",
}
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USD", "EUR", "BTC", "ETH")
_TIMEFRAME = re.compile(r"\d+[smhdw]")
_CODE = re.compile(r"[A-Z0-9]+")


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a path says; None where it does not.

    Attributes:
        stem: the name without endings and timeframe, which names a signal.
        unsupported: in words, what lies in such a folder that the catalog has no place for.
    """

    kind: Kind | None = None
    venue: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    stem: str
    unsupported: str | None = None


def read_name(path: Path) -> Named:
    """Return what folders and name of a file say about its series."""
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    words = name.split("-")
    timeframe = next((word for word in words[1:] if _TIMEFRAME.fullmatch(word)), None)
    before = words[: words.index(timeframe)] if timeframe else words
    kind, venue, unsupported = _read_folders(path.absolute().parent)
    named_kind = next((_NAME_KINDS[word] for word in words if word in _NAME_KINDS), None)
    return Named(
        kind=named_kind or kind,
        venue=venue,
        symbol=_read_symbol([word for word in before if word not in _NAME_KINDS]),
        timeframe=timeframe,
        stem="_".join(before).replace(" ", "_"),
        unsupported=unsupported,
    )


def _read_folders(folder: Path) -> tuple[Kind | None, str | None, str | None]:
    """Return kind, venue and what makes a folder unfit, from the last folders of a path."""
    parts = folder.parts
    last = parts[-1] if parts else ""
    before = parts[-2] if len(parts) > 1 else ""
    for part in (last, before):
        if part in _FOREIGN_FOLDERS:
            return None, None, _FOREIGN_FOLDERS[part]
    if last in _FOLDER_KINDS:
        kind = _FOLDER_KINDS[last]
        return kind, last if kind == "signal" else None, None
    if before in _FOLDER_KINDS:
        return _FOLDER_KINDS[before], _venue(last), None
    if last == "futures":  # freqtrade: data/<exchange>/futures
        return None, before or None, None
    return None, last if before == "data" else None, None


def _venue(folder: str) -> str:
    """Return the exchange: a perpetual is told by its symbol, so the venue has no suffix for it."""
    return folder.removesuffix("-perp")


def _read_symbol(words: list[str]) -> str | None:
    """Return ``ETH/USDT`` or ``ETH/USDT:USDT`` for the words before the timeframe."""
    parts = [part for word in words for part in word.split("_") if part]
    if not parts or not all(_CODE.fullmatch(part) for part in parts):
        return None
    return to_symbol("-".join(parts))


def to_symbol(text: str) -> str | None:
    """Return the unified symbol for ``ETH-USDT``, ``ETH-USDT-PERP``, ``ETHUSDT``, ``ETH/USDT``."""
    if "/" in text:
        return text
    parts = re.split(r"[-_]", text)
    match parts:
        case [base, quote]:
            return f"{base}/{quote}"
        case [base, quote, "PERP"]:
            return f"{base}/{quote}:{quote}"
        case [base, quote, settle] if settle == quote:
            return f"{base}/{quote}:{settle}"
        case [joined]:
            quote = next((q for q in _QUOTES if joined.endswith(q) and joined != q), None)
            return f"{joined.removesuffix(quote)}/{quote}" if quote else None
    return None
