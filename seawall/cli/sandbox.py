"""``seawall sandbox``: the local exchange, until it is stopped.

It listens on loopback. Whoever reaches it can trade with its accounts, so another address is a
deliberate choice, said again when it starts.
"""

import asyncio
import ipaddress
import json
import secrets
import signal
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.errors import RecipeError
from seawall.units import SECOND_MS, to_time_ms, to_time_text

if TYPE_CHECKING:
    from seawall.sandbox.exchange import Exchange
    from seawall.sandbox.opening import Opening
    from seawall.sandbox.reopening import Member, Opened
    from seawall.sandbox.server import Server

LOOPBACK = "127.0.0.1"
FUTURES = "futures"  # in the place of an asset: the futures wallet
_USERS = {"fapi": "demo-fapi", "dapi": "demo-dapi"}  # as ccxt's demo URLs begin, by table of codes
_DEFAULT_ACCOUNT = f"demo-account:demo-secret:USDT=100000,{FUTURES}=100000"


def sandbox(
    markets: Annotated[
        list[str],
        typer.Option("--market", help="simulated:ETH/USDT@5m, binance/ETH/USDT/1h, or a file."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    accounts: Annotated[
        list[str], typer.Option("--account", help="KEY:SECRET[:ASSET=AMOUNT,...,futures=AMOUNT].")
    ] = [],  # noqa: B006
    *,
    speed: Annotated[float, typer.Option(min=0.0, help="1: as the wall; 0: stepped.")] = 1.0,
    since: Annotated[str | None, typer.Option(help="Where in history it opens.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of paths and of the book.")] = 1,
    host: Annotated[str, typer.Option(help="Where it listens.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8_080,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate, for HTTPS and WSS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Of the operator, for /_admin; made up otherwise.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="File in which accounts survive.")] = None,
    faults: Annotated[Path | None, typer.Option(help="TOML script of faults, and when.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON value.")] = False,
) -> None:
    """Serve an exchange that speaks Binance's API over recorded or simulated history."""
    from seawall.sandbox.opening import Opening, describe
    from seawall.sandbox.script import read_script
    from seawall.sandbox.server import Server
    from seawall.sandbox.verbs import SCRIPTED

    opening = Opening(
        markets=tuple(markets) or ("simulated:ETH/USDT",),
        since_ms=None if since is None else to_time_ms(since),
        speed=speed,
        seed=seed,
    )
    is_known = state is not None and state.exists()
    members = [read_account(one) for one in accounts or (() if is_known else (_DEFAULT_ACCOUNT,))]
    text = "" if faults is None else _read_text(faults)
    tls = _load_tls(tls_cert, tls_key)
    exchange, kept, shift_ms = _open(opening, members, state)
    operator = token or secrets.token_urlsafe(16)
    server = Server(exchange, host=host, port=port, tls=tls, token=operator, state=kept)
    server.follow(read_script(text, begin_ms=exchange.clock.now_ms(), verbs=SCRIPTED))
    lines = [f"market    {line}" for line in describe(exchange, shift_ms)]
    lines += [f"account   {account.key}" for account in exchange.accounts.by_name.values()]
    lines += [f"clock     {_describe_clock(exchange)}"]
    if token is None:
        lines.append(f"operator  X-Sandbox-Token: {operator}")
    if not _is_loopback(host):
        lines.append(f"warning   {host} is not loopback: others can reach the exchange's accounts")
    asyncio.run(_serve(server, lines, as_json=as_json))


def read_account(text: str) -> "Member":
    """Return the account that ``KEY:SECRET[:ASSET=AMOUNT,...]`` describes; its key is its name.

    Raises:
        RecipeError: it is not written so.
    """
    from seawall.sandbox.reopening import Member

    key, _, rest = text.partition(":")
    secret, _, listed = rest.partition(":")
    balances: dict[str, float] = {}
    try:
        for part in filter(None, listed.split(",")):
            asset, _, amount = part.partition("=")
            balances[asset.strip()] = float(amount)
    except ValueError:
        balances = {"": 0.0}
    is_wrong = any(not name or not 0 <= amount < float("inf") for name, amount in balances.items())
    if not (key and secret) or is_wrong:
        shown = f"{key}:***" if key else "empty"  # a secret is not repeated
        raise RecipeError(
            f"an account is KEY:SECRET[:ASSET=AMOUNT,...], is {shown}: write "
            f"alice:her-secret:USDT=10000,ETH=5,{FUTURES}=10000"
        )
    futures = balances.pop(FUTURES, 0.0)
    return Member(name=key, key=key, secret=secret, balances=balances, futures=futures)


# Opening ------------------------------------------------------------------------------------------


def _open(opening: "Opening", members: "list[Member]", file: Path | None) -> "Opened":
    """Return the exchange; with a file, as it was, and what has happened since happens first.

    Raises:
        RecipeError: the file was made with other markets, seed or speed.
    """
    from seawall.market.catalog import Catalog
    from seawall.sandbox.opening import WALL_SPEED
    from seawall.sandbox.reopening import open_saved
    from seawall.sandbox.state import saved_text

    described = json.dumps([*opening.markets, opening.seed, opening.speed == WALL_SPEED])
    before = None if file is None else saved_text(file, "opening")
    if before not in {None, described}:
        raise RecipeError(
            f"a state belongs to the markets, seed and speed it was made with, {file} has "
            f"{before}: open it with those, or name another file"
        )
    now_ms = int(time.time() * SECOND_MS)
    opened = open_saved(opening, Catalog(), now_ms=now_ms, members=members, path=file)
    if opened.state is not None:
        opened.state.remember("opening", described)
    opened.exchange.catch_up()
    return opened


def _load_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise RecipeError("TLS needs a certificate and its key: give --tls-cert and --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise RecipeError(
            f"a certificate and its key are PEM files that belong together, {certificate} and "
            f"{key} cannot be used ({error})"
        ) from None
    return context


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"--faults names a text file, {file} cannot be read: {error}") from None


# Serving ------------------------------------------------------------------------------------------


async def _serve(server: "Server", lines: Iterable[str], *, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM."""
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, is_over.set)
    await server.start()
    try:
        _tell(server.url, lines, as_json=as_json)
        await is_over.wait()
    finally:
        await server.stop()


def _tell(url: str, lines: Iterable[str], *, as_json: bool) -> None:
    """Say where it is, and what to point ccxt at."""
    screen.say(f"exchange  {url}")
    for line in lines:
        screen.say(line)
    screen.say(
        "ccxt      from seawall.cli.sandbox import client_urls\n"
        f'          ccxt.binance({{"apiKey": KEY, "secret": SECRET, "urls": {{"api": '
        f'client_urls("{url}")}}}})'
    )
    if url.startswith("http://"):
        screen.say(f"seawall   seawall paper RECIPE --shadow --exchange local:{url}")
    if as_json:
        screen.print_json({"url": url, "urls": client_urls(url)})
        screen.out.file.flush()


def client_urls(url: str) -> dict[str, object]:
    """Return ccxt's table of Binance's URLs, all of them at the exchange.

    With TLS the classes of its errors are those of production too: ccxt chooses its tables of codes
    by how a URL begins, and a user in front of the host, who means nothing here, makes it begin so.
    """
    from seawall.paper.guard import local_urls

    made = local_urls(url)
    for name, address in made.items():
        if isinstance(address, str):
            user = next((one for part, one in _USERS.items() if name.startswith(part)), "demo-api")
            made[name] = address.replace("https://", f"https://{user}@", 1)
    return made


def _describe_clock(exchange: "Exchange") -> str:
    clock = exchange.clock
    how = "stepped by POST /_admin/step" if clock.is_stepped else f"{clock.speed:g} times the wall"
    return f"{to_time_text(clock.now_ms())}, {how}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
