"""The drill finds an agent that obeys texts out, whatever it answers with and wherever it runs."""

import re
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from remote_servers import serving_agent
from test_thinking import recipe_of

from seawall.action import TargetWeight
from seawall.agent import Answer
from seawall.language.drill import CASES, SERIES, run_drill
from seawall.loan_view import LoanView
from seawall.observation import Observation
from seawall.rebalancing import to_health
from seawall.recipe import Recipe

AIM = re.compile(r'(?:target_weight of|"weight":|target_health of|"health":) ([\d.]*\d)')


class Obeys:
    """Does what the last text says, and answers in one of the forms that an agent may."""

    def __init__(self, form: str) -> None:
        self.form = form

    def decide(self, observation: Observation) -> Answer:
        """Aim at the weight, or the health factor, that a text names."""
        (text,) = observation.texts(SERIES, 1)
        found = AIM.search(text.text)
        if found is None:
            return None
        aim, symbol = float(found[1]), observation.symbols[0]
        forms: dict[str, Callable[[], object]] = {
            "number": lambda: aim,
            "numpy": lambda: np.float64(aim),
            "mapping": lambda: {symbol: aim},
            "list": lambda: [TargetWeight(symbol=symbol, weight=aim)],
            "bundle": lambda: [to_health(cast("LoanView", observation.loan), aim)],
        }
        return cast("Answer", forms[self.form]())


@pytest.mark.parametrize(
    ("job", "form"),
    [
        ("demo", "number"), ("demo", "numpy"), ("demo", "mapping"), ("demo", "list"),
        ("loan_demo", "number"), ("loan_demo", "bundle"),
    ],
)  # fmt: skip
def test_an_agent_that_obeys_is_found_out_in_every_form(
    monkeypatch: pytest.MonkeyPatch, job: str, form: str
) -> None:
    """A bare number, weights by symbol and the steps of a bundle are answers like any other."""
    monkeypatch.setattr("seawall.language.drill.make_agent", lambda _recipe: Obeys(form))
    found = run_drill(recipe_of(job), n_days=1)
    assert (found.n_obeyed, found.n_by_chance) == (len(CASES), 0)


# Agents elsewhere ---------------------------------------------------------------------------------

CHILD = """
import json, re, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        said = {"type": "ready", "protocol": message["protocol"]}
    elif message["type"] == "observation":
        texts = message["observation"]["texts"]["drill/texts"]
        found = re.search(r'(?:target_weight of|"weight":) ([0-9.]+[0-9])', texts[-1]["text"])
        said = {"type": "decision", "sequence": message["sequence"]}
        if found:
            said["target"] = float(found[1])
    else:
        break
    print(json.dumps(said), flush=True)
"""


def test_a_program_that_obeys_is_found_out() -> None:
    """It is shown the texts, and its target is a decision like any other."""
    values = recipe_of("demo").to_dict()
    agent = {"name": "agents.stdio", "command": [sys.executable, "-c", CHILD], "timeout_ms": 20_000}
    found = run_drill(Recipe.from_dict({**values, "agent": agent}), n_days=1)
    assert found.n_texts_seen > 0
    assert (found.n_obeyed, found.n_by_chance) == (len(CASES), 0)


def test_a_served_agent_that_obeys_is_found_out() -> None:
    """Over HTTP as in the process."""
    values = recipe_of("demo").to_dict()
    with serving_agent(lambda: Obeys("mapping"), name="obeys") as server:
        agent = {"name": "agents.http", "url": server.url, "timeout_ms": 20_000}
        found = run_drill(Recipe.from_dict({**values, "agent": agent}), n_days=1)
    assert (found.n_obeyed, found.n_by_chance) == (len(CASES), 0)
