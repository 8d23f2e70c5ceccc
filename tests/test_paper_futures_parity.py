"""A futures session as a result, and against the backtest engine: what differs has a why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from linear_sandboxes import PERP, funding, perpetuals
from paper_sessions import keys
from test_paper_futures_session import FALL, GUARDING, QUIET, TRADING, Scripted, session

from seawall.analysis.report import write_report
from seawall.paper.journal import PaperJournal
from seawall.paper.outcome import session_result
from seawall.paper.parity import replay
from seawall.paper.places import JOURNAL
from seawall.paper.record import Record
from seawall.sandbox.contract import make_contract
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return an exchange with funding every hour, in the middle of a bar."""
    keys(monkeypatch)
    rates = funding([0.001] * 24, first_ms=int(QUIET.time_ms[0]), interval="1h")
    made = perpetuals(QUIET, contract=make_contract(QUIET, funding=rates))
    with ServerThread(Server(made)) as running:
        running.step(50 * MINUTE_MS + 30_000)
        yield running


class Weights:
    """An agent that goes from weight to weight by the minute."""

    def decide(self, observation: Any) -> dict[str, float] | None:
        """Return the next weight at every fourth minute."""
        minute = observation.time_ms // MINUTE_MS
        return {PERP: (1.0, 2.0, -1.0, 0.5)[minute // 4 % 4]} if minute % 4 == 0 else None


def test_a_session_is_a_result_and_is_replayed(thread: ServerThread, tmp_path: Path) -> None:
    """Equity is the exchange's, the parts are its incomes; the replay decides alike."""
    run = session(thread, tmp_path, TRADING)
    run.go(24, agent=Weights())
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        result = session_result(record)
        last = journal.values(1)[-1]
        assert result.equity.equity.iloc[-1] == pytest.approx(last[1], rel=1e-9)
        assert len(result.funding) == 1
        assert result.funding.rate.tolist() == [0.001]
        assert result.parts["funding"] == pytest.approx(result.funding.amount.sum())
        assert result.parts["trading_fees"] == pytest.approx(-result.fills.fee.sum(), abs=1e-6)
        assert sum(result.parts.values()) == pytest.approx(
            result.equity.equity.iloc[-1] - result.equity.equity.iloc[0]
        )
        frame = result.perpetual
        assert frame[f"quantity:{PERP}"].abs().max() > 5
        assert (frame["margin_ratio"] > 0).any()
        write_report(result, tmp_path / "report.html")
        folder = result.save(tmp_path / "result")
        assert type(result).load(folder).metrics == result.metrics
        parity = replay(record, agent=Weights())
        assert len(parity.decisions) >= 23
        assert [pair for pair in parity.decisions if pair.why] == []
        assert len(parity.fills) >= 5
        for pair in parity.fills:
            assert pair.recorded is not None
            assert pair.replayed is not None
            assert not pair.why or "price" in pair.why or "size" in pair.why
        assert parity.equity == pytest.approx(parity.replayed_equity, rel=5e-3)
        (paid,) = parity.events
        assert paid.recorded.startswith("received")
        assert paid.replayed.startswith("received")
        assert not paid.why or "another mark" in paid.why


@pytest.mark.slow
def test_a_guarded_position_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay begins with the position that was there, and lives through the same marks."""
    keys(monkeypatch)
    with ServerThread(Server(perpetuals(FALL))) as thread:
        thread.step(10 * MINUTE_MS + 30_000)
        run = session(thread, tmp_path, GUARDING)
        run.go(26, opens=True)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        parity = replay(record)
        assert parity.fills
        assert all(pair.why for pair in parity.decisions if pair.recorded != pair.replayed
                   and pair.recorded is None)  # fmt: skip
        assert parity.equity == pytest.approx(parity.replayed_equity, rel=5e-3)
        result = session_result(record)
        assert result.margin_liquidations.empty
        assert result.perpetual["margin_ratio"].max() < 1


@pytest.mark.slow
def test_a_liquidation_is_in_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fills, and what the exchange took for it; the replay is liquidated too."""
    keys(monkeypatch)
    with ServerThread(Server(perpetuals(FALL))) as thread:
        thread.step(10 * MINUTE_MS + 30_000)
        run = session(thread, tmp_path, GUARDING)
        run.go(26, agent=Scripted(), opens=True)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        result = session_result(record)
        assert result.margin_liquidations.quantity.sum() == pytest.approx(-1.0)
        assert result.parts["liquidation_fees"] < 0
        parity = replay(record, agent=Scripted())
        assert parity.equity == pytest.approx(parity.replayed_equity, rel=5e-3)
