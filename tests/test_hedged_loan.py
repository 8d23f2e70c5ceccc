"""The job of a loan that may be hedged: what it permits, its recipes, and how it is judged."""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from math import inf
from pathlib import Path

import pandas as pd
import pytest
from hedged_runs import Hours, Plan, hedged_recipe, play, texts
from perpetual_runs import ETH, SPOT, fill_catalog

from seawall.action import Order, TargetWeight
from seawall.analysis.compare import describe_troubles
from seawall.analysis.contender import to_contender
from seawall.analysis.hindsight_world import find_hindsight
from seawall.analysis.judgement import HEDGED_PARTS, Judgement, Protection
from seawall.analysis.league import judge_alone, league
from seawall.analysis.protection import measure_protection
from seawall.analysis.report import write_report
from seawall.conformance import check_agent, check_strategy
from seawall.conformance.loan_worlds import default_hedged_recipe
from seawall.engine.outcome import UNHEDGED_BOUND
from seawall.engine.run import run, run_in
from seawall.engine.world import World, build_world
from seawall.errors import RecipeError
from seawall.loan_action import Repay
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.observation import Observation
from seawall.perpetual_action import SetLeverage, TargetLeverage, Transfer
from seawall.recipe import Recipe
from seawall.result import TABLES, Result
from seawall.workspace import find_recipe, list_names

FLAT = [2_000.0] * 8
BITCOIN = "BTC/USDT:USDT"
WINDOWS = [name for name in list_names("backtests") if name.startswith("hedged_loan_20")]


def sell(quantity: float, symbol: str = ETH) -> Order:
    """Return a market order that opens or adds to a short."""
    return Order(symbol=symbol, side="sell", quantity=quantity)


def buy(quantity: float, *, reduce_only: bool = False) -> Order:
    """Return a market order that buys back."""
    return Order(symbol=ETH, side="buy", quantity=quantity, reduce_only=reduce_only)


def held(result: Result) -> float:
    """Return the base units of ETH held at the end."""
    return float(result.perpetual[f"quantity:{ETH}"].iloc[-1])


# What is permitted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (buy(1.0), "this job hedges with shorts, this would leave a long of 1 ETH/USDT:USDT"),
        (TargetWeight(symbol=ETH, weight=0.5), "this would leave a long of "),
        (sell(10.01), "max_hedge is 1 of the collateral, this would make it 1.001: sell less"),
        (TargetWeight(symbol=ETH, weight=-1.0), "max_hedge is 1 of the collateral"),
    ],
)
def test_what_is_no_hedge_is_refused_by_name(
    tmp_path: Path, action: Order | TargetWeight, why: str
) -> None:
    """The collateral is worth 20,000: 10.01 ETH at 2,000 are 1.001 of it; all equity 27,000."""
    result, _ = play(tmp_path, FLAT, {0: (action,)})
    assert any(why in one for one in texts(result, "refused"))
    assert result.fills.empty


def test_a_hedge_of_the_whole_collateral_is_permitted_and_bought_back(tmp_path: Path) -> None:
    """10 ETH are sold; 10.5 to buy back are too many, unless they only reduce."""
    plan: Plan = {0: (sell(10.0),), 3: (buy(10.5),), 5: (buy(10.5, reduce_only=True),)}
    result, _ = play(tmp_path, FLAT, plan)
    assert list(result.fills["quantity"]) == [-10.0, 10.0]
    assert any("a long of 0.5 " in one for one in texts(result, "refused"))


def test_what_rests_counts_as_sold(tmp_path: Path) -> None:
    """Six that wait for 2,100 and six more are twelve, of ten; four more are not."""
    resting = Order(symbol=ETH, side="sell", quantity=6.0, type="limit", limit_price=2_100.0)
    result, _ = play(tmp_path, FLAT, {0: (resting,), 2: (sell(6.0),), 4: (sell(4.0),)})
    assert any("would make it 1.2" in one for one in texts(result, "refused"))
    assert held(result) == -4.0


