"""How a shadow session is opened: on live candles, after the bars of an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from seawall.engine.combined import with_wallet
from seawall.journal import Journal
from seawall.paper.asked import AskedAgent
from seawall.paper.calls import Rows
from seawall.paper.candles import Candle, CandleGate, CandleSource, find_start
from seawall.paper.errors import PaperError
from seawall.paper.holdings import count_holdings
from seawall.paper.limits import LimitKeeper
from seawall.paper.opening_parts import Opening
from seawall.paper.plan import to_live, with_account
from seawall.paper.record import SessionRow, Setup
from seawall.paper.session import LATE, PaperSession
from seawall.paper.shadow import AnyShadow, ShadowDesk, ShadowSupervisor, find_venues
from seawall.paper.shadow_broker import LinkedShadow, ShadowBroker
from seawall.paper.shadow_funding import ShadowGate, record_settled
from seawall.paper.shadow_loan import ShadowCombinedBroker, ShadowLoanBroker
from seawall.paper.shadow_record import play_record
from seawall.paper.shadow_standing import (
    Preview,
    find_standing,
    make_fundings,
    make_marks,
    preview,
)
from seawall.paper.shadow_world import ShadowWorld, Standing
from seawall.recipe import Recipe
from seawall.units import is_perpetual, split_symbol


class _Begun(NamedTuple):
    """What a session begins, or goes on, with."""

    setup: Setup
    gate: ShadowGate
    sources: Sequence[CandleSource]
    standing: Standing
    known: Mapping[str, Sequence[Candle]]  # what has closed before the window, by symbol
    done_ms: int


def open_shadow(opening: Opening) -> PaperSession:
    """Return a shadow session that is ready to run.

    Raises:
        PaperError: the folder is another session's, or the exchange does not answer.
        RecipeError: the account could not be opened so.
    """
    plan, journal = opening.plan, opening.journal
    before = _find_before(opening)
    begun = _begin(opening) if before is None else _go_on(opening, before.setup)
    setup, gate, done_ms = begun.setup, begun.gate, begun.done_ms
    recipe = with_account(to_live(plan.recipe, setup.exchange, setup.since_ms), setup)
    gate.since_ms = recipe.market.since_ms
    now = preview(recipe, begun.standing, begun.known, opening.catalog)
    opening.begin(setup, is_again=before is not None)
    if before is None:
        coins = {split_symbol(symbol)[0]: amount for symbol, amount in setup.holdings.items()}
        owned = {recipe.market.quote: setup.cash, **coins}
        journal.set_baseline("balance", owned, setup.since_ms)
    engine_journal, keeper = Journal(), LimitKeeper(opening.limits, journal)
    broker = make_broker(recipe, setup, engine_journal, now)
    desk = ShadowDesk(broker, keeper, journal, opening.clock, done_ms=done_ms)
    away_ms = opening.clock() - recipe.market.timeframe_ms if before is not None else 0
    known = opening.record.decisions([one.number for one in opening.record.sessions()])
    agent = AskedAgent(opening.make_agent(), opening.record, known=known, away_ms=away_ms)
    session = opening.make_session(
        recipe, desk, agent, gate, list(begun.sources), journal=engine_journal, done_ms=done_ms,
        first_prices=setup.first_prices,
    )  # fmt: skip
    if begun.standing.is_needed:
        _follow(opening, session, begun, recipe, broker)
    supervisor = ShadowSupervisor(
        opening.client, keeper, opening.switch, symbols=recipe.market.symbols,
        market=plan.markets[0], equity=session.equity, pulse=session.pulse, watch=plan.watch,
    )  # fmt: skip
    supervisor.desk = desk
    opening.supervisor = desk.supervisor = supervisor
    return session


def make_broker(recipe: Recipe, setup: Setup, journal: Journal, now: Preview) -> AnyShadow:
    """Return the broker of a shadow; its account is not open yet where its prices are not known.

    Args:
        recipe: on the live market.
        setup: of the session.
        journal: of the engine.
        now: what its venues would be put into now.
    """
    perpetual, loan = now.perpetual, None
    if now.loan is not None:
        latency_ms = recipe.execution.latency_ms
        loan = ShadowLoanBroker(now.loan, journal, latency_ms=latency_ms)
        if perpetual is None:
            return loan
    kind = ShadowBroker if loan is None else LinkedShadow
    given = perpetual if perpetual is None or loan is None else with_wallet(perpetual)
    exchange = kind.from_recipe(recipe, journal=journal, filters=setup.grids(), perpetual=given)
    if loan is not None and perpetual is not None and isinstance(exchange, LinkedShadow):
        return ShadowCombinedBroker(loan, exchange, perpetual.section)
    return exchange


def _follow(
    opening: Opening, session: PaperSession, begun: _Begun, recipe: Recipe, broker: AnyShadow
) -> None:
    """Let the worlds of the venues grow with the session's steps."""
    gate, done_ms = begun.gate, begun.done_ms
    world = ShadowWorld(recipe, begun.standing, opening.catalog, broker)
    if done_ms and begun.standing.loan is not None:
        recorded = play_record(opening.record, recipe, begun.standing, opening.catalog, done_ms)
        loan = recorded.loan()
        if loan is not None:
            world.foresee(loan, done_ms)

    def step(stamp_ms: int, candles: Mapping[str, Candle]) -> None:
        settled = gate.settled(stamp_ms, world.before_ms)
        if stamp_ms > done_ms:
            record_settled(opening.journal, settled, opening.clock())
        was_open = world.is_open
        world.step(stamp_ms, candles, settled)
        if world.is_open and not was_open and stamp_ms > done_ms:
            _note_positions(opening, broker, stamp_ms)

    session.on_bars = step


