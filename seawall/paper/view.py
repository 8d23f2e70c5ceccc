"""A session on a terminal: equity, positions, the last decision, limits, data age, errors."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from seawall.paper.status import Status, describe_decision
from seawall.units import MINUTE_MS, SECOND_MS, to_time_text


def show(status: Status) -> RenderableType:
    """Return what a person sees of a session; nothing in it is read as markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows(status):
        table.add_row(name, Text(text))
    parts: list[RenderableType] = [table]
    for note in status.troubles:
        line = f"{_at(note.time_ms)}  {note.kind}: {note.text}"
        parts.append(Text(line, style="yellow"))
    title = Text(f"{status.session.recipe.name} · {status.session.venue}")
    return Panel(Group(*parts), title=title, border_style="green" if status.is_running else "dim")


def rows(status: Status) -> list[tuple[str, str]]:
    """Return names and values, in the order in which they matter."""
    listed = [("state", _state(status)), ("equity", _equity(status))]
    held = [f"{size:.8g} {symbol}" for symbol, size in status.holdings.items() if size]
    listed.append(("positions", ", ".join(held) or "none"))
    if status.cash is not None:
        listed.append(("cash", f"{status.cash:,.2f}"))
    if status.open_orders:
        listed.append(("open orders", "; ".join(status.open_orders)))
    if status.decision is not None:
        made = status.decision
        why = f": {made.decision.reason}" if made.decision.reason else ""
        text = f"{_at(made.time_ms)}  {describe_decision(made)}{why}"
        listed.append(("last decision", text))
    listed.append(("so far", f"{status.n_decisions:,} decisions, {status.n_fills:,} fills"))
    if status.left:
        left = [f"{name.replace('_', ' ')} {share:.0%}" for name, share in status.left.items()]
        listed.append(("left of limits", ", ".join(left)))
    age_ms = status.data_age_ms
    if age_ms is not None:
        listed.append(("data age", f"{_span(age_ms)}, last bar closed {_at(status.data_ms or 0)}"))
    if status.switch:
        listed.append(("kill switch", status.switch))
    return listed


def _state(status: Status) -> str:
    session = status.session
    if status.is_running:
        return f"running since {_at(session.started_ms)}, session {session.number}"
    if session.ended_ms is None:
        return "not running: it was killed; start it again to go on"
    return f"ended {_at(session.ended_ms)}: {session.ended_why}"


def _equity(status: Status) -> str:
    if status.equity is None or not status.start_equity:
        return "not known before the first bar"
    change = status.equity / status.start_equity - 1
    quote = status.session.recipe.market.quote
    return f"{status.equity:,.2f} {quote} ({change:+.2%})"


def _at(time_ms: int) -> str:
    return to_time_text(time_ms // SECOND_MS * SECOND_MS)


def _span(span_ms: int) -> str:
    if span_ms < 2 * MINUTE_MS:
        return f"{span_ms / SECOND_MS:.0f} s"
    return f"{span_ms / MINUTE_MS:.0f} min"
