"""The specification of Aave v2 against the contracts' bytecode in a local EVM."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seawall.verify.aave_market import Step
from seawall.verify.aave_twins import Tally
from seawall.verify.aave_v2_proof import prove_aave_v2, record, run_scenarios
from seawall.verify.packages import missing_tools

REASON = missing_tools()
pytestmark = [pytest.mark.evm, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
GOLDEN = json.loads((Path(__file__).parent / "golden" / "aave_v2.json").read_text())


def test_specification_equals_the_bytecode() -> None:
    """2,000 random steps and 1,000 liquidation scenarios: every number, to the wei."""
    proof = prove_aave_v2(steps=2_000, scenarios=1_000)
    assert proof.holds, proof.detail
    assert proof.compared > 8_000


def test_rules_of_another_version_are_caught() -> None:
    """The rules of v3.0 compound otherwise: no scenario passes with them."""
    tally = Tally()
    run_scenarios(tally, 20, np.random.default_rng(1), rules="v3.0")
    assert tally.diverged == tally.scenarios == 20


@pytest.mark.parametrize("number", range(len(GOLDEN["recordings"])))
def test_golden_numbers_are_the_contracts(number: int) -> None:
    """The recording that plain tests rely on is what the bytecode answers today."""
    golden: dict[str, Any] = GOLDEN["recordings"][number]
    steps = [Step.from_row(row[:-1]) for row in golden["rows"]]
    assert record(golden["users"], steps) == golden
