"""The report of a training: its curve, its table, one honest and self-contained page."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from devtools import CHROMIUM, Browser

from seawall.analysis.training_page import OutOfSample, TrainingReport, write_training

RNG = np.random.default_rng(1)
REPORT = TrainingReport(
    recipe="loan_demo",
    labels=("simulated",),
    steps=60_000,
    seconds=198.4,
    ends=[300 * n for n in range(1, 201)],
    returns=RNG.normal(-0.5, 0.2, 200).tolist(),
    tested=(
        OutOfSample(agent="policy", total_returns=(0.1, -0.3), n_liquidations=(0, 1)),
        OutOfSample(agent="do_nothing", total_returns=(-0.5, -0.2), n_liquidations=(1, 2)),
    ),
    split="trained on 16 simulated paths, tested on 2 others",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Return a browser with an empty profile."""
    with Browser(tmp_path / "profile") as opened:
        yield opened


def test_the_page_says_what_was_trained_and_how_it_did(tmp_path: Path) -> None:
    """Means, how often it was better, the label, and that few paths prove little."""
    text = write_training(REPORT, tmp_path / "report.html").read_text("utf-8")
    for said in (
        "60,000 steps of PPO in 198 s", "simulated", "-10.00%", "-35.00%",
        "policy better on 1 of 2", "2 paths are few",
    ):  # fmt: skip
        assert said in text, said
    ids = re.findall(r'\bid="([^"]+)"', text.partition("<script")[0])
    assert len(set(ids)) == len(ids)


def test_one_window_is_one_draw_and_no_episode_is_no_curve(tmp_path: Path) -> None:
    """A short training on recorded history: the page stands all the same."""
    one = OutOfSample(agent="policy", total_returns=(0.1,), n_liquidations=(0,))
    report = replace(REPORT, ends=[], returns=[], tested=(one,))
    text = write_training(report, tmp_path / "report.html").read_text("utf-8")
    assert "One window is one draw" in text


def test_names_are_text_and_numbers_are_json(tmp_path: Path) -> None:
    """Markup in a name does nothing; the file beside the page reads back."""
    bad = OutOfSample(agent="<script>alert(1)</script>", total_returns=(0.0,), n_liquidations=(0,))
    report = replace(REPORT, tested=(bad, bad), recipe="<img src=x>")
    text = write_training(report, tmp_path / "report.html").read_text("utf-8")
    assert "<script>alert(1)" not in text
    assert "<img src=x>" not in text
    assert json.loads(report.to_json())["tested"][0]["agent"] == bad.agent


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_draws_the_curve_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    """Both traces are there, in a plot of its own, and one file is opened."""
    path = write_training(REPORT, tmp_path / "report.html")
    browser.open(path, width=1280, dark=False)
    n_traces = browser.evaluate("document.querySelectorAll('#learning-curve .trace').length")
    assert n_traces == 2
    sent = [e for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    urls = [str(event["params"]["request"]["url"]) for event in sent]
    asked = [url for url in urls if not url.startswith(("data:", "blob:"))]
    assert asked == [path.resolve().as_uri()]
