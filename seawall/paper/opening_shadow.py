"""How a shadow session is opened: on live candles, after the bars of an earlier one."""

from seawall.journal import Journal
from seawall.paper.asked import AskedAgent
from seawall.paper.calls import Rows
from seawall.paper.candles import find_start
from seawall.paper.errors import PaperError
from seawall.paper.limits import LimitKeeper
from seawall.paper.opening_parts import Opening
from seawall.paper.plan import to_live
from seawall.paper.record import SessionRow
from seawall.paper.session import LATE, PaperSession
from seawall.paper.shadow import ShadowBroker, ShadowDesk, ShadowSupervisor


def open_shadow(opening: Opening) -> PaperSession:
    """Return a shadow session that is ready to run.

    Raises:
        PaperError: the folder is another session's, or the exchange does not answer.
    """
    plan, journal = opening.plan, opening.journal
    before = _find_before(opening)
    gate, sources = opening.make_gate()
    timeframe = plan.recipe.market.timeframe
    done_ms = 0
    if before is None:
        gate.warm_up(plan.n_warm_up)
        setup = opening.make_setup(find_start(gate, sources), plan.recipe.account.cash)
    else:
        setup = before.setup
        late = [(*key.split()[-2:], after_ms) for key, after_ms in journal.events(LATE)]
        for source in sources:
            mine = {int(opened): after for name, opened, after in late if name == source.symbol}
            gate.put(source.symbol, opening.record.candles(source.symbol, timeframe), mine)
        done_ms = max((one[0] for one in _all_values(opening)), default=0)
    recipe = to_live(plan.recipe, setup.exchange, setup.since_ms)
    opening.begin(setup, is_again=before is not None)
    if before is None:
        quote = {recipe.market.quote: setup.cash}
        journal.set_baseline("balance", quote, setup.since_ms)
    engine_journal, keeper = Journal(), LimitKeeper(opening.limits, journal)
    broker = ShadowBroker.from_recipe(recipe, journal=engine_journal, filters=setup.grids())
    desk = ShadowDesk(broker, keeper, journal, opening.clock, done_ms=done_ms)
    away_ms = opening.clock() - recipe.market.timeframe_ms if before is not None else 0
    known = opening.record.decisions([one.number for one in opening.record.sessions()])
    agent = AskedAgent(opening.make_agent(), opening.record, known=known, away_ms=away_ms)
    session = opening.make_session(
        recipe, desk, agent, gate, sources, journal=engine_journal, done_ms=done_ms
    )
    supervisor = ShadowSupervisor(
        opening.client, keeper, opening.switch, symbols=recipe.market.symbols, market="spot",
        equity=session.equity, pulse=session.pulse, watch=plan.watch,
    )  # fmt: skip
    supervisor.desk = desk
    opening.supervisor = desk.supervisor = supervisor
    return session


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
