"""``seawall paper`` and ``seawall replay``: trade on paper, look at it, stop it, compare it."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from seawall.cli import screen
from seawall.cli.options import AsJson, RecipeName, Settings
from seawall.cli.recipes import load_recipe
from seawall.errors import RecipeError

if TYPE_CHECKING:
    from seawall.paper.kill_switch import Order
    from seawall.paper.limits import Limits
    from seawall.paper.parity import DecisionPair, FillPair, Parity
    from seawall.paper.parity_events import EventPair
    from seawall.paper.plan import Plan, Style
    from seawall.paper.session import PaperSession
    from seawall.recipe import Recipe
    from seawall.result import Result

_REFRESH_SECONDS = 1.0
_SHOWN = 20  # differences that are listed on a terminal
_ENV_FILE = Path(".env")
_LIMIT_HELP = (
    "NAME=VALUE, or none: max_order, max_position (quote units), max_leverage, max_daily_loss, "
    "max_drawdown (shares), max_orders_per_minute, max_data_age_ms, max_clock_skew_ms, "
    "max_silence_ms."
)
Folder = Annotated[
    Path | None, typer.Argument(help="The session's folder; the newest in paper/ otherwise.")
]
Number = Annotated[int | None, typer.Option(help="Which of its sessions; the last otherwise.")]


class _PaperGroup(TyperGroup):
    """``seawall paper RECIPE`` is ``seawall paper run RECIPE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` in front of what is no verb of this group."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


paper_app = typer.Typer(cls=_PaperGroup, no_args_is_help=True)


@paper_app.command("run")
def run(
    recipe: RecipeName,
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    limits: Annotated[list[str], typer.Option("--limit", help=_LIMIT_HELP)] = [],  # noqa: B006
    agent_hosts: Annotated[
        list[str],
        typer.Option("--agent-host", help="A host that the agent must reach, or 127.0.0.1:PORT."),
    ] = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(help="The session's folder; paper/NAME otherwise.")
    ] = None,
    *,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Live candles, our own venue fills; no key.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Orders go to the exchange's testnet or demo.")
    ] = False,
    exchange: Annotated[
        str | None,
        typer.Option(help="Such as binance, or local:http://127.0.0.1:8080; the recipe's if not."),
    ] = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take the exchange's side where the journal differs.")
    ] = False,
    opens: Annotated[
        bool,
        typer.Option("--open", help="Open the position that the recipe guards, if none is held."),
    ] = False,
    keys: Annotated[Path | None, typer.Option(help="File of keys; .env if it is there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Trade on paper: the recipe's job and agent on a live market. There is no live mode."""
    from seawall.language.endpoint import URL_VARIABLE
    from seawall.paper.opening import Surroundings, open_session

    if shadow == sandbox:
        raise RecipeError("paper trading is in the shadow or in a sandbox: give one, --shadow or "
                          "--sandbox")  # fmt: skip
    loaded = load_recipe(recipe, settings)
    plan = _make_plan(
        loaded, "shadow" if shadow else "sandbox", exchange or loaded.market.venue, out,
        limits=_read_limits(limits, loaded), adopt=adopt, opens=opens,
    )  # fmt: skip
    file = keys or (_ENV_FILE if sandbox and _ENV_FILE.is_file() else None)
    around = Surroundings(
        keys_file=file, agent_hosts=tuple(agent_hosts),
        agent_urls=(os.environ.get(URL_VARIABLE, ""),),
    )  # fmt: skip
    venue = plan.venue.name
    if screen.err.is_terminal:
        screen.say(f"opening  {venue}")  # reading its markets may take a while
    with screen.prints_aside(), open_session(plan, around) as session:
        screen.say(f"session  {plan.folder}\nstop     seawall paper stop {plan.folder}")
        with _watching(session, plan.folder) as look:
            session.on_turn = look
            why = session.run()
    screen.say(f"ended: {why}")
    if as_json:
        screen.print_json(_read(plan.folder))


@paper_app.command("status")
def status(folder: Folder = None, *, as_json: AsJson = False) -> None:
    """Say what a session is doing, or how it ended."""
    from seawall.paper.status import read_status
    from seawall.paper.view import show

    found = read_status(folder or newest_folder())
    if as_json:
        screen.print_json(found.to_dict())
    else:
        screen.out.print(show(found))


@paper_app.command("stop")
def stop(
    folder: Folder = None,
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel all open orders.")] = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="Cancel, and sell all.")] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Take the switch back, so that it may begin again.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="If nothing runs: take the exchange's side.")
    ] = False,
    keys: Annotated[Path | None, typer.Option(help="If nothing runs: the file of keys.")] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long to wait for the end.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Press the kill switch of a session, and wait until it has ended.

    Where nothing runs, --cancel and --flatten are carried out here, in a sandbox.
    """
    from seawall.cli.stopping import describe_left, find_told, finish_here
    from seawall.paper.kill_switch import KillSwitch
    from seawall.paper.places import SWITCH
    from seawall.paper.status import read_status

    place = folder or newest_folder()
    switch = KillSwitch(place / SWITCH)
    found = read_status(place)
    if release:
        switch.release()
        screen.say("the switch is off")
    else:
        order: Order = "flatten" if flatten else "cancel" if cancel else "stop"
        switch.press(order)
        ran, end = found.is_running, time.monotonic() + seconds
        while found.is_running and time.monotonic() < end:
            time.sleep(0.2)
            found = read_status(place)
        if found.is_running:
            screen.say("it still runs: the switch stays on")
        elif order == "stop":
            switch.release()  # a plain stop may be followed by a start
            screen.say(f"it has ended; {describe_left(found)}")
        elif told := find_told(place, found, order, ran=ran):
            screen.say(f"it has ended: {told}")
        else:
            file = keys or (_ENV_FILE if _ENV_FILE.is_file() else None)
            screen.say(finish_here(place, found, order, adopt=adopt, keys=file, seconds=seconds))
    if as_json:
        screen.print_json(read_status(place).to_dict())


def replay(
    session: Folder = None,
    number: Number = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Run a session's record through the backtest engine, and show what differs and why."""
    from seawall.paper.journal import PaperJournal
    from seawall.paper.parity import replay as replay_record
    from seawall.paper.places import JOURNAL
    from seawall.paper.record import Record

    place = session or newest_folder()
    _check_folder(place)
    with screen.prints_aside(), PaperJournal(place / JOURNAL) as journal:
        parity = replay_record(Record(journal), number)
    if as_json:
        screen.print_json(_to_json(parity))
        return
    _print_parity(parity)


def session_result(folder: Path) -> "Result | None":
    """Return the result of a paper session's folder; ``None`` where it is none."""
    from seawall.paper.journal import PaperJournal
    from seawall.paper.outcome import session_result as make_result
    from seawall.paper.places import JOURNAL
    from seawall.paper.record import Record

    if not (folder / JOURNAL).is_file():
        return None
    with PaperJournal(folder / JOURNAL) as journal:
        return make_result(Record(journal))


def newest_folder() -> Path:
    """Return the folder of the session that was written to last.

    Raises:
        RecipeError: there is none.
    """
    from seawall.paper.places import JOURNAL

    found = list(_home().glob(f"*/{JOURNAL}"))
    if not found:
        raise RecipeError(f"there must be a session, {_home()} has none: name its folder")
    return max(found, key=_written).parent


# Starting -----------------------------------------------------------------------------------------


def _make_plan(
    recipe: "Recipe",
    style: "Style",
    exchange: str,
    out: Path | None,
    *,
    limits: "Limits",
    adopt: bool,
    opens: bool,
) -> "Plan":
    from seawall.paper.plan import Plan, market_of

    where = re.sub(r"[^A-Za-z0-9_.-]+", "-", exchange.removeprefix("local:http://"))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", recipe.name)[:40].strip("-.") or "recipe"
    wallet = "-futures" if market_of(recipe.market.symbols[0]) == "perpetual" else ""
    shown = f"{name}-{recipe.id[:8]}-shadow-{where}" if style == "shadow" else (
        f"sandbox-{where}{wallet}"
    )  # fmt: skip
    folder = out or _home() / shown
    return Plan(
        recipe=recipe, style=style, exchange=exchange, folder=folder, limits=limits, adopt=adopt,
        opens=opens,
    )  # fmt: skip


def _read_limits(texts: list[str], recipe: "Recipe") -> "Limits":
    """Return the limits; ``none`` takes one away.

    Who guards what is leveraged is not ended by a loss unless the user says so: what was guarded
    would be left alone where it needs it most.

    Raises:
        RecipeError: a text names no limit, or gives no number.
    """
    from seawall.paper.limits import Limits, guards

    known = [field.name for field in fields(Limits)]
    given: dict[str, Any] = {}
    if guards(recipe):
        given = {"max_daily_loss": None, "max_drawdown": None}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise RecipeError(f"--limit is NAME=VALUE with a name of {', '.join(known)}, is {text}")
        try:
            whole = name.endswith("_ms") or name == "max_orders_per_minute"
            number = None if value == "none" else int(value) if whole else float(value)
        except ValueError:
            raise RecipeError(f"--limit {name} must be a number or none, is {value!r}") from None
        given[name] = number
    return Limits(**given)


@contextmanager
def _watching(session: "PaperSession", folder: Path) -> Iterator[Callable[[], object]]:
    """Show the session while it runs; nothing where stderr is no terminal."""
    if not screen.err.is_terminal:
        yield lambda: None
        return
    from rich.live import Live

    from seawall.paper.status import look
    from seawall.paper.view import show

    last = [0.0]
    with Live(console=screen.err, auto_refresh=False) as live:

        def refresh() -> None:
            if time.monotonic() - last[0] >= _REFRESH_SECONDS:
                last[0] = time.monotonic()
                live.update(show(look(session.record.journal, folder)), refresh=True)

        yield refresh


# Folders ------------------------------------------------------------------------------------------


def _home() -> Path:
    return screen.results_folder().parent / "paper"


def _written(file: Path) -> float:
    """Return when a journal was written last; what is not yet in it is in the file beside it."""
    beside = file.with_name(file.name + "-wal")
    return max(one.stat().st_mtime for one in (file, beside) if one.exists())


def _check_folder(folder: Path) -> None:
    from seawall.paper.status import read_status

    read_status(folder)


def _read(folder: Path) -> dict[str, object]:
    from seawall.paper.status import read_status

    return {**read_status(folder).to_dict(), "folder": str(folder)}


# Parity -------------------------------------------------------------------------------------------


def _print_parity(parity: "Parity") -> None:
    differing = parity.differences
    title = f"{parity.run.recipe.name} · {parity.run.venue}"
    rows = [
        (
            "decisions",
            str(len(parity.decisions)),
            str(sum(bool(one.why) for one in parity.decisions)),
        ),
        ("fills", str(len(parity.fills)), str(sum(bool(one.why) for one in parity.fills))),
    ]
    if parity.events:
        rows.append(
            ("events", str(len(parity.events)), str(sum(bool(one.why) for one in parity.events)))
        )
    screen.print_table(title, ("", "compared", "differ"), rows)
    for pair in differing[:_SHOWN]:
        screen.out.print(_say_pair(pair), markup=False, soft_wrap=True)
    if len(differing) > _SHOWN:
        screen.say(f"and {len(differing) - _SHOWN} more: --json lists all")
    screen.say(
        f"equity {screen.number(parity.equity)}, in the replay "
        f"{screen.number(parity.replayed_equity)}"
    )


def _say_pair(pair: "DecisionPair | FillPair | EventPair") -> str:
    from seawall.paper.parity import DecisionPair
    from seawall.paper.parity_events import EventPair
    from seawall.units import to_time_text

    if isinstance(pair, DecisionPair):
        return f"{to_time_text(pair.time_ms)}  decision: {pair.why}"
    if isinstance(pair, EventPair):
        return f"{to_time_text(pair.time_ms)}  {pair.why}"
    filled = pair.recorded or pair.replayed
    symbol = "" if filled is None else filled.symbol
    return f"{to_time_text(pair.bar_ms)}  fill of {symbol}: {pair.why}"


def _to_json(parity: "Parity") -> dict[str, object]:
    from seawall.paper.status import describe_decision

    return {
        "recipe": parity.run.recipe.name,
        "venue": parity.run.venue,
        "sessions": list(parity.run.numbers),
        "agrees": parity.agrees,
        "equity": parity.equity,
        "replayed_equity": parity.replayed_equity,
        "decisions": [
            {
                "time_ms": pair.time_ms,
                "recorded": None if pair.recorded is None else describe_decision(pair.recorded),
                "replayed": None if pair.replayed is None else describe_decision(pair.replayed),
                "why": pair.why,
            }
            for pair in parity.decisions
        ],
        "fills": [
            {
                "bar_ms": pair.bar_ms,
                "recorded": None if pair.recorded is None else pair.recorded._asdict(),
                "replayed": None if pair.replayed is None else pair.replayed._asdict(),
                "why": pair.why,
            }
            for pair in parity.fills
        ],
        "events": [pair._asdict() for pair in parity.events],
    }
