"""Aave v2 in integers against what its bytecode answered once: no EVM is needed here.

Recorded with ``seawall.verify.aave_v2_proof.record``; ``test_evm_aave_v2`` holds the recording to
the bytecode, this holds the specification to the recording.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from seawall.verify.aave_v2_proof import open_specification, replay

GOLDEN = json.loads((Path(__file__).parent / "golden" / "aave_v2.json").read_text())


@pytest.mark.parametrize("number", range(len(GOLDEN["recordings"])))
def test_specification_follows_the_recording(number: int) -> None:
    """Every amount, every refusal and the last state, to the wei."""
    assert replay(GOLDEN["recordings"][number]) == []


def test_recordings_cover_the_liquidation_call() -> None:
    """Liquidations that went through, and refused ones, are among what was recorded."""
    calls = [r for x in GOLDEN["recordings"] for r in x["rows"] if r[0] == "liquidate"]
    assert sum(not isinstance(call[-1], str) for call in calls) >= 10
    assert {"HealthFactorNotBelowThreshold", "CollateralCannotBeLiquidated"} <= {
        call[-1] for call in calls if isinstance(call[-1], str)
    }


def test_replay_finds_a_wrong_wei() -> None:
    """A recording with one wei more in one balance does not pass."""
    recording: dict[str, Any] = GOLDEN["recordings"][0]
    state = recording["state"] | {"USDC.available": recording["state"]["USDC.available"] + 1}
    (difference,) = replay(recording | {"state": state})
    assert (difference.where, difference.size) == ("USDC.available", 1)


def test_half_of_the_debt_is_liquidated_with_the_bonus() -> None:
    """1 WETH at 3,000 on 2,400 USDC (HF 0.825 x 3,000 / 2,400 = 1.03), then at 2,800: 0.9625.

    Half, 1,200 USDC at 1 dollar, buys 1,200 x 1.05 / 2,800 = 0.45 WETH; no more may be covered.
    """
    market = open_specification(("lender", "ann", "bob"))
    market.set_price("WETH", 3_000 * 10**8)
    market.set_price("USDC", 10**8)
    market.supply("lender", "USDC", 100_000 * 10**6)
    market.supply("ann", "WETH", 10**18)
    market.borrow("ann", "USDC", 2_400 * 10**6)
    assert market.user("ann").health_wad == 1_031_250_000_000_000_000
    market.set_price("WETH", 2_800 * 10**8)
    assert market.user("ann").health_wad == 962_500_000_000_000_000
    repaid, seized = market.liquidate("bob", "ann", "WETH", "USDC", 2_400 * 10**6)
    assert (repaid, seized) == (1_200 * 10**6, 45 * 10**16)
