"""How near a guarded account is to being liquidated: kept at each step, read by who looks.

A desk says its gauges as ``{name: value}`` with the names below; what it does not say any more, of
a position that is closed, is shown no more.
"""

from collections.abc import Mapping
from math import isnan, nan
from types import MappingProxyType

from seawall.loan_view import LoanView
from seawall.paper.journal import PaperJournal
from seawall.perpetual_view import PerpetualView

HEALTH, LTV = "health factor", "loan to value"
RATIO, DISTANCE, PRICE, LEVERAGE = (
    "margin ratio", "way to liquidation", "liquidation price", "leverage",
)  # fmt: skip
_FORMATS: Mapping[str, str] = MappingProxyType({
    HEALTH: "{:.4g}", LTV: "{:.1%}", RATIO: "{:.1%}", DISTANCE: "{:.1%}", PRICE: "{:,.8g}",
    LEVERAGE: "{:.2f}x",
})  # fmt: skip
_PREFIX = "gauge "


def keep_gauges(journal: PaperJournal, gauges: Mapping[str, float]) -> None:
    """Keep the gauges of this moment in place of those before; their names are in this module."""
    old = read_gauges(journal)
    new = {name: gauges.get(name, nan) for name in _FORMATS if name in old or name in gauges}
    if new:
        with journal.transaction() as database:
            database.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                [(_PREFIX + name, repr(float(value))) for name, value in new.items()],
            )


def read_gauges(journal: PaperJournal) -> dict[str, float]:
    """Return the gauges that were kept last, in the order in which they are shown."""
    found = {name: journal.recall(_PREFIX + name) for name in _FORMATS}
    return {name: one for name, one in found.items() if one is not None and not isnan(one)}


def describe_gauges(gauges: Mapping[str, float]) -> str:
    """Return gauges in words."""
    return ", ".join(f"{name} {_FORMATS[name].format(value)}" for name, value in gauges.items())


def gauges_of_loan(view: LoanView) -> dict[str, float]:
    """Return the gauges of a loan."""
    return {HEALTH: view.health, LTV: view.ltv, PRICE: view.liquidation_price()}


def gauges_of_futures(view: PerpetualView) -> dict[str, float]:
    """Return the gauges of the position that is nearest to its liquidation; none where flat."""
    held = view.positions.values()
    if not held:
        return {}
    worst = max(held, key=lambda one: one.margin_ratio)
    return {
        RATIO: worst.margin_ratio,
        DISTANCE: worst.distance,
        PRICE: worst.liquidation_price,
        LEVERAGE: worst.real_leverage,
    }
