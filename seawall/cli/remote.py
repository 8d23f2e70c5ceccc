"""``seawall schema``, ``serve`` and ``mcp``: agents and clients in other processes."""

import asyncio
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.cli.options import AsJson, Offline, Out, RecipeName, Settings
from seawall.cli.recipes import load_recipe

if TYPE_CHECKING:
    from seawall.remote.server import AgentServer
    from seawall.result import Result

LOOPBACK = "127.0.0.1"


def schema(
    what: Annotated[
        str, typer.Argument(help="observation, decision, action, handshake, or all.")
    ] = "all",
    *,
    as_json: AsJson = True,
) -> None:
    """Print the JSON Schema of what remote agents are asked and answer."""
    from seawall.remote.form import schema as find_schema

    del as_json  # it is JSON in any case
    screen.print_json(find_schema(what))


def serve(
    agent: Annotated[str, typer.Argument(help="NAME, or NAME{key=value}.")],
    *,
    host: Annotated[str, typer.Option(help="Where it listens.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8_000,
    bars: Annotated[
        int | None,
        typer.Option(min=0, max=10_000, help="Candles of each symbol that it sees; all otherwise."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Offer an agent over HTTP, until it is stopped: what agents.http asks."""
    from seawall.analysis.contender import to_contender
    from seawall.engine.components import make_named_agent
    from seawall.remote.server import AgentServer

    contender = to_contender(agent)
    server = AgentServer(
        lambda: make_named_agent(f"agents.{contender.file}", contender.given),
        name=contender.name,
        bars=bars,
        host=host,
        port=port,
    )
    asyncio.run(_serve(server, host, as_json=as_json))


async def _serve(server: "AgentServer", host: str, *, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM."""
    from seawall.remote.http import is_loopback

    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, is_over.set)
    await server.start()
    try:
        screen.say(f"agent    {server.url}")
        if not is_loopback(host):
            screen.say(f"warning  {host} is not loopback: others can ask the agent")
        screen.say(f"seawall  seawall run demo --agent 'http{{url=\"{server.url}\"}}'")
        if as_json:
            screen.print_json({"url": server.url})
            screen.out.file.flush()
        await is_over.wait()
    finally:
        await server.stop()


def mcp(
    recipe: RecipeName,
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    out: Out = None,
    *,
    offline: Offline = False,
) -> None:
    """Offer a backtest to an MCP client over stdio: tools observe, act and results."""
    from seawall.engine.world import build_world
    from seawall.market.catalog import Catalog
    from seawall.remote.mcp import Game, make_server
    from seawall.result import LAYOUT
    from seawall.result_folder import check_folder

    loaded = load_recipe(recipe, settings)
    place = out or screen.results_folder() / f"mcp-{loaded.id}-{time.time_ns() // 1_000_000}"
    check_folder(place, LAYOUT)
    world = build_world(loaded, Catalog(), offline=offline)
    game = Game(loaded, world, keep=lambda result: _keep(result, place))
    try:
        make_server(game, loaded).run("stdio")
    finally:
        game.close()


def _keep(result: "Result", place: Path) -> str:
    """Save a result and its report; return the folder."""
    from seawall.analysis.report import write_report

    folder = result.save(place)
    write_report(result, folder / "report.html")
    return str(folder)
