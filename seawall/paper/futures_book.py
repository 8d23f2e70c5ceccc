"""What is believed of a futures account beside its orders and fills, and how it is found out.

The wallet is a baseline, adopted from the exchange, and every income since: profit, fees, funding,
what a liquidation took; each is counted once, by its number. Leverage and margin mode are what was
set or adopted. Margin that is moved is written down before it is asked for, asked for once, and
where the answer is missing it is looked for in the exchange's list of moves until it can no longer
arrive.

Amounts are quote units; positions and fills are the journal's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from seawall.paper.calls import Calls
from seawall.paper.errors import GuardRefused
from seawall.paper.faults import ExchangeFault
from seawall.paper.futures_calls import FuturesCalls
from seawall.paper.futures_reading import FUNDING_FEE, Income, Setting
from seawall.paper.journal import PaperJournal

INCOME, MOVE, MOVED = "income", "margin move", "margin moved"
RECEIVE_WINDOW_MS = 10_000  # ccxt's recvWindow: the exchange accepts no request older than this
_GRACE_MS = RECEIVE_WINDOW_MS + 5_000
_WALLET = "futures wallet"  # what it is less all incomes that are known
_SINCE = "futures incomes since"
_CENT = 1e-6
_ROUNDED = 1e-8  # of each income: an exchange shows eight decimals

Outcome = Literal["done", "refused", "lost", "unknown"]


class MarginMove(NamedTuple):
    """Margin that was asked to be moved into (> 0) or out of an isolated position."""

    key: str
    time_ms: int
    symbol: str
    amount: float


@dataclass(frozen=True, kw_only=True)
class Moving:
    """What became of a move: its outcome, and the exchange's words where it was refused."""

    outcome: Outcome
    text: str = ""


