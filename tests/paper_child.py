"""What a child process of a test runs: a paper session that somebody will kill."""

import os
import traceback
from pathlib import Path

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.observation import Observation
from seawall.paper.errors import NotReconciled
from seawall.paper.faults import ExchangeFault
from seawall.paper.limits import Limits
from seawall.paper.opening import Surroundings, open_session
from seawall.paper.plan import Plan, Style
from seawall.recipe import Recipe
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT"
RECIPE = Recipe.from_dict(
    {
        "name": "killed",
        "market": {
            "venue": "simulated", "symbols": [SYMBOL], "timeframe": "1m",
            "since": "2025-01-01", "until": "2025-02-01", "warmup": "5m",
        },
        "agent": {"name": "agents.cash"},
        "account": {"cash": 10_000},
    }
)  # fmt: skip
DISAGREED, FAILED = 3, 4


class Busy:
    """An agent that trades at every bar, by the minute alone: market orders, bids, cancels."""

    def decide(self, observation: Observation) -> list[Action]:
        """Return a weight at even minutes, a bid and what is to be cancelled at odd ones."""
        minute = observation.time_ms // MINUTE_MS
        if minute % 2 == 0:
            return [TargetWeight(symbol=SYMBOL, weight=(0.004, 0.002)[minute // 2 % 2])]
        price = round(observation.price() * 0.9995, 2)
        bid = Order(symbol=SYMBOL, side="buy", type="limit", quantity=0.01, limit_price=price)
        return [*(Cancel(order_id="all") for _ in range(minute % 4 == 3)), bid]

    def state(self) -> bytes:
        """Return nothing: it has none."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


def trade(url: str, folder: str, style: Style, n_bars: int = 1 << 30) -> None:
    """Run a session until it is killed, or for some bars; tell by the exit code what went wrong."""
    try:
        plan = Plan(
            recipe=RECIPE, style=style, exchange=f"local:{url}", folder=Path(folder),
            limits=Limits(max_daily_loss=None, max_drawdown=None, max_orders_per_minute=None),
        )  # fmt: skip
        around = Surroundings(agent=Busy(), has_wall=False, listens=False, has_streams=False)
        with open_session(plan, around) as session:
            session.is_done = lambda: session.n_steps >= n_bars
            session.run()
    except NotReconciled as error:
        _leave(folder, error, DISAGREED)
    except ExchangeFault as error:
        _leave(folder, error, FAILED)
    except BaseException as error:  # noqa: BLE001 - a child tells by its exit code
        _leave(folder, error, 5)


def _leave(folder: str, error: BaseException, code: int) -> None:
    with (Path(folder) / "errors").open("a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    os._exit(code)