def test_all_shorts_count_together(tmp_path: Path) -> None:
    """8 ETH are 0.8 of the collateral; 0.1 BTC at 50,000 would be 0.25 more, 0.03 are 0.075."""
    closes = {SPOT: FLAT, ETH: FLAT, BITCOIN: [50_000.0] * len(FLAT)}
    recipe = hedged_recipe(len(FLAT), {"market.symbols": [SPOT, ETH, BITCOIN]})
    agent = Hours({0: (sell(8.0),), 2: (sell(0.1, BITCOIN),), 4: (sell(0.03, BITCOIN),)})
    result = run(recipe, agent=agent, catalog=fill_catalog(tmp_path, closes))
    assert any("would make it 1.05" in one for one in texts(result, "refused"))
    assert result.perpetual[f"quantity:{BITCOIN}"].iloc[-1] == -0.03


def test_sales_asked_for_in_other_symbols_count_too(tmp_path: Path) -> None:
    """Of 0.9, 0.6 in ETH and 0.5 in BTC are too much, in one decision or where the first rests."""
    closes = {SPOT: FLAT, ETH: FLAT, BITCOIN: [50_000.0] * len(FLAT)}
    settings = {"market.symbols": [SPOT, ETH, BITCOIN], "strategy.max_hedge": 0.9}
    recipe = hedged_recipe(len(FLAT), settings)
    rests = Order(symbol=ETH, side="sell", quantity=6.0, type="limit", limit_price=2_100.0)
    plans: list[Plan] = [
        {0: (sell(6.0), sell(0.2, BITCOIN))},
        {0: (rests,), 2: (sell(0.2, BITCOIN),)},
    ]
    for place, plan in enumerate(plans):
        catalog = fill_catalog(tmp_path / str(place), closes)
        result = run(recipe, agent=Hours(plan), catalog=catalog)
        assert any("would make it 1.1" in one for one in texts(result, "refused"))
        assert not result.perpetual[f"quantity:{BITCOIN}"].any()


def test_what_rests_does_not_turn_a_hedge(tmp_path: Path) -> None:
    """3 are short and 3 wait to be bought at 1,960 when all is closed: no long is opened."""
    falls = [2_000.0] * 5 + [1_950.0] * 3
    rests = Order(symbol=ETH, side="buy", quantity=3.0, type="limit", limit_price=1_960.0)
    plan: Plan = {0: (sell(3.0),), 2: (rests,), 3: (TargetWeight(symbol=ETH, weight=0.0),)}
    result, _ = play(tmp_path, falls, plan)
    assert list(result.fills["quantity"]) == [-3.0, 3.0]
    assert held(result) == 0.0


def test_a_share_may_be_another_one(tmp_path: Path) -> None:
    """Half of it, or none at all."""
    plan: Plan = {0: (sell(5.0),), 2: (sell(0.1),)}
    half, _ = play(tmp_path / "half", FLAT, plan, settings={"strategy.max_hedge": 0.5})
    none, _ = play(tmp_path / "none", FLAT, plan, settings={"strategy.max_hedge": 0.0})
    assert held(half) == -5.0
    assert held(none) == 0.0


def test_leverage_of_a_hedge_is_a_hedge_too(tmp_path: Path) -> None:
    """A short of 1 on 12,000 of margin to 2x would be 12 ETH; to 0.0 it is closed."""
    plan: Plan = {
        0: (SetLeverage(symbol=ETH, leverage=4.0), sell(1.0)),
        2: (TargetLeverage(symbol=ETH, leverage=2.4),),
        4: (TargetLeverage(symbol=ETH, leverage=0.0),),
    }
    result, _ = play(tmp_path, FLAT, plan)
    assert any("max_hedge is 1" in one for one in texts(result, "refused"))
    assert list(result.fills["quantity"]) == [-1.0, 1.0]


