"""An exchange in a process of its own, to be killed: ``python sandbox_process.py FOLDER``."""

import asyncio
import sys
import time
from pathlib import Path

from seawall.market.catalog import Catalog
from seawall.sandbox.exchange import Settings
from seawall.sandbox.opening import Opening
from seawall.sandbox.reopening import Member, open_saved
from seawall.sandbox.server import Server

MEMBER = Member(
    name="alice",
    key="key-of-alice",
    secret="secret-of-alice",  # noqa: S106 - of a test
    balances={"USDT": 100_000.0, "ETH": 10.0},
    futures=10_000.0,
)


async def serve(folder: Path) -> None:
    """Serve until killed."""
    opened = open_saved(
        Opening(markets=("simulated:ETH/USDT", "simulated:ETH/USDT:USDT"), days=1, warmup_days=1),
        Catalog(folder / "catalog"),
        now_ms=int(time.time() * 1000),
        members=[MEMBER],
        path=folder / "exchange.sqlite",
        settings=Settings(limits=None),
    )
    server = Server(opened.exchange, token="operator", state=opened.state)  # noqa: S106 - of a test
    await server.start()
    print(server.url, flush=True)  # noqa: T201 - for whoever has started it
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
