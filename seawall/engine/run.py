"""One recipe, one backtest: read top to bottom, this is all that a run does."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from types import FunctionType

import backtrader as bt
import numpy as np

from seawall.agent import Agent, AgentInfo, as_agent
from seawall.engine.accounts import trace_account
from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.checks import check_agent, check_job, has_position
from seawall.engine.combined import CombinedBroker
from seawall.engine.combined_outcome import collect_combined
from seawall.engine.components import find_strategy, make_agent
from seawall.engine.feed import ArrayFeed
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.loan.outcome import LoanPlayed, collect_loan, trace_loan
from seawall.engine.outcome import Played, to_result
from seawall.engine.perpetual.outcome import PerpetualPlayed, collect_perpetual
from seawall.engine.perpetual.world import perpetual_section
from seawall.engine.stock import StockBroker
from seawall.engine.stock_fills import book_stock_fills
from seawall.engine.thinking import charge_curve
from seawall.engine.world import ReportFetch, World, build_world
from seawall.errors import AgentError, RecipeError, WorkspaceError
from seawall.fill import Fill
from seawall.journal import Journal
from seawall.market.catalog import Catalog
from seawall.market.texts import TextWindow
from seawall.observation import SignalWindow, Window
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.strategy import AgentStrategy, Bill, Session
from seawall.trial_ledger import note_run
from seawall.units import BPS, is_perpetual, split_symbol
from seawall.venues.ledger import Entry, Ledger
from seawall.venues.parameters import Ambiguity
from seawall.workspace import find_recipe

Advance = Callable[[int, int], None]
AnyBroker = ExchangeBroker | StockBroker | LoanBroker | CombinedBroker
IN_MEMORY = "agent given in memory: the recipe alone does not reproduce it"
NO_BAND = "no bounds: a function cannot be run a second time from the same state"


def run(
    recipe: Recipe | str | Path,
    *,
    agent: object | None = None,
    catalog: Catalog | None = None,
    offline: bool = True,
    progress: Advance | None = None,
    on_fetch: ReportFetch = lambda _key, _progress: None,
) -> Result:
    """Run one recipe and return its result.

    Args:
        recipe: what to run: a recipe, a TOML file, or the name of one in ``backtests/``.
        agent: an agent, or a bare function, used in place of the recipe's: for notebooks and
            tests. It is copied, so that it can be used again; the result is labelled.
        catalog: where market data are; ``$SEAWALL_DATA`` or the platform's data folder if None.
        offline: a series that the catalog lacks is an error; else it is fetched first.
        progress: called now and then with steps done and steps in all.
        on_fetch: called with a series' key and how far its download is.

    Raises:
        RecipeError: something in the recipe is not allowed.
        DataError: market data are missing or not usable.
        WorkspaceError: the agent or strategy cannot be loaded.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.from_file(find_recipe(str(recipe)))
    # What is wrong with the names is said before anything is fetched.
    check(recipe, has_agent=agent is None)
    world = build_world(recipe, catalog or Catalog(), offline=offline, on_fetch=on_fetch)
    if agent is not None:
        return run_in(world, recipe, agent=agent, progress=progress)
    return run_and_count(world, recipe, progress=progress)


def run_and_count(world: World, recipe: Recipe, *, progress: Advance | None = None) -> Result:
    """Run a recipe in a world that is there, and count the trial in the workspace's ledger.

    A ledger that cannot be written loses no result: a label says that the trial is not counted.
    """
    result = run_in(world, recipe, progress=progress)
    try:
        note_run(recipe, result.metrics.sharpe)
    except WorkspaceError as error:
        return replace(result, labels=(*result.labels, f"trial not counted: {error}"))
    return result


def check(recipe: Recipe, *, has_agent: bool = True) -> None:
    """Raise where a recipe's job and agent cannot be made, or do not fit each other.

    Raises:
        RecipeError: they do not.
        WorkspaceError: one cannot be loaded.
    """
    strategy_class = find_strategy(recipe)
    check_job(recipe, strategy_class)
    if issubclass(strategy_class, AgentStrategy) and has_agent:
        check_agent(recipe, make_agent(recipe), strategy_class)


