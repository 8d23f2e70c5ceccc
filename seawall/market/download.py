"""Brings an exchange's history into the catalog, through ccxt's public endpoints, without a key.

A download asks for what is missing and nothing else: before the first stored row, in the gaps,
after the last. Rows are committed every few pages, so a killed download goes on where it was, and
its result is the same. A stretch for which the exchange has nothing, asked for by itself, is noted
in the manifest and not asked for again. The candle still forming is never stored.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

import ccxt
import numpy as np

from seawall.errors import ExchangeError, RecipeError
from seawall.market.catalog import Catalog
from seawall.market.funding import FUNDING_TIMEFRAME
from seawall.market.manifest import Filters, Interval, Manifest, subtract
from seawall.market.pages import PAGE_ROWS, Asker, Sleep, checked, fetch_page
from seawall.market.series import Candles, FloatArray, Kind, Series, SeriesKey, Signal
from seawall.units import to_duration_ms, to_time_text

FLUSH_PAGES = 5
OPENING_ATTEMPTS = 3
# These begin a page with the first row at or after its start, however far away that is.
_SKIPS_AHEAD = ("binance", "binanceus", "binanceusdm", "binancecoinm")


@dataclass(frozen=True, kw_only=True)
class DownloadRequest:
    """What to fetch: ``since_ms <= time < until_ms`` (None: to the last closed candle).

    Attributes:
        symbol: ``ETH/USDT`` is spot, ``ETH/USDT:USDT`` a perpetual.
        timeframe: length of a candle; funding rates are always kept as ``8h``.
        kind: ``candles``, ``mark`` or ``funding``.
    """

    symbol: str
    timeframe: str
    since_ms: int
    until_ms: int | None = None
    kind: Kind = "candles"

    @property
    def market_type(self) -> Literal["spot", "swap"]:
        """The market whose list is needed to find the symbol."""
        return "swap" if self.kind != "candles" or ":" in self.symbol else "spot"


class Progress(NamedTuple):
    """How far a download is: rows fetched by it, and milliseconds of history done and in all."""

    rows: int
    done_ms: int
    total_ms: int


def open_exchange(name: str, market_type: Literal["spot", "swap"]) -> ccxt.Exchange:
    """Return a public ccxt client that asks for the list of one market type only.

    Raises:
        ExchangeError: ccxt has no exchange of that name.
    """
    if name not in ccxt.exchanges:
        raise ExchangeError(
            f"an exchange is one that ccxt knows, is {name!r}{_nearest(name, ccxt.exchanges)}: "
            "`seawall data get binance ...` is the usual one"
        )
    # With the environment trusted, the proxy and certificates that a network prescribes are used.
    config = {"enableRateLimit": True, "requests_trust_env": True}
    exchange: ccxt.Exchange = getattr(ccxt, name)(config)
    exchange.options["defaultType"] = market_type
    exchange.options["fetchCurrencies"] = False  # where there is a key only; never needed here
    listed = exchange.options.get("fetchMarkets")
    if isinstance(listed, dict) and isinstance(types := listed.get("types"), list):
        wanted = ("spot",) if market_type == "spot" else ("linear", "swap")
        listed["types"] = [t for t in types if t in wanted] or types
    return exchange


def download(
    exchange: ccxt.Exchange,
    request: DownloadRequest,
    catalog: Catalog,
    *,
    now_ms: int,
    progress: Callable[[Progress], None] = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Manifest:
    """Fetch what the catalog lacks of a series and return its manifest.

    Args:
        exchange: a ccxt client; ``open_exchange`` makes one.
        request: what to fetch.
        catalog: where it is stored, under the venue ``exchange.id``.
        now_ms: taken as the present where the exchange does not tell its own time.
        progress: called after each page.
        sleep: called with the seconds to wait before a request is repeated.

    Raises:
        ExchangeError: unknown symbol or timeframe, nothing there, or the exchange does not answer.
        DataError: rows that no candle or rate can have, or a catalog that cannot be written.
    """
    exchange.enableLastJsonResponse = True  # pages are checked against it
    opening = Asker(exchange=exchange, sleep=sleep, attempts=OPENING_ATTEMPTS)
    key = _check_request(exchange, request)
    if not exchange.markets:
        opening.ask(lambda: checked(exchange, exchange.load_markets(reload=True)))
    filters = _find_filters(exchange, request)
    now_ms = present_ms(opening, now_ms)
    run = _Download(
        asker=Asker(exchange=exchange, sleep=sleep),
        key=key,
        window=_find_window(key, request, now_ms),
        catalog=catalog,
        fetched_ms=now_ms,
        filters=filters,
        progress=progress,
    )
    return run.complete()


@dataclass(kw_only=True)
class _Download:
    """One download under way: what was asked for, and the rows not yet committed."""

    asker: Asker
    key: SeriesKey
    window: Interval
    catalog: Catalog
    fetched_ms: int
    filters: Filters
    progress: Callable[[Progress], None]
    pending: list[FloatArray] = field(default_factory=list)
    rows: int = 0
    done_ms: int = 0
    total_ms: int = 0

    def complete(self) -> Manifest:
        """Ask for what is missing until what is still missing has been asked for by itself."""
        asked: set[Interval] = set()
        while ranges := [r for r in self._missing(after_first=bool(asked)) if r not in asked]:
            self.total_ms += sum(stop - start for start, stop in ranges)
            try:
                for wanted in ranges:
                    self._fetch(wanted)
            finally:  # also after an error or Ctrl-C: what has come is kept
                self._flush()
            asked.update(ranges)
        return self._confirm()

    def _missing(self, *, after_first: bool) -> tuple[Interval, ...]:
        """Return the wanted stretches that are neither stored nor known not to exist.

        ``after_first`` leaves out what lies before the first row: one request answered for it.
        """
        if not self.catalog.has(self.key):
            return () if after_first else (self.window,)
        manifest = self.catalog.manifest(self.key)
        if manifest.first_ms is None or manifest.last_ms is None:
            return () if after_first else (self.window,)
        stored = (manifest.first_ms, manifest.last_ms + self.key.timeframe_ms)
        covered = subtract((stored,), manifest.gaps)
        missing = subtract((self.window,), (*covered, *manifest.confirmed_gaps))
        return tuple(r for r in missing if not after_first or r[0] > manifest.first_ms)

    def _fetch(self, wanted: Interval) -> None:
        """Fetch one stretch page by page; each page ends later than the one before."""
        cursor, stop = wanted
        step_ms = self.key.timeframe_ms
        skips_ahead = self.asker.exchange.id in _SKIPS_AHEAD
        while cursor < stop:
            end = stop if skips_ahead else min(stop, cursor + PAGE_ROWS * step_ms)
            page = fetch_page(
                self.asker,
                self.key.kind,
                symbol=self.key.symbol,
                timeframe=self.key.timeframe,
                window=(cursor, end),
            )
            if len(page):
                self.pending.append(page)
                self.rows += len(page)
                end = min(stop, int(page[-1, 0]) + (1 if self.key.kind == "funding" else step_ms))
            self.done_ms += end - cursor
            cursor = end
            self.progress(Progress(self.rows, self.done_ms, self.total_ms))
            self._flush_if_due()

    def _flush_if_due(self) -> None:
        """Commit every few pages, and more rarely the longer the file: each commit rewrites it."""
        stored = self.catalog.manifest(self.key).rows if self.catalog.has(self.key) else 0
        if sum(map(len, self.pending)) >= max(FLUSH_PAGES * PAGE_ROWS, stored // 16):
            self._flush()

    def _flush(self) -> None:
        if self.pending:
            rows = np.concatenate(self.pending)
            _, first = np.unique(rows[:, 0], return_index=True)
            series = _to_series(self.key, rows[first])
            self.catalog.append(series, fetched_ms=self.fetched_ms, filters=self.filters)
            self.pending.clear()

    def _confirm(self) -> Manifest:
        """Note what the exchange has nothing for: what is still missing before the last row."""
        if not self.catalog.has(self.key):
            start, stop = (to_time_text(t) for t in self.window)
            raise ExchangeError(
                f"{self.key.venue} has no {self.key.kind} of {self.key.symbol} between {start} and "
                f"{stop}: take other dates"
            )
        manifest = self.catalog.manifest(self.key)
        last_ms = manifest.last_ms or 0
        absent = tuple(r for r in self._missing(after_first=False) if r[1] <= last_ms)
        if not absent and manifest.filters == self.filters:
            return manifest
        nothing = self.catalog.read(self.key, last_ms + 1)
        return self.catalog.append(
            nothing, fetched_ms=self.fetched_ms, confirmed_gaps=absent, filters=self.filters
        )


def _check_request(exchange: ccxt.Exchange, request: DownloadRequest) -> SeriesKey:
    """Return the key of the series asked for, before any request is made."""
    method = {
        "candles": "fetchOHLCV",
        "mark": "fetchMarkOHLCV",
        "funding": "fetchFundingRateHistory",
    }
    if request.kind not in method:
        raise ExchangeError(
            f"an exchange has candles, mark or funding, not {request.kind!r}: "
            "`seawall data import` takes signals from files"
        )
    if not exchange.has.get(method[request.kind]):
        raise ExchangeError(f"{exchange.id} does not offer {request.kind}: take another exchange")
    if request.kind == "funding":
        return SeriesKey("funding", exchange.id, request.symbol, FUNDING_TIMEFRAME)
    names = [name for name in exchange.timeframes or {} if not name.endswith("M")]
    if request.timeframe not in names:
        raise ExchangeError(
            f"a timeframe of {exchange.id} is one of {', '.join(names)}, is {request.timeframe!r}"
            f"{_nearest_timeframe(request.timeframe, names)}: take one of these"
        )
    return SeriesKey(request.kind, exchange.id, request.symbol, request.timeframe)


def _find_filters(exchange: ccxt.Exchange, request: DownloadRequest) -> Filters:
    """Return the order grid of the symbol.

    Raises:
        ExchangeError: the exchange has no such symbol, or no such market of it.
    """
    market = find_market(exchange, request.symbol, request.market_type, request.kind)
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    is_step = exchange.precisionMode == ccxt.TICK_SIZE
    return Filters(
        tick_size=_to_number(precision.get("price")) if is_step else None,
        lot_size=_to_number(precision.get("amount")) if is_step else None,
        min_notional=_to_number((limits.get("cost") or {}).get("min")),
    )


def find_market(
    exchange: ccxt.Exchange, symbol: str, market_type: str, kind: str
) -> dict[str, Any]:
    """Return what ccxt knows of a symbol.

    Raises:
        ExchangeError: the exchange has no such symbol, or no such market of it.
    """
    symbols = list(exchange.markets or {})
    if symbol not in symbols:
        raise ExchangeError(
            f"{exchange.id} has no {market_type} symbol {symbol!r}{_nearest(symbol, symbols)}: "
            "spot is written ETH/USDT, a perpetual ETH/USDT:USDT"
        )
    market: dict[str, Any] = exchange.market(symbol)
    if kind != "candles" and not market.get("swap"):
        raise ExchangeError(
            f"{kind} exists for perpetuals only, {symbol} is none: "
            f"write {symbol}:{market.get('quote')}"
        )
    return market


def present_ms(asker: Asker, now_ms: int) -> int:
    """Return the exchange's time, which decides what has closed; ``now_ms`` where it has none."""
    if not asker.exchange.has.get("fetchTime"):
        return now_ms
    told = asker.ask(asker.exchange.fetch_time)
    return now_ms if told is None else int(told)


