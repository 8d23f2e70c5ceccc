"""A futures account as an agent sees it, built from what the exchange tells.

The arrays are those of the venue's kernels, so whatever an agent computes from its view it computes
as in a backtest; what the exchange says itself, the liquidation price and what is free, is shown as
it says it: it knows of open orders' margin, and of its own rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from seawall.market.brackets import Brackets
from seawall.market.series import FloatArray
from seawall.paper.futures_reading import Setting, ToldAccount
from seawall.perpetual_view import Contract, PerpetualView, PositionView
from seawall.venues.perpetual import layout
from seawall.venues.perpetual.tables import to_table


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A contract as the exchange lists it at the session's start.

    Attributes:
        brackets: those in force. contract: fees, lot and limits, for the view.
    """

    contract: Contract
    brackets: Brackets


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is known of the contracts beside the account, by symbol.

    Attributes:
        marks: of every contract. rates: last settled, nan before the first.
        next_ms: when funding is settled next. funding: received since the session's start.
        settings: leverage and margin mode.
    """

    marks: Mapping[str, float]
    rates: Mapping[str, float]
    next_ms: Mapping[str, int]
    funding: Mapping[str, float]
    settings: Mapping[str, Setting]


class ToldView(PerpetualView):
    """A view in which what the exchange says of an account comes before what follows from it."""

    __slots__ = ("_told",)

    _told: ToldAccount

    @property
    def available(self) -> float:
        """Free for the initial margin of new positions, as the exchange says."""
        return self._told.available

    @property
    def withdrawable(self) -> float:
        """Free to back a position, as the exchange says."""
        return self._told.withdrawable

    def position(self, symbol: str | None = None) -> PositionView:
        """Return the position in a contract, with the exchange's liquidation price."""
        own = super().position(symbol)
        told = self._told.positions.get(own.symbol)
        return replace(own, liquidation_price=nan if told is None else told.liquidation)

    def _copy(self, *, reserve: float, on_the_way: float) -> PerpetualView:
        copied = ToldView.of((*self._parts[:7], reserve, on_the_way, self._parts[9]))
        object.__setattr__(copied, "_told", self._told)
        return copied


def make_view(
    told: ToldAccount, moment: Moment, listed: Mapping[str, Listed], *, is_liquidated: bool
) -> ToldView:
    """Return what an agent may know of the account now; it cannot reach a spot side."""
    account, positions, marks = to_arrays(told, moment, listed)
    view = ToldView(
        contracts={symbol: one.contract for symbol, one in listed.items()},
        account=account,
        positions=positions,
        marks=marks,
        tables=to_table([one.brackets for one in listed.values()]),
        reserve=0.0,
        funding_rates=np.array([moment.rates[symbol] for symbol in listed]),
        next_funding_ms=dict(moment.next_ms),
        is_liquidated=is_liquidated,
    )
    object.__setattr__(view, "_told", told)
    return view


def to_arrays(
    told: ToldAccount, moment: Moment, listed: Mapping[str, Listed]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return account, positions and marks as ``venues.perpetual.layout`` has them."""
    account = np.zeros(layout.N_ACCOUNT)
    account[layout.WALLET] = told.cross
    account[layout.FUNDING] = sum(moment.funding.values())
    positions = np.zeros((len(listed), layout.N_POSITION))
    marks = np.empty(len(listed))
    for row, symbol in enumerate(listed):
        own, setting = positions[row], moment.settings[symbol]
        own[layout.LEVERAGE] = setting.leverage
        own[layout.IS_ISOLATED] = float(setting.is_isolated)
        own[layout.PAID_FUNDING] = moment.funding.get(symbol, 0.0)
        marks[row] = moment.marks[symbol]
        held = told.positions.get(symbol)
        if held is not None:
            own[layout.QUANTITY], own[layout.ENTRY] = held.quantity, held.entry
            own[layout.MARGIN] = held.isolated
            marks[row] = held.mark
    return account, positions, marks
