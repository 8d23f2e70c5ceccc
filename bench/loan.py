"""How fast a guarded loan runs here: bars per second beside fractal-defi and demeter.

One year of simulated 5-minute bars, an ETH/USDC loan on Aave v3, and one rule: close it below a
health factor. Seawall runs it with the shipped agent, which sleeps until its wake, and with a
function that is asked at every bar; the rivals, in environments of their own, get a prefix of the
same prices. All get their data in memory; all figures are bars per second of processor time, the
best of a few runs.

Then what becomes of the loan where the price falls through the threshold within one bar, in each
tool; and how long all shipped crash windows take with all shipped guards.

    python -m bench.loan
"""

import json
import time
from collections.abc import Callable
from functools import partial
from math import inf
from typing import NamedTuple

from bench.environments import RIVALS, NoRivalError, ask
from bench.rivals.job import Answer, Job, Outcome
from bench.timing import describe_machine, time_run
from seawall.agent import Agent, as_agent, guards
from seawall.engine.components import make_agent
from seawall.engine.loan.world import LoanWorld, open_loan
from seawall.engine.outcome import Played
from seawall.engine.run import _play, run_in
from seawall.engine.world import World, build_world
from seawall.errors import RecipeError, SeriesNotFound
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import SIMULATED, Recipe
from seawall.units import SECOND_MS, to_time_text
from seawall.venues.lending import layout
from seawall.workspace import find_recipe, list_names, load

CLOSE_BELOW = 1.15
# The loan of this seed is safe all year until the crash, so that it is there in 97 % of the bars.
YEAR = {
    "seed": 4,
    "market.timeframe": "5m",
    "market.since": "2024-01-01",
    "market.until": "2024-12-31",
    "market.crash.at": "2024-12-20",
    "agent.name": "agents.close_at",
    "agent.threshold": CLOSE_BELOW,
}
FALL = {
    **YEAR,
    "market.since": "2024-12-15",
    "market.until": "2024-12-25",
    "market.crash.depth": 0.42,
    "market.crash.duration": "5m",
    "market.crash.recovery": 0.0,
}
# Long enough to time, short enough to wait for.
PREFIX = {"fractal-defi": 30_000, "zelos-demeter": 5_000}
N_RUNS = 3


class Row(NamedTuple):
    """One line of the table."""

    engine: str
    n_bars: int
    bars_per_second: float


class Library(NamedTuple):
    """The crash windows run by all guards: how many of each, on what prices, and how long."""

    n_recipes: int
    n_simulated: int
    n_agents: int
    n_bars: int
    seconds: float


def ask_at_every_bar(observation: Observation) -> float | None:
    """Close the loan below the threshold: the same rule, without sleep."""
    loan = observation.loan
    if loan is None or loan.pending or loan.health >= CLOSE_BELOW:
        return None
    return inf


def prepare(settings: dict[str, object]) -> tuple[Recipe, World]:
    """Return the shipped loan through a simulated crash, with some settings, and its world."""
    recipe = Recipe.from_file(find_recipe("loan_demo")).with_settings(settings)
    return recipe, build_world(recipe, Catalog(), offline=True)


