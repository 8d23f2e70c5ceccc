"""A loan on its protocol's integers: the same run as by the kernels, to 1e-9."""

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from falling_loans import Timetable, falling_catalog, falling_recipe

from seawall.engine.run import run_in
from seawall.engine.world import World, build_world
from seawall.loan_action import (
    Borrow,
    Bundle,
    FlashLoan,
    LoanAction,
    Repay,
    Supply,
    Swap,
    Withdraw,
)
from seawall.result import Result

NEAR = 1e-9
ACTIONS: dict[int, tuple[LoanAction, ...]] = {
    5: (Supply(asset="WETH", amount=10.0),),
    12: (Repay(asset="USDC", amount=5_000.123456),),
    20: (Borrow(asset="USDC", amount=2_000.5), Withdraw(asset="WETH", amount=1.5)),
    21: (Borrow(asset="USDC", amount=5e6),),
    30: (
        Bundle(
            actions=(
                Repay(asset="USDC", amount=50_000.0),
                Withdraw(asset="WETH", amount=15.0),
                Swap(sell="WETH", buy="USDC", amount=15.0),
            ),
        ),
    ),
    150: (Repay(asset="USDC", amount=20_000.0),),
    210: (Supply(asset="WETH", amount=inf),),
    262: (Repay(asset="USDC", amount=inf),),
}
FLASH = Bundle(
    flash_loan=FlashLoan(asset="USDC", amount=60_000.0),
    actions=(
        Repay(asset="USDC", amount=60_000.0),
        Withdraw(asset="WETH", amount=24.0),
        Swap(sell="WETH", buy="USDC", amount=24.0),
    ),
)
# Where one liquidation takes all of the debt, a second loan is taken. At Compound what is left of
# the first lies there as USDC.
AGAIN: dict[int, tuple[LoanAction, ...]] = {
    68: (Withdraw(asset="USDC", amount=inf),),
    72: (Swap(sell="USDC", buy="WETH", amount=90_000.0),),
    76: (Supply(asset="WETH", amount=inf),),
    80: (Borrow(asset="USDC", amount=inf), Borrow(asset="USDC", amount=95_000.0)),
}
CASES: dict[str, tuple[dict[str, object], dict[int, tuple[LoanAction, ...]]]] = {
    "aave v2": ({"loan.rules": "v2"}, {**ACTIONS, 40: (FLASH,)}),
    "aave v3.0": ({"loan.rules": "v3.0"}, {**ACTIONS, 40: (FLASH,)}),
    "aave v3.0 to v3.3": ({}, {**ACTIONS, 40: (FLASH,)}),
    "aave v3.6": ({"loan.rules": "v3.6"}, {**ACTIONS, 40: (FLASH,)}),
    "compound": ({"loan.protocol": "compound"}, {**ACTIONS, **AGAIN}),
    "morpho": ({"loan.protocol": "morpho"}, {**ACTIONS, **AGAIN, 40: (FLASH,)}),
}


def _exactly(world: World) -> World:
    """Return a world whose loan runs on integers."""
    assert world.loan is not None
    loan = world.loan.loan.model_copy(update={"exact": True})
    return replace(world, loan=replace(world.loan, loan=loan))


def _compare(rough: Result, fine: Result) -> None:
    worth = fine.loan["collateral_usd"].max()
    gap = np.abs(rough.equity["equity"] - fine.equity["equity"]).max()
    assert gap <= NEAR * fine.equity["equity"].abs().max(), gap / worth
    for name in ("kind", "order_id", "time"):
        assert rough.journal[name].tolist() == fine.journal[name].tolist()
    for name in ("health", "min_health", "untouched_health", "collateral_usd", "debt_usd"):
        np.testing.assert_allclose(rough.loan[name], fine.loan[name], rtol=NEAR, atol=NEAR)
    pd.testing.assert_frame_equal(
        rough.liquidations, fine.liquidations, rtol=NEAR, atol=NEAR * worth
    )
    told = ["time", "status", "what"]
    assert rough.transactions[told].equals(fine.transactions[told])
    costs = rough.transactions.select_dtypes("number").columns
    pd.testing.assert_frame_equal(
        rough.transactions[costs], fine.transactions[costs], rtol=NEAR, atol=NEAR
    )
    for part, usd in fine.parts.items():
        assert rough.parts[part] == pytest.approx(usd, rel=NEAR, abs=NEAR * worth)
    change = fine.equity["equity"].iloc[-1] - fine.equity["equity"].iloc[0]
    assert sum(fine.parts.values()) == pytest.approx(change, abs=1e-12 * worth)


def _play_both(tmp_path: Path, settings: dict[str, object], agent: Timetable) -> Result:
    """Return the run on integers, after both passes were held to those by kernels."""
    recipe = falling_recipe(**settings)
    world = build_world(recipe, falling_catalog(tmp_path), offline=True)
    rough, fine = (run_in(one, recipe, agent=agent) for one in (world, _exactly(world)))
    _compare(rough, fine)
    assert rough.other is not None
    assert fine.other is not None
    _compare(rough.other, fine.other)
    return fine


@pytest.mark.parametrize("case", CASES)
def test_integers_and_kernels_live_the_same_run(tmp_path: Path, case: str) -> None:
    """Equity, health, journal, liquidations, transactions and parts, both ways to read a bar."""
    settings, actions = CASES[case]
    fine = _play_both(tmp_path, settings, Timetable(actions))
    assert len(fine.liquidations) >= (2 if case in {"compound", "morpho"} else 3)
    assert {"done", "failed"} <= set(fine.journal["kind"])
    assert ("note" in set(fine.journal["kind"])) == (case == "aave v3.0 to v3.3")


@pytest.mark.parametrize("case", CASES)
def test_bad_debt_is_the_same(tmp_path: Path, case: str) -> None:
    """An oracle that reports every five days finds a third gone; the next loan is a new one."""
    settings, _ = CASES[case]
    slow = {"loan.oracle.deviation": 0.9, "loan.oracle.heartbeat": "5d"}
    actions: dict[int, tuple[LoanAction, ...]] = {
        210: (Supply(asset="WETH", amount=20.0),),
        216: (Borrow(asset="USDC", amount=8_000.0),),
        222: (Withdraw(asset="WETH", amount=1.0),),
        240: (Repay(asset="USDC", amount=inf),),
        246: (Withdraw(asset="WETH", amount=inf),),
    }
    fine = _play_both(tmp_path, {**settings, **slow}, Timetable(actions))
    assert fine.liquidations["bad_debt_usd"].sum() > 10_000
    assert fine.loan["debt_usd"].iloc[-1] == 0
    assert fine.counts["done"] == 5


def test_an_upgrade_reaches_the_integers(tmp_path: Path) -> None:
    """A loan of 1,547 DAI, health above 0.95: v3.0 takes half; v3.3, a day later, all that is left.

    Sides of less than 2,000 dollars may be closed whole from v3.3 on.
    """
    settings: dict[str, object] = {"loan.amount": 1.0, "loan.debt": "DAI", "loan.health": 1.45}
    fine = _play_both(tmp_path, {**settings, "loan.wallet": {"ETH": 1.0}}, Timetable({}))
    (note,) = fine.journal.loc[fine.journal["kind"] == "note", "time"]
    before, after = fine.liquidations.to_dict("records")
    assert before["time"] < note < after["time"]
    assert before["repaid"] == pytest.approx(1_547 / 2, rel=1e-3)
    assert 0.95 < after["health_before"] < 1
    assert after["health_after"] == inf
    assert fine.loan["debt_DAI"].iloc[-1] == 0
