"""How fast a position in a perpetual runs here: bars per second beside the same agent on spot.

One year of simulated 5-minute bars. One agent buys once, with a stop and a take-profit that nothing
reaches, and holds: asked at every bar, or asleep. On spot it holds coin; in the perpetual a
position with margin, mark prices, three funding stamps a day and a liquidation that has to be
watched for in every bar. Processor time, worst pass; both markets take turns, so that a machine
that slows down slows both, and the ratio is of the best of each.

    python -m bench.perpetual
"""

from collections.abc import Callable
from functools import partial
from math import inf
from time import process_time
from typing import NamedTuple

from bench.timing import describe_machine
from seawall.action import Order
from seawall.agent import Agent, Decision, Wake, as_agent
from seawall.engine.run import _play
from seawall.engine.world import World, build_world
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe

SPOT, PERPETUAL = "ETH/USDT", "ETH/USDT:USDT"
JOBS = {SPOT: "strategies.spot_trading", PERPETUAL: "strategies.futures_trading"}
SINCE, UNTIL = "2024-01-01", "2024-12-31"
N_RUNS = 5
LEAST_RATIO = 0.7  # of spot's bars per second


class Row(NamedTuple):
    """One line of the table; bars per second of each market."""

    workload: str
    n_bars: int
    spot: float
    perpetual: float

    @property
    def ratio(self) -> float:
        """The perpetual's speed in units of spot's."""
        return self.perpetual / self.spot


def make_holder(*, sleeps: bool) -> Agent:
    """Return an agent that buys one coin at its first chance, with a bracket, and holds it."""
    has_bought = False
    rest = Decision(wake=Wake(at_fill=True)) if sleeps else None

    def decide(observation: Observation) -> Decision | None:
        nonlocal has_bought
        if has_bought:
            return rest
        has_bought = True
        symbol, price = observation.symbols[0], observation.price()
        entry = Order(
            symbol=symbol, side="buy", quantity=1.0,
            stop_loss=0.01 * price, take_profit=100.0 * price,
        )  # fmt: skip
        return Decision(actions=(entry,), wake=rest.wake if rest else None)

    return as_agent(decide)


def prepare(symbol: str, until: str = UNTIL) -> tuple[Recipe, World]:
    """Return the recipe of one market and its world; both markets have the same path."""
    recipe = Recipe.from_dict(
        {
            "seed": 1,
            "market": {
                "venue": "simulated", "symbols": [symbol], "timeframe": "5m",
                "since": SINCE, "until": until,
            },
            "strategy": {"name": JOBS[symbol]},
            "agent": {"name": "agents.cash"},
            "perpetual": {"brackets": {"missing": "nearest"}} if symbol == PERPETUAL else None,
        }
    )  # fmt: skip
    return recipe, build_world(recipe, Catalog(), offline=True)


def measure(until: str = UNTIL, n_runs: int = N_RUNS) -> list[Row]:
    """Return one row per workload: the best of some runs, in turns."""
    worlds = {symbol: prepare(symbol, until) for symbol in JOBS}
    rows = []
    for workload, sleeps in (("asked at every bar", False), ("asleep", True)):
        makes = partial(make_holder, sleeps=sleeps)
        runs = {symbol: partial(_hold, *worlds[symbol], makes) for symbol in JOBS}
        best = dict.fromkeys(runs, inf)
        for _ in range(n_runs + 1):  # in the first one the kernels compile
            for symbol, run in runs.items():
                start = process_time()
                run()
                best[symbol] = min(best[symbol], process_time() - start)
        n_bars = len(worlds[SPOT][1].clock_ms)
        rows.append(Row(workload, n_bars, n_bars / best[SPOT], n_bars / best[PERPETUAL]))
    return rows


def _hold(recipe: Recipe, world: World, makes: Callable[[], Agent]) -> None:
    """Let the bars pass once.

    Raises:
        RuntimeError: the position was not held to the end: something else was measured.
    """
    played = _play(recipe, world, makes, None, "worst")
    if len(played.fills) != 1:
        raise RuntimeError(f"one fill should be left, there are {len(played.fills)}: change seed")


def main() -> None:
    """Print the table, the machine and the versions."""
    print(describe_machine(("backtrader", "numpy", "numba", "pandas")))
    print("\nOne coin bought with a bracket and held, 5-minute bars: spot and perpetual, bars/s\n")
    print(f"{'agent':<22}{'bars':>9}{'spot':>11}{'perpetual':>11}{'ratio':>8}")
    for row in measure():
        speeds = f"{row.spot:>11,.0f}{row.perpetual:>11,.0f}{row.ratio:>8.2f}"
        print(f"{row.workload:<22}{row.n_bars:>9,}{speeds}")
    print(f"\nthe aim is a ratio of {LEAST_RATIO} or more")


if __name__ == "__main__":
    main()