def test_spot_is_not_traded(tmp_path: Path) -> None:
    """An order of the spot symbol is no action of this job: the agent has abstained."""
    plan: Plan = {0: (Order(symbol=SPOT, side="buy", quantity=1.0),)}
    result, _ = play(tmp_path, FLAT, plan)
    assert any("there is no symbol 'ETH/USDT'" in one for one in texts(result, "abstained"))


def test_a_number_is_the_target_health(tmp_path: Path) -> None:
    """From 1.66 to 2.0 with the 5,000 USDC beside it: 8,300 USDC of debt are left."""
    catalog = fill_catalog(tmp_path, {SPOT: FLAT, ETH: FLAT})
    recipe = hedged_recipe(len(FLAT), {"loan.wallet": {"USDC": 5_000.0, "ETH": 1.0}})
    answers = iter([2.0])
    result = run(recipe, agent=lambda _: next(answers, None), catalog=catalog)
    assert result.loan["health"].iloc[-1] == pytest.approx(2.0, rel=1e-4)


def test_the_reserve_of_the_wallet_is_kept(tmp_path: Path) -> None:
    """Of 5,000 USDC 4,000 stay: 1,500 are refused, "all" is 1,000, and then there is no more."""
    plan: Plan = {
        0: (Transfer(source="loan", target="perpetual", amount=1_500.0),),
        2: (Transfer(source="loan", target="perpetual", amount=inf),),
        5: (Transfer(source="loan", target="spot", amount=100.0),),
    }
    result, _ = play(tmp_path, FLAT, plan, settings={"strategy.min_reserve": 4_000.0})
    refused = texts(result, "refused")
    assert any("min_reserve is 4,000.00 USD, this would leave 3,500.00" in one for one in refused)
    assert any("this would leave 3,900.00" in one for one in refused)
    assert result.loan["wallet_USDC"].iloc[-1] == pytest.approx(4_000.0)


def test_a_transfer_and_a_repayment_do_not_spend_the_same_money(tmp_path: Path) -> None:
    """3,000 of 5,000 USDC are sent, 1,500 repaid: 1,000 in reserve forbid the second."""
    plan: Plan = {
        0: (
            Transfer(source="loan", target="spot", amount=3_000.0),
            Repay(asset="USDC", amount=1_500.0),
        )
    }
    settings = {"strategy.min_reserve": 1_000.0, "loan.wallet": {"USDC": 5_000.0, "ETH": 1.0}}
    result, _ = play(tmp_path, FLAT, plan, settings=settings)
    assert any("this would leave 500.00" in one for one in texts(result, "refused"))
    assert result.transactions.empty


def test_spending_counts_both_venues(tmp_path: Path) -> None:
    """Fees of 0.1 %: 5 ETH cost 10, with a transfer's 5 that is 15; 3 more would make it 21."""
    plan: Plan = {
        0: (sell(5.0), Transfer(source="loan", target="perpetual", amount=1_000.0)),
        4: (sell(3.0),),
        6: (sell(1.0),),
    }
    settings = {"perpetual.taker_fee_bps": 10.0, "strategy.max_spend": 20.0}
    result, _ = play(tmp_path, FLAT, plan, settings=settings)
    expected = "max_spend is 20.00 USD, this would make it 21.00"
    assert any(expected in one for one in texts(result, "refused"))
    assert held(result) == -6.0


def test_actions_of_a_day_count_on_both_venues(tmp_path: Path) -> None:
    """An order, a transfer, and then a repayment that is the third of two."""
    plan: Plan = {
        0: (sell(1.0), Transfer(source="spot", target="perpetual", amount=10.0)),
        2: (Repay(asset="USDC", amount=100.0),),
    }
    result, _ = play(tmp_path, FLAT, plan, settings={"strategy.max_actions_per_day": 2})
    assert any("max_actions_per_day is 2" in one for one in texts(result, "refused"))
    assert result.transactions.empty