class FuturesBook:
    """The belief about one futures account.

    Args:
        calls: of the client.
        journal: of the account.
        symbols: the contracts that are traded.
        asset: of the margin.

    Attributes:
        asks: what asks the exchange.
    """

    def __init__(
        self, calls: Calls, journal: PaperJournal, symbols: Sequence[str], *, asset: str
    ) -> None:
        self.asks = FuturesCalls(calls, asset=asset)
        self.symbols, self._journal, self._clock = tuple(symbols), journal, calls.clock
        self._incomes = [Income(key, *row) for key, row in journal.events(INCOME)]
        self._total = sum(one.amount for one in self._incomes)

    # The wallet -----------------------------------------------------------------------------------

    def sync_incomes(self) -> list[Income]:
        """Count the incomes that are new, each once; return them, the oldest first.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        last_ms = max((one.time_ms for one in self._incomes), default=self._first_ms())
        told = sorted(self.asks.incomes(last_ms), key=lambda one: one.time_ms)
        rows = [(one.key, one[1:]) for one in told]
        new = set(self._journal.see_all(rows, self._clock(), INCOME))
        fresh = [one for one in told if one.key in new]
        self._incomes += fresh
        self._total += sum(one.amount for one in fresh)
        return fresh

    def _first_ms(self) -> int:
        """Return when incomes were looked for first."""
        first = self._journal.recall(_SINCE)
        if first is None:
            first = float(self._clock())
            self._journal.remember(_SINCE, first)
        return int(first)

    @property
    def has_wallet(self) -> bool:
        """Whether a wallet was ever adopted."""
        return self._journal.recall(_WALLET) is not None

    @property
    def wallet(self) -> float:
        """What is believed to be in the wallet, isolated margins included, quote units."""
        return (self._journal.recall(_WALLET) or 0.0) + self._total

    @property
    def tolerance(self) -> float:
        """By how much belief and truth may differ for rounding alone, quote units."""
        return _CENT + _ROUNDED * len(self._incomes)

    def adopt_wallet(self, told: float) -> None:
        """Take what the exchange says; all incomes that are known are in it."""
        self._journal.remember(_WALLET, told - self._total)

    def funding(self, symbol: str | None = None, *, since_ms: int = 0) -> float:
        """Return the funding that was received, < 0 where it was paid, of one contract or all."""
        return sum(
            one.amount
            for one in self._incomes
            if one.kind == FUNDING_FEE and one.time_ms >= since_ms and symbol in (None, one.symbol)
        )

    def incomes(self, kind: str | None = None) -> list[Income]:
        """Return all incomes that were counted, of one kind or all."""
        return [one for one in self._incomes if kind in (None, one.kind)]

    # Leverage and margin mode ---------------------------------------------------------------------

    def setting(self, symbol: str) -> Setting | None:
        """Return how a contract is believed to be set; ``None`` before anything is known."""
        leverage = self._journal.recall(f"leverage {symbol}")
        is_isolated = self._journal.recall(f"isolated {symbol}")
        if leverage is None or is_isolated is None:
            return None
        return Setting(leverage, bool(is_isolated))

    def adopt_setting(self, symbol: str, setting: Setting) -> None:
        """Take what the exchange says, or was told; nothing else is wanted any more."""
        self.want_setting(symbol, setting)
        self._journal.remember(f"leverage {symbol}", setting.leverage)
        self._journal.remember(f"isolated {symbol}", float(setting.is_isolated))

    def want_setting(self, symbol: str, setting: Setting) -> None:
        """Write down what a contract is about to be set to, before it is asked for."""
        self._journal.remember(f"wanted leverage {symbol}", setting.leverage)
        self._journal.remember(f"wanted isolated {symbol}", float(setting.is_isolated))

    def wanted_setting(self, symbol: str) -> Setting | None:
        """Return what a contract was last about to be set to."""
        leverage = self._journal.recall(f"wanted leverage {symbol}")
        is_isolated = self._journal.recall(f"wanted isolated {symbol}")
        if leverage is None or is_isolated is None:
            return None
        return Setting(leverage, bool(is_isolated))

    # Margin ---------------------------------------------------------------------------------------

    def move_margin(self, symbol: str, amount: float) -> Moving:
        """Write down that margin is moved, ask for it once, and return what is known then.

        ``unknown`` is found out by ``resolve_moves``.

        Raises:
            GuardRefused: the request may not leave; it was not sent.
        """
        now_ms = self._clock()
        number = len(self._journal.seen(MOVE)) + 1
        move = MarginMove(f"{MOVE} {number}", now_ms, symbol, amount)
        self._journal.see(move.key, now_ms, MOVE, list(move[1:]))
        try:
            self.asks.move_margin(symbol, amount)
        except ExchangeFault as error:
            outcome: Outcome = "unknown" if error.fault.may_be_live else "refused"
            moving = Moving(outcome=outcome, text=str(error))
        except GuardRefused as error:
            self._close(move, Moving(outcome="refused", text=str(error)))
            raise
        else:
            moving = Moving(outcome="done")
        if moving.outcome != "unknown":
            self._close(move, moving)
        return moving

    def unresolved_moves(self) -> list[MarginMove]:
        """Return the moves of which it is not known whether they arrived."""
        over = {key.removesuffix(" over") for key in self._journal.seen(MOVED)}
        found = [(key, row) for key, row in self._journal.events(MOVE) if key not in over]
        return [MarginMove(key, *row) for key, row in sorted(found, key=lambda one: one[1][0])]

    def resolve_moves(self) -> list[tuple[MarginMove, Moving]]:
        """Look for moves whose answer is missing; return those that are known now.

        Raises:
            ExchangeFault: the exchange cannot be asked now.
        """
        settled = []
        for move in self.unresolved_moves():
            listed = self.asks.moves(move.symbol, move.time_ms - _GRACE_MS)
            is_there = any(
                abs(amount - move.amount) <= _ROUNDED
                and time_ms >= move.time_ms - RECEIVE_WINDOW_MS
                and not self._is_claimed(move, time_ms)
                for time_ms, amount in listed
            )
            if is_there:
                moving = Moving(outcome="done")
            elif self._clock() - move.time_ms > _GRACE_MS:
                moving = Moving(outcome="lost", text="the exchange lists no such move")
            else:
                continue
            self._close(move, moving)
            settled.append((move, moving))
        return settled

    def _is_claimed(self, move: MarginMove, time_ms: int) -> bool:
        """Return whether a listed move is an earlier one's: of the same amount, and confirmed."""
        for key, row in self._journal.events(MOVED):
            other = MarginMove(key, *row[:3])
            is_same = (other.symbol, other.amount) == (move.symbol, move.amount)
            if is_same and row[3] == "done" and other.time_ms <= time_ms < move.time_ms:
                return True
        return False

    def _close(self, move: MarginMove, moving: Moving) -> None:
        row = [move.time_ms, move.symbol, move.amount, moving.outcome, moving.text]
        self._journal.see(f"{move.key} over", self._clock(), MOVED, row)
