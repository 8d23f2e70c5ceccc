"""What an agent sees of a futures account: frozen, true for the moment at which it was cut.

Amounts are quote units, quantities base units, prices quote per base, rates fractions. Everything
but the snapshot is computed when it is read, by the venue's own kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import NoReturn

import numpy as np

from seawall.errors import AgentError
from seawall.market.series import FloatArray
from seawall.venues.perpetual import layout, margin


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What does not change from bar to bar, unless the exchange changes it.

    Attributes:
        symbol: of the contract; ``row``: its place in the account's arrays.
        taker_fee, maker_fee, liquidation_fee: of notional, fractions.
        lot_size: base units, 0.0 is none.
        max_leverage: of the lowest bracket.
        interval_ms: between two funding stamps.
    """

    symbol: str
    row: int
    taker_fee: float
    maker_fee: float
    liquidation_fee: float
    lot_size: float
    max_leverage: float
    interval_ms: int


@dataclass(frozen=True, kw_only=True)
class PositionView:
    """One position; ``liquidation_price`` is nan where there is none.

    Attributes:
        margin: margin balance that backs it: the isolated margin with unrealised profit and loss,
            or the balance of the whole cross account.
        maintenance: margin that must be kept: of this position, or of all cross positions.
        margin_ratio: ``maintenance / margin``; at 1 it is liquidated. inf where margin <= 0.
        real_leverage: notional over ``margin``; inf where margin <= 0.
        distance: how far the mark is from the liquidation price, as a fraction of the mark; nan.
    """

    symbol: str
    quantity: float
    entry_price: float
    mark_price: float
    leverage: float
    is_isolated: bool
    unrealised: float
    margin: float
    maintenance: float
    liquidation_price: float
    paid_funding: float

    @property
    def notional(self) -> float:
        """Quote units at the mark price, >= 0."""
        return abs(self.quantity) * self.mark_price

    @property
    def margin_ratio(self) -> float:
        """See the class."""
        return self.maintenance / self.margin if self.margin > 0 else np.inf

    @property
    def real_leverage(self) -> float:
        """See the class."""
        return self.notional / self.margin if self.margin > 0 else np.inf

    @property
    def distance(self) -> float:
        """See the class."""
        return abs(self.mark_price - self.liquidation_price) / self.mark_price


_Parts = tuple[  # contracts; account, positions, marks, tables; rates, next stamps, money, events
    Mapping[str, Contract],
    FloatArray, FloatArray, FloatArray, FloatArray,
    FloatArray, Mapping[str, int], float, float, bool,
]  # fmt: skip


