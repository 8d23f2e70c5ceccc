"""A report is one file that says everything, and shows hostile text instead of running it."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from loan_runs import run_agent
from synthetic_result import START_MS, make_recipe, make_result

from seawall.analysis.page import plot_text, to_json
from seawall.analysis.panels import MAX_ROWS, journal_table, trades_table
from seawall.analysis.protection import judge
from seawall.analysis.report import write_report
from seawall.errors import ResultError
from seawall.recipe import Recipe
from seawall.result import Band, Result

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u2028\"'&"


class _Tags(HTMLParser):
    """Collects every tag with its attributes, and the text of every script and style."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_script = tag == "script"
        if self._is_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = self._is_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts[-1] += data


def hostile_result() -> Result:
    """Return a result in which every text that somebody else wrote attacks the page."""
    result = make_result(400)
    values = make_recipe(400, name=HOSTILE).to_dict()
    values["agent"] = {"name": HOSTILE, HOSTILE: HOSTILE}
    return replace(
        result,
        recipe=Recipe.from_dict(values),
        agent=HOSTILE,
        strategy=HOSTILE,
        labels=(HOSTILE,),
        versions={HOSTILE: HOSTILE, "lone": "\ud800"},
        data={HOSTILE: HOSTILE},
        prices=result.prices.rename(columns=lambda _: HOSTILE),
        fills=result.fills.assign(symbol=HOSTILE, rule=HOSTILE),
        trades=result.trades.assign(symbol=HOSTILE),
        journal=result.journal.assign(reason=HOSTILE, text=HOSTILE, symbol=HOSTILE),
        quality=pd.DataFrame([{HOSTILE: HOSTILE}]),
    )


def _parse(path: Path) -> _Tags:
    tags = _Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    return tags


def test_hostile_text_makes_no_tag_and_no_script(tmp_path: Path) -> None:
    """The page with hostile text has the same tags as the one without, and nothing runs."""
    hostile = _parse(write_report(hostile_result(), tmp_path / "hostile.html"))
    plain = _parse(write_report(make_result(400), tmp_path / "plain.html"))
    assert len(hostile.scripts) == len(plain.scripts) == 3
    assert not any(tag == "img" for tag, _ in hostile.tags)
    for _, attributes in hostile.tags:
        assert not any(name.startswith("on") for name in attributes)
    assert hostile.scripts[1:] == plain.scripts[1:]


def test_only_the_two_known_scripts_may_run(tmp_path: Path) -> None:
    """The policy allows by hash what the file holds, and no connection, frame or form at all."""
    tags = _parse(write_report(make_result(200), tmp_path / "report.html"))
    policies = [a["content"] for t, a in tags.tags if a.get("http-equiv") and t == "meta"]
    (policy,) = policies
    assert policy is not None
    hashes = [b64encode(sha256(s.encode()).digest()).decode() for s in tags.scripts[1:]]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';" in policy
    script_part = policy.split("script-src")[1].split(";")[0]
    assert "unsafe" not in script_part
    assert "connect-src" not in policy


def test_nothing_in_the_markup_points_outside(tmp_path: Path) -> None:
    """Every reference in a tag is a fragment or data."""
    tags = _parse(write_report(make_result(200), tmp_path / "report.html"))
    for _, attributes in tags.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:,"))


@pytest.mark.parametrize("text", [HOSTILE, "<!--", "]]>", "\u2029", "a\x00b"])
def test_json_cannot_end_its_script(text: str) -> None:
    """No character that the parser of HTML looks for is left in it."""
    assert not re.search("[<>&\u2028\u2029]", to_json({text: [text, float("nan"), None]}))


def test_text_in_figures_is_no_markup() -> None:
    """Plotly reads links and line breaks: they arrive as text, and not endlessly long."""
    assert plot_text('<a href="https://x">a</a>').startswith("&lt;a href=")
    assert len(plot_text("x" * 999)) == 80


@pytest.mark.parametrize(
    "text",
    [
        "simulated",
        "Bars do not tell everything: 7 fills are ambiguous",
        "The agent abstained once",
        "fast mean above slow mean",
        "spot does not short",
        "Expected shortfall, 95 %",
        "risk-free rate 0",
        "candles/simulated/ETH-USDT/1h",
        "[agent]",
        "2.4.6",
        "highs and lows kept",
    ],
)
def test_a_report_says_what_has_to_be_said(text: str, tmp_path: Path) -> None:
    """Labels, the band, reasons, conventions, quality, recipe, versions and thinning are there."""
    assert text in write_report(make_result(4_500), tmp_path / "r.html").read_text(encoding="utf-8")


