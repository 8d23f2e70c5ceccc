"""The README's table of supported exchanges is the allow-list, no more and no less."""

from pathlib import Path

import pytest

from seawall.paper.allowed import VENUES, Market, Mode, Venue, is_served

README = Path(__file__).parents[1] / "README.md"
SWITCHES = {"sandbox": "`set_sandbox_mode`", "demo": "`enable_demo_trading`", "": ""}
HEAD = (
    "| exchange | market | `--sandbox`: orders go to | how ccxt is told | "
    "`--shadow`: candles come from |\n|---|---|---|---|---|"
)


def make_table() -> str:
    """Return what is served as the README shows it; a dash where a mode is not supported."""
    pairs = dict.fromkeys((one.exchange, one.market) for one in VENUES if is_served(one))
    return "\n".join([HEAD, *(_row(exchange, market) for exchange, market in pairs)])


def _row(exchange: str, market: Market) -> str:
    sandbox, shadow = (_find(exchange, market, mode) for mode in ("sandbox", "shadow"))
    told = "-" if sandbox is None else SWITCHES[sandbox.switch]
    if sandbox is not None and sandbox.headers:
        told += "".join(f", header `{name}: {value}`" for name, value in sandbox.headers.items())
    cells = (exchange, market, _hosts(sandbox), told, _hosts(shadow))
    return f"| {' | '.join(cells)} |"


def _find(exchange: str, market: Market, mode: Mode) -> Venue | None:
    wanted = (exchange, market, mode)
    served = (one for one in VENUES if is_served(one))
    found = (one for one in served if (one.exchange, one.market, one.mode) == wanted)
    return next(found, None)


def _hosts(venue: Venue | None) -> str:
    """Return the hosts of a venue's requests; its streams may have others."""
    if venue is None:
        return "-"
    hosts = dict.fromkeys(route.host for route in venue.routes if route.scheme == "https")
    return ", ".join(f"`{host}`" for host in hosts)


@pytest.mark.skipif(not README.is_file(), reason="the README is not beside the tests")
def test_the_readme_lists_what_is_allowed() -> None:
    """Row by row: whoever changes the allow-list changes the table, and nobody only one of them."""
    text = README.read_text(encoding="utf-8")
    missing = [line for line in make_table().splitlines() if line not in text.splitlines()]
    assert not missing, "\n".join(["the README's table must have these lines:", *missing])
    start = text.index(HEAD)
    end = text.find("\n\n", start)
    assert text[start:end] == make_table()
