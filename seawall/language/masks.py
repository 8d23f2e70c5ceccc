"""Hides which market it is from a model, and maps back what it asks for.

Each of these may be chosen: ``names`` (symbols and assets are numbered, and so are they in texts),
``dates`` (days are counted from the first decision, and years in texts are blotted out), ``scale``
(each asset's prices are multiplied by one number and its quantities divided by it, so every value
stays), ``mirror`` (each price becomes its reciprocal, so every log return has the other sign).

Limits. Dollars are not scaled, and funding, fees, rates and gas stay as they are. A path keeps its
shape: who knows it by heart may recognise it under any scale. A mirrored market is that of another
numeraire: what is held of a coin there is what is held of cash here, so a weight ``w`` comes back
as ``1 - w`` on spot and as ``-w`` on a perpetual; a mirror is for one symbol and for weights alone,
and not for a loan. Texts name a market in more ways than a list of names knows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import exp, isfinite, log

from seawall.errors import RecipeError
from seawall.loan_recipe import STABLECOINS
from seawall.units import DAY_MS, MINUTE_MS, is_perpetual, split_symbol, to_time_text

NAMES, DATES, SCALE, MIRROR = "names", "dates", "scale", "mirror"
KINDS = (NAMES, DATES, SCALE, MIRROR)
_DOLLARS = ("USD", *STABLECOINS)
_FAMILIES = ("ETH", "BTC")  # what wraps or stakes one of them moves with it
_LARGEST_SCALE = 10.0
_WORDS = {
    "BTC": ("bitcoin", "btc", "xbt"), "ETH": ("ethereum", "ether", "eth"),
    "SOL": ("solana", "sol"), "XRP": ("ripple", "xrp"), "DOGE": ("dogecoin", "doge"),
    "ADA": ("cardano", "ada"), "BNB": ("binance coin", "bnb"), "LTC": ("litecoin", "ltc"),
}  # fmt: skip
_YEAR = re.compile(r"\b(19|20)\d\d(-\d\d(-\d\d)?)?\b")
_MONTH = re.compile(
    r"\b(January|February|March|April|June|July|August|September|October|November|December)\b",
    re.IGNORECASE,
)
# Fields of an action: what is a price, and what are units of the symbol.
_PRICES = ("limit_price", "stop_price", "trail_amount", "stop_loss", "take_profit")
_NAMED = ("symbol", "asset", "sell", "buy")


@dataclass(frozen=True, kw_only=True)
class MaskTerms:
    """What is hidden, and the seed of the numbers it is hidden by.

    Raises:
        RecipeError: a kind that is none.
    """

    kinds: tuple[str, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise RecipeError(
                    f"agent.mask may hold {', '.join(KINDS)}, holds {kind!r}: drop it"
                )


class Mask:
    """The mask of one run.

    Args:
        terms: what is hidden.
        symbols: of the market; ``assets``: of a loan.

    Raises:
        RecipeError: a mirror where there is none: several symbols, or a loan.
    """

    def __init__(
        self, terms: MaskTerms, symbols: Iterable[str], assets: Iterable[str] = ()
    ) -> None:
        self._kinds, self._seed = frozenset(terms.kinds), terms.seed
        self._symbols, self._assets = tuple(symbols), tuple(assets)
        if MIRROR in self._kinds and (len(self._symbols) != 1 or self._assets):
            raise RecipeError(
                f"a mirror is for one symbol and no loan, there are {len(self._symbols)} symbols "
                f"and {len(self._assets)} assets of a loan: leave mirror out of agent.mask"
            )
        self.names = self._number_names()
        self._real = {shown: name for name, shown in self.names.items()}
        self.start_ms: int | None = None
        self.anchor: float | None = None  # the first price, around which the path is mirrored

    def _number_names(self) -> dict[str, str]:
        if NAMES not in self._kinds:
            return {name: name for name in (*self._symbols, *self._assets)}
        parts = [part for symbol in self._symbols for part in split_symbol(symbol)]
        numbered: dict[str, str] = {}
        for part in dict.fromkeys((*parts, *self._assets)):
            word = "USD" if part in _DOLLARS else "COIN"
            n = 1 + sum(shown.startswith(word) for shown in numbered.values())
            numbered[part] = f"{word}{n}"
        found = {asset: numbered[asset] for asset in self._assets}
        for symbol in self._symbols:
            base, quote = (numbered[part] for part in split_symbol(symbol))
            found[symbol] = f"{base}/{quote}" + (f":{quote}" if is_perpetual(symbol) else "")
        return found

    @property
    def is_mirrored(self) -> bool:
        """Whether prices are shown as their reciprocals."""
        return MIRROR in self._kinds

    # To the model ---------------------------------------------------------------------------------

    def name(self, name: str) -> str:
        """Return what a symbol or an asset is called."""
        return self.names.get(name, name)

    def price(self, name: str, price: float) -> float:
        """Return what a price of a symbol or an asset is shown as."""
        if self.is_mirrored:
            if self.anchor is None and price > 0:
                self.anchor = price
            if self.anchor is not None and price > 0:
                price = self.anchor * (self.anchor / price)
        return price * self.scale(name)

    def quantity(self, name: str, quantity: float) -> float:
        """Return what units of a symbol or an asset are shown as."""
        return quantity / self.scale(name)

    def weight(self, symbol: str, weight: float) -> float:
        """Return what a share of the equity is shown as, and, of a shown one, what it is."""
        if not self.is_mirrored:
            return weight
        return -weight if is_perpetual(symbol) else 1.0 - weight

    def time(self, time_ms: int) -> str:
        """Return a time as it is shown."""
        if DATES not in self._kinds:
            return to_time_text(time_ms) + " UTC"
        start_ms = time_ms if self.start_ms is None else self.start_ms
        day, rest = divmod(time_ms - start_ms // DAY_MS * DAY_MS, DAY_MS)
        hours, minutes = divmod(rest // MINUTE_MS, 60)
        return f"day {day} {hours:02}:{minutes:02}"

    def text(self, text: str) -> str:
        """Return a text without the names and dates that are hidden."""
        if NAMES in self._kinds:
            for name, shown in self.names.items():
                base = split_symbol(name)[0] if "/" in name else name
                alias = shown.partition("/")[0]
                text = _replace(text, name, shown)
                for word in (*_WORDS.get(_family(base), ()), base):
                    text = _replace(text, word, alias)
        if DATES in self._kinds:
            text = _MONTH.sub("a month", _YEAR.sub("a year", text))
        return text

    def scale(self, name: str) -> float:
        """Return by what prices of a symbol or an asset are multiplied."""
        base = split_symbol(name)[0] if "/" in name else name
        if SCALE not in self._kinds or base in _DOLLARS:
            return 1.0
        digest = sha256(f"{self._seed}:{_family(base)}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        return exp((2 * share - 1) * log(_LARGEST_SCALE))

    # From the model -------------------------------------------------------------------------------

    def unmask(self, action: Mapping[str, object]) -> dict[str, object]:
        """Return an action as the model wrote it with real names, prices and quantities."""
        found = dict(action)
        for field in _NAMED:
            value = found.get(field)
            if isinstance(value, str):
                found[field] = self._real.get(value, value)
        symbol = str(found.get("symbol", ""))
        for field in _PRICES:
            _multiply(found, field, 1.0 / self.scale(symbol) if symbol else 1.0)
        if symbol:
            _multiply(found, "quantity", self.scale(symbol))
        if coin := found.get("asset", found.get("sell")):
            _multiply(found, "amount", self.scale(str(coin)))
        if found.get("kind") == "target_weight" and isinstance(found.get("weight"), (int, float)):
            found["weight"] = self.weight(symbol, float(str(found["weight"])))
        steps = found.get("actions")
        if isinstance(steps, list):
            found["actions"] = [self.unmask(s) if isinstance(s, Mapping) else s for s in steps]
        lent = found.get("flash_loan")
        if isinstance(lent, Mapping):
            found["flash_loan"] = self.unmask(lent)
        return found

    def level(self, shown: str, level: float) -> tuple[str, float]:
        """Return the real symbol and price of a level that the model names."""
        symbol = self._real.get(shown, shown)
        price = level / self.scale(symbol)
        if self.is_mirrored and self.anchor is not None and price > 0:
            price = self.anchor * (self.anchor / price)
        return symbol, price


def _replace(text: str, word: str, other: str) -> str:
    return re.sub(rf"(?i)(?<!\w){re.escape(word)}(?!\w)", other, text)


def _family(base: str) -> str:
    return next((one for one in _FAMILIES if one in base.upper()), base)


def _multiply(values: dict[str, object], field: str, factor: float) -> None:
    value = values.get(field)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        values[field] = value * factor
