"""Markets for shadow sessions of loans and perpetuals, and the recipes that are put on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from linear_sandboxes import DEEP, NO_LIMITS, PERP, funding, glide, mark_as
from paper_sessions import FREE, Run
from sandbox_clients import START_MS, exchange

from seawall.engine.components import make_agent
from seawall.engine.run import play_once
from seawall.engine.world import build_world
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray, SeriesKey, Signal
from seawall.paper.journal import PaperJournal
from seawall.paper.limits import Limits
from seawall.paper.outcome import session_result, to_candles
from seawall.paper.parity import Parity, replay
from seawall.paper.places import JOURNAL
from seawall.paper.record import Record
from seawall.paper.shadow_funding import mark_name, recorded_settled
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.sandbox.contract import make_contract
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS, is_perpetual, to_time_text

SPOT = "ETH/USDT"
MARKET = {
    "venue": "simulated", "timeframe": "1m", "since": "2025-01-01", "until": "2025-02-01",
    "warmup": "20m",
}  # fmt: skip
LOAN = {
    "collateral": "WETH", "debt": "USDC", "equity": 10.0, "leverage": 2.2,
    "wallet": {"ETH": 3.0, "USDC": 2000}, "gas": {"source": "model"},
}  # fmt: skip
BEGIN = 50  # bars that have closed when a session begins
CRASH = [3000.0] * 6 + [2700.0, 2400.0, 2450.0, 2000.0, 2300.0]
DEEP_CRASH = [3000.0] * 6 + [2700.0, 2300.0, 1800.0, 1700.0, 1750.0]


def recipe(job: str, agent: str | dict[str, Any], *symbols: str, **sections: Any) -> Recipe:
    """Return a recipe on one-minute bars."""
    named = agent if isinstance(agent, dict) else {"name": f"agents.{agent}"}
    return Recipe.from_dict(
        {
            "name": job,
            "market": {**MARKET, "symbols": list(symbols)},
            "agent": named,
            "strategy": {"name": f"strategies.{job}"},
            **sections,
        }
    )


POSITION = {"margin": "isolated", "position": {"quantity": 10.0, "leverage": 5.0}}
GUARD = recipe(
    "margin_protection", "reduce_at_margin_ratio", PERP, account={"cash": 2000}, perpetual=POSITION
)
UNGUARDED = recipe(
    "margin_protection", "do_nothing", PERP, account={"cash": 2000}, perpetual=POSITION
)
FUTURES = recipe(
    "futures_trading", {"name": "agents.sma_cross", "fast": 3, "slow": 9}, PERP,
    account={"cash": 10_000},
).with_settings({"strategy.leverage": 2.0})  # fmt: skip
CARRY = recipe(
    "funding_carry",
    {"name": "agents.funding_threshold", "enter": -99.0, "leave": -99.0, "n": 1},
    SPOT, PERP, account={"cash": 100_000},
)  # fmt: skip
LENT = recipe("liquidation_protection", "defi_saver", SPOT, loan=LOAN)
UNTENDED = recipe("liquidation_protection", "do_nothing", SPOT, loan=LOAN)
HEDGE = recipe(
    "hedged_loan", {"name": "agents.hedge_on_drawdown", "leverage": 5.0}, SPOT, PERP,
    account={"cash": 12_000}, loan=LOAN, perpetual={"margin": "cross"},
)  # fmt: skip


def serve(points: list[float] = CRASH, per_leg: int = 10, rate: float = 0.001) -> ServerThread:
    """Return an exchange with ETH and its perpetual, whose mark lies above it; funded every hour.

    It is started by whoever gets it.
    """
    contract = glide(points, per_leg)
    mark = mark_as(contract, [round(p * 1.0002, 2) for p in [points[0], *contract.close]])
    terms = make_contract(
        contract, mark=mark, funding=funding([rate] * 24, first_ms=START_MS, interval="1h")
    )
    made = exchange(
        glide(points, per_leg, SPOT), contract,
        liquidity=DEEP, settings=NO_LIMITS, contracts={PERP: terms},
    )  # fmt: skip
    return ServerThread(Server(made))


@contextmanager
def session(folder: Path, of: Recipe, *, limits: Limits = FREE, **how: Any) -> Iterator[Run]:
    """Return sessions of a recipe in a folder, on an exchange in the middle of a bar.

    Fifty bars have closed before it, so that there is a warm-up.

    ``how``: of ``serve``.
    """
    with serve(**how) as thread:
        thread.step(BEGIN * MINUTE_MS + 30_000)
        run = Run(thread, folder, recipe=of, limits=limits)
        run.step_ms = MINUTE_MS
        yield run


def run_in(folder: Path, of: Recipe, *parts: int, **how: Any) -> Run:
    """Return a session that was started once for each part, and ran for as many bars.

    ``how``: of ``serve``.
    """
    with session(folder, of, **how) as run:
        for n_bars in parts:
            run.go(n_bars)
    return run


def compare(folder: Path, **how: Any) -> Parity:
    """Return the parity of the session of a folder."""
    with PaperJournal(folder / JOURNAL) as journal:
        return replay(Record(journal), **how)


def result_of(folder: Path) -> Result:
    """Return the result of the session of a folder."""
    with PaperJournal(folder / JOURNAL) as journal:
        return session_result(Record(journal))


def told(folder: Path) -> tuple[Any, ...]:
    """Return decisions, fills, values and entries of all sessions, as two runs are compared."""
    with PaperJournal(folder / JOURNAL) as journal:
        record = Record(journal)
        numbers = [one.number for one in record.sessions()]
        decisions = [(d.time_ms, d.decision, d.error) for d in record.decisions(numbers)]
        values = sorted({value for one in numbers for value in record.journal.values(one)})
        return decisions, record.journal.fills(), values, record.entries()


def entries_of(folder: Path, *kinds: str) -> list[str]:
    """Return what the journal says of some kinds, in order."""
    with PaperJournal(folder / JOURNAL) as journal:
        return [one.text for one in Record(journal).entries() if one.kind in kinds]


def notes_of(folder: Path, kind: str) -> list[str]:
    """Return the notes of a kind."""
    with PaperJournal(folder / JOURNAL) as journal:
        return [note.text for note in journal.notes(kind)]


def backtest_of(folder: Path, catalog: Catalog) -> FloatArray:
    """Return the equity of an ordinary backtest over the series that a session has recorded.

    The recipe is the session's, with what a backtest has to be told: the window, and the price at
    which a position is entered.
    """
    with PaperJournal(folder / JOURNAL) as journal:
        record = Record(journal)
        first = record.sessions()[0]
        market, setup = first.recipe.market, first.setup
        spot = {one: record.candles(one, market.timeframe) for one in market.symbols}
        for symbol, rows in spot.items():
            key = SeriesKey("candles", "binance", symbol, market.timeframe)
            grid = setup.grids()[symbol]
            catalog.write(to_candles(key, rows), fetched_ms=None, filters=grid)
        for symbol in filter(is_perpetual, market.symbols):
            rows = record.candles(mark_name(symbol), market.timeframe)
            key = SeriesKey("mark", "binance", symbol, market.timeframe)
            catalog.write(to_candles(key, rows), fetched_ms=None)
            settled = recorded_settled(journal, symbol)
            times = np.array([one.time_ms for one in settled], dtype=np.int64)
            rates = np.array([one.rate for one in settled])
            key = SeriesKey("funding", "binance", symbol, "8h")
            catalog.write(
                Signal(key=key, time_ms=times, known_ms=times, value=rates), fetched_ms=None
            )
    opens = [row.time_ms for rows in spot.values() for row in rows]
    changes: dict[str, object] = {
        "market.venue": "binance",
        "market.warmup": "21m",  # a session has the bar that was forming as it began beside its own
        "market.since": to_time_text(setup.since_ms),
        "market.until": to_time_text(max(opens) + MINUTE_MS),
    }
    if PERP in spot:
        changes |= {"perpetual.brackets.missing": "nearest", "perpetual.funding.interval": "1h"}
        changes |= {"perpetual.funding.missing": "zero"}
    if first.recipe.perpetual is not None and first.recipe.perpetual.position is not None:
        before = [row.close for row in spot[PERP] if row.time_ms < setup.since_ms]
        changes["perpetual.position.entry"] = before[-1]
    told = first.recipe.with_settings(changes)
    world = build_world(told, catalog, offline=True)
    return play_once(world, told, make_agent(told)).curve.equity
