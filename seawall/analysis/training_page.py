"""The report of a trained policy: how it learned, and how it did out of sample beside rules."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seawall.analysis.figures import thin
from seawall.analysis.page import (
    Column,
    Figure,
    Page,
    Panel,
    Table,
    card,
    cards_html,
    plot_html,
    plot_text,
    render,
    table_html,
    write_text,
)

_SMOOTHED = 10  # episodes in the running mean of the learning curve


@dataclass(frozen=True, kw_only=True)
class OutOfSample:
    """One agent out of sample: total return and liquidations on each of the test's paths."""

    agent: str
    total_returns: Sequence[float]
    n_liquidations: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What is shown of a training.

    Attributes:
        recipe: its name; ``labels`` must stand beside every number.
        steps, seconds: of the training.
        ends, returns: of each episode: the steps done at its end, and its total return.
        tested: the policy first.
        split: what was trained on and what tested on, in words.
    """

    recipe: str
    labels: Sequence[str]
    steps: int
    seconds: float
    ends: Sequence[int]
    returns: Sequence[float]
    tested: Sequence[OutOfSample]
    split: str

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def write_training(report: TrainingReport, path: Path) -> Path:
    """Write the page; return its file."""
    return write_text(render(_to_page(report)), path)


def _to_page(report: TrainingReport) -> Page:
    curve, table = _draw_curve(report), _to_table(report)
    policy = report.tested[0]
    n = len(policy.total_returns)
    cards = [card("policy, out of sample", f"{np.mean(policy.total_returns):+.2%}", f"mean of {n}")]
    for other in report.tested[1:]:
        better = sum(a > b for a, b in zip(policy.total_returns, other.total_returns, strict=True))
        mean = f"{np.mean(other.total_returns):+.2%}"
        cards.append(card(other.agent, mean, f"policy better on {better} of {n}"))
    few = (
        f"{n} paths are few: a difference that does not hold on nearly all of them can be luck."
        if n > 1
        else "One window is one draw: nothing here says that it would happen again."
    )
    return Page(
        kind="training",
        title=f"A policy trained on {report.recipe}",
        subtitle=f"{report.steps:,} steps of PPO in {report.seconds:,.0f} s; {report.split}",
        labels=report.labels,
        cards=cards_html(cards),
        panels=[
            Panel(
                id="learning",
                title="Learning curve",
                body=plot_html(curve, "Total return of each episode over the steps of training"),
                note="In sample: it says that it learned, not that it will earn.",
            ),
            Panel(
                id="tested",
                title="Out of sample",
                body=table_html(table),
                note=few,
            ),
        ],
        figures=[curve],
        tables=[table],
    )


def _draw_curve(report: TrainingReport) -> Figure:
    returns = np.array(report.returns, dtype=np.float64)
    ends = np.array(report.ends, dtype=np.float64)
    n = min(_SMOOTHED, max(len(returns), 1))
    mean = np.convolve(returns, np.ones(n) / n, "valid") if len(returns) else returns
    rows = thin(returns)
    traces = [
        {
            "type": "scatter", "mode": "markers", "name": "episode",
            "x": ends[rows].tolist(), "y": returns[rows].tolist(),
            "marker": {"color": "var(--s2)", "size": 4}, "hovertemplate": "%{y:+.2%}",
        },
        {
            "type": "scatter", "mode": "lines", "name": plot_text(f"mean of {n}"),
            "x": ends[n - 1 :].tolist(), "y": mean.tolist(), "line": {"color": "var(--s1)"},
            "hovertemplate": "%{y:+.2%}",
        },
    ]  # fmt: skip
    layout = {
        "height": 360,
        "xaxis": {"title": {"text": "steps"}},
        "yaxis": {"tickformat": ".0%"},
        "legend": {"orientation": "h", "y": -0.25},
    }
    return Figure(id="learning-curve", traces=traces, layout=layout)


def _to_table(report: TrainingReport) -> Table:
    columns = (
        Column(name="agent", title="agent", format="text"),
        Column(name="mean", title="mean return", format="percent", signed=True),
        Column(name="worst", title="worst", format="percent", signed=True),
        Column(name="best", title="best", format="percent", signed=True),
        Column(name="liquidations", title="liquidations", format="num"),
    )
    rows = [
        (
            one.agent,
            float(np.mean(one.total_returns)),
            float(np.min(one.total_returns)),
            float(np.max(one.total_returns)),
            int(np.sum(one.n_liquidations)),
        )
        for one in report.tested
    ]
    return Table(id="tested-agents", columns=columns, rows=rows)
