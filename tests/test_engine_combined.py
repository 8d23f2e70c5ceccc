"""One account over venues: a loan, spot and perpetuals through the same bars, in one ledger."""

from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from falling_loans import Timetable
from hedged_runs import START_MS, Plan, balances, hedged_recipe, play, texts
from perpetual_runs import ETH, SPOT, fill_catalog

from seawall.action import Order
from seawall.agent import Decision, Wake
from seawall.engine.cerebro import Cerebro
from seawall.engine.combined import CombinedBroker
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.run import run_in
from seawall.engine.world import World, build_world
from seawall.journal import Journal
from seawall.loan_action import Repay, Supply
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin, Transfer, Wallet
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import HOUR_MS
from seawall.workspace import find_recipe

FLAT = [2_000.0] * 9
SELL_10 = Order(symbol=ETH, side="sell", quantity=10.0)
CLOSE_10 = Order(symbol=ETH, side="buy", quantity=10.0, reduce_only=True)
FEES: dict[str, object] = {"perpetual.taker_fee_bps": 10.0}
VENUES = ["equity_spot", "equity_perpetual", "equity_loan", "on_the_way"]


def _change(result: Result) -> float:
    return float(result.equity["equity"].iloc[-1] - result.equity["equity"].iloc[0])


def _interest(result: Result) -> float:
    return result.parts["supply_interest"] + result.parts["borrow_interest"]


def test_a_loan_hedged_one_to_one_loses_only_costs_and_basis(tmp_path: Path) -> None:
    """Collateral of 10 WETH and a short of 10 through a fall from 2,000 to 1,600.

    The loan loses 10 x 400 = 4,000. The short is sold at 2,005 and bought back at 1,601: it makes
    4,040, for fees of 0.1 % x 10 x (2,005 + 1,601) = 36.06. In all 40 - 36.06 = 3.94, and interest,
    whose own worth is the cent of tolerance.
    """
    spot = [2_000, 2_000, 1_900, 1_800, 1_700, 1_600, 1_600, 1_600]
    perpetual = [2_005, 2_005, 1_902, 1_801, 1_701, 1_601, 1_601, 1_601]
    plan: Plan = {0: (SELL_10,), 5: (CLOSE_10,)}
    settings = {**FEES, "strategy.max_hedge": 1.01}  # the short is worth more at the start
    result, _ = play(tmp_path, spot, plan, perpetual, settings=settings)
    parts = result.parts
    assert parts["market"] == pytest.approx(-4_000.0, abs=0.02)
    assert parts["hedge_market"] == pytest.approx(4_040.0)
    assert parts["hedge_trading_fees"] == pytest.approx(-36.06)
    assert _change(result) == pytest.approx(3.94 + _interest(result), abs=0.02)
    assert result.liquidations.empty
    assert result.margin_liquidations.empty


def test_the_loan_is_liquidated_while_the_short_is_fine(tmp_path: Path) -> None:
    """At 1,150 health is 11,500 x 0.83 / 10,000 = 0.95; the short of 10 has won 8,500."""
    result, _ = play(tmp_path, [2_000, 2_000, 1_150, 1_150, 1_150], {0: (SELL_10,)})
    assert len(result.liquidations) > 0
    assert result.margin_liquidations.empty
    last = result.perpetual.iloc[-1]
    assert last[f"quantity:{ETH}"] == -10.0
    assert last["equity_perpetual"] == pytest.approx(10_000 + 8_500)
    assert sum(result.parts.values()) == pytest.approx(_change(result))