def to_job(world: World, n_bars: int | None = None) -> Job:
    """Return what a rival is given: the same loan, and the closes of the same bars."""
    loan = _loan_of(world)
    section, opening = loan.loan, open_loan(loan)
    i, j = loan.names.index(section.collateral), loan.names.index(section.debt)
    epoch = loan.terms.epochs[0]
    return Job(
        close_s=tuple((loan.close_ms[:n_bars] // SECOND_MS).tolist()),
        price=tuple(loan.assets[i].close[:n_bars].tolist()),
        collateral=float(opening.collateral[i]),
        debt=float(opening.debt[j]),
        threshold=float(epoch.risk[i, layout.THRESHOLD]),
        max_ltv=float(epoch.risk[i, layout.MAX_LTV]),
        bonus=float(epoch.risk[i, layout.BONUS]),
        supply_rate=float(loan.supply_rate[:, i].mean()),
        borrow_rate=float(loan.borrow_rate[:, j].mean()),
        swap_fee=float(epoch.rules[layout.SWAP_FEE]),
        close_below=CLOSE_BELOW,
    )


def measure(recipe: Recipe, world: World) -> list[Row]:
    """Return Seawall's rows: asleep, asleep with both passes and the result, and always asked."""
    n_bars = len(_loan_of(world))
    sleeper = partial(make_agent, recipe)
    runs: dict[str, Callable[[], object]] = {
        "seawall, asleep, one pass": partial(_pass, recipe, world, sleeper),
        "seawall, asleep, whole run": partial(run_in, world, recipe),
        "seawall, asked at every bar": partial(
            _pass, recipe, world, partial(as_agent, ask_at_every_bar)
        ),
    }
    _pass(recipe, world, sleeper)  # the kernels compile
    return [Row(name, n_bars, time_run(run, n_bars, N_RUNS)) for name, run in runs.items()]


def fall_here(recipe: Recipe, world: World) -> Outcome:
    """Return what becomes of the loan on Seawall; what lay in the wallet does not count."""
    loan = _loan_of(world)
    left = _pass(recipe, world, partial(make_agent, recipe)).loan
    if left is None:
        raise RecipeError("a pass through a loan's world leaves a loan: add [loan]")
    done = left.transactions.query("status == 'done'")
    equity = left.frame["equity"]
    first, last = ([getattr(a, when) for a in loan.assets] for when in ("start", "close"))
    wallet = open_loan(loan).wallet
    return Outcome(
        n_liquidations=len(left.liquidations),
        n_closed=len(done),
        acted_at=float(done["health_seen"].iloc[0]) if len(done) else 0.0,
        first_equity=float(equity.iloc[0] - wallet @ first),
        last_equity=float(equity.iloc[-1] - wallet @ [path[-1] for path in last]),
    )


def run_library() -> Library:
    """Run every crash window that ships for loans with every guard that ships."""
    guards = [name for name in list_names("agents") if _is_guard(name)]
    names = [n for n in list_names("backtests") if n.startswith("loan_") and n != "loan_demo"]
    n_simulated = n_bars = 0
    begin = time.perf_counter()
    for name in names:
        recipe, world = _open_window(Recipe.from_file(find_recipe(name)))
        n_simulated += recipe.market.venue == SIMULATED
        for guard in guards:
            run_in(world, recipe.with_settings({"agent.name": f"agents.{guard}"}))
            n_bars += len(_loan_of(world))
    seconds = time.perf_counter() - begin
    return Library(len(names), n_simulated, len(guards), n_bars, seconds)


def main() -> None:
    """Print the tables, the machine and the versions."""
    print(describe_machine(("backtrader", "numpy", "numba", "pandas")))
    year, fall = prepare(YEAR), prepare(FALL)
    answers: dict[str, Answer] = {}
    for rival in RIVALS:
        timed = to_job(year[1], PREFIX[rival.package])
        try:
            answer = ask(rival, timed, to_job(fall[1]), n_runs=N_RUNS)
        except NoRivalError as reason:
            print(f"{rival.package} {rival.version} is left out: it {reason}")
        else:
            answers[rival.package] = answer
            print(f"beside it: {answer.versions}")
    rows = [Row(name, PREFIX[name], answer.bars_per_second) for name, answer in answers.items()]
    _print_speeds([*rows, *measure(*year)])
    outcomes = {name: answer.fall for name, answer in answers.items()}
    _print_fall({**outcomes, "seawall": fall_here(*fall)})
    _print_library(run_library())


def _print_speeds(rows: list[Row]) -> None:
    speeds = {row.engine: row.bars_per_second for row in rows}
    rivals = [name for name in PREFIX if name in speeds]
    print(f"\nA loan on Aave v3 in 5-minute bars, closed below a health factor of {CLOSE_BELOW}\n")
    heads = "".join(f"{'to ' + name:>18}" for name in rivals)
    print(f"{'engine':<30}{'bars':>9}{'bars/s':>11}{heads}")
    for row in rows:
        ratios = "".join(f"{row.bars_per_second / speeds[name]:>17.2f}x" for name in rivals)
        print(f"{row.engine:<30}{row.n_bars:>9,}{row.bars_per_second:>11,.0f}{ratios}")


def _print_fall(outcomes: dict[str, Outcome]) -> None:
    depth = FALL["market.crash.depth"]
    print(f"\nThe price falls by {depth:.0%} within one bar, the health factor to below 1\n")
    print(f"{'engine':<30}{'liquidated':>12}{'closed':>8}{'at health':>11}{'equity, USD':>20}")
    for name, one in outcomes.items():
        equity = f"{one.first_equity:,.0f} to {one.last_equity:,.0f}"
        acted = f"{one.acted_at:.3f}" if one.n_closed else "-"
        print(f"{name:<30}{one.n_liquidations:>11}x{one.n_closed:>7}x{acted:>11}{equity:>20}")


def _print_library(library: Library) -> None:
    n_real = library.n_recipes - library.n_simulated
    print(
        f"\nCrash windows of loans: {n_real} recipes on real prices, "
        f"{library.n_simulated} on simulated"
    )
    print(f"ones (the catalog lacks theirs), each with {library.n_agents} guards, both passes:")
    print(f"{library.n_bars:,} bars in {library.seconds:.1f} s on one core")


def _pass(recipe: Recipe, world: World, makes_agent: Callable[[], Agent]) -> Played:
    """Let the bars pass once, its own tables included; no second pass, no result."""
    return _play(recipe, world, makes_agent, None, "worst")


def _loan_of(world: World) -> LoanWorld:
    if world.loan is None:
        raise RecipeError("the recipes of this benchmark have a loan: add [loan]")
    return world.loan


def _is_guard(name: str) -> bool:
    return guards(load(f"agents.{name}"), "loan")


def _open_window(recipe: Recipe) -> tuple[Recipe, World]:
    """Return a recipe and its world: on simulated prices where the catalog has not the real."""
    try:
        return recipe, build_world(recipe, Catalog(), offline=True)
    except SeriesNotFound:
        simulated = _simulate(recipe)
        return simulated, build_world(simulated, Catalog(), offline=True)


def _simulate(recipe: Recipe) -> Recipe:
    """Return the same window with a crash in its middle, in a simulated market."""
    market = recipe.market
    values = json.loads(recipe.to_json())
    middle_ms = (market.since_ms + market.until_ms) // 2 // market.timeframe_ms
    crash = {"at": to_time_text(middle_ms * market.timeframe_ms), "depth": 0.35, "duration": "18h"}
    values["market"] |= {"venue": SIMULATED, "crash": crash}
    values["loan"]["gas"] = {**values["loan"].get("gas", {}), "source": "model"}
    values["loan"]["prices"] = {}
    return Recipe.from_dict(values)


if __name__ == "__main__":
    main()
