"""The recipe's [loan]: what is allowed, and what a mistake is told."""

import pytest

from seawall.errors import RecipeError
from seawall.recipe import Recipe

_LOAN = {"equity": 10.0, "leverage": 2.0}


def _recipe(**loan: object) -> Recipe:
    given = {key: value for key, value in {**_LOAN, **loan}.items() if value is not None}
    return Recipe.from_dict(
        {
            "market": {
                "venue": "simulated",
                "symbols": ["ETH/USDT"],
                "timeframe": "1h",
                "since": "2025-01-01",
                "until": "2025-02-01",
            },
            "strategy": {"name": "strategies.liquidation_protection"},
            "loan": given,
        }
    )


def test_short_prices_mean_a_symbol_or_a_peg() -> None:
    """A text is a symbol of the market, a number a price that stands."""
    loan = _recipe(prices={"WETH": "ETH/USDT", "USDC": 1.0}).loan
    assert loan is not None
    assert loan.prices["WETH"].symbol == "ETH/USDT"
    assert loan.prices["USDC"].value == 1.0


def test_a_recipe_with_a_loan_survives_json() -> None:
    """What is written is read back equal, with the same id."""
    recipe = _recipe(oracle={"faults": [_FAULT]}, gas={"source": "model", "multiplier": 5.0})
    again = Recipe.from_dict(recipe.to_dict())
    assert again == recipe
    assert again.id == recipe.id


def test_a_recipe_without_a_loan_keeps_its_id() -> None:
    """A section that is not there changes no hash: older results stay comparable."""
    values = {**_recipe().to_dict(), "strategy": {"name": "strategies.spot_trading"}}
    del values["loan"]
    assert "loan" not in Recipe.from_dict(values).to_dict()


_FAULT = {"kind": "wick", "asset": "WETH", "since": "2025-01-05", "until": "2025-01-06"}


@pytest.mark.parametrize(
    ("loan", "message"),
    [
        ({"amount": 3.0}, "exactly one of loan.amount and loan.equity"),
        ({"equity": None, "amount": None}, "exactly one of loan.amount and loan.equity"),
        ({"ltv": 0.5}, "exactly one of loan.debt_amount"),
        ({"leverage": None}, "exactly one of loan.debt_amount"),
        ({"leverage": None, "health": 0.9}, "loan.health must be > 1, is 0.9"),
        ({"debt": "WETH"}, "must differ"),
        ({"prices": {"USDC": {"value": 1.0, "symbol": "ETH/USDT"}}}, "one of symbol, value"),
        ({"prices": {"USDC": {"numerator": "BTC/USDT"}}}, "one of symbol, value"),
        ({"oracle": {"faults": [{**_FAULT, "until": "2025-01-04"}]}}, "ends after it begins"),
        ({"oracle": {"heartbeat": "soon"}}, "a duration is"),
        ({"wallets": {}}, "did you mean 'wallet'"),
        ({"gas": {"source": "guess"}}, "loan.gas.source"),
    ],
)
def test_a_mistake_is_named(loan: dict[str, object], message: str) -> None:
    """The rule, the value and the remedy stand in one line."""
    with pytest.raises(RecipeError, match=message) as caught:
        _recipe(**loan)
    assert "\n" not in str(caught.value)
