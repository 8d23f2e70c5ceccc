"""The exchange over TLS: unmodified ccxt clients check its certificate, and know its codes."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from linear_sandboxes import PERP
from sandbox_clients import CCXT, CCXT_PRO, KEY, SECRET, START_MS, close, exchange, wavy

from seawall.cli.sandbox import _load_tls, client_urls
from seawall.errors import RecipeError
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

ETH = "ETH/USDT"
ARGUMENTS = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x "
    "-addext subjectAltName=IP:127.0.0.1"
)


class Served(NamedTuple):
    """A server, and the file of its certificate."""

    thread: ServerThread
    certificate: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve spot and a perpetual over TLS, as ``--tls-cert`` and ``--tls-key`` do."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not here")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, *ARGUMENTS.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    made = exchange(
        wavy(400), wavy(400, PERP), start_ms=START_MS + 100 * MINUTE_MS, futures=1_000.0
    )
    with ServerThread(Server(made, tls=_load_tls(certificate, key))) as thread:
        yield Served(thread, certificate)


def config(served: Served, **more: object) -> dict[str, Any]:
    """Return what a client is made of: the URLs that the command prints, and keys."""
    return {
        "urls": {"api": client_urls(served.thread.url)}, "apiKey": KEY, "secret": SECRET,
        "enableRateLimit": False, **more,
    }  # fmt: skip


def test_a_client_trades_over_tls_and_knows_the_codes(served: Served) -> None:
    """On plain loopback ccxt reads futures' codes as bare errors; here they have their classes."""
    client: Any = CCXT.binance(config(served, validateServerSsl=str(served.certificate)))
    client.milliseconds = served.thread.server.exchange.clock.now_ms
    client.session.trust_env = False
    assert set(client.load_markets()) == {ETH, PERP}
    assert client.create_order(ETH, "market", "buy", 0.1)["status"] == "closed"
    with pytest.raises(CCXT.InsufficientFunds, match="-2019"):
        client.create_order(PERP, "market", "buy", 90)
    with pytest.raises(CCXT.InvalidOrder, match="-2022"):
        client.create_order(PERP, "market", "buy", 1, None, {"reduceOnly": True})
    with pytest.raises(CCXT.OrderImmediatelyFillable, match="-2021"):
        client.create_order(PERP, "market", "sell", 1, None, {"stopLossPrice": 9_000})
    close(client)


def test_a_certificate_that_nobody_vouches_for_is_refused(served: Served) -> None:
    """Without the file the client does not believe it; that is the client's own check."""
    client: Any = CCXT.binance(config(served))
    client.session.trust_env = False
    with pytest.raises(CCXT.NetworkError):
        client.fetch_time()
    close(client)


def test_streams_come_over_tls_too(served: Served) -> None:
    """WSS: trades of the market, and an order over the WebSocket API."""

    async def run() -> None:
        client: Any = CCXT_PRO.binance(config(served, cafile=str(served.certificate)))
        client.milliseconds = served.thread.server.exchange.clock.now_ms
        try:
            await client.load_markets()
            task = asyncio.ensure_future(client.watch_trades(PERP))
            async with asyncio.timeout(20):
                while not (await asyncio.wait({task}, timeout=0.02))[0]:
                    await asyncio.to_thread(served.thread.step, 5_000)
            assert task.result()[-1]["symbol"] == PERP
            placed = await client.create_order_ws(ETH, "limit", "buy", 0.1, 2900)
            assert placed["status"] == "open"
        finally:
            await client.close()

    asyncio.run(run())


def test_a_certificate_needs_its_key(served: Served, tmp_path: Path) -> None:
    """One without the other, and files that are none, are refused with the remedy."""
    assert _load_tls(None, None) is None
    with pytest.raises(RecipeError, match="give --tls-cert and --tls-key"):
        _load_tls(served.certificate, None)
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(RecipeError, match="PEM files that belong together"):
        _load_tls(served.certificate, tmp_path / "key.pem")
    context = _load_tls(served.certificate, served.certificate.with_name("key.pem"))
    assert isinstance(context, ssl.SSLContext)
