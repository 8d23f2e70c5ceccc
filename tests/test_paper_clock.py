"""Clocks, log lines and the view of a session."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seawall.agent import Decision
from seawall.paper.candles import find_pause
from seawall.paper.clock import AskedClock, WallClock
from seawall.paper.errors import PaperError
from seawall.paper.journal import Note
from seawall.paper.keys import Secret
from seawall.paper.log import SessionLog
from seawall.paper.plan import to_live
from seawall.paper.record import Recorded, SessionRow, Setup
from seawall.paper.redaction import Redactor
from seawall.paper.status import Status
from seawall.paper.view import rows, show
from seawall.recipe import Recipe
from seawall.units import MINUTE_MS, SECOND_MS

RECIPE = Recipe.from_dict(
    {
        "name": "[bold]odd[/bold]",
        "market": {
            "venue": "simulated", "symbols": ["ETH/USDT"], "timeframe": "1m", "warmup": "20m",
            "since": "2025-01-01", "until": "2025-02-01", "start_prices": {"ETH/USDT": 2_000.0},
        },
        "agent": {"name": "agents.sma_cross", "fast": 2, "slow": 5},
    }
)  # fmt: skip


def test_the_wall_s_clock_keeps_to_the_exchange_s() -> None:
    """The exchange is 5 s ahead; asked at first and every ten minutes, not at each look."""
    wall, asked = [1_000.0], []

    def ask() -> int:
        asked.append(wall[0])
        return int(wall[0] * SECOND_MS) + 5_000

    clock = WallClock(ask, wall=lambda: wall[0], steady=lambda: wall[0] - 900)
    assert clock() == clock() == 1_005_000
    wall[0] += 60
    assert (clock(), clock.peek(), len(asked)) == (1_065_000, 1_065_000, 1)
    wall[0] += 600
    assert (clock(), len(asked)) == (1_665_000, 2)


def test_a_clock_that_is_not_told_goes_on() -> None:
    """A failure leaves the difference as it was, and is tried again a second later."""
    wall = [1_000.0]
    answers: list[int | Exception] = [1_003_000, OSError("away"), 1_708_000]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    clock = WallClock(ask, wall=lambda: wall[0], steady=lambda: wall[0] - 900)
    assert clock() == 1_003_000
    wall[0] = 1_700.0
    assert clock() == 1_703_000
    wall[0] = 1_702.0
    assert clock() == 1_708_000


@pytest.mark.parametrize("leap", [3_600.0, -3_600.0, -1.5])
def test_a_wall_that_leaps_does_not_move_it(leap: float) -> None:
    """The wall is set, forward or back: the exchange's time goes on as it was, also while it is
    silent, and it is asked again as soon as it answers.
    """  # noqa: D205 - one sentence, over two lines
    wall, steady, asked = [5_000.0], [100.0], []

    def ask() -> int:
        asked.append(steady[0])
        if len(asked) == 2:
            raise OSError("away")
        return int((steady[0] + 4_900) * SECOND_MS) + 250

    clock = WallClock(ask, wall=lambda: wall[0], steady=lambda: steady[0])
    assert clock() == 5_000_250
    wall[0] += leap
    assert (clock(), clock.peek(), len(asked)) == (5_000_250, 5_000_250, 2)
    for time in (wall, steady):
        time[0] += 2.0
    assert (clock(), len(asked)) == (5_002_250, 3)
    for time in (wall, steady):
        time[0] += 60.0
    assert (clock(), len(asked)) == (5_062_250, 3)


def test_a_session_looks_at_the_close_itself() -> None:
    """Half a second at most, no further than the next close, and often while it is new."""
    pauses = [find_pause(moment, MINUTE_MS) for moment in (0, 4_999, 5_000, 59_700, 60_100)]
    assert pauses == [0.1, 0.1, 0.5, pytest.approx(0.3), 0.1]


class _Session:
    """A session that answers from a list."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def get(self, _url: str, **_rest: Any) -> Any:
        """Return the next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.time_ms = 7_000 if answer is None else answer
        return self

    def json(self) -> dict[str, int]:
        """Return a time."""
        return {"serverTime": self.time_ms}


def test_an_asked_clock_keeps_the_last_answer() -> None:
    """Silence after an answer is that answer; silence from the start is no exchange."""
    clock = AskedClock(_Session(None, OSError("away")), "http://127.0.0.1:1/api/v3/time")
    assert clock() == clock() == 7_000
    with pytest.raises(PaperError, match="seawall sandbox"):
        AskedClock(_Session(OSError("away")), "http://127.0.0.1:1/api/v3/time")()


def test_a_local_exchange_that_is_silent_or_new_is_told() -> None:
    """Its time stands still, or went back by more than a skew: why is said until it passes."""
    clock = AskedClock(
        _Session(900_000, OSError("away"), 880_000, 100_000, 101_000, 900_001), "http://x/"
    )
    clock()
    assert clock.fault == ""
    clock()
    assert "does not tell its time" in clock.fault
    clock()
    assert clock.fault == ""  # twenty seconds back: a skew
    clock()
    assert "went back, nothing is decided before 1970-01-01 00:15" in clock.fault
    said = clock.fault
    clock()
    assert clock.fault == said  # noted once, not at each look
    clock()
    assert clock.fault == ""


def test_log_lines_are_json_without_secrets(tmp_path: Path) -> None:
    """Numbers that are none become null, what is no JSON text; a secret is nowhere."""
    redactor = Redactor([Secret("my-very-secret")])
    with SessionLog(tmp_path / "log", redactor) as log:
        log.write("note", 60_500, text="key my-very-secret", value=float("nan"), place=tmp_path)
    (line,) = (tmp_path / "log").read_text().splitlines()
    found = json.loads(line)
    assert (found["time"], found["value"]) == ("1970-01-01 00:01", None)
    assert "my-very-secret" not in line
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def status(**changes: Any) -> Status:
    """Return the status of a session that runs."""
    setup = Setup(mode="shadow", exchange="binance", since_ms=0, cash=10_000.0)
    session = SessionRow(2, 0, None, "", "binance spot shadow", RECIPE, setup)
    made = Recorded(5 * MINUTE_MS, Decision(reason="[red]because[/red]"), "", 12, {})
    found = Status(
        session=session, is_running=True, now_ms=7 * MINUTE_MS, data_ms=6 * MINUTE_MS,
        equity=9_500.0, cash=500.0, start_equity=10_000.0, holdings={"ETH/USDT": 3.0},
        decision=made, n_decisions=6, n_fills=2, open_orders=("buy 1 ETH/USDT",),
        left={"max_drawdown": 0.9}, troubles=(Note(1_000, "fault", "[b]away[/b]"),), switch="",
    )  # fmt: skip
    return replace(found, **changes)


def test_the_view_says_what_matters_and_reads_no_markup() -> None:
    """Equity and its change, the reason as it was written, the data's age, what is left."""
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(show(status()))
    text = captured.get()
    for part in ("9,500.00 USDT (-5.00%)", "[red]because[/red]", "60 s", "drawdown 90%",
                 "[b]away[/b]", "[bold]odd[/bold]", "running since", "buy 1 ETH/USDT"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"is_running": False}, "state", "it was killed"),
        ({"equity": None}, "equity", "not known"),
        ({"switch": "flatten"}, "kill switch", "flatten"),
        ({"now_ms": 90 * MINUTE_MS}, "data age", "84 min"),
    ],
)
def test_what_the_view_says_of_the_odd(changes: dict[str, Any], name: str, text: str) -> None:
    """Killed, before the first bar, with the switch on, with old data."""
    assert text in dict(rows(status(**changes)))[name]


def test_a_live_recipe_keeps_all_but_the_window() -> None:
    """Venue and window are the session's, a simulation's settings go, the rest stays."""
    live = to_live(RECIPE, "binance", 86_400_000, 2 * 86_400_000)
    assert (live.market.venue, live.market.since_ms, live.market.until_ms) == (
        "binance", 86_400_000, 172_800_000,
    )  # fmt: skip
    assert (live.market.start_prices, live.market.warmup) == ({}, "20m")
    assert (live.agent, live.costs, live.seed) == (RECIPE.agent, RECIPE.costs, RECIPE.seed)