def run_in(
    world: World,
    recipe: Recipe,
    *,
    agent: object | None = None,
    progress: Advance | None = None,
) -> Result:
    """Run a recipe in a world that is already there: several agents can share one.

    Args:
        world: what ``build_world`` made of the recipe's market section.
        recipe: as for ``run``.
        agent: as for ``run``.
        progress: as for ``run``.
    """
    makes_agent = partial(_copy_agent, agent) if agent is not None else partial(make_agent, recipe)
    play = partial(_play, recipe, world, makes_agent, progress)
    played = play("worst")
    # A bare function may keep what it learnt in the first pass, and cannot be copied: no second.
    is_doubtful = played.n_ambiguous or recipe.loan is not None
    has_second = is_doubtful and not isinstance(agent, FunctionType)
    other = play("best") if has_second else played
    if recipe.loan is None and not has_position(recipe):
        # What is worse at a bar need not be worse at the end: the lower pass is the headline.
        # Of what is guarded it is the worse one, so that everybody knows what was assumed.
        played, other = sorted((played, other), key=lambda one: one.total_return)
    result = to_result(recipe, world, played, other)
    if agent is None:
        return result
    name = getattr(agent, "__name__", type(agent).__name__)
    labels = (IN_MEMORY, *((NO_BAND,) if is_doubtful and not has_second else ()))
    return replace(result, agent=name, labels=(*result.labels, *labels))


def play_once(
    world: World, recipe: Recipe, agent: Agent, *, journal: Journal | None = None
) -> Played:
    """Run a recipe once with this very agent, bars resolved for the worse; return what is left.

    For who compares a run with something else, such as the session that paper-traded it, or
    answers from outside while it runs. ``journal``: where everything is written, if it is to be
    read meanwhile.
    """
    return _play(recipe, world, lambda: agent, None, "worst", journal=journal)


def _copy_agent(agent: object) -> Agent:
    try:
        return as_agent(deepcopy(agent))
    except AgentError:
        raise
    except Exception as error:
        raise AgentError(
            f"an agent given in memory must be copyable, {type(agent).__name__} is not ({error}): "
            "put it into agents/ and name it in the recipe"
        ) from error


def _play(
    recipe: Recipe,
    world: World,
    makes_agent: Callable[[], Agent],
    progress: Advance | None,
    ambiguity: Ambiguity,
    *,
    journal: Journal | None = None,
) -> Played:
    """Let the bars pass once."""
    strategy_class = find_strategy(recipe)
    journal = Journal() if journal is None else journal
    broker = _make_broker(recipe, world, journal, ambiguity)
    cerebro = Cerebro()
    cerebro.p.cheat_on_open = recipe.execution.decide_at == "open"
    cerebro.since_ms = world.since_ms
    cerebro.on_progress = progress
    cerebro.broker = broker
    for symbol, candles in world.candles.items():
        cerebro.adddata(ArrayFeed(candles), name=symbol)
    for symbol, candles in world.higher:
        coarse = ArrayFeed(candles)
        coarse.show_with(world.candles[symbol])
        cerebro.adddata(coarse, name=f"{symbol} {candles.key.timeframe}")
    given: dict[str, object] = dict(recipe.strategy.parameters)
    if issubclass(strategy_class, AgentStrategy):
        given["session"] = _open_session(recipe, world, journal, makes_agent())
    cerebro.addstrategy(strategy_class, **given)
    with _rare_collection():
        (strategy,) = cerebro.run()
    return collect(recipe, world, broker, strategy, journal)


class _Collection:
    """How often cyclic garbage is looked for, and how many runs want it rarely now."""

    lock = Lock()
    n_runs = 0
    before = gc.get_threshold()


@contextmanager
def _rare_collection() -> Iterator[None]:
    """Look for cyclic garbage less often: a run keeps much and makes few cycles.

    Runs may overlap, in threads that wait for answers: the last to end puts it back.
    """
    with _Collection.lock:
        if not _Collection.n_runs:
            _Collection.before = gc.get_threshold()
            gc.set_threshold(100_000, 50, 100)
        _Collection.n_runs += 1
    try:
        yield
    finally:
        with _Collection.lock:
            _Collection.n_runs -= 1
            if not _Collection.n_runs:
                gc.set_threshold(*_Collection.before)


def _make_broker(recipe: Recipe, world: World, journal: Journal, ambiguity: Ambiguity) -> AnyBroker:
    if world.loan is not None and world.perpetual is not None:
        return CombinedBroker.from_recipe(recipe, world, journal, ambiguity)
    if world.loan is not None:
        return LoanBroker(
            world.loan, journal, ambiguity,
            candles=world.candles, latency_ms=recipe.execution.latency_ms,
        )  # fmt: skip
    if recipe.execution.fills == "exchange":
        return ExchangeBroker.from_recipe(
            recipe,
            journal=journal,
            filters=world.filters,
            ambiguity=ambiguity,
            perpetual=world.perpetual,
        )
    if recipe.account.initial_holdings:
        raise RecipeError(
            'account.initial_holdings needs execution.fills = "exchange", is "stock": '
            "leave one of them out"
        )
    broker = StockBroker()
    broker.setcash(recipe.account.cash)
    broker.setcommission(commission=recipe.costs.taker_fee_bps * BPS)
    broker.set_slippage_perc(recipe.costs.half_spread_bps * BPS)
    broker.since_ms = world.since_ms
    broker.set_coc(recipe.execution.fill == "close")
    return broker


