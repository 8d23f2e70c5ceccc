"""What child processes of tests run: sessions that somebody will kill, told about by exit codes."""

import os
import traceback
from pathlib import Path

from seawall.agent import Agent
from seawall.paper.errors import NotReconciled
from seawall.paper.faults import ExchangeFault
from seawall.paper.limits import Limits
from seawall.paper.opening import Surroundings, open_session
from seawall.paper.plan import Plan, Style
from seawall.recipe import Recipe

MARKET = {
    "venue": "simulated", "timeframe": "1m", "since": "2025-01-01", "until": "2025-02-01",
    "warmup": "5m",
}  # fmt: skip
DISAGREED, FAILED = 3, 4


class Stateless:
    """An agent's memory of nothing: what it does follows from the minute alone."""

    def state(self) -> bytes:
        """Return nothing: it has none."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


def run_until_killed(
    recipe: Recipe,
    agent: Agent,
    url: str,
    folder: str,
    *,
    style: Style = "sandbox",
    n_bars: int = 1 << 30,
) -> None:
    """Run a session until it is killed, or for some bars; tell by the exit code what went wrong."""
    try:
        plan = Plan(
            recipe=recipe, style=style, exchange=f"local:{url}", folder=Path(folder),
            limits=Limits(max_daily_loss=None, max_drawdown=None, max_orders_per_minute=None),
        )  # fmt: skip
        around = Surroundings(agent=agent, has_wall=False, listens=False, has_streams=False)
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
