"""A result made by hand, for tests of what is shown: plausible, seeded, and no engine needed."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seawall.analysis.chance import QUANTILES
from seawall.analysis.comparison import Comparison, Pair, Standing
from seawall.analysis.statistics import difference
from seawall.fill import Fill
from seawall.metrics import ClosedTrade, measure
from seawall.recipe import Recipe
from seawall.result import Band, Result
from seawall.units import HOUR_MS, to_time_ms, to_time_text

FEE, SLIPPAGE, CASH = 0.001, 0.0003, 100_000.0
START_MS = to_time_ms("2023-01-01")
Array = NDArray[np.float64]
Times = NDArray[np.int64]


def make_recipe(n_bars: int = 8_760, *, name: str = "synthetic") -> Recipe:
    """Return an hourly recipe of ``n_bars`` bars."""
    market = {
        "venue": "simulated",
        "symbols": ["ETH/USDT"],
        "timeframe": "1h",
        "since": "2023-01-01",
        "until": to_time_text(START_MS + n_bars * HOUR_MS),
    }
    return Recipe.from_dict(
        {"name": name, "market": market, "agent": {"name": "agents.sma_cross", "fast": 20}}
    )


def make_result(n_bars: int = 8_760, *, seed: int = 1, hold_bars: int = 60) -> Result:
    """Return a result of an agent that is in and out of the market every ``hold_bars`` bars."""
    rng = np.random.default_rng(seed)
    price = 1_800 * np.exp(np.cumsum(rng.standard_t(4, n_bars) * 0.0045))
    close_ms = START_MS + HOUR_MS * np.arange(1, n_bars + 1, dtype=np.int64)
    held = (np.arange(n_bars, dtype=np.int64) // hold_bars + seed) % 2
    growth = np.diff(np.log(price), prepend=np.log(price[0]))
    turns = np.flatnonzero(np.diff(held, prepend=0))
    cost = np.zeros(n_bars)
    cost[turns] = FEE + SLIPPAGE
    equity = CASH * np.exp(np.cumsum(growth * np.roll(held, 1) - cost))
    fills = _fills(turns, held, price, equity, close_ms)
    trades = _trades(fills)
    index = pd.DatetimeIndex(pd.to_datetime(close_ms, unit="ms", utc=True), name="time")
    benchmark = CASH * price / price[0] * (1 - FEE - SLIPPAGE)
    recipe = make_recipe(n_bars)
    fees, slippage = float(sum(f.fee for f in fills)), float(sum(f.slippage for f in fills))
    metrics = measure(
        equity,
        close_ms,
        exposure=held.astype(np.float64),
        trades=trades,
        fees=fees,
        slippage=slippage,
        turnover_notional=float(sum(abs(f.quantity) * f.price for f in fills)),
    )
    curves = {
        "equity": equity,
        "cash": equity * (1 - held),
        "exposure": held,
        "benchmark": benchmark,
    }
    return Result(
        recipe=recipe,
        agent="agents.sma_cross",
        strategy="strategies.spot_trading",
        metrics=metrics,
        benchmark=measure(benchmark, close_ms, exposure=np.ones(n_bars)),
        band=Band(
            pessimistic=metrics.total_return, optimistic=metrics.total_return + 0.021, n_ambiguous=7
        ),
        labels=recipe.labels,
        versions={"python": "3.11.9", "seawall": "0.1.0", "numpy": "2.4.6"},
        data={"candles/simulated/ETH-USDT/1h": "0" * 64},
        equity=pd.DataFrame(curves, index=index),
        prices=pd.DataFrame({"ETH/USDT": price}, index=index),
        fills=_with_time(pd.DataFrame(fills, columns=list(Fill._fields))),
        trades=pd.DataFrame([vars(trade) for trade in trades]),
        journal=_journal(fills),
        ledger=pd.DataFrame(columns=["time", "transaction", "kind", "asset", "amount"]),
        quality=pd.DataFrame(
            [{"series": "candles/simulated/ETH-USDT/1h", "rows": n_bars, "gaps": 0, "wicks": 3}]
        ),
    )


def _fills(
    turns: NDArray[np.intp], held: Times, price: Array, equity: Array, close_ms: Times
) -> list[Fill]:
    fills = []
    quantity = 0.0
    for number, row in enumerate(turns):
        buys = bool(held[row])
        quantity = equity[row] / price[row] if buys else quantity
        notional = quantity * price[row]
        fills.append(
            Fill(
                time_ms=int(close_ms[row] - HOUR_MS),
                bar_ms=int(close_ms[row] - HOUR_MS),
                order_id=str(number + 1),
                symbol="ETH/USDT",
                quantity=quantity if buys else -quantity,
                price=float(price[row] * (1 + SLIPPAGE * (1 if buys else -1))),
                raw_price=float(price[row]),
                trigger_price=float("nan"),
                slippage=float(notional * SLIPPAGE),
                fee=float(notional * FEE),
                liquidity="taker" if number % 5 else "maker",
                rule="market_open",
                is_ambiguous=False,
            )
        )
    return fills


def _trades(fills: list[Fill]) -> list[ClosedTrade]:
    trades = []
    for entry, leave in zip(fills[::2], fills[1::2], strict=False):
        fees = entry.fee + leave.fee
        pnl = entry.quantity * (leave.price - entry.price) - fees
        trades.append(
            ClosedTrade(
                symbol=entry.symbol,
                entry_ms=entry.time_ms,
                exit_ms=leave.time_ms,
                quantity=entry.quantity,
                entry_price=entry.price,
                exit_price=leave.price,
                pnl=pnl,
                fees=fees,
                return_fraction=pnl / (entry.quantity * entry.price),
            )
        )
    return trades


def _journal(fills: list[Fill]) -> pd.DataFrame:
    rows = []
    for fill in fills:
        buys = fill.quantity > 0
        target = 1 if buys else 0
        why = f"fast mean {'above' if buys else 'below'} slow mean"
        rows += [
            (fill.time_ms, "decision", fill.symbol, "", f"target weight {target}", why),
            (fill.time_ms, "ordered", fill.symbol, fill.order_id, "market order", ""),
            (fill.time_ms, "filled", fill.symbol, fill.order_id, f"at {fill.price:,.2f}", ""),
        ]
    rows.append((START_MS, "refused", "ETH/USDT", "", "sell 3", "spot does not short"))
    rows.append((START_MS, "abstained", "", "", "", "ValueError: no answer"))
    names = ["time_ms", "kind", "symbol", "order_id", "text", "reason"]
    return _with_time(pd.DataFrame(rows, columns=names).sort_values("time_ms", kind="stable"))[
        ["time", *names[1:]]
    ]


def _with_time(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(time=pd.to_datetime(frame["time_ms"], unit="ms", utc=True))


def make_comparison(n_bars: int = 2_000) -> Comparison:
    """Return a comparison of four agents made by hand, one of which failed."""
    results = {
        "cash": make_result(n_bars, hold_bars=10 * n_bars, seed=0),
        "buy_and_hold": make_result(n_bars, hold_bars=10 * n_bars),
        "sma_cross": make_result(n_bars),
    }
    rng = np.random.default_rng(1)
    equity = pd.DataFrame({name: result.equity["equity"] for name, result in results.items()})
    random_returns = pd.DataFrame({name: rng.normal(0, 0.2, 200) for name in results})
    pairs = [
        Pair(
            first=one,
            second=other,
            difference=difference(
                equity[one].to_numpy(dtype=np.float64),
                equity[other].to_numpy(dtype=np.float64),
                rng,
                n_resamples=200,
            ),
        )
        for one, other in combinations(results, 2)
    ]
    standings = [
        Standing(
            name=name,
            rank=1,
            metrics=result.metrics,
            percentile=60.0 if name == "sma_cross" else float("nan"),
            share_of_chance=0.4,
        )
        for name, result in results.items()
    ]
    first = results["cash"]
    return Comparison(
        recipe=first.recipe,
        standings=(*standings, Standing(name="broken", error="ValueError: <b>no</b>")),
        pairs=tuple(pairs),
        labels=first.labels,
        versions=first.versions,
        data=first.data,
        equity=equity,
        quality=first.quality,
        random_returns=random_returns,
        fans=_fan(equity, random_returns),
    )


def _fan(equity: pd.DataFrame, returns: pd.DataFrame) -> pd.DataFrame:
    times = equity.index[:: max(len(equity) // 100, 1)]
    share = np.linspace(0, 1, len(times))
    parts = []
    for name in returns.columns:
        ends = np.percentile(returns[name], QUANTILES)
        bands = {f"p{q}": CASH * (1 + share * e) for q, e in zip(QUANTILES, ends, strict=True)}
        parts.append(pd.DataFrame({"time": times, **bands, "agent": name}))
    return pd.concat(parts)


PERPETUAL = "ETH/USDT:USDT"
RESERVE, QUANTITY, LEVERAGE = 5_000.0, 10.0, 5.0
_RATE, _LIQUIDATION_FEE = 0.01, 0.0125


def make_margin_recipe(n_bars: int = 400, *, guards: bool = True) -> Recipe:
    """Return an hourly recipe of a 5x long of 10 ETH, or of trading the contract."""
    values = make_recipe(n_bars, name="synthetic_margin").to_dict()
    market = values["market"]
    assert isinstance(market, dict)
    values["market"] = {**market, "symbols": [PERPETUAL]}
    if not guards:
        return Recipe.from_dict(
            {**values, "strategy": {"name": "strategies.futures_trading"}, "perpetual": {}}
        )
    position = {"quantity": QUANTITY, "leverage": LEVERAGE}
    return Recipe.from_dict(
        {
            **values,
            "strategy": {"name": "strategies.margin_protection"},
            "agent": {"name": "agents.reduce_at_margin_ratio"},
            "account": {"cash": RESERVE},
            "perpetual": {"margin": "isolated", "position": position},
        }
    )


def make_margin_result(
    n_bars: int = 400,
    *,
    fall: float = 0.3,
    added: tuple[int, float] | None = (100, 800.0),
    sold: tuple[int, float] | None = (180, 4.0),
    guards: bool = True,
) -> Result:
    """Return an isolated 5x long of 10 ETH through a fall, by plain arithmetic bar by bar.

    ``added``, ``sold``: bar and amount of a transfer into the margin and of a sale, at opens.
    """
    wave = np.sin(np.arange(n_bars + 1) * 0.9) * 0.004
    mark = 1_800 * (1 - fall * np.linspace(0, 1, n_bars + 1)) * np.exp(wave)
    mark[0] = 1_800.0
    base = make_result(n_bars)
    account = _Isolated(float(mark[0]))
    stamps_ms = START_MS + HOUR_MS * np.arange(n_bars + 1, dtype=np.int64)
    index = pd.DatetimeIndex(pd.to_datetime(stamps_ms, unit="ms", utc=True), name="time")
    rows = [account.row(mark[0], mark[0], mark[0])]
    for bar in range(n_bars):
        moment = index[bar]
        if bar % 8 == 0:
            account.fund(moment, float(mark[bar]), 1e-4)
        if added is not None and added[0] == bar:
            account.add(moment, added[1])
        if sold is not None and sold[0] == bar and account.quantity:
            account.sell(moment, sold[1], float(mark[bar]))
        low, high = (f(mark[bar], mark[bar + 1]) * (1 + r) for f, r in ((min, -0.003), (max, 3e-3)))
        account.survive(moment, low)
        rows.append(account.row(mark[bar + 1], low, high))
    frame = pd.DataFrame(rows, index=index)
    equity = frame["equity_spot"] + frame["equity_perpetual"]
    curve = equity.to_numpy(dtype=np.float64)
    metrics = measure(curve, stamps_ms, exposure=np.ones(n_bars + 1))
    curves = {"equity": equity, "cash": frame["equity_spot"], "exposure": 1.0, "benchmark": equity}
    parts = {**account.parts, "market": float(curve[-1] - curve[0] - sum(account.parts.values()))}
    return replace(
        base,
        recipe=make_margin_recipe(n_bars, guards=guards),
        agent="agents.reduce_at_margin_ratio",
        strategy="strategies.margin_protection",
        metrics=metrics,
        benchmark=metrics,
        equity=pd.DataFrame(curves, index=index),
        prices=pd.DataFrame({PERPETUAL: mark}, index=index),
        fills=_with_time(pd.DataFrame(account.fills, columns=list(Fill._fields))),
        trades=base.trades.iloc[:0],
        ledger=pd.DataFrame(columns=["time", "transaction", "kind", "asset", "amount"]),
        perpetual=frame,
        margin_liquidations=_to_frame(account.struck, _STRUCK),
        funding=_to_frame(account.funding, _FUNDED),
        transfers=_to_frame(
            account.moved, ("time", "sent_ms", "source", "target", "amount", "cost")
        ),
        parts=parts,
    )


_FUNDED = ("time", "symbol", "rate", "mark", "quantity", "amount")
_STRUCK = (
    "time", "symbol", "tier", "quantity", "price", "fee", "pnl", "insurance", "margin_ratio",
    "left",
)  # fmt: skip


def _to_frame(rows: list[tuple[object, ...]], names: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(names))
    return frame.assign(time=pd.to_datetime(frame["time"], utc=True))


class _Isolated:
    """One isolated long with 1 % of maintenance, and a reserve on the spot side."""

    def __init__(self, entry: float) -> None:
        self.quantity, self.entry = QUANTITY, entry
        self.margin, self.reserve = QUANTITY * entry / LEVERAGE, RESERVE
        self.fills: list[Fill] = []
        self.struck: list[tuple[object, ...]] = []
        self.funding: list[tuple[object, ...]] = []
        self.moved: list[tuple[object, ...]] = []
        names = ("trading_fees", "slippage", "funding", "liquidation_fees", "insurance")
        self.parts = dict.fromkeys((*names, "transfers"), 0.0)

    def balance(self, mark: float) -> float:
        return self.margin + self.quantity * (mark - self.entry)

    def ratio(self, mark: float) -> float:
        if not self.quantity:
            return 0.0
        held = self.balance(mark)
        return _RATE * self.quantity * mark / held if held > 0 else float("inf")

    def liquidation_price(self) -> float:
        if not self.quantity:
            return float("nan")
        return (self.quantity * self.entry - self.margin) / (self.quantity * (1 - _RATE))

    def fund(self, moment: pd.Timestamp, mark: float, rate: float) -> None:
        if self.quantity:
            paid = self.quantity * mark * rate
            self.margin -= paid
            self.parts["funding"] -= paid
            self.funding.append((moment, PERPETUAL, rate, mark, self.quantity, -paid))

    def add(self, moment: pd.Timestamp, amount: float) -> None:
        self.margin, self.reserve = self.margin + amount, self.reserve - amount - 1.0
        self.parts["transfers"] -= 1.0
        sent_ms = int(moment.value // 10**6)
        self.moved.append((moment, sent_ms, "spot", "perpetual", amount, 1.0))

    def sell(self, moment: pd.Timestamp, quantity: float, mark: float) -> None:
        """Close a part; its margin, profit and loss go to the reserve, of which the fee is paid."""
        fee, back = quantity * mark * 5e-4, self.margin * quantity / self.quantity
        self.reserve += back + quantity * (mark - self.entry) - fee
        self.margin, self.quantity = self.margin - back, self.quantity - quantity
        self.parts["trading_fees"] -= fee
        self._fill(moment, (-quantity, mark, fee), "market_open")

    def survive(self, moment: pd.Timestamp, low: float) -> None:
        """Close everything at the liquidation price where the bar comes to it."""
        if not (self.quantity and self.ratio(low) >= 1):
            return
        moment += pd.Timedelta(minutes=30)
        price, quantity = self.liquidation_price(), self.quantity
        fee, pnl = quantity * price * _LIQUIDATION_FEE, quantity * (price - self.entry)
        left = self.margin + pnl - fee
        insurance = max(-left, 0.0)
        self._fill(moment, (-quantity, price, fee), "liquidation")
        self.struck.append((moment, PERPETUAL, 1, -quantity, price, fee, pnl, insurance, 1.0, 0.0))
        self.parts["liquidation_fees"] -= fee
        self.parts["insurance"] += insurance
        self.reserve += max(left, 0.0)
        self.quantity, self.margin, self.entry = 0.0, 0.0, 0.0

    def row(self, mark: float, low: float, high: float) -> dict[str, float]:
        funding = self.parts["funding"]
        is_struck = bool(self.struck) and not self.quantity
        worst = 1.0 if is_struck else max(self.ratio(mark), self.ratio(low))
        return {
            "equity_spot": self.reserve,
            "equity_perpetual": self.balance(mark),
            "equity_loan": float("nan"),
            "wallet": self.margin,
            "available": 0.0,
            "unrealised": self.quantity * (mark - self.entry),
            "maintenance": _RATE * self.quantity * mark,
            "margin_ratio": self.ratio(mark),
            "worst_margin_ratio": worst,
            "margin_ratio_best": self.ratio(mark) * 0.98,
            "funding": funding,
            f"mark:{PERPETUAL}": mark,
            f"mark_low:{PERPETUAL}": low,
            f"mark_high:{PERPETUAL}": high,
            f"quantity:{PERPETUAL}": self.quantity,
            f"entry:{PERPETUAL}": self.entry or float("nan"),
            f"liquidation_price:{PERPETUAL}": self.liquidation_price(),
        }

    def _fill(self, moment: pd.Timestamp, what: tuple[float, float, float], rule: str) -> None:
        quantity, price, fee = what
        time_ms = int(moment.value // 10**6)
        number = "liquidation" if rule == "liquidation" else str(len(self.fills) + 1)
        self.fills.append(
            Fill(
                time_ms=time_ms,
                bar_ms=time_ms,
                order_id=number,
                symbol=PERPETUAL,
                quantity=quantity,
                price=price,
                raw_price=price,
                trigger_price=float("nan"),
                slippage=0.0,
                fee=fee,
                liquidity="taker",
                rule=rule,
                is_ambiguous=False,
            )
        )