def test_the_short_is_liquidated_while_the_loan_is_fine(tmp_path: Path) -> None:
    """A short of 10 at 2,000 on 2,500 of margin; at 2,300 it has lost 3,000.

    The loan's health rises from 1.66 to 23,000 x 0.83 / 10,000 = 1.91, and nobody touches it.
    """
    plan: Plan = {0: (SELL_10,)}
    result, _ = play(
        tmp_path, [2_000, 2_000, 2_300, 2_300], plan, settings={"perpetual.wallet": 2_500.0}
    )
    assert len(result.margin_liquidations) > 0
    assert result.liquidations.empty
    assert result.perpetual[f"quantity:{ETH}"].iloc[-1] == 0.0
    assert result.loan["health"].iloc[-1] == pytest.approx(1.909, rel=1e-3)
    assert result.perpetual["equity_spot"].iloc[-1] == 2_000.0
    assert result.parts["market"] == pytest.approx(3_000.0, abs=0.02)
    assert sum(result.parts.values()) == pytest.approx(_change(result))


@pytest.mark.parametrize("wallet", ["spot", "perpetual"])
def test_money_goes_to_the_exchange_and_back(tmp_path: Path, wallet: Wallet) -> None:
    """3,000 leave at the open of hour 1 and take 90 minutes: they are there at that of hour 3.

    2,995 arrive after a cost of 5. 1,000 go back at the close of hour 4 and reach the loan's wallet
    at the open of hour 7, the first after half past six: 5,000 - 3,000 + 995 = 2,995 USDC.
    """
    plan: Plan = {
        0: (Transfer(source="loan", target=wallet, amount=3_000.0),),
        4: (Transfer(source=wallet, target="loan", amount=1_000.0),),
    }
    settings: dict[str, object] = {
        "perpetual.transfer.loan_delay": "90m", "account.cash": 100.0, "perpetual.wallet": 100.0,
    }  # fmt: skip
    result, _ = play(tmp_path, FLAT, plan, settings=settings)
    frame = result.perpetual
    at = 3_000.0, 2_995.0, 1_995.0, 1_000.0
    np.testing.assert_allclose(
        frame["on_the_way"], [0, 0, at[0], at[0], 0, at[3], at[3], at[3], 0, 0]
    )
    np.testing.assert_allclose(
        frame[f"equity_{wallet}"] - 100, [0, 0, 0, 0, at[1], at[2], at[2], at[2], at[2], at[2]]
    )
    wallet_usdc = result.loan["wallet_USDC"].to_numpy()
    np.testing.assert_allclose(wallet_usdc, [5_000] * 2 + [2_000] * 6 + [2_995] * 2)
    assert result.parts["transfers"] == pytest.approx(-10.0)
    assert _change(result) == pytest.approx(-10.0 + _interest(result))
    moved = result.transfers
    assert list(moved["amount"]) == pytest.approx([3_000.0, 1_000.0])
    assert list(moved["cost"]) == pytest.approx([5.0, 5.0])
    hours = [(t.value // 1_000_000 - START_MS) // HOUR_MS for t in moved["time"]]
    assert hours == [3, 7]


def test_one_ledger_holds_every_wallet(tmp_path: Path) -> None:
    """Its entries add up to what the tables show; nothing is left on the way."""
    plan: Plan = {
        0: (Transfer(source="loan", target="perpetual", amount=3_000.0), SELL_10),
        3: (Transfer(source="spot", target="perpetual", amount=500.0),),
        4: (Transfer(source="perpetual", target="loan", amount=1_000.0),),
    }
    closes = [2_000, 2_000, 1_950, 1_900, 1_900, 1_850, 1_850, 1_850, 1_850]
    result, _ = play(tmp_path, closes, plan, settings=FEES)
    found, frame, loan = balances(result), result.perpetual.iloc[-1], result.loan.iloc[-1]
    assert found["perpetual:USDT"] == pytest.approx(frame["wallet"])
    assert found["USDT"] == pytest.approx(frame["equity_spot"]) == 1_500.0
    assert found[f"contract:{ETH}"] == -10.0
    for account in ("wallet", "collateral"):
        for asset in ("WETH", "USDC"):
            booked = found.get(f"{account}:{asset}", 0.0)
            assert booked == pytest.approx(loan[f"{account}_{asset}"])
    assert found["debt:USDC"] == pytest.approx(-loan["debt_USDC"])
    assert found["chain:USDC"] == pytest.approx(0.0, abs=1e-9)
    assert found["transit:USDT"] == pytest.approx(0.0, abs=1e-9)
    costs = result.ledger[result.ledger["kind"] == "transfer_cost"]["amount"].sum()
    assert costs == pytest.approx(-10.0) == result.parts["transfers"]


def test_what_is_still_on_the_way_is_in_the_equity_and_the_ledger(tmp_path: Path) -> None:
    """A day's delay, eight hours of market: 3,000 never arrive, and are there all the same."""
    plan: Plan = {1: (Transfer(source="loan", target="spot", amount=3_000.0),)}
    result, _ = play(tmp_path, FLAT, plan, settings={"perpetual.transfer.loan_delay": "1d"})
    assert balances(result)["chain:USDC"] == 3_000.0
    assert result.perpetual["on_the_way"].iloc[-1] == 3_000.0
    assert _change(result) == pytest.approx(_interest(result))
    assert result.transfers.empty


def test_the_debt_token_changes_hands_at_its_price(tmp_path: Path) -> None:
    """At 0.98 USD, 2,940 USDT are 3,000 USDC; 980 less 5 that come back are 994.9 of them."""
    plan: Plan = {
        0: (Transfer(source="loan", target="spot", amount=2_940.0),),
        4: (Transfer(source="spot", target="loan", amount=980.0),),
    }
    result, _ = play(tmp_path, FLAT, plan, settings={"loan.prices": {"USDC": 0.98}})
    wallet = result.loan["wallet_USDC"]
    assert wallet.iloc[3] == pytest.approx(2_000.0)
    assert wallet.iloc[-1] == pytest.approx(3_000.0 - 5 / 0.98)
    assert result.perpetual["equity_spot"].iloc[-1] == pytest.approx(2_000 + 2_935 - 980)
    assert _change(result) == pytest.approx(-10.0 + _interest(result))


def test_transfers_that_cannot_be_are_said_to_be_none(tmp_path: Path) -> None:
    """Too little, more than there is, twice the same money, and too late."""
    plan: Plan = {
        0: (
            Transfer(source="loan", target="spot", amount=4.0),
            Transfer(source="loan", target="perpetual", amount=4_500.0),
            Transfer(source="loan", target="spot", amount=600.0),
        ),
        3: (Transfer(source="spot", target="loan", amount=inf),),
        8: (Transfer(source="loan", target="spot", amount=100.0),),
    }
    result, _ = play(tmp_path, FLAT, plan)
    assert any("more than its cost of 5" in one for one in texts(result, "refused"))
    assert any("min_reserve is 0.00" in one for one in texts(result, "refused"))
    assert any("the window ended" in one for one in texts(result, "expired"))
    assert result.loan["wallet_USDC"].iloc[3] == pytest.approx(500.0)
    assert result.perpetual["equity_spot"].iloc[-1] == 0.0
    assert result.loan["wallet_USDC"].iloc[-1] == pytest.approx(500 + 1_995)


def test_the_same_money_is_not_sent_twice(tmp_path: Path) -> None:
    """A reserve with WETH in it allows 4,500 twice; of 5,000 USDC the second gets 500."""
    both = tuple(Transfer(source="loan", target="spot", amount=4_500.0) for _ in range(2))
    settings = {"loan.wallet": {"USDC": 5_000.0, "WETH": 3.0}}
    result, _ = play(tmp_path, FLAT, {0: both}, settings=settings)
    assert any("loan can spare no more than 500" in one for one in texts(result, "reduced"))
    assert list(result.transfers["amount"]) == pytest.approx([4_500.0, 500.0])
    assert result.loan["wallet_USDC"].iloc[-1] == 0.0


def test_a_loan_that_pays_first_leaves_less_to_send(tmp_path: Path) -> None:
    """What lands in the meantime takes its part: a repayment at the same open comes second."""
    plan: Plan = {
        0: (
            Transfer(source="loan", target="spot", amount=3_000.0),
            Repay(asset="USDC", amount=2_000.0),
        ),
    }
    result, _ = play(tmp_path, FLAT, plan, settings={"loan.wallet": {"USDC": 5_000.0, "ETH": 1.0}})
    assert result.loan["wallet_USDC"].iloc[-1] == pytest.approx(0.0)
    assert list(result.transactions["status"]) == ["done"]


def test_an_agent_sees_what_is_on_its_way(tmp_path: Path) -> None:
    """From the next close on, and until it has arrived; also what comes from the exchange."""
    plan: Plan = {
        0: (Transfer(source="loan", target="perpetual", amount=3_000.0),),
        4: (Transfer(source="perpetual", target="loan", amount=1_000.0),),
    }
    _, agent = play(tmp_path, FLAT, plan, settings={"perpetual.transfer.loan_delay": "90m"})
    ways = [one.perpetual.on_the_way for one in agent.seen if one.perpetual is not None]
    assert ways == pytest.approx([0, 3_000, 3_000, 0, 0, 1_000, 1_000, 0, 0])


def test_equity_adds_up_per_venue_at_each_bar(tmp_path: Path) -> None:
    """The table's venues, the curve, and what the broker said while it ran, to 1e-9."""
    rng = np.random.default_rng(5)
    closes = 2_000 * np.exp(np.cumsum(rng.normal(0, 0.01, 40)))
    basis = closes * (1 + rng.normal(0, 0.001, 40))
    plan: Plan = {
        0: (SELL_10,),
        3: (Transfer(source="loan", target="perpetual", amount=2_000.0),),
        9: (Transfer(source="perpetual", target="spot", amount=700.0),),
        12: (Transfer(source="spot", target="loan", amount=1_500.0),),
        20: (CLOSE_10, Repay(asset="USDC", amount=400.0)),
        30: (SELL_10,),
    }
    result, agent = play(
        tmp_path, closes.tolist(), plan, basis.tolist(),
        settings={**FEES, "loan.wallet": {"USDC": 5_000.0, "ETH": 1.0},
           "perpetual.funding.rate": 0.0005, "perpetual.transfer.loan_delay": "3h"},
    )  # fmt: skip
    second = result.other or result
    np.testing.assert_allclose(agent.equities, second.equity["equity"].iloc[1:], rtol=1e-12)
    for one in (result, second):
        together = one.perpetual[VENUES].sum(axis=1)
        np.testing.assert_allclose(together, one.equity["equity"], rtol=1e-12)
        np.testing.assert_allclose(one.perpetual["equity_loan"], one.loan["equity"], rtol=1e-12)
        assert sum(one.parts.values()) == pytest.approx(_change(one), rel=1e-9)
    assert len(result.funding) > 0
    assert result.parts["hedge_funding"] == pytest.approx(result.funding["amount"].sum())


# What a hedge made is known from its fills, funding and last mark, without the curve -------------


def test_the_hedges_market_part_is_what_its_fills_made(tmp_path: Path) -> None:
    """Profit from fills before slippage and the last mark, beside what "no other part explains"."""
    closes = [2_000, 2_000, 1_900, 1_950, 1_800, 1_850, 1_800, 1_750, 1_700]
    plan: Plan = {
        0: (SELL_10,),
        2: (Transfer(source="loan", target="perpetual", amount=1_000.0),),
        4: (Order(symbol=ETH, side="buy", quantity=4.0, reduce_only=True),),
    }
    result, _ = play(tmp_path, closes, plan, settings={**FEES, "costs.half_spread_bps": 5.0})
    fills, last = result.fills, result.perpetual.iloc[-1]
    spent = float((fills["quantity"] * fills["price"]).sum()) - float(fills["slippage"].sum())
    made = float(last[f"quantity:{ETH}"] * last[f"mark:{ETH}"]) - spent
    assert made == pytest.approx(10 * 2_000 - 4 * 1_800 - 6 * 1_700)
    assert result.parts["hedge_market"] == pytest.approx(made)


# Jumps --------------------------------------------------------------------------------------------


def _stay_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cerebro, "grants_sleep", property(lambda _: False))


def _assert_same(jumped: Result, walked: Result) -> None:
    for name in (
        "equity", "loan", "perpetual", "journal", "ledger", "liquidations", "transactions",
        "fills", "funding", "transfers", "margin_liquidations",
    ):  # fmt: skip
        pd.testing.assert_frame_equal(
            getattr(jumped, name), getattr(walked, name), check_exact=True, obj=name
        )
    assert jumped.parts == walked.parts
    if jumped.other is not None and walked.other is not None:
        _assert_same(jumped.other, walked.other)


@pytest.fixture
def falling(tmp_path: Path) -> World:
    """Return two weeks of hours that fall by a half, with a perpetual of its own."""
    rng = np.random.default_rng(11)
    closes = 2_000 * np.exp(np.cumsum(rng.normal(-0.002, 0.008, 336)))
    basis = closes * (1 + rng.normal(0, 0.001, 336))
    catalog = fill_catalog(tmp_path, {SPOT: closes.tolist(), ETH: basis.tolist()})
    return build_world(_long_recipe(), catalog, offline=True)


def _long_recipe() -> Recipe:
    wallet = {"USDC": 5_000.0, "ETH": 1.0, "WETH": 3.0}
    return hedged_recipe(336, {"loan.wallet": wallet, "perpetual.funding.rate": 0.0003})


PLANS: dict[str, dict[int, tuple[object, ...]]] = {
    "no hedge": {
        100: (Repay(asset="USDC", amount=500.0),),
        200: (Supply(asset="WETH", amount=1.0),),
    },
    "transfers": {
        100: (Transfer(source="loan", target="spot", amount=500.0),),
        200: (Transfer(source="spot", target="loan", amount=900.0),),
    },
    "a hedge for a while": {
        50: (SELL_10,),
        90: (CLOSE_10,),
        200: (Repay(asset="USDC", amount=500.0),),
        260: (SELL_10, AddMargin(symbol=ETH, amount=100.0)),
    },
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("wake", [Wake(), Wake(health_below=1.1, at_fill=True)], ids=str)
def test_a_jump_equals_the_bars_it_jumps_over(
    falling: World, plan: str, wake: Wake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every table to the bit; it does jump while nothing is on, on its way or ordered."""
    lived: list[int] = []
    lives = CombinedBroker.live_until

    def counted(broker: CombinedBroker, stop: int, **wishes: object) -> int:
        before = broker.loan._lived
        reached = lives(broker, stop, **wishes)  # type: ignore[arg-type]
        lived.append(broker.loan._lived - before)
        assert broker.futures is not None
        assert not broker.futures.is_held
        return reached

    agent = Timetable(_on_march(PLANS[plan]), wake=wake)
    with monkeypatch.context() as patched:
        patched.setattr(CombinedBroker, "live_until", counted)
        jumped = run_in(falling, _long_recipe(), agent=agent)
    assert sum(lived) > 100
    with monkeypatch.context() as patched:
        _stay_awake(patched)
        walked = run_in(falling, _long_recipe(), agent=agent)
    _assert_same(jumped, walked)


def _on_march(plan: dict[int, tuple[object, ...]]) -> dict[int, tuple[Any, ...]]:
    """Return a plan by the hours of ``Timetable``, which counts from nine days earlier."""
    return {9 * 24 + hour: actions for hour, actions in plan.items()}


# Whatever is asked --------------------------------------------------------------------------------


class RandomHedger:
    """An agent that trades, moves money and guards the loan at random."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def decide(self, observation: Observation) -> Decision:
        """Return an action in three of four bars."""
        rng, view = self._rng, observation.perpetual
        assert view is not None
        size, chance = float(rng.exponential(4.0)), float(rng.random())
        if chance < 0.3:
            wallets: list[Wallet] = ["spot", "perpetual", "loan"]
            rng.shuffle(wallets)
            amount = inf if rng.random() < 0.1 else 300 * size
            move = Transfer(source=wallets[0], target=wallets[1], amount=amount)
            return Decision(actions=(move,))
        if chance < 0.6:
            side = "sell" if rng.random() < 0.7 else "buy"
            order = Order(symbol=ETH, side=side, quantity=size)  # type: ignore[arg-type]
            return Decision(actions=(order,))
        if chance < 0.7:
            return Decision(actions=(Repay(asset="USDC", amount=100 * size),))
        if chance < 0.75:
            return Decision(actions=(AddMargin(symbol=ETH, amount=float(rng.normal(0, 500))),))
        return Decision()


@pytest.fixture(scope="module")
def simulated() -> World:
    """Return three weeks of the simulated crash."""
    return build_world(_simulated_recipe(), Catalog(), offline=True)


def _simulated_recipe() -> Recipe:
    recipe = Recipe.from_file(find_recipe("hedged_loan_demo"))
    return recipe.with_settings({"market.since": "2025-04-01", "market.until": "2025-04-22"})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.slow
def test_whatever_is_asked_the_books_agree(simulated: World, seed: int) -> None:
    """The run checks ledger, parts and sums itself; venues and parts make the whole equity."""
    result = run_in(simulated, _simulated_recipe(), agent=RandomHedger(seed))
    kinds = set(result.transfers["source"]) | set(result.transfers["target"])
    assert kinds == {"spot", "perpetual", "loan"}
    for one in (result, result.other or result):
        together = one.perpetual[VENUES].sum(axis=1)
        np.testing.assert_allclose(together, one.equity["equity"], rtol=1e-9)
        assert sum(one.parts.values()) == pytest.approx(_change(one), rel=1e-9, abs=1e-6)
        assert (one.perpetual["on_the_way"] >= -1e-9).all()
        assert (one.perpetual["equity_perpetual"] >= -1e-6).all() or len(one.margin_liquidations)


def test_a_loan_alone_is_what_it_was(simulated: World) -> None:
    """With idle money on an exchange the loan's table is as without one, to the bit."""
    recipe = _simulated_recipe()
    hedged = run_in(simulated, recipe.with_settings({"account.cash": 100.0}), agent=Repayer())
    window = {"market.since": "2025-04-01", "market.until": "2025-04-22"}
    plain = Recipe.from_file(find_recipe("loan_demo")).with_settings(window)
    alone = run_in(build_world(plain, Catalog(), offline=True), plain, agent=Repayer())
    pd.testing.assert_frame_equal(hedged.loan, alone.loan, check_exact=True)
    pd.testing.assert_frame_equal(hedged.transactions, alone.transactions, check_exact=True)
    assert {name: hedged.parts[name] for name in alone.parts} == alone.parts


class Repayer:
    """An agent that repays a little on every third day."""

    def decide(self, observation: Observation) -> Decision:
        """Return a repayment now and then."""
        is_due = observation.time_ms // HOUR_MS % 72 == 0
        return Decision(actions=(Repay(asset="USDC", amount=100.0),) if is_due else ())


def test_the_start_is_what_lies_in_both_wallets(tmp_path: Path) -> None:
    """5,000 USDC beside the loan, and 2,000 USDT on the spot side of the exchange."""
    closes = {SPOT: FLAT, ETH: FLAT}
    recipe = hedged_recipe(len(FLAT))
    world = build_world(recipe, fill_catalog(tmp_path, closes), offline=True)
    broker = CombinedBroker.from_recipe(recipe, world, journal=Journal(), ambiguity="worst")
    assert isinstance(broker.loan, LoanBroker)
    assert broker.startingcash == 5_000.0 + 2_000.0
