"""A real browser draws a league's page whole: every chart, every name, nothing from outside."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from devtools import CHROMIUM, Browser
from test_browser_report import _DRAWN, _complaints, _requests
from tournament_worlds import make_league, play

from seawall.analysis.page import write_page
from seawall.tournament.page import league_page, write_league_report
from seawall.tournament.page_file import keep_page, load_page
from seawall.tournament.standings import stand

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
LONG = 'momentum{lookback="10d", volatility_window="20d"}'
# Names in tables that are cut, and cells that lie over their neighbours.
_CUT = """[...document.querySelectorAll('td.agent, .map thead th')].filter(
  (cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser with an empty profile."""
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a league with a long name, a failure, luck and a hostile name."""
    folder = tmp_path_factory.mktemp("league")
    agents = ["sma_cross", "matched_random", LONG, 'nobody{x="<img src=x onerror=alert(1)>"}']
    played, ledger = play(folder, make_league(folder, agents=agents, stress=["double_fees"]))
    standings = stand(played, ledger)
    path = write_league_report(standings, folder / "report.html")
    keep_page(league_page(standings), folder)
    again = write_page(load_page(folder), folder / "again.html")
    assert again.read_bytes() == path.read_bytes()
    return path


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_a_league_is_drawn_whole(page: Path, width: int, *, dark: bool, browser: Browser) -> None:
    """Charts hold traces, no name is cut, the page fits, and nothing complains or is asked for."""
    browser.events.clear()
    browser.open(page, width=width, dark=dark)
    drawn = browser.evaluate(_DRAWN)
    assert len(drawn) == 2
    assert [name for name, n_traces, is_wide in drawn if not (n_traces and is_wide)] == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(_CUT) == []
    assert browser.evaluate("document.querySelectorAll('main img, .panel img').length") == 0
    assert LONG in browser.evaluate("document.body.textContent")
    assert "&quot;" not in browser.evaluate("document.body.innerText")
    assert _requests(browser) == [page.resolve().as_uri()]
    assert _complaints(browser) == []
