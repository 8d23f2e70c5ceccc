"""From what a futures account lived through to tables: margin, liquidations, funding, transfers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seawall.engine.accounts import AccountCurve, trace_account
from seawall.engine.broker import ExchangeBroker
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.engine.world import World
from seawall.kernel import kernel
from seawall.market.series import FloatArray, TimeArray
from seawall.units import is_perpetual, split_symbol
from seawall.venues.futures import FuturesAccount
from seawall.venues.perpetual import layout
from seawall.venues.perpetual.margin import (
    cross_margin,
    find_available,
    find_equity,
    find_liquidation_price,
    find_margin_ratio,
    find_unrealised,
    isolated_margin,
)

LIQUIDATION_COLUMNS = (
    "time", "symbol", "tier", "quantity", "price", "fee", "pnl", "insurance", "margin_ratio",
    "left",
)  # fmt: skip
FUNDING_COLUMNS = ("time", "symbol", "rate", "mark", "quantity", "amount")
TRANSFER_COLUMNS = ("time", "sent_ms", "source", "target", "amount", "cost")
LIQUIDATION_RULE = "liquidation"  # of its fills
PARTS = (
    "market", "trading_fees", "slippage", "funding", "liquidation_fees", "insurance", "transfers",
)  # fmt: skip

# of the account at one moment
_EQUITY, _WALLET, _AVAILABLE, _UNREALISED, _MAINTENANCE, _RATIO, _WORST, _FUNDING = range(8)
_COLUMNS = (
    "equity_perpetual", "wallet", "available", "unrealised", "maintenance", "margin_ratio",
    "worst_margin_ratio", "funding",
)  # fmt: skip
_MARK, _QUANTITY, _ENTRY, _LIQUIDATION = range(4)
_BY_CONTRACT = ("mark", "quantity", "entry", "liquidation_price")


@dataclass(frozen=True, kw_only=True, eq=False)
class PerpetualPlayed:
    """What one pass left of a futures account: tables as in ``Result``.

    Attributes:
        frame: a row per step, row 0 is the start; columns as in ``Result.perpetual``, and
            ``on_the_way``: money that is in neither venue, but in the equity.
        parts: of the change of the whole equity; they add up to it.
    """

    frame: pd.DataFrame
    liquidations: pd.DataFrame
    funding: pd.DataFrame
    transfers: pd.DataFrame
    parts: dict[str, float]


def collect_perpetual(
    world: World, broker: ExchangeBroker, own: PerpetualWorld, futures: FuturesAccount
) -> tuple[AccountCurve, PerpetualPlayed]:
    """Return the whole account over time, and the tables of the futures in it.

    Args:
        world: what it ran in.
        broker: as the pass left it.
        own: the world's perpetuals.
        futures: the broker's account of them.
    """
    first = int(np.searchsorted(world.clock_ms, world.since_ms, "right"))
    market = trace_account(world, (), cash=0.0, held={}, at_open=False)  # times and prices
    main, by_contract = _Rows(own, futures, world.clock_ms, first).measure()
    equity, cash = _trace_money(world, broker, market, main)
    on_the_way = find_amounts(futures.transit, market.time_ms)
    spot = equity - main[:, _EQUITY] - on_the_way
    index = pd.Index(pd.to_datetime(market.time_ms, unit="ms", utc=True), name="time")
    columns = {"equity_spot": spot, "equity_loan": np.full(len(spot), np.nan)}
    columns["on_the_way"] = on_the_way
    columns |= {name: main[:, place] for place, name in enumerate(_COLUMNS)}
    for i, symbol in enumerate(own.symbols):
        for place, name in enumerate(_BY_CONTRACT):
            columns[f"{name}:{symbol}"] = by_contract[:, i, place]
        columns[f"mark_high:{symbol}"] = np.append(own.marks[first, i, 0], own.marks[first:, i, 1])
        columns[f"mark_low:{symbol}"] = np.append(own.marks[first, i, 0], own.marks[first:, i, 2])
    notional = np.abs(by_contract[:, :, _QUANTITY]) * by_contract[:, :, _MARK]
    gross = notional.sum(axis=1) + np.abs(spot - (cash - main[:, _AVAILABLE]))
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure = np.where(equity > 0, gross / equity, np.nan)
    curve = AccountCurve(
        time_ms=market.time_ms, equity=equity, cash=cash, exposure=exposure, prices=market.prices
    )
    return curve, PerpetualPlayed(
        frame=pd.DataFrame(columns, index=index),
        liquidations=_liquidations(futures),
        funding=_timed(
            pd.DataFrame(
                [(t, own.symbols[row], *rest) for t, row, *rest in futures.funding],
                columns=list(FUNDING_COLUMNS),
            )
        ),
        transfers=_timed(pd.DataFrame(list(futures.transfers), columns=list(TRANSFER_COLUMNS))),
        parts=_find_parts(futures, equity),
    )


def find_amounts(changes: Sequence[tuple[int, float]], time_ms: TimeArray) -> FloatArray:
    """Return at each time what the last change up to it left, float64, shape of ``time_ms``."""
    taken = np.array([step_ms for step_ms, _ in changes], dtype=np.int64)
    amounts = np.array([amount for _, amount in changes], dtype=np.float64)
    return amounts[np.searchsorted(taken, time_ms, "right") - 1]


def _trace_money(
    world: World, broker: ExchangeBroker, market: AccountCurve, main: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return equity and money of the whole account at the start and at each close."""
    _, equity, cash = broker.curves(market.time_ms[1:])
    ledger = broker.ledger
    start = ledger.total("initial", split_symbol(next(iter(world.candles)))[1])
    held = 0.0
    for symbol in world.candles:
        units = 0.0 if is_perpetual(symbol) else ledger.total("initial", split_symbol(symbol)[0])
        held += units * float(market.prices[symbol][0]) if units else 0.0
    return (
        np.concatenate([[start + held + main[0, _EQUITY]], equity]),
        np.concatenate([[start + main[0, _AVAILABLE]], cash]),
    )


