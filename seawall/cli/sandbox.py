"""``seawall sandbox``: the local exchange, until it is stopped.

It listens on loopback. Whoever reaches it can trade with its accounts, so another address is a
deliberate choice, said again when it starts.
"""

import asyncio
import ipaddress
import json
import secrets
import signal
import sqlite3
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.errors import DataError, RecipeError
from seawall.units import SECOND_MS, to_time_ms, to_time_text

if TYPE_CHECKING:
    from seawall.market.catalog import Catalog
    from seawall.sandbox.exchange import Exchange
    from seawall.sandbox.opening import Opening
    from seawall.sandbox.server import Server
    from seawall.sandbox.state import State

LOOPBACK = "127.0.0.1"
_DEFAULT_ACCOUNT = "demo-account:demo-secret:USDT=100000"


@dataclass(frozen=True, kw_only=True)
class AccountWish:
    """An account that the exchange opens with."""

    key: str
    secret: str
    balances: Mapping[str, float]


def sandbox(
    markets: Annotated[
        list[str],
        typer.Option("--market", help="simulated:ETH/USDT@5m, binance/ETH/USDT/1h, or a file."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    accounts: Annotated[
        list[str], typer.Option("--account", help="KEY:SECRET[:ASSET=AMOUNT,...].")
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
    faults: Annotated[Path | None, typer.Option(help="TOML file of [[fault]] tables.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON value.")] = False,
) -> None:
    """Serve an exchange that speaks Binance's API over recorded or simulated history."""
    from seawall.market.catalog import Catalog
    from seawall.sandbox.faults import read_script
    from seawall.sandbox.opening import Opening, describe
    from seawall.sandbox.server import Server

    opening = Opening(
        markets=tuple(markets) or ("simulated:ETH/USDT",),
        since_ms=None if since is None else to_time_ms(since),
        speed=speed,
        seed=seed,
    )
    wishes = [read_account(text) for text in accounts or (() if state else (_DEFAULT_ACCOUNT,))]
    script = [] if faults is None else read_script(_read_text(faults))
    tls = _load_tls(tls_cert, tls_key)
    exchange, shift_ms, kept = _open(opening, Catalog(), state)
    _open_accounts(exchange, wishes)
    operator = token or secrets.token_urlsafe(16)
    server = Server(exchange, host=host, port=port, tls=tls, token=operator, state=kept)
    for fault in script:
        server.faults.add(fault)
    lines = [f"market    {line}" for line in describe(exchange, shift_ms)]
    lines += [f"account   {account.key}" for account in exchange.accounts.by_name.values()]
    lines += [f"clock     {_describe_clock(exchange)}"]
    if token is None:
        lines.append(f"operator  X-Sandbox-Token: {operator}")
    if not _is_loopback(host):
        lines.append(f"warning   {host} is not loopback: others can reach the exchange's accounts")
    asyncio.run(_serve(server, lines, as_json=as_json))


def read_account(text: str) -> AccountWish:
    """Return the account that ``KEY:SECRET[:ASSET=AMOUNT,...]`` describes.

    Raises:
        RecipeError: it is not written so.
    """
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
            "alice:her-secret:USDT=10000,ETH=5"
        )
    return AccountWish(key=key, secret=secret, balances=balances)


# Opening ------------------------------------------------------------------------------------------


def _open(
    opening: "Opening", catalog: "Catalog", file: Path | None
) -> "tuple[Exchange, int, State | None]":
    """Return the exchange, by how much its history is shifted, and its state where one is kept."""
    from seawall.sandbox.opening import WALL_SPEED, open_exchange
    from seawall.sandbox.state import State, saved_time_ms

    now_ms = int(time.time() * SECOND_MS)
    if file is None:
        return (*open_exchange(opening, catalog, now_ms=now_ms), None)
    is_wall = opening.speed == WALL_SPEED
    if not is_wall and any(text.startswith("simulated:") for text in opening.markets):
        raise RecipeError(
            f"a simulated market with --state needs --speed 1, is {opening.speed:g}: its path "
            "begins where the exchange did"
        )
    saved_ms, start_ms = saved_time_ms(file), now_ms
    before = {} if saved_ms is None else _read_settings(file)
    described = json.dumps([*opening.markets, opening.seed, is_wall])
    if before.get("opening", described) != described:
        raise RecipeError(
            f"a state belongs to the markets, seed and speed it was made with, {file} has "
            f"{before['opening']}: open it with those, or name another file"
        )
    if saved_ms is not None:
        # Its markets stand where it stopped; what happens until now is found when it catches up.
        start_ms = saved_ms
        opening = (
            replace(opening, since_ms=int(before["since_ms"]), shift_ms=int(before["shift_ms"]))
            if is_wall and "since_ms" in before
            else replace(opening, since_ms=saved_ms)
        )
    exchange, shift_ms = open_exchange(opening, catalog, now_ms=start_ms)
    kept = State(file, exchange)
    since_ms = start_ms - shift_ms if opening.since_ms is None else opening.since_ms
    settings = {"opening": described, "since_ms": str(since_ms), "shift_ms": str(shift_ms)}
    for name, value in settings.items():
        kept.remember(name, value)
    if is_wall and saved_ms is not None:
        exchange.clock.advance(max(0, now_ms - saved_ms))
        exchange.catch_up()
    return exchange, shift_ms, kept


def _read_settings(file: Path) -> dict[str, str]:
    """Return what the last start has remembered: it is needed before the exchange is there."""
    with closing(sqlite3.connect(file)) as database:
        try:
            rows = database.execute("SELECT name, value FROM meta").fetchall()
        except sqlite3.DatabaseError as error:
            raise DataError(f"{file} is no state of an exchange ({error}): name another") from None
    return {
        name.removeprefix("setting:"): value for name, value in rows if name.startswith("setting:")
    }


def _open_accounts(exchange: "Exchange", wishes: Iterable[AccountWish]) -> None:
    """Open the accounts that are not there yet: a state may have them."""
    known = {account.key for account in exchange.accounts.by_name.values()}
    for wish in wishes:
        if wish.key not in known:
            exchange.open_account(
                wish.key, key=wish.key, secret=wish.secret, balances=wish.balances
            )


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
    from seawall.paper.guard import local_urls

    screen.say(f"exchange  {url}")
    for line in lines:
        screen.say(line)
    screen.say(
        "ccxt      from seawall.paper.guard import local_urls\n"
        f'          ccxt.binance({{"apiKey": KEY, "secret": SECRET, "urls": {{"api": '
        f'local_urls("{url}")}}}})\n'
        f"seawall   seawall paper RECIPE --shadow --exchange local:{url}"
    )
    if as_json:
        screen.print_json({"url": url, "urls": local_urls(url)})
        screen.out.file.flush()


def _describe_clock(exchange: "Exchange") -> str:
    clock = exchange.clock
    how = "stepped by POST /_admin/step" if clock.is_stepped else f"{clock.speed:g} times the wall"
    return f"{to_time_text(clock.now_ms())}, {how}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
