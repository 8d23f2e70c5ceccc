"""A session against the backtest engine: equal in the shadow, explained in a sandbox."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import RECIPE, Run, keys
from sandbox_clients import START_MS, exchange, wavy

from seawall.engine.run import play_once
from seawall.market.catalog import Catalog
from seawall.paper.journal import PaperJournal
from seawall.paper.limits import Limits
from seawall.paper.outcome import find_run, recorded_world
from seawall.paper.parity import Parity, replay
from seawall.paper.places import JOURNAL
from seawall.paper.record import Record
from seawall.sandbox.opening import Opening, open_exchange
from seawall.sandbox.server import Server, ServerThread
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, to_time_ms

pytestmark = pytest.mark.slow  # whole sessions and processes

ETH, BTC = wavy(2_000), wavy(2_000, "BTC/USDT", 60_000.0)
SYMBOL = "ETH/USDT"
SAVER = RECIPE.with_settings({"agent.name": "agents.dca", "agent.every": "10m"})
PAIR = RECIPE.with_settings(
    {"market.symbols": [SYMBOL, "BTC/USDT"], "agent.name": "agents.rebalance"}
)


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange with two symbols in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH, BTC))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


def compare(folder: Path, **how: Any) -> Parity:
    """Return the parity of the session of a folder."""
    with PaperJournal(folder / JOURNAL) as journal:
        return replay(Record(journal), **how)


@pytest.mark.parametrize("recipe", [RECIPE, SAVER, PAIR], ids=["cross", "dca", "pair"])
def test_a_shadow_decides_and_fills_as_a_backtest(
    thread: ServerThread, tmp_path: Path, recipe: Any
) -> None:
    """Two hours, one or two symbols, an agent that sleeps: every decision identical, every fill
    equal to the bit.
    """  # noqa: D205 - one sentence, over two lines
    run = Run(thread, tmp_path, recipe=recipe)
    run.step_ms = MINUTE_MS
    run.go(120)
    parity = compare(tmp_path)
    assert len(parity.decisions) >= (12 if recipe is SAVER else 119)
    assert len(parity.fills) > 0
    assert parity.differences == []
    assert parity.equity == pytest.approx(parity.replayed_equity, rel=1e-12)


def test_parity_survives_restarts(thread: ServerThread, tmp_path: Path) -> None:
    """Three starts without a gap are one run."""
    run = Run(thread, tmp_path)
    for n_bars in (15, 15, 15):
        run.go(n_bars)
    parity = compare(tmp_path)
    assert parity.run.numbers == (1, 2, 3)
    assert parity.agrees


def test_a_gap_is_named(thread: ServerThread, tmp_path: Path) -> None:
    """Bars that closed while it was away were decided by nobody; the replay says so."""
    run = Run(thread, tmp_path)
    run.go(10)
    thread.step(10 * MINUTE_MS)
    run.go(10)
    parity = compare(tmp_path)
    away = [pair for pair in parity.decisions if pair.recorded is None]
    assert len(away) == 9
    assert all("away" in pair.why for pair in away)


def test_what_was_changed_is_found(thread: ServerThread, tmp_path: Path) -> None:
    """One price of one fill, and one decision, altered in the record: both are named."""
    Run(thread, tmp_path).go(30)
    with PaperJournal(tmp_path / JOURNAL) as journal, journal.transaction() as database:
        query = "SELECT key, payload FROM events WHERE kind = 'shadow fill' ORDER BY key LIMIT 1"
        key, payload = database.execute(query).fetchone()
        row = payload.strip("[]").split(", ")
        row[5] = str(float(row[5]) * 1.001)
        changed = f"[{', '.join(row)}]"
        database.execute("UPDATE events SET payload = ? WHERE key = ?", (changed, key))
        database.execute("UPDATE decisions SET actions = '[]' WHERE number = 3")
    parity = compare(tmp_path)
    assert len([pair for pair in parity.decisions if pair.why]) == 1
    (fill,) = [pair for pair in parity.fills if pair.why]
    assert "price" in fill.why
    assert "bp" in fill.why


class _Coin:
    """An agent that cannot be reproduced."""

    n = 0

    def decide(self, _observation: Any) -> float:
        """Return all or nothing, otherwise in each new agent."""
        _Coin.n += 1
        return float(_Coin.n // 7 % 2)


def test_an_agent_that_is_not_reproducible_is_named(thread: ServerThread, tmp_path: Path) -> None:
    """It saw the same and decided otherwise; later it sees another account."""
    Run(thread, tmp_path).go(25, agent=_Coin())
    parity = compare(tmp_path, agent=_Coin())
    whys = [pair.why for pair in parity.decisions if pair.why]
    assert "not reproducible" in whys[0]
    assert any("another account" in why for why in whys)


def test_a_refusal_is_the_reason(thread: ServerThread, tmp_path: Path) -> None:
    """An order worth 10,000 was refused at a limit of 5,000: the replay, which has none, fills."""
    limits = Limits(max_order=5_000.0, max_drawdown=None)
    Run(thread, tmp_path, limits=limits).go(10)
    parity = compare(tmp_path)
    assert any("refused: max_order" in pair.why for pair in parity.fills)


def test_a_sandbox_differs_and_is_explained(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same decisions at first; each fill that differs has its reason: size, price, the spread."""
    keys(monkeypatch)
    Run(thread, tmp_path, style="sandbox").go(40)
    parity = compare(tmp_path)
    first = parity.decisions[0]
    assert first.why == ""
    differing = [pair for pair in parity.fills if pair.why]
    assert differing
    both = [pair for pair in differing if pair.recorded and pair.replayed]
    assert any("spread" in pair.why for pair in both)
    assert all(pair.why for pair in differing)