def test_an_unambiguous_result_has_no_band(tmp_path: Path) -> None:
    """Where both ways give one number, no second one confuses."""
    result = make_result(200)
    total = result.metrics.total_return
    sure = replace(result, band=Band(pessimistic=total, optimistic=total, n_ambiguous=0))
    text = write_report(sure, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Bars do not tell everything" not in text


def test_a_result_without_a_trade_has_a_report(tmp_path: Path) -> None:
    """Cash: no fills, no trades, an empty journal."""
    result = make_result(200)
    empty = replace(
        result,
        fills=result.fills.iloc[:0],
        trades=pd.DataFrame(columns=result.trades.columns),
        journal=result.journal.iloc[:0],
    )
    text = write_report(empty, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing was traded" in text


def test_a_stored_result_has_the_same_report(tmp_path: Path) -> None:
    """Saving and loading changes nothing that is shown."""
    result = make_result(300)
    stored = Result.load(result.save(tmp_path / "result"))
    one = write_report(result, tmp_path / "one.html").read_bytes()
    assert write_report(stored, tmp_path / "two.html").read_bytes() == one


def test_a_long_journal_keeps_what_is_unusual() -> None:
    """Of 9,000 usual entries some are left out and the note says so; a refusal stays."""
    usual = make_result(30_000, hold_bars=10).journal
    table = journal_table(usual)
    assert len(usual) > MAX_ROWS >= len(table.rows)
    kinds = {row[1] for row in table.rows}
    assert {"refused", "abstained", "decision"} <= kinds
    assert f"of {len(usual):,} entries are shown" in table.note
    times = [row[0] for row in table.rows]
    assert times[0] == START_MS
    assert times == sorted(times, key=str)


def test_too_many_trades_keep_the_largest() -> None:
    """The best and the worst trade are in the table, whatever is left out."""
    trades = make_result(24_000, hold_bars=2).trades
    table = trades_table(trades)
    place = [column.name for column in table.columns].index("pnl")
    gains = [row[place] for row in table.rows]
    assert len(trades) > MAX_ROWS == len(gains)
    assert {trades["pnl"].max(), trades["pnl"].min()} <= set(gains)
    assert "largest gain or loss" in table.note


def test_an_empty_result_is_refused(tmp_path: Path) -> None:
    """A result without a bar has nothing to show."""
    result = make_result(50)
    with pytest.raises(ResultError, match="at least one bar"):
        write_report(replace(result, equity=result.equity.iloc[:0]), tmp_path / "report.html")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder in the place of the file is one clear line."""
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ResultError, match="cannot be written"):
        write_report(make_result(50), tmp_path / "report.html")


@pytest.mark.slow
def test_three_hundred_thousand_bars_stay_below_ten_megabytes(tmp_path: Path) -> None:
    """A long result is thinned for drawing, and its tables are capped."""
    path = write_report(make_result(300_000), tmp_path / "report.html")
    assert path.stat().st_size < 10_000_000


def test_a_loans_page_makes_no_year_of_two_weeks_and_explains_its_share(tmp_path: Path) -> None:
    """Annual return and Calmar are dashes there, and more than hindsight is told."""
    result, untouched = run_agent("thin", "defi_saver"), run_agent("thin", "do_nothing")
    between = float(result.loan["equity"].iloc[-1] + untouched.loan["equity"].iloc[-1]) / 2
    judgement = judge(result, untouched, hindsight_usd=between)
    page = write_report(result, tmp_path / "a.html", judgement=judgement).read_text("utf-8")
    for name in ("Annual return", "Calmar ratio"):
        row = re.search(f"<tr><th>{name}</th>(.*?)</tr>", page)
        assert row is not None
        assert row[1].count(">\N{EN DASH}<") == 2
    assert "more than 100 % of the possible" in page
    stored = replace(result, judgement=judgement.to_dict())
    assert write_report(stored, tmp_path / "b.html").read_text("utf-8") == page
