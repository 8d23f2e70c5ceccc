"""What a child process of a test runs: a paper session that somebody will kill."""

from child_sessions import MARKET, Stateless, run_until_killed

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.observation import Observation
from seawall.paper.plan import Style
from seawall.recipe import Recipe
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT"
RECIPE = Recipe.from_dict(
    {
        "name": "killed",
        "market": {**MARKET, "symbols": [SYMBOL]},
        "agent": {"name": "agents.cash"},
        "account": {"cash": 10_000},
    }
)  # fmt: skip


class Busy(Stateless):
    """An agent that trades at every bar, by the minute alone: market orders, bids, cancels."""

    def decide(self, observation: Observation) -> list[Action]:
        """Return a weight at even minutes, a bid and what is to be cancelled at odd ones."""
        minute = observation.time_ms // MINUTE_MS
        if minute % 2 == 0:
            return [TargetWeight(symbol=SYMBOL, weight=(0.004, 0.002)[minute // 2 % 2])]
        price = round(observation.price() * 0.9995, 2)
        bid = Order(symbol=SYMBOL, side="buy", type="limit", quantity=0.01, limit_price=price)
        return [*(Cancel(order_id="all") for _ in range(minute % 4 == 3)), bid]


def trade(url: str, folder: str, style: Style, n_bars: int = 1 << 30) -> None:
    """Run a session until it is killed, or for some bars; tell by the exit code what went wrong."""
    run_until_killed(RECIPE, Busy(), url, folder, style=style, n_bars=n_bars)
