"""A session on a terminal: equity, positions, the last decision, limits, data age, errors."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from seawall.paper.gauges import describe_gauges
from seawall.paper.status import Status, describe_decision
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_time_text

_SHOWN_ORDERS = 3
_LONGEST = 300  # characters of one trouble; ``status --json`` and the log have all
_LOW = 0.25  # of a limit: what is left is then shown as a warning


def show(status: Status) -> RenderableType:
    """Return what a person sees of a session; nothing in it is read as markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    warned = _warned(status)
    for name, text in rows(status):
        table.add_row(name, Text(text, style="yellow" if name in warned else ""))
    parts: list[RenderableType] = [table]
    if status.troubles:
        parts.append(Text("\nwhat went wrong last", style="bold"))
    for note in status.troubles:
        line = f"{_at(note.time_ms)}  {note.kind}: {note.text}"
        line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
        parts.append(Text(line, style="yellow"))
    title = Text(f"{status.session.recipe.name} · {status.session.venue}")
    return Panel(Group(*parts), title=title, border_style="green" if status.is_running else "dim")


def rows(status: Status) -> list[tuple[str, str]]:
    """Return names and values, in the order in which they matter."""
    listed = [("state", _state(status))]
    if status.paused:
        listed.append(("paused", f"nothing new is sent: {status.paused}"))
    listed += [("equity", _equity(status)), ("positions", _positions(status))]
    if status.gauges:
        listed.append(("liquidation", describe_gauges(status.gauges)))
    if status.cash is not None:
        listed.append(("cash", f"{status.cash:,.2f}"))
    if status.open_orders:
        listed.append(("open orders", _orders(status.open_orders)))
    if status.decision is not None:
        listed.append(("last decision", _decision(status)))
    listed.append(("so far", f"{status.n_decisions:,} decisions, {status.n_fills:,} fills"))
    if status.left:
        left = [f"{_limit(name)} {share:.0%}" for name, share in status.left.items()]
        listed.append(("left of limits", ", ".join(left)))
    age_ms = status.data_age_ms
    if age_ms is not None:
        frame = status.session.recipe.market.timeframe
        closed = _at(status.data_ms or 0)
        listed.append(("data age", f"{_span(age_ms)}, the last {frame} bar closed {closed}"))
    for name, known_ms in status.signals.items():
        listed.append(("signal", f"{name}: {_signal_age(status, known_ms)}"))
    if status.switch:
        release = "" if status.is_running else "; paper stop --release takes it back"
        listed.append(("kill switch", f"{status.switch}{release}"))
    return listed


def _warned(status: Status) -> set[str]:
    warned = {"paused", "kill switch"}
    if any(share < _LOW for share in status.left.values()):
        warned.add("left of limits")
    return warned


def _state(status: Status) -> str:
    session = status.session
    if status.is_running:
        return f"running since {_at(session.started_ms)} UTC, session {session.number}"
    if session.ended_ms is None:
        return "not running: it was killed; start it again to go on"
    return f"ended {_at(session.ended_ms)} UTC: {session.ended_why}"


def _equity(status: Status) -> str:
    if status.equity is None or not status.start_equity:
        return "not known before the first bar"
    change = status.equity / status.start_equity - 1
    quote = status.session.recipe.market.quote
    return f"{status.equity:,.2f} {quote} ({change:+.2%})"


def _positions(status: Status) -> str:
    worth, equity = status.worth, status.equity or 0.0
    held = []
    for symbol, size in status.holdings.items():
        if not size:
            continue
        share = f", {worth[symbol] / equity:.0%}" if equity > 0 and symbol in worth else ""
        value = f"  ({worth[symbol]:,.2f}{share})" if symbol in worth else ""
        held.append(f"{size:.8g} {symbol}{value}")
    return "\n".join(held) or "none"


def _orders(orders: tuple[str, ...]) -> str:
    more = len(orders) - _SHOWN_ORDERS
    shown = "\n".join(orders[:_SHOWN_ORDERS])
    return f"{shown}\nand {more} more" if more > 0 else shown


def _decision(status: Status) -> str:
    made = status.decision
    if made is None:
        return "none"
    why = f": {made.decision.reason}" if made.decision.reason else ""
    return f"{_at(made.time_ms)}  {describe_decision(made)}{why}"


def _limit(name: str) -> str:
    return name.removeprefix("max_").removesuffix("_ms").replace("_", " ")


def _signal_age(status: Status, known_ms: int | None) -> str:
    if known_ms is None:
        return "no value is known yet"
    return f"{_span(status.now_ms - known_ms)} old, known since {_at(known_ms)}"


def _at(time_ms: int) -> str:
    return to_time_text(time_ms // SECOND_MS * SECOND_MS)


def _span(span_ms: int) -> str:
    if span_ms < 2 * MINUTE_MS:
        return f"{span_ms / SECOND_MS:.0f} s"
    if span_ms < 2 * HOUR_MS:
        return f"{span_ms / MINUTE_MS:.0f} min"
    return f"{span_ms / HOUR_MS:.0f} h" if span_ms < 2 * DAY_MS else f"{span_ms / DAY_MS:.0f} d"
