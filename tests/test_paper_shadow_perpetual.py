"""Shadow sessions of perpetuals: guarded, traded, carried, liquidated, stopped, gone on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_sandboxes import PERP
from paper_sessions import FREE
from shadow_markets import (
    BEGIN,
    CARRY,
    DEEP_CRASH,
    FUTURES,
    GUARD,
    SPOT,
    UNGUARDED,
    backtest_of,
    compare,
    entries_of,
    notes_of,
    recipe,
    result_of,
    run_in,
    session,
    told,
)

from seawall.analysis.report import write_report
from seawall.engine.perpetual.standing import PerpetualStanding
from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.paper import shadow_funding, shadow_standing
from seawall.paper.calls import Calls
from seawall.paper.candles import CandleSource
from seawall.paper.errors import JournalError
from seawall.paper.faults import ExchangeFault, Fault
from seawall.paper.gauges import DISTANCE, RATIO
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.places import JOURNAL, SWITCH
from seawall.paper.plan import Plan
from seawall.paper.record import Record
from seawall.paper.shadow_funding import (
    FundingSource,
    Settled,
    ShadowGate,
    mark_name,
    recorded_settled,
)
from seawall.paper.status import read_status
from seawall.units import HOUR_MS, MINUTE_MS
from seawall.venues.futures_tape import Stamp, Tape

pytestmark = pytest.mark.slow  # whole sessions and processes

N_BARS = 45


def record_of(folder: Path) -> dict[str, Any]:
    """Return what the first start of a folder's session held to."""
    with PaperJournal(folder / JOURNAL) as journal:
        return dict(Record(journal).sessions()[0].setup.world["perpetual"])


