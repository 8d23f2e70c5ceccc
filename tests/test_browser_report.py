"""A real browser draws every chart of a report and asks for nothing outside the file."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from devtools import CHROMIUM, Browser
from loan_runs import recipe_of, run_agent, world_of
from synthetic_result import make_comparison, make_result
from test_analysis_report import HOSTILE, hostile_result

from seawall.analysis.league import judge_alone, league
from seawall.analysis.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
_DRAWN = """[...document.querySelectorAll('.plot')].map((plot) => [plot.id,
  plot.querySelectorAll('.trace, .heatmaplayer image, .boxlayer .trace, .barlayer .point').length,
  plot.getBoundingClientRect().width > 100])"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser with an empty profile."""
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def _complaints(browser: Browser) -> list[dict[str, Any]]:
    """Return what the console, the log and the page complained of."""
    loud = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    return [event for event in browser.events if event.get("method") in loud]


def _requests(browser: Browser) -> list[str]:
    sent = (e for e in browser.events if e.get("method") == "Network.requestWillBeSent")
    urls = [str(event["params"]["request"]["url"]) for event in sent]
    return [url for url in urls if not url.startswith(("data:", "blob:"))]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the report of a result, a comparison, a guarded loan and a league."""
    folder = tmp_path_factory.mktemp("reports")
    loan = run_agent("thin", "defi_saver")
    judgement = judge_alone(loan, recipe_of("thin"), world_of("thin"), n_states=48)
    played = league([recipe_of("crash"), recipe_of("thin")], ["defi_saver"], n_states=48)
    return {
        "loan": write_report(loan, folder / "loan.html", judgement=judgement),
        "league": write_report(played, folder / "league.html"),
        "result": write_report(make_result(1_000), folder / "result.html"),
        "comparison": write_report(make_comparison(1_000), folder / "comparison.html"),
    }


@pytest.mark.parametrize("kind", ["result", "comparison", "loan", "league"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_every_chart_is_drawn_and_nothing_is_asked_for(
    kind: str, width: int, *, dark: bool, browser: Browser, reports: dict[str, Path]
) -> None:
    """Each plot holds traces, the page fits its window, one file is opened, nothing complains."""
    path = reports[kind]
    browser.events.clear()
    browser.open(path, width=width, dark=dark)
    drawn = browser.evaluate(_DRAWN)
    assert len(drawn) >= (2 if kind == "league" else 3)
    assert [name for name, n_traces, is_wide in drawn if not (n_traces and is_wide)] == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert _requests(browser) == [path.resolve().as_uri()]
    assert _complaints(browser) == []


def test_hostile_text_is_shown_and_does_nothing(browser: Browser, tmp_path: Path) -> None:
    """Names and reasons full of markup stand there as text; the title is nobody's but ours."""
    path = write_report(hostile_result(), tmp_path / "hostile.html")
    browser.events.clear()
    browser.open(path)
    assert browser.evaluate("document.title") != "owned"
    assert (
        browser.evaluate("document.querySelectorAll('img, iframe, body a[href^=http]').length") == 0
    )
    shown = browser.evaluate("document.querySelector('#journal-table td:last-child').textContent")
    assert shown == HOSTILE
    assert _requests(browser) == [path.resolve().as_uri()]
    assert _complaints(browser) == []


class _Listener(BaseHTTPRequestHandler):
    """Counts who knocks."""

    knocks: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Take note of the request and answer with nothing."""
        self.knocks.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is there
        """Say nothing."""


@pytest.mark.parametrize("has_policy", [True, False])
def test_the_policy_stops_what_is_injected(
    *, has_policy: bool, browser: Browser, reports: dict[str, Path], tmp_path: Path
) -> None:
    """Planted fault: script, image and connection get nowhere; without the policy they do."""
    _Listener.knocks.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Listener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        path = tmp_path / "planted.html"
        planted = (
            f"<script>document.title = 'owned'</script><img src='{address}/image'>"
            "<p onclick=\"document.title = 'clicked'\" id=bait>x</p>"
        )
        text = reports["result"].read_text(encoding="utf-8")
        text = text.replace("<noscript>", planted + "<noscript>", 1)
        if not has_policy:
            text = text.replace("Content-Security-Policy", "x-none", 1)
        path.write_text(text, encoding="utf-8")
        browser.open(path)
        title = browser.evaluate("document.title")
        browser.evaluate("document.getElementById('bait').click()")
        browser.evaluate(f"fetch('{address}/fetch', {{mode: 'no-cors'}}).then(() => 1, () => 0)")
        clicked = browser.evaluate("document.title")
        server.shutdown()
    if has_policy:
        assert (title, clicked) == ("synthetic · Seawall", "synthetic · Seawall")
        assert _Listener.knocks == []
    else:
        assert (title, clicked) == ("owned", "clicked")
        assert sorted(_Listener.knocks) == ["/fetch", "/image"]


def test_tables_can_be_searched_filtered_and_paged(
    browser: Browser, reports: dict[str, Path]
) -> None:
    """The journal shows a page; a search finds the one refusal; a kind leaves only its rows."""
    browser.open(reports["result"])
    count = "document.querySelectorAll('#journal-table tbody tr').length"
    assert browser.evaluate(count) == 15
    find = "document.querySelector('#journal-table [data-role={}]')"
    search, kinds = find.format("search"), find.format("filter")
    browser.evaluate(f"{search}.value='does not SHORT'; {search}.dispatchEvent(new Event('input'))")
    assert browser.evaluate(count) == 1
    browser.evaluate(
        f"{search}.value=''; {kinds}.value='abstained';{kinds}.dispatchEvent(new Event('change'))"
    )
    assert browser.evaluate(count) == 1
    browser.evaluate(
        f"{kinds}.value=''; {kinds}.dispatchEvent(new Event('change'));"
        f"{find.format('next')}.click()"
    )
    shown = browser.evaluate(f"{find.format('count')}.textContent")
    assert str(shown).startswith("16")


def test_the_logarithmic_axis_is_a_click_away(browser: Browser, reports: dict[str, Path]) -> None:
    """The button changes the axis and says that it is pressed."""
    browser.open(reports["result"])
    browser.evaluate("document.querySelector('#equity [data-scale=log]').click()")
    browser.wait_for("document.getElementById('equity-chart')._fullLayout.yaxis.type === 'log'")
    pressed = "document.querySelector('#equity [data-scale=log]').getAttribute('aria-pressed')"
    assert browser.evaluate(pressed) == "true"


def test_no_button_sends_the_data_away(browser: Browser, reports: dict[str, Path]) -> None:
    """Plotly offers to upload a chart unless it is told not to."""
    browser.open(reports["result"])
    titles = browser.evaluate(
        "[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title || '')"
    )
    assert titles
    assert not any("cloud" in title.lower() or "plotly" in title.lower() for title in titles)
