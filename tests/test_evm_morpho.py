"""The specification of Morpho Blue against the contract's bytecode in a local EVM."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seawall.venues.lending import morpho
from seawall.venues.lending.fixed import WAD, YEAR_S
from seawall.venues.lending.morpho_shares import to_assets_down
from seawall.verify.evm import Evm
from seawall.verify.morpho_contracts import DeployedMorpho, LinearRate
from seawall.verify.morpho_proof import prove_morpho, record, run_scenario
from seawall.verify.morpho_steps import Step
from seawall.verify.packages import missing_tools

REASON = missing_tools()
pytestmark = [pytest.mark.evm, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
GOLDEN = json.loads((Path(__file__).parent / "golden" / "morpho.json").read_text())


def test_specification_equals_the_bytecode() -> None:
    """2,000 random steps and 1,000 liquidation scenarios: every number, to the wei."""
    proof = prove_morpho(steps=2_000, scenarios=1_000)
    assert proof.holds, proof.detail
    assert proof.compared > 10_000


def test_wrong_rounding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A specification that rounds what is owed down differs by a wei, and is found out."""
    monkeypatch.setattr(morpho, "to_assets_up", to_assets_down)
    proof = prove_morpho(steps=50, scenarios=20)
    assert not proof.holds
    assert proof.largest_error > 0


def test_wrong_incentive_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor of 0.31 instead of 0.3 pays liquidators too much."""
    monkeypatch.setattr(morpho, "CURSOR", 31 * WAD // 100)
    rng = np.random.default_rng(3)
    assert any(run_scenario(rng, None).worst for _ in range(10))


@pytest.mark.parametrize("number", range(len(GOLDEN["recordings"])))
def test_golden_numbers_are_the_contracts(number: int) -> None:
    """The recording that plain tests rely on is what the bytecode answers today."""
    golden: dict[str, Any] = GOLDEN["recordings"][number]
    steps = [Step.from_row(row[:-1]) for row in golden["rows"]]
    assert record(golden["lltv"], golden["fee"], steps) == golden


def test_five_percent_for_a_year() -> None:
    """160,000 USDC at 5 % become 168,203.333332 in a year, says the contract."""
    evm = Evm()
    market = DeployedMorpho(evm, lltv=86 * WAD // 100, fee=0)
    market.add_user("ann")
    market.set_price(2_000 * 10**24)
    market.set_rate(LinearRate(5 * WAD // 100 // YEAR_S, 0))
    market.supply("ann", 10**12, 0)
    market.supply_collateral("ann", 200 * WAD)
    market.borrow("ann", 160_000 * 10**6, 0)
    evm.warp(YEAR_S)
    market.accrue()
    assert market.totals().borrowed == 168_203_333_332