class _Rows:
    """The account at the start and at each close of the window, from its snapshots."""

    def __init__(
        self, own: PerpetualWorld, futures: FuturesAccount, clock_ms: TimeArray, first: int
    ) -> None:
        taken = np.array([step_ms for step_ms, *_ in futures.snapshots], dtype=np.int64)
        place = np.searchsorted(taken, clock_ms[first:], "right") - 1
        place = np.concatenate([[0], place])
        self._accounts = np.stack([account for _, account, _ in futures.snapshots])[place]
        self._positions = np.stack([positions for *_, positions in futures.snapshots])[place]
        marks = own.marks[first:]
        self._marks = np.concatenate([marks[:1, :, 0], marks[:, :, 3]])
        self._marks = np.nan_to_num(self._marks)  # before its first bar a contract is not held
        self._extremes = np.nan_to_num(marks[:, :, 1:3])
        self._first, self._epochs = first, own.epochs
        self._struck: dict[int, float] = {}  # by row, the highest ratio that was liquidated
        for _, event in futures.events:
            row, ratio = int(event[layout.AT_BAR]) - first + 1, float(event[layout.RATIO_BEFORE])
            self._struck[row] = max(self._struck.get(row, 1.0), ratio)

    def measure(self) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the account, and those of each contract."""
        n_rows, n = self._marks.shape
        main, by_contract = np.zeros((n_rows, len(_COLUMNS))), np.zeros((n_rows, n, 4))
        starts = [max(epoch.first_step - self._first + 1, 0) for epoch in self._epochs]
        starts[0] = 0
        for start, stop, epoch in zip(starts, [*starts[1:], n_rows], self._epochs, strict=True):
            span = slice(start, max(stop, start))
            _measure(
                self._accounts[span], self._positions[span], self._marks[span], epoch.tables,
                main[span], by_contract[span],
            )  # fmt: skip
            before = slice(max(start - 1, 0), max(stop - 1, 0))
            after = slice(before.start + 1, before.stop + 1)
            for moment in (before, after):
                _find_worst(
                    self._accounts[moment], self._positions[moment],
                    self._extremes[before], epoch.tables, main[after],
                )  # fmt: skip
        main[:, _WORST] = np.maximum(main[:, _WORST], main[:, _RATIO])
        for row, ratio in self._struck.items():  # what is gone does not meet the extreme
            main[row, _WORST] = max(main[row, _RATIO], ratio)
        return main, by_contract


@kernel
def _measure(  # noqa: PLR0917 - a kernel takes no keywords
    accounts: FloatArray, positions: FloatArray, marks: FloatArray, tables: FloatArray,
    main: FloatArray, by_contract: FloatArray,
) -> None:  # fmt: skip
    """Fill ``main`` and ``by_contract`` for the rows of one epoch."""
    for t in range(len(marks)):
        account, held, mark = accounts[t], positions[t], marks[t]
        cross = cross_margin(account, held, mark, tables)
        maintenance, aside = cross.maintenance, 0.0
        for i in range(len(held)):
            own = by_contract[t, i]
            own[_MARK], own[_QUANTITY] = mark[i], held[i, layout.QUANTITY]
            own[_ENTRY], own[_LIQUIDATION] = np.nan, np.nan
            if held[i, layout.QUANTITY] == 0.0:
                continue
            own[_ENTRY] = held[i, layout.ENTRY]
            own[_LIQUIDATION] = find_liquidation_price(account, held, i, mark, tables)
            main[t, _UNREALISED] += find_unrealised(held, i, mark[i])
            aside += held[i, layout.MARGIN]
            if held[i, layout.IS_ISOLATED] > 0.0:
                maintenance += isolated_margin(held, i, mark[i], tables[i]).maintenance
        main[t, _EQUITY] = find_equity(account, held, mark)
        main[t, _WALLET] = account[layout.WALLET] + aside
        main[t, _AVAILABLE] = find_available(account, held, mark)
        main[t, _MAINTENANCE] = maintenance
        main[t, _RATIO] = find_margin_ratio(account, held, mark, tables)
        main[t, _FUNDING] = account[layout.FUNDING]


@kernel
def _find_worst(
    accounts: FloatArray, positions: FloatArray, extremes: FloatArray, tables: FloatArray,
    main: FloatArray,
) -> None:  # fmt: skip
    """Raise the worst margin ratio to that at the extremes against what is held."""
    n = positions.shape[1]
    marks = np.zeros(n)
    for t in range(len(main)):
        for i in range(n):
            is_short = positions[t, i, layout.QUANTITY] < 0.0
            marks[i] = extremes[t, i, 0] if is_short else extremes[t, i, 1]
        ratio = find_margin_ratio(accounts[t], positions[t], marks, tables)
        main[t, _WORST] = max(main[t, _WORST], ratio)


def _liquidations(futures: FuturesAccount) -> pd.DataFrame:
    rows = [
        (
            time_ms,
            futures.symbols[int(event[layout.SYMBOL])],
            int(event[layout.TIER]),
            *(
                float(event[place])
                for place in (
                    layout.CLOSED, layout.PRICE, layout.FEE, layout.PNL, layout.INSURANCE,
                    layout.RATIO_BEFORE, layout.LEFT,
                )
            ),
        )
        for time_ms, event in futures.events
    ]  # fmt: skip
    return _timed(pd.DataFrame(rows, columns=list(LIQUIDATION_COLUMNS)))


def _find_parts(futures: FuturesAccount, equity: FloatArray) -> dict[str, float]:
    """Return what the change of the equity is made of; ``market`` is what no other part explains.

    The wallet's own sums are checked against its balance when a run ends
    (``FuturesAccount.check``), so nothing can hide in it.
    """
    account = futures.account
    fees = sum(fill.fee for fill in futures.fills if fill.rule != LIQUIDATION_RULE)
    parts = {
        "trading_fees": 0.0 - fees,
        "slippage": 0.0 - sum(fill.slippage for fill in futures.fills),
        "funding": float(account[layout.FUNDING]),
        "liquidation_fees": 0.0 - float(account[layout.LIQUIDATION_FEES]),
        "insurance": float(account[layout.INSURED]),
        "transfers": 0.0 - sum(moved.cost for moved in futures.transfers),
    }
    change = float(equity[-1] - equity[0])
    return {"market": change - sum(parts.values()), **parts}


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ms", utc=True)
    return frame
