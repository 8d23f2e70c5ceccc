"""The README's session on a testnet trades: its limits let the orders of its recipe pass."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import Run
from sandbox_clients import KEY, SECRET, exchange, wavy

import seawall
from seawall.paper.journal import PaperJournal
from seawall.paper.limits import Limits
from seawall.paper.places import JOURNAL
from seawall.recipe import Recipe, parse_setting
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

README = Path(__file__).parents[1] / "README.md"
if not README.is_file():
    pytest.skip("the README is not beside the tests", allow_module_level=True)
QUICK = {"market.timeframe": "1m", "market.warmup": "20m", "agent.fast": 2, "agent.slow": 5}


def test_the_line_for_a_testnet_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an account of 10,000, at averages that cross within some minutes: nothing is refused."""
    text = README.read_text(encoding="utf-8").replace("\\\n", "")
    (line,) = re.findall(r"seawall paper demo --sandbox --exchange binance .*", text)
    words = shlex.split(line)
    options = list(pairwise(words))
    settings = dict(parse_setting(value) for name, value in options if name == "--set")
    given: dict[str, Any] = {
        name: float(value)
        for option, pair in options
        if option == "--limit"
        for name, _, value in [pair.partition("=")]
    }
    recipe = Recipe.from_file(seawall.find_recipe("demo")).with_settings({**QUICK, **settings})
    made = exchange(wavy(400))
    made.open_account("carol", key=f"{KEY}2", secret=SECRET, balances={"USDT": 10_000.0})
    monkeypatch.setenv("LOCAL_SANDBOX_API_KEY", f"{KEY}2")
    monkeypatch.setenv("LOCAL_SANDBOX_SECRET", SECRET)
    with ServerThread(Server(made)) as thread:
        thread.step(100 * MINUTE_MS + 30_000)
        run = Run(thread, tmp_path, style="sandbox", recipe=recipe, limits=Limits(**given))
        run.go(25)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert journal.fills()
        assert journal.notes("refused") == []
