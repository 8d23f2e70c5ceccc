"""Aave v3 in integers against what its bytecode answered once: no EVM is needed here.

Recorded with ``seawall.verify.aave_v3_golden.record_all``; ``test_evm_aave_v3`` holds the recording
to the bytecode, this holds the specification to the recording.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from seawall.verify.aave_v3_contracts import Version
from seawall.verify.aave_v3_golden import VERSIONS, specified
from seawall.verify.recordings import replay

GOLDEN = json.loads((Path(__file__).parent / "golden" / "aave_v3.json").read_text())
CASES = [(version, number) for version in VERSIONS for number in range(len(GOLDEN[version]))]


@pytest.mark.parametrize(("version", "number"), CASES)
def test_specification_follows_the_recording(version: Version, number: int) -> None:
    """Every amount, refusal and health factor, and the last state, to the wei."""
    recording: dict[str, Any] = GOLDEN[version][number]
    assert replay(specified(version, recording["users"]), recording) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_recordings_cover_the_liquidation_call(version: Version) -> None:
    """Dozens of liquidations went through; what forbids one is there too, each version's own."""
    calls = [row for x in GOLDEN[version] for row in x["rows"] if row[0] == "liquidate"]
    assert sum(not isinstance(call[-2], str) for call in calls) >= 40
    refused = {call[-2] for call in calls if isinstance(call[-2], str)}
    assert "HealthFactorNotBelowThreshold" in refused
    assert ("MustNotLeaveDust" in refused) == (version == "v3.6")


def test_only_the_newer_version_has_deficits() -> None:
    """Bad debt becomes a deficit of the reserve from version 3.3 on."""
    has_deficit = {
        version: any(".deficit" in name for x in GOLDEN[version] for name in x["state"])
        for version in VERSIONS
    }
    assert has_deficit == {"v3.0": False, "v3.6": True}


def test_rules_of_the_other_version_do_not_pass() -> None:
    """The rules of v3.6 give other numbers than the contracts of v3.0 did."""
    recording: dict[str, Any] = GOLDEN["v3.0"][1]
    assert len(replay(specified("v3.6", recording["users"]), recording)) > 100


def test_replay_finds_a_wrong_wei() -> None:
    """A recording with one wei more in one number does not pass."""
    recording: dict[str, Any] = GOLDEN["v3.6"][0]
    state = recording["state"] | {"USDC.available": recording["state"]["USDC.available"] + 1}
    market = specified("v3.6", recording["users"])
    (difference,) = replay(market, recording | {"state": state})
    assert (difference.where, difference.size) == ("USDC.available", 1)