# Recipes ------------------------------------------------------------------------------------------

NO_PERPETUAL: dict[str, object] = {"market.symbols": [SPOT], "perpetual": None}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (
            {"strategy.name": "strategies.liquidation_protection"},
            "the job is strategies.liquidation_protection: set strategy.name to strategies.hedge",
        ),
        (
            NO_PERPETUAL,
            r"hedges with a perpetual, market.symbols are \['ETH/USDT'\]: add one",
        ),
        ({"loan": None}, "strategies.hedged_loan guards a loan, the recipe has none"),
        (
            {"perpetual.position": {"quantity": -5.0}},
            "perpetual.position is for strategies.margin_protection",
        ),
        ({"loan.debt": "WBTC"}, "loan.debt must be a dollar .* is WBTC"),
        (
            {"market.symbols": ["ETH/BTC", "ETH/BTC:BTC"]},
            "the quote of the market must be a dollar .* is BTC",
        ),
        ({"strategy.max_hedge": -0.1}, "strategy.max_hedge must be >= 0, is -0.1"),
        ({"strategy.max_hedge": "all"}, "strategy.max_hedge must be a number, is 'all'"),
        ({"strategy.min_reserve": -1.0}, "strategy.min_reserve must be a finite number >= 0"),
        ({"strategy.sizing": "fill"}, "strategy.sizing must be decision with a loan, is fill"),
        ({"execution.decide_at": "open"}, "a loan is guarded from close to close"),
    ],
)
def test_what_makes_no_account_is_refused_by_name(
    tmp_path: Path, settings: Mapping[str, object], rule: str
) -> None:
    """Rule, value and remedy, before the bars."""
    values = hedged_recipe(len(FLAT)).model_dump(mode="json", by_alias=True, exclude_none=True)
    sections = {key: value for key, value in settings.items() if "." not in key}
    rest = {key: value for key, value in settings.items() if "." in key}
    if "market.symbols" in rest and "perpetual" in sections:
        values["market"]["symbols"] = rest.pop("market.symbols")
    values |= sections
    recipe = Recipe.from_dict({k: v for k, v in values.items() if v is not None})
    catalog = fill_catalog(tmp_path, {SPOT: FLAT, ETH: FLAT})
    with pytest.raises(RecipeError, match=rule):
        run(recipe.with_settings(rest), catalog=catalog)


def test_a_market_of_perpetuals_alone_leaves_the_cash_on_the_spot_side(tmp_path: Path) -> None:
    """As ``[perpetual]`` says of an account with a loan; the loan takes the perpetual's price."""
    settings = {"market.symbols": [ETH]}
    values = hedged_recipe(len(FLAT), settings).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    del values["perpetual"]["wallet"]
    catalog = fill_catalog(tmp_path, {ETH: FLAT})
    result = run(Recipe.from_dict(values), catalog=catalog)
    first = result.perpetual.iloc[0]
    assert (first["equity_spot"], first["equity_perpetual"]) == (2_000.0, 0.0)


@pytest.mark.parametrize("name", WINDOWS)
def test_each_crash_window_is_that_of_the_loan_alone(name: str) -> None:
    """The same loan in the same days: agents of both can be compared."""
    hedged = Recipe.from_file(find_recipe(name))
    plain = Recipe.from_file(find_recipe(name.removeprefix("hedged_")))
    assert hedged.loan == plain.loan
    market = hedged.market.model_copy(update={"symbols": plain.market.symbols})
    assert market == plain.market
    assert hedged.market.symbols == ("ETH/USDT", "ETH/USDT:USDT")


def test_there_are_eight_windows() -> None:
    """One for each crash."""
    assert len(WINDOWS) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", WINDOWS)