def _note_positions(opening: Opening, broker: AnyShadow, stamp_ms: int) -> None:
    """Write down which contracts are held as the account opens: fills are added to them."""
    exchange, _ = find_venues(broker)
    if exchange is not None:
        held = {data._name: size for data, size in exchange.held()}  # noqa: SLF001
        contracts = {name: float(size) for name, size in held.items() if is_perpetual(name)}
        opening.journal.set_baseline("position", contracts, stamp_ms)


def _begin(opening: Opening) -> _Begun:
    """Return what a new session begins with."""
    standing = find_standing(opening)
    gate, sources = _make_gate(opening, standing)
    gate.warm_up(opening.plan.n_warm_up)
    setup = _with_account(opening, gate, find_start(gate, sources))
    known = {one.symbol: gate.ready(one.symbol) for one in sources}
    setup = replace(setup, world=standing.to_dict())
    return _Begun(setup, gate, sources, standing, known, 0)


def _go_on(opening: Opening, setup: Setup) -> _Begun:
    """Return what an earlier session has left: its bars are run once more."""
    record, journal = opening.record, opening.journal
    standing = Standing.from_dict(setup.world)
    gate, sources = _make_gate(opening, standing)
    timeframe = opening.plan.recipe.market.timeframe
    late = [(*key.split()[-2:], after_ms) for key, after_ms in journal.events(LATE)]
    for source in [*sources, *make_marks(opening, standing)]:
        mine = {int(opened): after for name, opened, after in late if name == source.symbol}
        gate.put(source.symbol, record.candles(source.symbol, timeframe), mine)
    done_ms = max((one[0] for one in _all_values(opening)), default=0)
    last_ms = setup.since_ms - opening.plan.recipe.market.timeframe_ms
    known = {
        one.symbol: [candle for candle in gate.ready(one.symbol) if candle.time_ms <= last_ms]
        for one in sources
    }
    return _Begun(setup, gate, sources, standing, known, done_ms)


def _make_gate(opening: Opening, standing: Standing) -> tuple[ShadowGate, list[CandleSource]]:
    sources = opening.make_sources()
    gate = ShadowGate(
        [*sources, *make_marks(opening, standing)],
        make_fundings(opening, standing),
        on_assumed=opening.tell_fault,
    )
    return gate, sources


def _with_account(opening: Opening, gate: CandleGate, since_ms: int) -> Setup:
    """Return a setup that says what the account begins with."""
    prices = {symbol: gate.last_price(symbol) for symbol in opening.plan.recipe.market.symbols}
    owned = count_holdings(opening.plan.recipe.account, prices)
    setup = opening.make_setup(since_ms, owned.cash)
    return replace(setup, holdings=owned.coins, first_prices=owned.prices)


def _find_before(opening: Opening) -> SessionRow | None:
    """Return the session that is continued.

    Raises:
        PaperError: the folder is another recipe's.
    """
    sessions = opening.record.sessions()
    if not sessions:
        return None
    before = sessions[-1]
    if before.recipe.id != opening.plan.recipe.id or before.setup.exchange != (
        opening.plan.venue.exchange
    ):
        raise PaperError(
            f"a shadow's folder belongs to one recipe and exchange, {opening.plan.folder.name} "
            f"has {before.recipe.name} {before.recipe.id} on {before.setup.exchange}: name "
            "another folder"
        )
    return before


def _all_values(opening: Opening) -> Rows:
    numbers = [one.number for one in opening.record.sessions()]
    return [value for number in numbers for value in opening.journal.values(number)]