def test_the_replayed_world_is_what_was_seen(thread: ServerThread, tmp_path: Path) -> None:
    """Candles of warm-up and session, equal to the exchange's to the bit, and no more."""
    Run(thread, tmp_path).go(10)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        run = find_run(record)
        world = recorded_world(record, run)
        seen = world.candles[SYMBOL]
        assert seen.close.tolist() == ETH.close[80:110].tolist()
        assert seen.time_ms.tolist() == ETH.time_ms[80:110].tolist()
        assert play_once(world, run.recipe, _Coin()).n_decisions == 10


def test_a_recorded_day(shared_data: Path, tmp_path: Path) -> None:
    """5-minute ETH of 2024-08-05, the day of a crash, stepped: identical, equal, and the candles
    are the file's.
    """  # noqa: D205 - one sentence, over two lines
    path = shared_data / "candles" / "binance" / "ETH-USDT-5m.parquet"
    since_ms = to_time_ms("2024-08-05")
    opening = Opening(markets=(str(path),), since_ms=since_ms, speed=0.0)
    made, _ = open_exchange(opening, Catalog(tmp_path / "none"), now_ms=since_ms)
    recipe = RECIPE.with_settings({"market.timeframe": "5m", "market.warmup": "2h"})
    with ServerThread(Server(made)) as thread:
        run = Run(thread, tmp_path, recipe=recipe)
        run.step_ms = 5 * MINUTE_MS
        run.go(DAY_MS // MINUTE_MS)
    parity = compare(tmp_path)
    assert len(parity.decisions) >= 287
    assert len(parity.fills) > 50
    assert parity.differences == []
    source = made.all_markets[0].candles.between(since_ms, since_ms + DAY_MS)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        rows = Record(journal).candles(SYMBOL, "5m", since_ms)
    assert [row.close for row in rows] == source.close[: len(rows)].tolist()


@pytest.mark.slow
def test_a_whole_day_of_a_fast_exchange(tmp_path: Path) -> None:
    """1,440 minutes at high speed on an exchange that runs by itself: identical and equal."""
    made = exchange(ETH, start_ms=START_MS + HOUR_MS, speed=12_000.0)
    with ServerThread(Server(made)) as thread:
        run = Run(thread, tmp_path)
        run.step_ms = 0
        run.go(1_000_000, n_steps=DAY_MS // MINUTE_MS)
    parity = compare(tmp_path)
    assert len(parity.decisions) >= 1_415
    assert parity.differences == []
