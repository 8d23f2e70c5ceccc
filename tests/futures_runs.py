"""Runs on perpetual books with marks, funding and brackets made by hand, for tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
from perpetual_accounts import BTC_2024, ETH_2024, Tiers, tables_of

from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed
from seawall.engine.perpetual.world import BracketEpoch, PerpetualWorld, Stamps
from seawall.market.funding import Spell
from seawall.perpetual_recipe import PerpetualSection
from seawall.venues.futures import FuturesAccount
from seawall.venues.parameters import SpotParameters

PERP, SPOT, BITCOIN = "ETH/USDT:USDT", "ETH/USDT", "BTC/USDT:USDT"
HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000  # 2024-01-01
FEES = {"maker_fee_bps": 0.0, "taker_fee_bps": 0.0}
# 5 % maintenance up to a million: prices of liquidation that can be computed by hand.
SIMPLE: Tiers = [(1_000, 5.0, 0, 125), (10_000, 10.0, 50_000, 20), (100_000, 50.0, 4_050_000, 2)]
Row = tuple[float, float, float, float]
Script = Mapping[int, Callable[[Any], object]]
FLAT: Row = (100.0, 100.0, 100.0, 100.0)


class Scripted(bt.Strategy):
    """Runs ``script[bar](self)`` at the close of each bar, from 1 on; notes what it sees."""

    params: Any = (("script", {}), ("every", None), ("opening", {}))

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.equities: list[float] = []
        self.cashes: list[float] = []
        self.ratios: list[float] = []
        self.views: list[Any] = []
        self.pnl: list[float] = []

    def notify_order(self, order: bt.Order) -> None:
        """Note a status."""
        self.told.append((order.ref, order.getstatusname()))

    def notify_trade(self, trade: bt.Trade) -> None:
        """Note what a closed trade made."""
        if trade.isclosed:
            self.pnl.append(trade.pnlcomm)

    def next_open(self) -> None:
        """Act at the open of a bar."""
        if len(self.data) in self.p.opening:
            self.p.opening[len(self.data)](self)

    def prenext(self) -> None:
        """Treat bars before all feeds have begun like any other."""
        self.next()

    def next(self) -> None:
        """Act at the close of a bar."""
        broker: Any = self.broker
        self.equities.append(broker.getvalue())
        self.cashes.append(broker.getcash())
        self.ratios.append(broker.margin_ratio())
        self.views.append(broker.see_perpetual())
        if self.p.every is not None:
            self.p.every(self)
        if len(self) in self.p.script:
            self.p.script[len(self)](self)


@dataclass(kw_only=True)
class Market:
    """What a run is made of.

    Attributes:
        rows: by symbol, hourly bars of last prices from ``START_MS`` on.
        marks: by perpetual; its last prices where missing.
        funding: ``(step, symbol, rate, mark)``, settled at the open of the step; a fraction of a
            step is inside its bar.
        brackets: by perpetual; ``SIMPLE`` where missing.
        volume: of every bar.
    """

    rows: Mapping[str, Sequence[Row]]
    marks: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    funding: Sequence[tuple[float, str, float, float]] = ()
    brackets: Mapping[str, Tiers] = field(default_factory=dict)
    volume: float = 1e9

    def to_world(self, section: PerpetualSection) -> PerpetualWorld:
        """Return the world of the perpetuals."""
        symbols = tuple(symbol for symbol in self.rows if ":" in symbol)
        marks = [np.array(self.marks.get(s, self.rows[s]), dtype=float) for s in symbols]
        settled = sorted(self.funding)
        columns = list(zip(*settled, strict=True)) if settled else [(), (), (), ()]
        hours = np.array(columns[0], dtype=float)
        tables = tables_of(*[self.brackets.get(symbol, SIMPLE) for symbol in symbols])
        return PerpetualWorld(
            symbols=symbols,
            section=section,
            marks=np.stack(marks, axis=1),
            stamps=Stamps(
                step=np.floor(hours).astype(np.int64),
                time_ms=(START_MS + hours * HOUR_MS).astype(np.int64),
                row=np.array([symbols.index(symbol) for symbol in columns[1]], dtype=np.int64),
                rate=np.array(columns[2], dtype=float),
                mark=np.array(columns[3], dtype=float),
            ),
            epochs=(BracketEpoch(first_step=0, tables=tables, names=symbols),),
            spells=((Spell(0, 8 * HOUR_MS),),) * len(symbols),
            sources=dict.fromkeys(symbols, "series"),
        )


@dataclass
class Ran:
    """Strategy and broker after a run."""

    strategy: Scripted
    broker: ExchangeBroker

    @property
    def futures(self) -> FuturesAccount:
        """The futures account."""
        assert self.broker.futures is not None
        return self.broker.futures

    @property
    def prices(self) -> list[float]:
        """Fill prices."""
        return [fill.price for fill in self.broker.fills]

    @property
    def quantities(self) -> list[float]:
        """Fill quantities, signed."""
        return [fill.quantity for fill in self.broker.fills]

    @property
    def rules(self) -> list[str]:
        """Fill rules."""
        return [fill.rule for fill in self.broker.fills]

    def texts(self, kind: str) -> list[str]:
        """Return texts and reasons of all journal entries of one kind."""
        found = [one for one in self.broker.journal.entries if one.kind == kind]
        return [f"{entry.text} {entry.reason}" for entry in found]


def run(
    market: Market | Sequence[Row],
    script: Script,
    *,
    section: PerpetualSection | None = None,
    parameters: SpotParameters | None = None,
    every: Callable[[Any], object] | None = None,
    opening: Script | None = None,
    **account: Any,
) -> Ran:
    """Return what a run leaves; by default one ETH perpetual without fees, 10x, 5 % maintenance."""
    if not isinstance(market, Market):
        market = Market(rows={PERP: market})
    section = section or make_section()
    cerebro = Cerebro(cheat_on_open=opening is not None)
    for symbol, rows in market.rows.items():
        frame = pd.DataFrame(list(rows), columns=["open", "high", "low", "close"], dtype=float)
        frame.index = pd.to_datetime(START_MS + HOUR_MS * np.arange(len(frame)), unit="ms")
        frame = frame.assign(volume=market.volume)
        cerebro.adddata(ArrayFeed.from_frame(frame, symbol=symbol, timeframe="1h"))
    world = market.to_world(section)
    broker = ExchangeBroker(parameters or SpotParameters(), perpetual=world, **account)
    cerebro.broker = broker
    cerebro.addstrategy(Scripted, script=script, every=every, opening=opening or {})
    return Ran(cerebro.run()[0], broker)


def make_section(**wishes: Any) -> PerpetualSection:
    """Return a section without fees, but for what is wished."""
    transfer = wishes.pop("transfer", {"delay": "0"})
    return PerpetualSection(**{"liquidation_fee_bps": 0.0, "transfer": transfer, **wishes})


def real_brackets() -> dict[str, Tiers]:
    """Return the tables of Binance of 2024-10-24."""
    return {PERP: ETH_2024, BITCOIN: BTC_2024}
