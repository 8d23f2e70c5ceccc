"""The command line: ``seawall VERB``.

Every verb takes ``--json``, is quiet where there is no terminal, and ends with a stable exit code:
0 done, 1 to 12 as in ``seawall.errors`` (2 also for a wrong command line), 130 interrupted.
"""

import sys

import typer

from seawall import __version__
from seawall.cli import run, show, texts, verify
from seawall.cli.agents import check_app, new_app
from seawall.cli.audit import audit
from seawall.cli.data import app as data_app
from seawall.cli.language import cassette_app, contamination, drill
from seawall.cli.league import league
from seawall.cli.paper import paper_app, replay
from seawall.cli.remote import mcp, schema, serve
from seawall.cli.sandbox import sandbox
from seawall.cli.screen import Answer, print_json, say
from seawall.cli.train import train
from seawall.errors import SeawallError

app = typer.Typer(
    name="seawall",
    help="Backtest agents in crypto and DeFi, compare them, and trust the numbers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
data_app.command("texts")(texts.texts)
app.add_typer(data_app, name="data", help="Market data: get, import, list, check.")
app.add_typer(new_app, name="new", help="Start something of your own.")
app.add_typer(check_app, name="check", help="Check an agent or a strategy, look-ahead included.")
app.add_typer(
    paper_app, name="paper", help="Trade on paper: in a live market's shadow or a sandbox."
)
app.add_typer(cassette_app, name="cassette", help="Recordings of language models: show, diff.")
_VERBS = (
    run.demo, run.run, run.compare, run.report, show.list_, show.show, show.doctor, verify.verify,
    sandbox, replay, audit, league, schema, serve, mcp, train,
    contamination, drill,
)  # fmt: skip
for command in _VERBS:
    app.command(name=command.__name__.rstrip("_"))(command)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"seawall {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(  # noqa: FBT001 - an option is given by name
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Backtest agents in crypto and DeFi, compare them, and trust the numbers."""
    del version


def main() -> None:
    """Run the command line; what is wrong is one line on stderr and an exit code."""
    Answer.is_given = False
    try:
        app()
    except SeawallError as error:
        if "--json" in sys.argv and not Answer.is_given:
            print_json({"error": str(error), "exit_code": error.exit_code})
        say(f"error: {error}")
        sys.exit(error.exit_code)