def _open_session(recipe: Recipe, world: World, journal: Journal, agent: Agent) -> Session:
    info = AgentInfo(
        symbols=tuple(world.candles),
        timeframe_ms=recipe.market.timeframe_ms,
        decide_at=recipe.execution.decide_at,
        taker_fee_bps=find_taker_fee(recipe),
        rng=np.random.default_rng(recipe.seed),
    )
    return Session(
        agent=agent,
        info=info,
        windows={
            symbol: Window(candles, place)
            for place, (symbol, candles) in enumerate(world.candles.items())
        },
        signals={name: SignalWindow(signal) for name, signal in world.signals.items()},
        texts={name: TextWindow(texts) for name, texts in world.texts.items()},
        clock_ms=world.clock_ms,
        n_closed={symbol: world.n_closed(symbol) for symbol in world.candles},
        since_ms=world.since_ms,
        journal=journal,
        embargo_ms=recipe.market.timeframe_ms,
        guarded=find_guarded(recipe),
    )


def find_taker_fee(recipe: Recipe) -> float:
    """Return what an agent is told of the taker's fee, basis points: of spot where there is any."""
    symbols, section = recipe.market.symbols, perpetual_section(recipe)
    if section is not None and all(map(is_perpetual, symbols)):
        return section.fees_of(symbols[0])[1]
    return recipe.costs.taker_fee_bps


def find_guarded(recipe: Recipe) -> str:
    """Return the contract whose position is guarded, ``""``: the market's first, or none."""
    section = perpetual_section(recipe)
    position = None if section is None else section.position
    return "" if position is None else position.symbol or ""


def collect(
    recipe: Recipe,
    world: World,
    broker: AnyBroker,
    strategy: bt.Strategy,
    journal: Journal,
) -> Played:
    """Return what a pass left: the account over time, and the tables of its venues."""
    fills: Sequence[Fill] = ()
    loan: LoanPlayed | None = None
    futures: PerpetualPlayed | None = None
    bills: Sequence[Bill] = getattr(strategy, "bills", ())
    if isinstance(broker, StockBroker):
        fills, ledger = book_stock_fills(
            broker, world, journal, cash=recipe.account.cash, quote=recipe.market.quote
        )
        for bill in bills:
            ledger.post(
                bill.time_ms, [Entry("thinking", f"owed:{recipe.market.quote}", -bill.cost)]
            )
    else:
        ledger = broker.ledger
        fills = () if isinstance(broker, LoanBroker) else broker.fills
    held = {} if isinstance(broker, LoanBroker) else _find_held(world, ledger)
    if isinstance(broker, LoanBroker):
        curve, loan = trace_loan(world, broker), collect_loan(broker)
    elif isinstance(broker, CombinedBroker):
        curve, loan, futures = collect_combined(world, broker)
    elif isinstance(broker, ExchangeBroker) and world.perpetual and broker.futures:
        curve, futures = collect_perpetual(world, broker, world.perpetual, broker.futures)
    else:
        cash, at_open = ledger.total("initial", recipe.market.quote), _is_at_open(recipe)
        curve = trace_account(world, fills, cash=cash, held=held, at_open=at_open)
    return Played(
        curve=charge_curve(curve, bills),
        fills=fills,
        journal=journal.entries,
        ledger=ledger,
        held=held,
        n_decisions=getattr(strategy, "n_decisions", 0),
        n_ambiguous=getattr(broker, "n_ambiguous", 0),
        loan=loan,
        perpetual=futures,
        bills=bills,
        labels=_ask_labels(strategy, recipe),
    )


def _ask_labels(strategy: bt.Strategy, recipe: Recipe) -> tuple[str, ...]:
    """Return what the agent says must be told wherever its numbers are shown."""
    hook: Callable[[Recipe], Sequence[str]] | None
    hook = getattr(getattr(strategy, "agent", None), "labels", None)
    return tuple(hook(recipe)) if callable(hook) else ()


def _is_at_open(recipe: Recipe) -> bool:
    return recipe.execution.decide_at == "open"


def _find_held(world: World, ledger: Ledger) -> dict[str, float]:
    """Return what was held at the start, base units by symbol."""

    def asset_of(symbol: str) -> str:
        return f"contract:{symbol}" if is_perpetual(symbol) else split_symbol(symbol)[0]

    return {symbol: ledger.total("initial", asset_of(symbol)) for symbol in world.candles}