def test_a_hedged_loan_goes_through_its_crash(name: str, shared_data: Path, tmp_path: Path) -> None:
    """On real prices and funding: venues and parts add up, and danger is answered by a short."""
    catalog = Catalog(tmp_path)
    import_files([shared_data / f"{one}.parquet" for one in _FILES], catalog)
    result = run(Recipe.from_file(find_recipe(name)), catalog=catalog)
    venues = ["equity_spot", "equity_perpetual", "equity_loan", "on_the_way"]
    together = result.perpetual[venues].sum(axis=1)
    assert together.to_numpy() == pytest.approx(result.equity["equity"].to_numpy(), rel=1e-9)
    change = result.equity["equity"].iloc[-1] - result.equity["equity"].iloc[0]
    assert sum(result.parts.values()) == pytest.approx(change, rel=1e-9)
    is_in_danger = (result.loan["health"].iloc[1:-1] < 1.25).any()
    assert is_in_danger == (result.perpetual[f"quantity:{ETH}"] < 0).any()
    assert is_in_danger == (name != "hedged_loan_2023_03")


_FILES = (
    "candles/binance/ETH-USDT-1h", "candles/binance-perp/ETH-USDT-PERP-1h",
    "mark/binance-perp/ETH-USDT-PERP-1h", "funding/binance/ETH-USDT-PERP",
    "candles/binanceus/BTC-USDC-1m", "candles/binanceus/BTC-USDT-1m", "gas/ethereum-avg-1d",
)  # fmt: skip


# The judgement ------------------------------------------------------------------------------------


@cache
def crash_recipe() -> Recipe:
    """Return two weeks with the simulated crash in them."""
    recipe = Recipe.from_file(find_recipe("hedged_loan_demo"))
    return recipe.with_settings({"market.since": "2025-04-01", "market.until": "2025-04-15"})


@cache
def crash_world() -> World:
    """Return their world."""
    return build_world(crash_recipe(), Catalog(), offline=True)


@cache
def crash_run(agent: str = "hedge_on_drawdown{leverage=5.0}") -> Result:
    """Return an agent's run through them."""
    return run_in(crash_world(), to_contender(agent).recipe(crash_recipe()))


@cache
def judged(agent: str = "hedge_on_drawdown{leverage=5.0}") -> Judgement[Protection]:
    """Return what it comes to."""
    found = judge_alone(crash_run(agent), crash_recipe(), crash_world())
    assert isinstance(found.own, Protection)
    return found


def test_the_price_of_protection_is_of_the_whole_account() -> None:
    """Doing nothing has the same money on the exchange; all of both venues is compared."""
    result, untouched, found = crash_run(), crash_run("do_nothing"), judged()
    gained = result.equity["equity"].iloc[-1] - untouched.equity["equity"].iloc[-1]
    assert found.price.price_usd == pytest.approx(-gained)
    assert tuple(found.price.parts) == HEDGED_PARTS
    assert sum(found.price.parts.values()) == pytest.approx(gained)
    assert found.price.parts["hedge_market"] == pytest.approx(result.parts["hedge_market"])
    assert found.own.start_equity_usd == pytest.approx(result.equity["equity"].iloc[0])
    idle = untouched.perpetual[["equity_spot", "equity_perpetual"]].sum(axis=1)
    assert (idle == 12_000.0).all()


def test_what_the_hedge_loses_is_upside_given_up() -> None:
    """In the market's part of loan and hedge together."""
    price = judged().price
    market = price.parts["market"] + price.parts["hedge_market"]
    assert price.upside_given_up_usd == pytest.approx(max(0.0, -market))


def test_hindsight_says_that_it_does_not_hedge() -> None:
    """A label beside every number, and dollars are said to be dollars once."""
    labels = crash_run().labels
    assert UNHEDGED_BOUND in labels
    assert labels.count("assumption: USDT is 1 USD") == 1


class Mover:
    """An agent that brings all money of the exchange home and repays with it."""

    def decide(self, observation: Observation) -> object:
        """Send what is there, and repay what has come."""
        loan, view = observation.loan, observation.perpetual
        assert loan is not None
        assert view is not None
        if view.reserve > 100:
            return (Transfer(source="spot", target="loan", amount=inf),)
        if loan.wallet["USDC"] > 1_000 and not loan.pending:
            return (Repay(asset="USDC", amount=loan.wallet["USDC"] - 1),)
        return None


