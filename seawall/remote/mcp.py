"""A running backtest offered to an MCP client: tools ``observe``, ``act`` and ``results``.

Time moves only when the client acts: it may look and think as long as it likes. What is no answer
is refused before anything moves. Needs the extra ``mcp``.
"""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from seawall.agent import Decision
from seawall.engine.lockstep import Lockstep
from seawall.engine.world import World
from seawall.errors import AgentError, ToolError
from seawall.journal import JournalEntry
from seawall.recipe import Recipe
from seawall.remote.form import (
    MOST_BARS,
    AnyAction,
    DecisionForm,
    ObservationForm,
    WakeForm,
    check_decision,
)
from seawall.remote.wire import describe, to_answer, write
from seawall.result import Result

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

CLIENT = "mcp client"
_HOW = (
    "A backtest that waits for you. observe shows what is known now; act answers and moves time on "
    "to the next moment at which you are asked; results tells how it went once the run is over. "
    "act takes at most one of actions, weights and target, and none of them leaves all as it is. "
    "A wake lets bars pass until something happens. Prices are quote units, times UTC milliseconds."
)


class Line(BaseModel):
    """One line of the journal: what was ordered, filled, refused, liquidated."""

    time_ms: int
    kind: str
    symbol: str
    text: str
    reason: str


class Seen(BaseModel):
    """What is known now; ``observation`` is null once the run is over."""

    is_over: bool
    n_decisions: int
    since_last: list[Line]
    observation: ObservationForm | None


class Outcome(BaseModel):
    """How the run went; ``metrics`` are fractions and counts, null until it is over."""

    is_over: bool
    n_decisions: int
    equity: float | None
    metrics: dict[str, float | None] | None
    labels: list[str]
    folder: str | None


class Game:
    """One run, played through tools.

    Args:
        recipe, world: as for ``Lockstep``.
        keep: called with the result once the run is over; returns where it was written.
    """

    def __init__(
        self, recipe: Recipe, world: World, keep: Callable[[Result], str | None] = lambda _: None
    ) -> None:
        self._run = Lockstep(recipe, world)
        self._keep = keep
        self._result: Result | None = None
        self._folder: str | None = None
        self._n_decisions = 0
        self._lock = Lock()  # tools may be called in parallel

    def observe(self, bars: int) -> Seen:
        """Return what is known now."""
        with self._lock:
            return self._see(bars)

    def act(self, form: DecisionForm, bars: int) -> Seen:
        """Answer; return what is known when the next answer is wanted.

        Raises:
            AgentError: the run is over, or the job does not take such an answer.
        """
        with self._lock:
            if self._run.observation is None:
                raise AgentError("the run is over, it takes no answer: ask for results")
            decision = to_answer(form, self._run.info)
            if self._run.info.read is not None:
                self._run.info.read(decision)
            self._answer(decision)
            return self._see(bars)

    def results(self) -> Outcome:
        """Return how it went."""
        with self._lock:
            result = self._result
            measured = None if result is None else dict(result.metrics.to_dict())
            return Outcome(
                is_over=result is not None,
                n_decisions=self._n_decisions,
                equity=self._find_equity(),
                metrics=measured,
                labels=[] if result is None else list(result.labels),
                folder=self._folder,
            )

    def close(self) -> None:
        """End the run where it stands."""
        self._run.close()

    def _answer(self, decision: Decision) -> None:
        self._n_decisions += 1
        if self._run.answer(decision) is None:
            self._result = self._run.result(CLIENT)
            self._folder = self._keep(self._result)

    def _see(self, bars: int) -> Seen:
        now, shown = self._run.observation, None
        if now is not None:
            text = write(describe(now, self._run.info, bars=bars))
            shown = ObservationForm.model_validate_json(text)
        return Seen(
            is_over=now is None,
            n_decisions=self._n_decisions,
            since_last=[_to_line(entry) for entry in self._run.news()],
            observation=shown,
        )

    def _find_equity(self) -> float | None:
        if self._result is not None:
            return float(self._result.equity["equity"].iloc[-1])
        now = self._run.observation
        return None if now is None else now.equity


def make_server(game: Game, recipe: Recipe) -> "MCPServer":
    """Return the MCP server of one run.

    Raises:
        ToolError: the extra ``mcp`` is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 - an extra
        from mcp.server.mcpserver.exceptions import ToolError as Refusal  # noqa: PLC0415
    except ImportError:
        raise ToolError(
            "an MCP server needs the package mcp, version 2 or newer, which is not installed: "
            "pip install 'seawall[mcp]'"
        ) from None
    job = recipe.strategy.name.removeprefix("strategies.").replace("_", " ")
    server = MCPServer("seawall", instructions=f"{_HOW} The job: {job}.", log_level="ERROR")

    def observe(bars: Bars = _FEW_BARS) -> Seen:
        """Show what is known now: prices, account, and what has happened since you looked last."""
        return game.observe(bars)

    def act(  # noqa: PLR0917 - a client calls it by name
        actions: list[AnyAction] | None = None,
        weights: dict[str, float] | None = None,
        target: float | Literal["inf"] | None = None,
        reason: str = "",
        wake: WakeForm | None = None,
        bars: Bars = _FEW_BARS,
    ) -> Seen:
        """Answer, and move time on to the next moment at which an answer is wanted.

        weights: target weights by symbol. target: the one number that the job aims at (a weight,
        a loan's health factor, a position's leverage). wake: when to be asked again.
        """
        form = DecisionForm(
            sequence=1, actions=actions, weights=weights, target=target, reason=reason, wake=wake
        )
        try:
            return game.act(check_decision(form), bars)
        except AgentError as error:  # the client is told, and may answer better
            raise Refusal(str(error)) from None

    def results() -> Outcome:
        """Tell how the run went: metrics once it is over, the equity at any time."""
        return game.results()

    for tool in (observe, act, results):
        server.add_tool(tool)
    return server


_FEW_BARS = 24
Bars = Annotated[int, Field(ge=0, le=MOST_BARS, description="candles of each symbol")]


def _to_line(entry: JournalEntry) -> Line:
    return Line(
        time_ms=entry.time_ms,
        kind=entry.kind,
        symbol=entry.symbol,
        text=entry.text,
        reason=entry.reason,
    )