class PerpetualView:
    """A futures account at one moment.

    Args:
        contracts: by symbol.
        account, positions, marks, tables: as in ``venues.perpetual.layout``; ``marks`` float64,
            shape (n,). Copies, which nobody changes any more.
        reserve: quote units on the spot side, free to be moved.
        funding_rates: by row, the last that was settled; nan before the first.
        next_funding_ms: by row.
        on_the_way: quote units sent to or from the wallet that have not arrived.
        is_liquidated: whether a liquidation struck since the agent was last asked.
    """

    __slots__ = ("_parts",)

    _parts: "_Parts"

    def __init__(  # built for each bar, it has to be quick: one field is set, not ten
        self,
        *,
        contracts: Mapping[str, Contract],
        account: FloatArray,
        positions: FloatArray,
        marks: FloatArray,
        tables: FloatArray,
        reserve: float,
        funding_rates: FloatArray,
        next_funding_ms: Mapping[str, int],
        on_the_way: float = 0.0,
        is_liquidated: bool = False,
    ) -> None:
        if type(contracts) is not MappingProxyType:
            contracts = MappingProxyType(dict(contracts))
        arrays = (account, positions, marks, tables)
        others = (funding_rates, next_funding_ms, reserve, on_the_way, is_liquidated)
        object.__setattr__(self, "_parts", (contracts, *arrays, *others))

    @classmethod
    def of(cls, parts: "_Parts") -> "PerpetualView":
        """Return a view of what is given as it is kept, without a look at it: the quick way."""
        view = object.__new__(cls)
        object.__setattr__(view, "_parts", parts)
        return view

    @property
    def parts(self) -> "_Parts":
        """What all of it is computed from, in the order of ``of``."""
        return self._parts

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AgentError(f"an observation is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AgentError(f"an observation is frozen: {name} cannot be deleted")

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """Every contract of the market, by symbol."""
        return self._parts[0]

    @property
    def reserve(self) -> float:
        """Quote units on the spot side, free to be moved."""
        return self._parts[7]

    @property
    def on_the_way(self) -> float:
        """Quote units sent to or from the wallet that have not arrived."""
        return self._parts[8]

    @property
    def is_liquidated(self) -> bool:
        """Whether a liquidation struck since the agent was last asked."""
        return self._parts[9]

    @property
    def _account(self) -> FloatArray:
        return self._parts[1]

    @property
    def _positions(self) -> FloatArray:
        return self._parts[2]

    @property
    def _marks(self) -> FloatArray:
        return self._parts[3]

    @property
    def _tables(self) -> FloatArray:
        return self._parts[4]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every contract of the market."""
        return tuple(self.contracts)

    @property
    def wallet(self) -> float:
        """The futures wallet, without isolated margins and unrealised profit."""
        return float(self._account[layout.WALLET])

    @property
    def equity(self) -> float:
        """Wallet, isolated margins and unrealised profit."""
        return margin.find_equity(self._account, self._positions, self._marks)

    @property
    def available(self) -> float:
        """Free for the initial margin of new positions."""
        return margin.find_available(self._account, self._positions, self._marks)

    @property
    def withdrawable(self) -> float:
        """Free to leave the wallet: for isolated margin, or for the spot side."""
        return margin.find_withdrawable(self._account, self._positions, self._marks, self._tables)

    @property
    def margin_ratio(self) -> float:
        """The highest margin ratio of the cross account and the isolated positions; 0.0: none."""
        return margin.find_margin_ratio(self._account, self._positions, self._marks, self._tables)

    @property
    def funding(self) -> float:
        """Funding received so far, < 0: paid."""
        return float(self._account[layout.FUNDING])

    @property
    def positions(self) -> Mapping[str, PositionView]:
        """The open positions, by symbol."""
        held = self._positions[:, layout.QUANTITY]
        return {s: self.position(s) for s, one in self.contracts.items() if held[one.row]}

    def position(self, symbol: str | None = None) -> PositionView:
        """Return the position in a contract, or in the first; quantity 0.0 where there is none.

        Raises:
            AgentError: the market has no such contract.
        """
        contract = self._find(symbol)
        i, account, positions = contract.row, self._account, self._positions
        own, mark = positions[i], float(self._marks[i])
        is_isolated = bool(own[layout.IS_ISOLATED])
        if is_isolated:
            backing = margin.isolated_margin(positions, i, mark, self._tables[i])
        else:
            backing = margin.cross_margin(account, positions, self._marks, self._tables)
        price = margin.find_liquidation_price(account, positions, i, self._marks, self._tables)
        return PositionView(
            symbol=contract.symbol,
            quantity=float(own[layout.QUANTITY]),
            entry_price=float(own[layout.ENTRY]),
            mark_price=mark,
            leverage=float(own[layout.LEVERAGE]),
            is_isolated=is_isolated,
            unrealised=margin.find_unrealised(positions, i, mark),
            margin=backing.balance,
            maintenance=backing.maintenance,
            liquidation_price=price,
            paid_funding=float(own[layout.PAID_FUNDING]),
        )

    def maintenance(self, notional: float, symbol: str | None = None) -> float:
        """Return the maintenance margin of a notional >= 0 in a contract, or in the first."""
        return margin.find_maintenance(notional, self._tables[self._find(symbol).row])

    def keeping(self, kept: float) -> "PerpetualView":
        """Return what is seen where ``kept`` quote units of the reserve are not to be touched."""
        return self._copy(reserve=max(self.reserve - kept, 0.0), on_the_way=self.on_the_way)

    def expecting(self, amount: float) -> "PerpetualView":
        """Return what is seen where ``amount`` quote units more are on the way."""
        return self._copy(reserve=self.reserve, on_the_way=self.on_the_way + amount)

    def _copy(self, *, reserve: float, on_the_way: float) -> "PerpetualView":
        return PerpetualView(
            contracts=self.contracts,
            account=self._account,
            positions=self._positions,
            marks=self._marks,
            tables=self._tables,
            reserve=reserve,
            funding_rates=self._parts[5],
            next_funding_ms=self._parts[6],
            on_the_way=on_the_way,
            is_liquidated=self.is_liquidated,
        )

    def mark(self, symbol: str | None = None) -> float:
        """Return the mark price of a contract, or of the first."""
        return float(self._marks[self._find(symbol).row])

    def funding_rate(self, symbol: str | None = None) -> float:
        """Return the last funding rate that was settled; nan before the first."""
        rates = self._parts[5]
        return float(rates[self._find(symbol).row]) if len(rates) else nan

    def next_funding_ms(self, symbol: str | None = None) -> int:
        """Return when funding is settled next."""
        return self._parts[6][self._find(symbol).symbol]

    def _find(self, symbol: str | None) -> Contract:
        if symbol is None:
            return next(iter(self.contracts.values()))
        contract = self.contracts.get(symbol)
        if contract is None:
            raise AgentError(f"there is no perpetual {symbol!r}: the market has {self.symbols}")
        return contract
