"""A real browser draws every chart of a futures account, on a desk and on a telephone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from devtools import CHROMIUM, Browser
from synthetic_result import make_margin_result

from seawall.analysis.margin_protection import judge_margin
from seawall.analysis.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
_DRAWN = """[...document.querySelectorAll('.plot')].map((plot) => [plot.id,
  plot.querySelectorAll('.trace, .barlayer .point').length,
  plot.getBoundingClientRect().width > 100])"""
_LOUD = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser with an empty profile."""
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a guarded position, a lost one, and an account that trades."""
    folder = tmp_path_factory.mktemp("pages")
    saved = make_margin_result(fall=0.22)
    lost = make_margin_result(fall=0.22, added=None, sold=None)
    judgement = judge_margin(saved, lost, hindsight_usd=9_000.0, best_usd=9_000.0)
    return {
        "saved": write_report(saved, folder / "saved.html", judgement=judgement),
        "lost": write_report(lost, folder / "lost.html"),
        "trading": write_report(make_margin_result(guards=False), folder / "trading.html"),
    }


@pytest.mark.parametrize("kind", ["saved", "lost", "trading"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_every_chart_is_drawn(
    kind: str, width: int, *, dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    """Each plot holds traces, the page fits its window, and nothing complains."""
    browser.events.clear()
    browser.open(pages[kind], width=width, dark=dark)
    drawn = browser.evaluate(_DRAWN)
    names = {name for name, _, _ in drawn}
    assert {"margin-chart", "contract-chart-0", "venues-chart", "parts-chart"} <= names
    assert [name for name, n_traces, is_wide in drawn if not (n_traces and is_wide)] == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert [event for event in browser.events if event.get("method") in _LOUD] == []


def test_a_logarithmic_axis_shows_what_the_linear_one_did(
    browser: Browser, pages: dict[str, Path]
) -> None:
    """Its ends are exponents: from 2 to 120 % they lie between -2 and 0.2, not at 0 and 1.2."""
    browser.open(pages["saved"])
    axis = "document.getElementById('margin-chart')._fullLayout.yaxis"
    assert browser.evaluate(f"{axis}.range") == [0, 1.2]
    browser.evaluate("document.querySelector('[data-figure=margin-chart][data-scale=log]').click()")
    browser.wait_for(f"{axis}.type === 'log'")
    low, high = browser.evaluate(f"{axis}.range")
    assert -2 < low < -1
    assert -0.1 < high < 0.3
