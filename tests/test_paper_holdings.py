"""Coin that a shadow begins with: counted at the last price, kept over restarts, and replayed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import RECIPE, Run
from sandbox_clients import exchange, wavy

from seawall.errors import RecipeError
from seawall.paper.holdings import count_holdings
from seawall.paper.journal import PaperJournal
from seawall.paper.outcome import session_result
from seawall.paper.parity import replay
from seawall.paper.places import JOURNAL
from seawall.paper.plan import Plan
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.recipe import AccountSection
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

ETH, BTC = wavy(2_000), wavy(2_000, "BTC/USDT", 60_000.0)
PAIR = RECIPE.with_settings(
    {
        "market.symbols": ["ETH/USDT", "BTC/USDT"],
        "agent.name": "agents.rebalance",
        "account.initial_holdings": {"ETH": 1.5, "BTC": "25%"},
    }
)


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange with two symbols in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH, BTC))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


class _Seeing:
    """An agent that keeps what it owns at first, and sells half of its ETH at the third bar."""

    def __init__(self) -> None:
        self.n, self.first = 0, {}  # type: ignore[var-annotated]

    def decide(self, observation: Any) -> Any:
        """Look."""
        if not self.n:
            self.first = {
                "cash": observation.cash, "equity": observation.equity,
                **observation.quantities,
            }  # fmt: skip
        self.n += 1
        return {"ETH/USDT": 0.2, "BTC/USDT": 0.25} if self.n == 3 else None


def test_the_account_begins_with_them(thread: ServerThread, tmp_path: Path) -> None:
    """1.5 ETH beside the cash, and a quarter of 10,000 in BTC at the close of bar 99, free of
    charge: 7,500 cash; the replay decides and fills the same, the result begins with them.
    """  # noqa: D205
    agent = _Seeing()
    Run(thread, tmp_path, recipe=PAIR).go(12, agent=agent)
    coin = 2_500 / BTC.close[99]
    assert agent.first["cash"] == 7_500.0
    assert (agent.first["ETH/USDT"], agent.first["BTC/USDT"]) == (1.5, coin)
    worth = 7_500 + 1.5 * ETH.close[100] + coin * BTC.close[100]
    assert agent.first["equity"] == pytest.approx(worth, rel=1e-12)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        parity = replay(record, agent=_Seeing())
        result = session_result(record)
        values = journal.values(1)
    assert parity.agrees
    assert len(parity.fills) >= 1
    assert result.equity.equity.to_numpy()[1:] == pytest.approx(
        [value[1] for value in values[1:]], rel=1e-12
    )
    status = read_status(tmp_path)
    assert set(status.worth) == {"ETH/USDT", "BTC/USDT"}
    assert sum(status.worth.values()) + (status.cash or 0.0) == pytest.approx(status.equity)


def test_a_restart_has_them_once(thread: ServerThread, tmp_path: Path) -> None:
    """Three starts: counted at the price of the first, the account as if it had run through."""
    parts = Run(thread, tmp_path / "parts", recipe=PAIR)
    for n_bars in (5, 5, 5):
        parts.go(n_bars)
    with ServerThread(Server(exchange(ETH, BTC))) as other:
        other.step(100 * MINUTE_MS + 30_000)
        Run(other, tmp_path / "whole", recipe=PAIR).go(15)
    found = []
    for name in ("whole", "parts"):
        with PaperJournal(tmp_path / name / JOURNAL) as journal:
            numbers = [one.number for one in Record(journal).sessions()]
            found.append(sorted({value for one in numbers for value in journal.values(one)}))
            assert replay(Record(journal)).agrees
    assert found[0] == found[1]


def test_what_cannot_be_held_is_refused() -> None:
    """A coin that is not traded; shares that are more than the cash; a contract is no coin."""
    prices = {"ETH/USDT": 2_000.0, "BTC/USDT:USDT": 60_000.0}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"DOGE": 1.0}, "names DOGE"),
        ({"BTC": 1.0}, r"which is \['ETH'\]"),
        ({"ETH": "101%"}, "a share such as"),
    ]
    for holdings, word in wrong:
        with pytest.raises(RecipeError, match=word):
            count_holdings(AccountSection(initial_holdings=holdings), prices)
    both = AccountSection(initial_holdings={"ETH": "60%", "BTC": "60%"})
    with pytest.raises(RecipeError, match="lower the shares"):
        count_holdings(both, {"ETH/USDT": 2_000.0, "BTC/USDT": 60_000.0})


def test_a_sandbox_refuses_them(tmp_path: Path) -> None:
    """There the account is the exchange's; the message says what to do."""
    with pytest.raises(RecipeError, match="leave them out and buy there"):
        Plan(recipe=PAIR, style="sandbox", exchange="binance", folder=tmp_path)
