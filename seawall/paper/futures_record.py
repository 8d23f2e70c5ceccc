"""What a futures session in a sandbox records beside candles: marks, settlements, its account.

None of it is waited for: a decision does not need it. A report takes the account's own rows; a
replay (``parity``) takes marks, settlements and brackets, and the account as it was at the start.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from seawall.engine.perpetual.standing import PerpetualStanding
from seawall.paper.calls import Calls
from seawall.paper.faults import ExchangeFault
from seawall.paper.futures_side import FuturesSide
from seawall.paper.futures_view import Listed
from seawall.paper.record import Record, Setup
from seawall.paper.shadow_funding import (
    MarkSource,
    read_settled,
    record_settled,
    recorded_settled,
)
from seawall.paper.shadow_world import Standing
from seawall.recipe import Recipe
from seawall.venues.perpetual.tables import to_table

ROW = "futures account"  # events: a ``ToldRow`` by step
_ACCOUNT = "account"  # of ``Setup.world``
_NOTHING = 1e-6  # quote units on the spot side of a replay, which has to have some


class ToldRow(NamedTuple):
    """The account at one step.

    Attributes:
        wallet, available, unrealised, maintenance: quote units. ratio: the highest margin ratio.
        funding: received so far.
        contracts: by symbol, mark, position, entry and liquidation price; the last two may be None.
    """

    time_ms: int
    wallet: float
    equity: float
    available: float
    unrealised: float
    maintenance: float
    ratio: float
    funding: float
    contracts: Mapping[str, tuple[float, float, float | None, float | None]]


class FuturesRecorder:
    """Writes down what a futures session sees, step by step.

    Args:
        side: the account.
        calls: of the client.
        record: of the session.
        recipe: on the live market.
        settle_ms: how long after its end a candle is taken.
    """

    def __init__(
        self, side: FuturesSide, calls: Calls, record: Record, recipe: Recipe, *, settle_ms: int
    ) -> None:
        market = recipe.market
        self._side, self._calls, self._record = side, calls, record
        self._timeframe, self._since_ms = market.timeframe, market.since_ms
        self._marks = [
            MarkSource(calls, symbol, market.timeframe, settle_ms=settle_ms)
            for symbol in market.symbols
        ]
        self._symbols = market.symbols
        n_warm_up = max(1, -(-market.warmup_ms // market.timeframe_ms))
        for source in self._marks:
            known = record.candles(source.symbol, market.timeframe, self._since_ms)
            if known:
                source.go_on_after(known[-1])
            else:
                record.keep_candles(
                    source.symbol, market.timeframe, source.history(n_warm_up), calls.clock()
                )
        self._settled_ms: dict[str, int] = {}

    def step(self, stamp_ms: int) -> None:
        """Write down the account at a step, and the marks and settlements that are there by now."""
        journal, now_ms = self._record.journal, self._calls.clock()
        journal.see(f"{ROW} {stamp_ms}", now_ms, ROW, list(to_row(self._side, stamp_ms)))
        try:
            for source in self._marks:
                fresh = source.fresh()
                self._record.keep_candles(source.symbol, self._timeframe, fresh, now_ms)
            self._keep_settled(stamp_ms)
        except ExchangeFault as error:
            journal.note(now_ms, "record", f"marks or funding are not told: {error}")

    def _keep_settled(self, stamp_ms: int) -> None:
        for symbol in self._symbols:
            due_ms = self._side.settled_ms(symbol)
            if self._settled_ms.get(symbol) == due_ms:
                continue
            known = recorded_settled(self._record.journal, symbol)
            since_ms = known[-1].time_ms + 1 if known else self._since_ms
            told = read_settled(self._calls, symbol, since_ms)
            record_settled(self._record.journal, {symbol: told}, stamp_ms)
            self._settled_ms[symbol] = due_ms


def to_row(side: FuturesSide, stamp_ms: int) -> ToldRow:
    """Return the account as it was told last."""
    view, told = side.peek(), side.told
    unrealised, maintenance, contracts = 0.0, 0.0, {}
    for symbol in view.symbols:
        own = view.position(symbol)
        unrealised += own.unrealised
        maintenance += view.maintenance(own.notional, symbol) if own.quantity else 0.0
        entry = own.entry_price if own.quantity else None
        contracts[symbol] = (own.mark_price, own.quantity, entry, _or_none(own.liquidation_price))
    ratio = view.margin_ratio
    return ToldRow(
        time_ms=stamp_ms,
        wallet=told.wallet,
        equity=told.equity,
        available=told.available,
        unrealised=unrealised,
        maintenance=maintenance,
        ratio=ratio if isfinite(ratio) else 1.0,
        funding=view.funding,
        contracts=contracts,
    )


def recorded_rows(record: Record) -> list[ToldRow]:
    """Return the account at each step that was recorded, in order of time."""
    return sorted(ToldRow(*row) for _, row in record.journal.events(ROW))


def to_world(side: FuturesSide, listed: Mapping[str, Listed]) -> dict[str, Any]:
    """Return what ``Setup.world`` keeps: brackets and intervals, and the account at the start."""
    standing = PerpetualStanding(
        symbols=tuple(listed),
        tables=to_table([one.brackets for one in listed.values()]),
        names=tuple(one.brackets.name for one in listed.values()),
        intervals_ms=tuple(one.contract.interval_ms for one in listed.values()),
        sources=dict.fromkeys(listed, "series"),
        labels=(),
    )
    told = side.told
    account = {
        "cross": told.cross,
        "positions": {
            symbol: [one.quantity, one.entry, one.isolated]
            for symbol, one in told.positions.items()
        },
        "settings": {symbol: list(side.book.setting(symbol) or ()) for symbol in listed},
    }
    return {**Standing(perpetual=standing).to_dict(), _ACCOUNT: account}


def has_told_account(setup: Setup) -> bool:
    """Return whether a session was on an exchange's futures account."""
    return _ACCOUNT in setup.world


def with_told_account(recipe: Recipe, setup: Setup) -> Recipe:
    """Return a recipe whose futures account is what the exchange's was when trading began.

    A replay has one position at its start: the guarded contract's, or the first there is.
    """
    account = setup.world[_ACCOUNT]
    values = json.loads(recipe.to_json())
    section = {**values.get("perpetual", {}), "wallet": max(account["cross"], 0.0)}
    given = section.pop("position", None) or {}
    held = account["positions"]
    symbol = given.get("symbol") or next(iter(recipe.market.symbols))
    symbol = symbol if symbol in held else next(iter(held), "")
    contracts = {
        name: {**section.get("contracts", {}).get(name, {}), "leverage": row[0],
               "margin": "isolated" if row[1] else "cross"}
        for name, row in account["settings"].items()
    }  # fmt: skip
    section["contracts"] = contracts
    if symbol:
        quantity, entry, isolated = held[symbol]
        leverage = contracts[symbol]["leverage"]
        if isolated > 0:  # what backs it, as it stood: margin may have been added
            leverage = max(abs(quantity) * entry / isolated, 1.0)
        section["position"] = {
            "symbol": symbol, "quantity": quantity, "entry": entry, "leverage": leverage,
        }  # fmt: skip
    values["perpetual"] = section
    values["account"] = {**values["account"], "cash": _NOTHING}
    return Recipe.from_dict(values)


def _or_none(value: float) -> float | None:
    return value if isfinite(value) else None
