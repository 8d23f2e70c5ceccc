"""A run that waits for its answers from outside: one observation out, one answer in.

For who cannot be called: a client that connects, a trainer that drives an environment. The engine
runs in a thread of its own and stands still while it waits; time moves only with an answer. It is
the ordinary loop, with an agent that hands over.

    with Lockstep(recipe, world) as run:
        while run.observation is not None:
            run.answer(0.5)
        result = run.result("my client")
"""

from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self
from weakref import finalize

from seawall.agent import AgentInfo, Answer
from seawall.engine.checks import check_job
from seawall.engine.components import find_strategy
from seawall.engine.outcome import Played, to_result
from seawall.engine.run import play_once
from seawall.engine.world import World
from seawall.errors import AgentError, RecipeError
from seawall.journal import Journal, JournalEntry
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.strategy import AgentStrategy

OUTSIDE = "answered from outside: the recipe alone does not reproduce it"


class _Left(BaseException):  # an agent may catch an Exception: it must not catch this
    """Nobody answers any more."""


_Message = Observation | Played | BaseException


class Lockstep:
    """One run of a recipe, answered from outside.

    Args:
        recipe: what to run; its agent is not used.
        world: what ``build_world`` made of its market section.

    Attributes:
        info: what an agent is told before the first bar.
        observation: what is seen now; ``None`` once the run is over.
        played: what it left; ``None`` before it is over.

    Raises:
        RecipeError: its strategy is no job for an agent, or does not fit the recipe.
    """

    info: AgentInfo

    def __init__(self, recipe: Recipe, world: World) -> None:
        job = find_strategy(recipe)
        check_job(recipe, job)
        if not issubclass(job, AgentStrategy):
            raise RecipeError(
                f"{recipe.strategy.name} is a plain backtrader strategy and decides itself: use "
                "strategies.spot_trading, or another job for agents"
            )
        self.recipe = recipe
        self.observation: Observation | None = None
        self.played: Played | None = None
        self._world, self._journal, self._n_read = world, Journal(), 0
        agent = _Outside()
        self._answers, self._seen = agent.answers, agent.seen
        self._thread = Thread(
            target=_play, args=(recipe, world, agent, self._journal), daemon=True, name="lockstep"
        )
        self._finalizer = finalize(self, agent.answers.put, _Left())
        self._thread.start()
        self._take()
        self.info = agent.info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def answer(self, answer: Answer) -> Observation | None:
        """Answer what is seen now; return what is seen next, ``None`` where the run is over.

        Raises:
            AgentError: the run is over, or was closed.
            SeawallError: the run has failed.
        """
        if self.observation is None:
            raise AgentError("a run that is over takes no answer: begin another")
        self._answers.put(answer)
        self._take()
        return self.observation

    def news(self) -> list[JournalEntry]:
        """Return what the journal says since this was asked last, in order."""
        entries = self._journal.entries
        start, self._n_read = self._n_read, len(entries)
        return entries[start:]

    def result(self, agent: str) -> Result:
        """Return the result, with ``agent`` as the name of who answered.

        Raises:
            AgentError: the run is not over.
        """
        if self.played is None:
            raise AgentError("a result needs the whole run, it is not over: answer until it is")
        result = to_result(self.recipe, self._world, self.played, self.played)
        return replace(result, agent=agent, labels=(*result.labels, OUTSIDE))

    def close(self) -> None:
        """End the run where it stands; what it would have left is lost."""
        self.observation = None
        self._finalizer()
        self._thread.join()

    def _take(self) -> None:
        """Wait for the next observation, or for the end."""
        message = self._seen.get()
        self.observation = message if isinstance(message, Observation) else None
        if isinstance(message, Played):
            self.played = message
        if isinstance(message, BaseException):
            self._thread.join()
            raise message


class _Outside:
    """The agent in the engine's thread: shows, waits, answers."""

    info: AgentInfo

    def __init__(self) -> None:
        self.seen: SimpleQueue[_Message] = SimpleQueue()
        self.answers: SimpleQueue[Answer | _Left] = SimpleQueue()

    def begin(self, info: AgentInfo) -> None:
        """Keep what is told."""
        self.info = info

    def decide(self, observation: Observation) -> Answer:
        """Hand the observation out and wait."""
        self.seen.put(observation)
        answer = self.answers.get()
        if isinstance(answer, _Left):
            raise answer
        return answer


def _play(recipe: Recipe, world: World, agent: _Outside, journal: Journal) -> None:
    try:
        agent.seen.put(play_once(world, recipe, agent, journal=journal))
    except _Left:
        return
    except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits
        agent.seen.put(error)
