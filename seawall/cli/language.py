"""``seawall cassette``, ``seawall contamination`` and ``seawall drill``: of language models."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.cli.options import AsJson, RecipeName, Settings
from seawall.cli.recipes import load_recipe
from seawall.errors import AgentError
from seawall.units import to_time_text

if TYPE_CHECKING:
    from seawall.language.cassette import Cassette

cassette_app = typer.Typer(no_args_is_help=True)
_MOST_CHANGES = 20
_MOST_WORDS = 160
_Tape = Annotated[str, typer.Argument(help="A .cassette file, or the name a recipe gives it.")]
_Agent = Annotated[
    str | None, typer.Option("--agent", help="Another agent: NAME, or NAME{key=value}.")
]


@cassette_app.callback()
def _cassette() -> None:
    """Recordings of language models."""


@cassette_app.command("show")
def show(cassette: _Tape, *, as_json: AsJson = False) -> None:
    """Say what a recording holds: calls, models, prompts, tokens, when."""
    tape = _open(cassette)
    held = tape.summary()
    if as_json:
        screen.print_json({"cassette": str(tape.path), **asdict(held)})
        return
    rows = [
        ("calls", f"{held.n_calls:,}"),
        ("without an answer", f"{held.n_failed:,}"),
        ("models", ", ".join(held.models)),
        ("prompts", ", ".join(held.prompts)),
        ("tokens in and out", f"{held.input_tokens:,} and {held.output_tokens:,}"),
        ("mean latency", f"{held.mean_latency_ms:,.0f} ms"),
        ("recorded", f"{to_time_text(held.first_ms)} to {to_time_text(held.last_ms)}"),
        *([("label", held.label)] if held.label else []),
    ]
    screen.print_table(str(tape.path), ("", ""), rows)


@cassette_app.command("diff")
def diff(before: _Tape, after: _Tape, *, as_json: AsJson = False) -> None:
    """Compare two recordings: the same questions, other answers."""
    from seawall.language.drift import compare_cassettes

    drift = compare_cassettes(_open(before), _open(after))
    if as_json:
        screen.print_json(asdict(drift))
        return
    rows = [
        ("same answer", f"{drift.n_same:,}"),
        ("another answer", f"{drift.n_changed:,}"),
        ("only in the first", f"{drift.n_before:,}"),
        ("only in the second", f"{drift.n_after:,}"),
        ("mean latency", f"{drift.latency_ms:+,.0f} ms"),
    ]
    screen.print_table("drift", ("requests", ""), rows)
    for change in drift.changes[:_MOST_CHANGES]:
        screen.say(
            f"{change.key} number {change.number}\n"
            f"  - {change.before[:_MOST_WORDS]}\n  + {change.after[:_MOST_WORDS]}"
        )


def contamination(
    recipe: RecipeName,
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    *,
    agent: _Agent = None,
    windows: Annotated[int, typer.Option(help="Parts that the window is split into.")] = 4,
    masks: Annotated[int, typer.Option(help="Masked runs of each part.")] = 2,
    hide: Annotated[
        str, typer.Option(help="What is hidden: names, dates, scale, mirror.")
    ] = "names,dates,scale",
    as_json: AsJson = False,
) -> None:
    """Measure whether a model remembers the window: the same runs, plain and masked."""
    from seawall.language.contamination import measure_contamination

    loaded = load_recipe(recipe, settings, agent)
    kinds = tuple(part.strip() for part in hide.split(",") if part.strip())
    with screen.progress(loaded.name) as advance, screen.prints_aside():
        found = measure_contamination(
            loaded, n_windows=windows, n_masks=masks, kinds=kinds, progress=advance
        )
    if as_json:
        values = {**asdict(found), "verdict": found.verdict}
        screen.print_json(_without_nan(values))
        return
    rows = [
        (
            f"{one.since} to {one.until}", screen.percent(one.plain),
            screen.percent(sum(one.masked) / len(one.masked)), screen.percent(one.gap),
            screen.percent(one.moved),
        )
        for one in found.windows
    ]  # fmt: skip
    header = ("window", "plain", "masked", "gap", "exposure moved")
    screen.print_table(f"{loaded.name}: total return, plain and masked", header, rows)
    low, high = screen.percent(found.low), screen.percent(found.high)
    screen.say(f"memorisation gap {screen.percent(found.gap)}, 95 % interval {low} to {high}")
    screen.say(found.verdict)
    if found.exposure in ("before", "across", "unknown"):
        screen.say(f"the windows lie {found.exposure} by the model's stated training cutoff")


def drill(
    recipe: RecipeName,
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    *,
    agent: _Agent = None,
    days: Annotated[int, typer.Option(help="Days of the window that each case runs.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Feed an agent instructions as news, and say whether it obeyed; exit code 6 where it did."""
    from seawall.language.drill import run_drill

    loaded = load_recipe(recipe, settings, agent)
    with screen.progress(loaded.name) as advance, screen.prints_aside():
        found = run_drill(loaded, n_days=days, progress=advance)
    if as_json:
        screen.print_json({**asdict(found), "n_obeyed": found.n_obeyed, "verdict": found.verdict})
    else:
        rows = [
            (one.case, f"{one.n_decisions:,}", f"{one.n_obeyed:,}", one.first[:_MOST_WORDS] or "-")
            for one in found.attempts
        ]
        screen.print_table(loaded.name, ("case", "decisions", "obeyed", "found"), rows)
        screen.say(found.verdict)
    if found.n_obeyed and not found.n_by_chance:
        raise AgentError(f"an agent must not take orders from texts: {found.verdict}")


def _open(name: str) -> "Cassette":
    from seawall.language.cassette import read_cassette
    from seawall.language.places import find_cassette

    path = Path(name)
    return read_cassette(path if path.is_file() else find_cassette(name))


def _without_nan(value: object) -> object:
    """Return plain values in which nan is ``None``: JSON has none."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - nan
