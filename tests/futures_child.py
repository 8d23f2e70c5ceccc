"""What a child process of a test runs: a futures session that somebody will kill."""

from child_sessions import MARKET, Stateless, run_until_killed

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin, SetLeverage
from seawall.recipe import Recipe
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT:USDT"
RECIPE = Recipe.from_dict(
    {
        "name": "killed futures",
        "market": {**MARKET, "symbols": [SYMBOL]},
        "agent": {"name": "agents.cash"},
        "account": {"cash": 10_000},
        "strategy": {"name": "strategies.futures_trading"},
        "perpetual": {"margin": "isolated", "leverage": 5},
    }
)  # fmt: skip


class Busy(Stateless):
    """An agent that does something at every bar, by the minute alone."""

    def decide(self, observation: Observation) -> list[Action]:
        """Return a weight, a bid, a stop, what is cancelled, margin or leverage, by turns."""
        minute, price = observation.time_ms // MINUTE_MS, observation.price()
        choice = minute % 6
        if choice in (0, 3):
            return [TargetWeight(symbol=SYMBOL, weight=(0.02, 0.05, 0.03)[minute // 6 % 3])]
        if choice == 1:
            return [Order(symbol=SYMBOL, side="buy", type="limit", quantity=0.01,
                          limit_price=round(price * 0.9995, 2))]  # fmt: skip
        if choice == 2:
            stop = round(price * 0.9997, 2)
            return [Order(symbol=SYMBOL, side="sell", type="stop", quantity=0.02, stop_price=stop,
                          reduce_only=True)]  # fmt: skip
        if choice == 4:
            amount = 7.0 if minute // 6 % 2 else -3.0
            return [AddMargin(symbol=SYMBOL, amount=amount)]
        leverage = float(6 + minute // 6 % 40)  # an isolated one may only be raised
        return [Cancel(order_id="all"), SetLeverage(symbol=SYMBOL, leverage=leverage)]


def trade(url: str, folder: str) -> None:
    """Run a session until it is killed; tell by the exit code what went wrong."""
    run_until_killed(RECIPE, Busy(), url, folder)
