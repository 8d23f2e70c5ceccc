"""The loop of a guarded loan: a wish that cannot be carried out is written down."""

import json
from math import inf
from pathlib import Path

import pandas as pd

from seawall.engine.run import run
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.workspace import find_recipe


def _journal_of(folder: Path, targets: dict[int, float], **loan: object) -> pd.DataFrame:
    """Return the journal of two days of a loan whose agent wants these targets at these hours."""
    values = json.loads(Recipe.from_file(find_recipe("loan_demo")).to_json())
    values["market"] |= {"since": "2025-01-01", "until": "2025-01-03"}
    del values["market"]["crash"]
    values["loan"] |= loan

    def agent(observation: Observation) -> float | None:
        return targets.get(observation.time_ms // 3_600_000 % 24)

    return run(Recipe.from_dict(values), agent=agent, catalog=Catalog(folder)).journal


def test_a_target_out_of_reach_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A pool of 30,000 USD cannot close a loan of about 40,000: the journal says so."""
    journal = _journal_of(tmp_path, {5: inf}, swap={"depth_usd": 30_000.0})
    refused = journal[journal["kind"] == "refused"]
    assert len(refused) == 2
    assert set(refused["text"]) == {"close the loan"}
    assert refused["reason"].str.startswith("nothing can be done: ").all()
    assert refused["reason"].str.contains("30,000 USD").all()
    assert "sent" not in set(journal["kind"])


def test_at_its_target_nothing_is_refused(tmp_path: Path) -> None:
    """The loan is closed at 5:00, and closing it again at 9:00 is no failure."""
    journal = _journal_of(tmp_path, {5: inf, 9: inf})
    assert list(journal["kind"]).count("done") == 1
    assert "refused" not in set(journal["kind"])