def test_hindsight_has_the_money_of_the_exchange() -> None:
    """Nobody who brings it home is above the bound: it lies in hindsight's wallet."""
    result = run_in(crash_world(), crash_recipe(), agent=Mover())
    assert result.loan["debt_USDC"].iloc[-1] < result.loan["debt_USDC"].iloc[0] - 10_000
    bound = judged().price.hindsight_usd
    for one in (result, crash_run("do_nothing")):
        assert one.equity["equity"].iloc[-1] <= bound


def test_hindsight_of_a_hedged_loan_is_that_of_a_richer_one() -> None:
    """12,000 USDT on the exchange are 12,000 USDC beside the 2,000 in the wallet."""
    settings = {
        "market.since": "2025-04-01", "market.until": "2025-04-15",
        "loan.wallet": {"ETH": 3.0, "USDC": 14_000.0},
    }  # fmt: skip
    rich = Recipe.from_file(find_recipe("loan_demo")).with_settings(settings)
    world = build_world(rich, Catalog(), offline=True)
    expected = find_hindsight(world, rich, "worst").final_equity_usd
    assert judged().price.hindsight_usd == pytest.approx(expected, rel=1e-12)


def test_an_untouched_loan_costs_nothing() -> None:
    """Doing nothing beside doing nothing: no price, part by part."""
    price = judged("do_nothing").price
    assert price.price_usd == 0.0
    assert set(price.parts.values()) == {0.0}


def test_a_short_that_is_liquidated_counts_beside_the_loan() -> None:
    """Judgement, result and the words of a run have the liquidations of both venues."""
    result = crash_run("do_nothing")
    row = {"time": result.equity.index[3], "symbol": ETH}
    struck = replace(result, margin_liquidations=pd.DataFrame([row, row]))
    n_loan = len(result.liquidations)
    assert struck.n_liquidations == n_loan + 1
    assert measure_protection(struck).n_liquidations == n_loan + 1
    assert f"was liquidated {n_loan + 1} time" in describe_troubles(struck)


def test_a_result_with_both_survives_the_disk_and_is_shown(tmp_path: Path) -> None:
    """All tables, the judgement in it, and the report with both venues."""
    result = crash_run()
    stored = {name: getattr(result, name) for name in (f.name for f in fields(Result))}
    stored |= {"judgement": judged().to_dict(), "other": None}
    folder = Result(**stored).save(tmp_path / "one")
    again = Result.load(folder)
    for name in TABLES:
        assert len(getattr(again, name)) == len(getattr(result, name))
    assert again.parts == pytest.approx(dict(result.parts))
    page = write_report(again, tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("Equity by venue", "market, hedge", "Health factor", "Margin ratio"):
        assert words in page


@pytest.mark.slow
def test_a_league_compares_hedges_with_other_guards() -> None:
    """All of them have the same exchange; the parts of each difference are the account's."""
    found = league([crash_recipe()], ["hedge_on_drawdown{leverage=5.0}", "defi_saver"], n_states=60)
    assert not found.errors
    names = set(found.cells["agent"])
    assert {"do_nothing", "hindsight", "defi_saver"} < names
    mine = found.cells[found.cells["agent"].str.startswith("hedge_on_drawdown")]
    assert (mine["part_hedge_market"] != 0.0).all()


@pytest.mark.slow
def test_job_and_agent_pass_the_conformance_suite() -> None:
    """In a market with a perpetual: the hedge is sold, and knows no future."""
    reports = [
        check_strategy("hedged_loan"),
        check_agent("hedge_on_drawdown", recipe=default_hedged_recipe()),
    ]
    for report in reports:
        assert [one for one in report.findings if not one.passed] == []