def _find_window(key: SeriesKey, request: DownloadRequest, present_ms: int) -> Interval:
    """Return the times to fetch: up to the last candle that has closed, or rate that was paid."""
    closed_ms = present_ms + 1 - (0 if key.kind == "funding" else key.timeframe_ms)
    stop_ms = closed_ms if request.until_ms is None else min(closed_ms, request.until_ms)
    if request.since_ms >= stop_ms:
        raise ExchangeError(
            f"a download must begin before it ends, begins at {to_time_text(request.since_ms)} and "
            f"ends at {to_time_text(stop_ms)} (the last closed one): take an earlier --since"
        )
    return request.since_ms, stop_ms


def _to_series(key: SeriesKey, rows: FloatArray) -> Series:
    source = f"{key.venue}, public API through ccxt"
    time_ms = rows[:, 0].astype(np.int64)
    if key.kind == "funding":
        return Signal(key=key, time_ms=time_ms, known_ms=time_ms, value=rows[:, 1], source=source)
    volume = np.full(len(rows), np.nan) if key.kind == "mark" else rows[:, 5]
    return Candles(
        key=key,
        time_ms=time_ms,
        open=rows[:, 1],
        high=rows[:, 2],
        low=rows[:, 3],
        close=rows[:, 4],
        volume=volume,
        source=source,
    )


def _to_number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _nearest_timeframe(name: str, names: list[str]) -> str:
    """Return the hint for a timeframe that does not exist: the one closest in length."""
    try:
        wanted_ms = to_duration_ms(name)
    except RecipeError:
        return _nearest(name, names)
    nearest = min(names, key=lambda other: abs(to_duration_ms(other) - wanted_ms))
    return f" (did you mean {nearest}?)"


def _nearest(name: str, names: list[str]) -> str:
    by_case = {other.lower(): other for other in names}
    close = get_close_matches(name.lower(), list(by_case), n=3)
    return f" (did you mean {', '.join(by_case[c] for c in close)}?)" if close else ""
