"""The kill switch on the account of a session that nothing runs: it was killed, or has ended.

What a session would do at its next turn is done here, without its agent: the account is locked,
belief and truth are made to agree, orders are cancelled, and what is held is sold. The journal is
the session's own, so the next start finds the account as it was left.
"""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.futures_opening import check_mode
from seawall.paper.gauges import keep_gauges
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import Order, Stopped, carry_out, keep_end
from seawall.paper.opening_parts import Opening, Surroundings
from seawall.paper.opening_sandbox import check_account, settle
from seawall.paper.places import JOURNAL
from seawall.paper.plan import LOCAL, Plan
from seawall.paper.reconcile import reconcile
from seawall.paper.record import Closing, Record, SessionRow
from seawall.paper.spot_side import SpotSide


def finish(
    folder: Path,
    order: Order,
    *,
    adopt: bool = False,
    around: Surroundings | None = None,
    seconds: float = 30.0,
) -> Stopped:
    """Carry out the kill switch in the name of the last session of a folder.

    Args:
        folder: of a sandbox's sessions; nothing runs it.
        order: ``cancel`` or ``flatten``.
        adopt: take the exchange's side where the journal differs; else nothing is done then.
        around: as for a session.
        seconds: for how long it is tried again, on the wall.

    Raises:
        PaperError: the account cannot be opened; nothing was cancelled or sold.
        ExchangeFault: the exchange cannot be asked.
    """
    with PaperJournal(folder / JOURNAL) as journal:
        last = Record(journal).sessions()[-1]
    with ExitStack() as stack:
        opening = Opening(
            _make_plan(folder, last, adopt=adopt),
            replace(around or Surroundings(), listens=False),
            stack,
            to_end=True,
        )
        opening.prepare()
        check_account(opening)
        opening.journal.session = last.number
        opening.has_begun = True
        _open_account(opening)
        stopped = _carry_out(opening, order, time.monotonic() + seconds)
        if stopped.is_done:
            with suppress(ExchangeFault):  # the account is as it should be; the next start looks
                _close(opening)
            keep_end(opening.journal, opening.clock(), order, stopped.text)
            opening.end(f"the kill switch says {order}")
        return stopped


def _make_plan(folder: Path, last: SessionRow, *, adopt: bool) -> Plan:
    """Return the plan of a session that is over.

    Raises:
        PaperError: the journal does not say where its account is.
    """
    place = last.setup.place or last.setup.exchange
    if last.setup.mode == "local" and not place.startswith(LOCAL):
        raise PaperError(
            "an account is found by the address of its exchange, this journal has none: seawall "
            "paper stop --release, start the session again, then press the switch while it runs"
        )
    return Plan(recipe=last.recipe, style="sandbox", exchange=place, folder=folder, adopt=adopt)


def _open_account(opening: Opening) -> None:
    """Find out what became of all that was sent, and let belief and truth agree."""
    plan, client = opening.plan, opening.client
    symbols, market = plan.recipe.market.symbols, plan.markets[0]
    if market == "perpetual":
        check_mode(client.open_futures(symbols, asset=plan.recipe.market.quote))
    settle(opening)
    reconcile(client, symbols, market=market, adopt=plan.adopt)


def _carry_out(opening: Opening, order: Order, end: float) -> Stopped:
    """Try until it is done or the time is up; what is done is noted once."""
    plan, told = opening.plan, list[str]()
    opening.journal.note(opening.clock(), "ending", f"nothing ran: the kill switch says {order}")
    while True:
        stopped = carry_out(
            order, opening.client, plan.recipe.market.symbols, market=plan.markets[0]
        )
        if stopped.text not in told[-1:]:
            opening.journal.note(opening.clock(), "ending", stopped.text)
            told.append(stopped.text)
        if stopped.is_done or time.monotonic() >= end:
            return Stopped(stopped.is_done, "; ".join(told))
        opening.wait()


def _close(opening: Opening) -> None:
    """Count what the wallet has received, and write down what an account that traded is worth.

    Raises:
        ExchangeFault: the exchange cannot be asked.
    """
    client, market = opening.client, opening.plan.recipe.market
    if client.futures is None:
        side = SpotSide(client, quote=market.quote)
        equity = side.value({symbol: client.last_price(symbol) for symbol in market.symbols})
        cash = side.cash()
    else:
        client.futures.sync_incomes()
        told = client.futures.asks.account()
        equity, cash = told.equity, told.available
        if not told.positions:
            keep_gauges(opening.journal, {})
    if opening.journal.fills(since_ms=opening.journal.last_step() or 0):
        opening.record.keep_closing(Closing(opening.clock(), equity, cash))
