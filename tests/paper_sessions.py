"""Paper sessions on the local exchange in this process, stepped whenever they wait."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox_clients import KEY, SECRET

from seawall.paper.limits import Limits
from seawall.paper.opening import Surroundings, open_session
from seawall.paper.plan import Plan, Style
from seawall.paper.supervisor import Watch
from seawall.recipe import Recipe
from seawall.sandbox.server import ServerThread
from seawall.units import MINUTE_MS

RECIPE = Recipe.from_dict(
    {
        "name": "waves",
        "market": {
            "venue": "simulated", "symbols": ["ETH/USDT"], "timeframe": "1m",
            "since": "2025-01-01", "until": "2025-02-01", "warmup": "20m",
        },
        "agent": {"name": "agents.sma_cross", "fast": 2, "slow": 5},
        "account": {"cash": 10_000},
        "costs": {"taker_fee_bps": 10},
    }
)  # fmt: skip
MARKET_TOML = """
[market]
venue = "simulated"
symbols = ["ETH/USDT"]
timeframe = "1m"
since = "2025-01-01"
until = "2025-01-11"
warmup = "20m"
"""
TOML = f"""{MARKET_TOML}
[agent]
name = "agents.sma_cross"
fast = 2
slow = 5
"""
FREE = Limits(max_daily_loss=None, max_drawdown=None)


class Run:
    """Starts sessions of one plan on one exchange, for a while each.

    Attributes:
        why: how the last one ended.
    """

    def __init__(
        self,
        thread: ServerThread,
        folder: Path,
        *,
        style: Style = "shadow",
        recipe: Recipe = RECIPE,
        limits: Limits = FREE,
    ) -> None:
        self.thread, self.why = thread, ""
        self.clock = thread.server.exchange.clock.now_ms
        self.plan = Plan(
            recipe=recipe, style=style, exchange=f"local:{thread.url}", folder=folder,
            limits=limits, watch=Watch(check_ms=10 * MINUTE_MS),
        )  # fmt: skip
        self.step_ms, self.has_streams = MINUTE_MS // 2, False

    def go(
        self,
        n_bars: int,
        *,
        agent: Any = None,
        at_turn: Callable[[int], object] = lambda _now: None,
        n_steps: int = 1 << 30,
        **changes: Any,
    ) -> str:
        """Run for as many bars, or steps, warm-up included, and return why it ended.

        ``at_turn`` is called with the time, whenever the session waits.
        """
        end_ms = self.clock() + n_bars * MINUTE_MS

        def wait() -> None:
            at_turn(self.clock())
            self.thread.step(self.step_ms)

        around = Surroundings(
            clock=self.clock,
            wait=wait,
            agent=agent,
            has_wall=False,
            listens=False,
            has_streams=self.has_streams,
        )
        with open_session(replace(self.plan, **changes), around) as session:
            session.is_done = lambda: self.clock() >= end_ms or session.n_steps >= n_steps
            self.why = session.run()
        return self.why


def keys(monkeypatch: Any) -> None:
    """Put Alice's keys where a session of the local exchange finds them."""
    monkeypatch.setenv("LOCAL_SANDBOX_API_KEY", KEY)
    monkeypatch.setenv("LOCAL_SANDBOX_SECRET", SECRET)


def wait_for(is_so: Callable[[], bool]) -> None:
    """Return when it is so; a test that waits for longer than a minute fails."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