# What is the same as in a backtest ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "n_bars", "n_fills"),
    [
        (GUARD, 30, 1),
        (CARRY, 20, 2),
        (FUTURES, 30, 1),
    ],
    ids=["guard", "carry", "trade"],
)
def test_a_shadow_of_perpetuals_is_a_backtest(
    tmp_path: Path, of: Any, n_bars: int, n_fills: int
) -> None:
    """Started twice: decisions, fills, funding and transfers as replayed, the account to the bit,
    also in the result and in an ordinary backtest over the same series; the mark and the hourly
    funding are the exchange's.
    """  # noqa: D205 - one sentence, over two lines
    run_in(tmp_path, of, n_bars // 2, n_bars - n_bars // 2)
    parity = compare(tmp_path)
    assert parity.differences == []
    assert len(parity.fills) >= n_fills
    assert parity.equity == parity.replayed_equity
    result = result_of(tmp_path)
    assert float(result.equity.equity.iloc[-1]) == parity.equity
    alone = backtest_of(tmp_path, Catalog(tmp_path / "catalog"))
    assert np.array_equal(alone, result.equity.equity)
    assert record_of(tmp_path)["sources"] == {PERP: "series"}
    assert record_of(tmp_path)["intervals_ms"] == [HOUR_MS]
    mark, last = result.perpetual[f"mark:{PERP}"].iloc[1:], result.prices[PERP].iloc[1:]
    assert np.allclose(mark / last, 1.0002, atol=1e-5)
    if of is GUARD:
        assert sum("rate 0.001" in text for text in entries_of(tmp_path, "funding")) == 1
        (mark,) = result.funding["mark"]
        assert mark == 2700.54  # that of minute 60: 1.0002 times 2,700


@pytest.mark.slow
def test_a_report_is_made_of_it(tmp_path: Path) -> None:
    """The page of a guarded position, with what the session assumes."""
    run_in(tmp_path, GUARD, 30)
    result = result_of(tmp_path)
    assert "paper: local perpetual shadow" in result.labels
    assert any("entered at its last price" in label for label in result.labels)
    page = write_report(result, tmp_path / "report.html").read_text("utf-8")
    assert "margin ratio" in page.lower()


@pytest.mark.slow
def test_stopped_and_started_it_is_as_if_it_had_run_through(tmp_path: Path) -> None:
    """Three starts decide, fill and pay as one does, spot and perpetual together."""
    run_in(tmp_path / "whole", CARRY, 30)
    run_in(tmp_path / "parts", CARRY, 8, 13, 9)
    assert told(tmp_path / "parts") == told(tmp_path / "whole")


class _KilledError(BaseException):
    """What a test raises in place of a kill."""


@pytest.mark.slow
def test_killed_anywhere_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended without a goodbye at random writes: the same decisions, fills, funding and values."""
    run_in(tmp_path / "whole", GUARD, 25)
    rng, real = np.random.default_rng(3), PaperJournal.transaction
    left = [int(rng.integers(30, 90))]

    def failing(self: PaperJournal) -> Any:
        left[0] -= 1
        if left[0] == 0:
            left[0] = int(rng.integers(30, 90))
            raise _KilledError
        return real(self)

    n_killed = 0
    with session(tmp_path / "killed", GUARD) as run:
        end_ms = run.clock() + 25 * MINUTE_MS
        while run.clock() < end_ms:
            try:
                with monkeypatch.context() as patch:
                    patch.setattr(PaperJournal, "transaction", failing)
                    run.go(-(-(end_ms - run.clock()) // MINUTE_MS))
            except _KilledError:
                n_killed += 1
    assert n_killed > 1
    assert told(tmp_path / "killed") == told(tmp_path / "whole")


# Liquidation --------------------------------------------------------------------------------------


def test_a_liquidation_is_an_event(tmp_path: Path) -> None:
    """Nobody guards it: it is closed at the mark, noted with what was closed, shown, and replayed;
    afterwards there is nothing that could be liquidated.
    """  # noqa: D205
    seen: list[dict[str, float]] = []
    with session(tmp_path / "whole", UNGUARDED, points=DEEP_CRASH) as run:
        run.go(8)
        seen.append(dict(read_status(tmp_path / "whole").gauges))
        run.go(24)
    assert seen[0][RATIO] > 0
    assert 0 < seen[0][DISTANCE] < 0.2
    (note,) = notes_of(tmp_path / "whole", "liquidated")
    assert note.startswith(f"{PERP} closed -10.0 at the mark of 2")
    status = read_status(tmp_path / "whole")
    assert status.gauges == {}
    assert any(one.kind == "liquidated" for one in status.troubles)
    parity = compare(tmp_path / "whole")
    assert parity.agrees
    assert any("closed -10.0" in pair.replayed for pair in parity.events)
    assert len(result_of(tmp_path / "whole").margin_liquidations) == 1


def test_an_event_that_was_changed_is_found(tmp_path: Path) -> None:
    """One funding payment of the record altered: it is named."""
    run_in(tmp_path, GUARD, 15)
    with PaperJournal(tmp_path / JOURNAL) as journal, journal.transaction() as database:
        database.execute("UPDATE entries SET text = 'rate 0.002' WHERE kind = 'funding'")
    (pair,) = compare(tmp_path).differences
    assert pair.why.startswith("funding differs: rate 0.002, in the replay rate 0.001")


def test_a_restart_that_comes_to_another_account_is_refused(tmp_path: Path) -> None:
    """One value of the record altered: the bars that are run again do not lead to it."""
    with session(tmp_path, GUARD) as run:
        run.go(4)
        with PaperJournal(tmp_path / JOURNAL) as journal, journal.transaction() as database:
            database.execute("UPDATE equity SET equity = equity + 1e-9")
        with pytest.raises(JournalError, match="must lead to the same account"):
            run.go(2)


# Limits and the kill switch -----------------------------------------------------------------------


@pytest.mark.slow
def test_limits_are_of_the_notional(tmp_path: Path) -> None:
    """Orders worth 20,000 of a contract are refused at 5,000; what reduces one is not."""
    limits = Limits(max_daily_loss=None, max_drawdown=None, max_order=5_000.0)
    with session(tmp_path / "trade", FUTURES, limits=limits) as run:
        run.go(N_BARS)
        assert read_status(tmp_path / "trade").n_fills == 0
        assert any("max_order" in pair.why for pair in compare(tmp_path / "trade").fills)
    with session(tmp_path / "guard", GUARD, limits=limits) as run:
        run.go(25)
    assert read_status(tmp_path / "guard").n_fills == 1  # worth more, and it reduces


def test_a_drawdown_ends_it_and_flattens(tmp_path: Path) -> None:
    """At half of the equity the session closes its position with a reduce-only order."""
    limits = Limits(max_daily_loss=None, max_drawdown=0.3)
    with session(tmp_path, UNGUARDED, limits=limits) as run:
        run.plan = Plan(**{**vars(run.plan), "watch": type(run.plan.watch)(on_halt="flatten")})
        assert run.go(N_BARS).startswith("max_drawdown")
    status = read_status(tmp_path)
    assert status.holdings[PERP] == 0
    assert status.n_fills == 1
    assert notes_of(tmp_path, "liquidated") == []


def test_told_to_flatten_it_closes_and_a_restart_agrees(tmp_path: Path) -> None:
    """The switch is pressed: the position is closed at the next open; started again, the recorded
    bars close it again, and the account is the same.
    """  # noqa: D205
    switch = KillSwitch(tmp_path / SWITCH)
    with session(tmp_path, UNGUARDED) as run:
        press_ms = run.clock() + 8 * MINUTE_MS
        why = run.go(20, at_turn=lambda now: switch.press("flatten") if now >= press_ms else None)
        assert why == "the kill switch says flatten"
        assert notes_of(tmp_path, "ending")[1:] == [f"closed at the next open: {PERP}", "flat"]
        before = told(tmp_path)
        switch.release()
        run.go(2)
    after = told(tmp_path)
    assert after[1] == before[1]
    assert after[2][: len(before[2])] == before[2]
    assert read_status(tmp_path).holdings[PERP] == 0
    assert float(result_of(tmp_path).equity.equity.iloc[-1]) == after[2][-1][1]


# What an exchange does not tell -------------------------------------------------------------------


def test_funding_that_is_not_told_is_waited_for_then_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange is silent about the settlement of minute 60: the bar waits a minute, the last
    rate stands in, which is noted, and a replay pays the same.
    """  # noqa: D205
    real = shadow_funding.read_settled

    def silent(calls: Any, symbol: str, since_ms: int | None) -> list[Settled]:
        if since_ms is None:
            return real(calls, symbol, since_ms)
        raise ExchangeFault(Fault(cause="unknown", text="silent"), "silent")

    monkeypatch.setattr(shadow_funding, "read_settled", silent)
    run_in(tmp_path, GUARD, 15)
    assert [text for text in notes_of(tmp_path, "fault") if "last rate stands in" in text]
    with PaperJournal(tmp_path / JOURNAL) as journal:
        (settled,) = recorded_settled(journal, PERP)
    assert settled.is_assumed
    assert settled.rate == 0.0  # none was settled before
    assert compare(tmp_path).agrees


def test_funding_is_told_before_its_bar_is_played() -> None:
    """A bar with a settlement is held back until the exchange has told it; others are not."""
    source = FundingSource(None, PERP, HOUR_MS)
    assert not source.lacks(MINUTE_MS, HOUR_MS)
    assert source.lacks(HOUR_MS, HOUR_MS + MINUTE_MS)
    assert source.lacks(HOUR_MS - MINUTE_MS, HOUR_MS + 1)
    source.ask(HOUR_MS, HOUR_MS + MINUTE_MS)
    assert not source.lacks(HOUR_MS, HOUR_MS + MINUTE_MS)
    assert source.between(0, 2 * HOUR_MS) == [Settled(HOUR_MS, 0.0)]
    gate = ShadowGate([], [source], on_assumed=lambda _text: None)
    assert gate.settled(2 * HOUR_MS, 0) == {PERP: [Settled(HOUR_MS, 0.0)]}
    gate.since_ms = HOUR_MS + 1
    assert gate.settled(2 * HOUR_MS, 0) == {PERP: []}


def test_without_marks_the_last_price_is_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exchange that lists none: labelled, and the same when replayed; who wants them is told."""
    monkeypatch.setattr(shadow_standing, "has_marks", lambda _exchange: False)
    run_in(tmp_path, GUARD, 12)
    result = result_of(tmp_path)
    assert any("lists no candles of its marks" in label for label in result.labels)
    assert result.perpetual[f"mark:{PERP}"].iloc[-1] == result.prices[PERP].iloc[-1]
    assert compare(tmp_path).agrees
    with pytest.raises(RecipeError, match="lists no candles of its marks"):
        run_in(tmp_path / "no", GUARD.with_settings({"perpetual.mark.source": "series"}), 2)


@pytest.mark.slow
def test_a_rate_of_the_recipe_is_paid(tmp_path: Path) -> None:
    """With a rate of its own no funding is asked for."""
    given = GUARD.with_settings(
        {
            "perpetual.funding.source": "rate",
            "perpetual.funding.rate": 0.0005,
            "perpetual.funding.interval": "1h",
        }
    )
    run_in(tmp_path, given, 15)
    (text,) = entries_of(tmp_path, "funding")
    assert text.startswith("rate 0.0005")
    assert compare(tmp_path).agrees


@pytest.mark.slow
def test_a_mark_that_comes_late_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mark stays away beyond the gate's patience: its step keeps the mark before, in the
    session as in the replay.
    """  # noqa: D205
    real = shadow_funding.MarkSource.fresh
    hidden = [0, 0]

    def fresh(self: Any) -> Any:
        if self._calls.clock() < hidden[1] and hidden[0]:
            return []
        return real(self)

    monkeypatch.setattr(shadow_funding.MarkSource, "fresh", fresh)
    with session(tmp_path, GUARD) as run:
        hidden[:] = [1, run.clock() + 4 * MINUTE_MS + 20_000]
        run.step_ms = MINUTE_MS // 4
        run.go(10)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        marks = record.candles(mark_name(PERP), "1m")
        bars = record.candles(PERP, "1m")
    assert len(marks) < len(bars)
    parity = compare(tmp_path)
    assert parity.agrees
    assert parity.equity == parity.replayed_equity


# What is refused ----------------------------------------------------------------------------------


def test_a_position_that_could_not_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    """Beyond the brackets, or liquidated at once: said before the session begins."""
    large = GUARD.with_settings({"perpetual.position.quantity": 1e6})
    with pytest.raises(RecipeError, match="may have a notional below"):
        run_in(tmp_path / "large", large, 2)
    high = GUARD.with_settings({"perpetual.position.leverage": 500.0})
    with pytest.raises(RecipeError, match="the highest leverage"):
        run_in(tmp_path / "high", high, 2)
    drowned = GUARD.with_settings({"perpetual.position.entry": 4_000.0})
    with pytest.raises(RecipeError, match="liquidated at once"):
        run_in(tmp_path / "drowned", drowned, 2)


def test_two_markets_are_two_venues(tmp_path: Path) -> None:
    """Spot is asked at the spot market and contracts at the linear one, each with its own list."""
    plan = Plan(recipe=CARRY, style="shadow", exchange="binance", folder=tmp_path, limits=FREE)
    assert plan.markets == ("spot", "perpetual")
    assert plan.venue.hosts == ("api.binance.com",)
    assert plan.venue_of("perpetual").hosts == ("fapi.binance.com",)
    alone = recipe("futures_trading", "buy_and_hold", PERP)
    single = Plan(recipe=alone, style="shadow", exchange="bybit", folder=tmp_path)
    assert single.markets == ("perpetual",)
    assert SPOT in CARRY.market.symbols


# What grows ---------------------------------------------------------------------------------------


def test_a_tape_that_grows_is_the_whole_tape() -> None:
    """Steps added one by one, over a block: equal to a tape made at once, nan beyond the last."""
    rng = np.random.default_rng(1)
    n = 5_000
    marks = 100 + rng.normal(size=(n, 2, 4)).cumsum(axis=0) * 0.01
    marks.sort(axis=2)
    marks = marks[:, :, [1, 3, 0, 2]]
    stamps = [Stamp(k, k * MINUTE_MS, k % 2, 1e-4 * k, 100.0) for k in range(0, n, 480)]
    tables = [(0, np.zeros((2, 1, 5)))]
    whole = Tape(marks=marks, stamps=stamps, epochs=tables, is_worst=True)
    grown = Tape(marks=marks[:2], stamps=stamps[:1], epochs=tables, is_worst=True)
    for step in range(2, n):
        grown.step = step - 1
        grown.extend(marks[step], [one for one in stamps if one.step == step])
    assert grown.n_steps == whole.n_steps == n
    for name in ("opens", "highs", "lows", "closes", "least", "most"):
        assert np.array_equal(getattr(grown, name)[:n], getattr(whole, name))
        assert np.isnan(getattr(grown, name)[n:]).all()
    for name in ("columns", "least_columns", "most_columns"):
        assert getattr(grown, name) == getattr(whole, name)
    until_ms = n * MINUTE_MS
    assert np.array_equal(grown.find_rates(until_ms), whole.find_rates(until_ms), equal_nan=True)


def test_what_it_holds_to_is_kept_to_the_bit(tmp_path: Path) -> None:
    """Brackets, intervals and sources are read back as they were found."""
    run_in(tmp_path, GUARD, 2)
    values = record_of(tmp_path)
    again = PerpetualStanding.from_dict(values)
    assert again.to_dict() == values
    assert np.isinf(again.tables).any() or again.tables[0, -1, 1] > 1e6
    assert BEGIN > 20  # the warm-up is full


class _ShortPages:
    """An exchange that lists at most three candles at a time."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = rows
        self.last_json_response: Any = None

    def fetch_ohlcv(self, _symbol: str, _timeframe: str, since_ms: int, _limit: int) -> Any:
        """Return a page."""
        self.last_json_response = [row for row in self.rows if row[0] >= since_ms][:3]
        return self.last_json_response


def test_pages_that_are_shorter_than_asked_are_all_read() -> None:
    """Exchanges cap their pages as they like: ten candles are ten, in four pages."""
    rows = [[k * MINUTE_MS, 1.0, 1.0, 1.0, 1.0, 0.0] for k in range(11)]
    calls: Any = Calls.__new__(Calls)
    calls.exchange, calls.clock, calls.blocked_until_ms = (
        _ShortPages(rows),
        lambda: 10 * MINUTE_MS,
        0,
    )
    found = CandleSource(calls, PERP, "1m").history(10)
    assert [one.time_ms for one in found] == [k * MINUTE_MS for k in range(10)]
