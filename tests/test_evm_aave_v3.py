"""The specification of Aave v3 against the bytecode of v3.0 and v3.6, in a local EVM."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seawall.errors import ToolError
from seawall.verify.aave_twins import Tally
from seawall.verify.aave_v3_contracts import Version
from seawall.verify.aave_v3_golden import answer_again
from seawall.verify.aave_v3_proof import (
    Pair,
    count_caught,
    open_contracts,
    prove_aave_v3,
    run_scenarios,
)
from seawall.verify.packages import missing_tools
from seawall.verify.recordings import steps_of

REASON = missing_tools()
pytestmark = [pytest.mark.evm, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
GOLDEN = json.loads((Path(__file__).parent / "golden" / "aave_v3.json").read_text())
VERSIONS: tuple[Version, ...] = ("v3.0", "v3.6")


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Version:
    """Return a version whose contracts can be deployed here, or skip with the reason."""
    chosen: Version = request.param
    try:
        open_contracts(chosen, ())
    except ToolError as error:
        pytest.skip(str(error))
    return chosen


def test_specification_equals_the_bytecode(version: Version) -> None:
    """2,000 random steps and 1,000 liquidation scenarios: every number, to the wei."""
    proof = prove_aave_v3(version, steps=2_000, scenarios=1_000)
    assert proof.holds, proof.detail
    assert proof.compared > 2_000 + 5 * 1_000


def test_scenarios_reach_what_they_are_for(version: Version) -> None:
    """Among 200 loans most are liquidated, and each version's own rules are met."""
    tally = Tally()
    run_scenarios(tally, Pair(version, version), 200, np.random.default_rng(5))
    assert tally.diverged == 0, tally.first
    assert tally.liquidations > 200
    if version == "v3.6":
        assert tally.bad_debts > 30
        assert tally.refusals["MustNotLeaveDust"] > 30
    else:
        assert tally.bad_debts == 0


def test_rules_of_another_version_are_caught(version: Version) -> None:
    """Negative control: 50 of 50 scenarios tell the rules of v3.6 from the contracts of v3.0."""
    other = "v3.6" if version == "v3.0" else "v3.0"
    assert count_caught(Pair(version, other), scenarios=50) == 50


def test_rules_of_the_next_version_are_caught() -> None:
    """Version 3.7 differs from 3.6 in the rounding of a liquidation alone: most loans meet it."""
    assert count_caught(Pair("v3.6", "v3.7"), scenarios=50) > 20


@pytest.mark.parametrize("number", range(len(GOLDEN["v3.0"])))
def test_golden_numbers_are_the_contracts(version: Version, number: int) -> None:
    """The recording that plain tests rely on is what the bytecode answers today."""
    golden: dict[str, Any] = GOLDEN[version][number]
    assert answer_again(version, golden["users"], steps_of(golden)) == golden
