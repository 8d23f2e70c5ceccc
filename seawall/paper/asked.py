"""The agent of a session: every answer is written down before it is carried out.

A session that goes on after a crash runs the bars it has recorded once more. What the agent has
said then counts, not what it would say now. One that keeps its own state (``state`` and
``restore``) is not asked again; any other is shown the same bars for its memory's sake, and its
answers are not used. About bars that closed while the session was away nobody is asked.

It is not waited for without end: where the kill switch is pressed, or a limit says that it has been
silent too long, it is broken off, and has abstained.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from seawall.agent import Agent, AgentInfo, Answer, Decision, to_decision
from seawall.errors import AgentError
from seawall.observation import Observation
from seawall.paper.patience import Interrupted, watched
from seawall.paper.record import Record, Recorded, to_plain
from seawall.units import SECOND_MS

_NEVER_MS = 1 << 62  # who is silent since then is not: only the kill switch breaks it off


class AskedAgent:
    """Asks an agent, or its record; has whatever other hooks the agent has.

    Args:
        agent: who is asked.
        record: where answers are written.
        known: what was answered before, of the bars that are run again.
        away_ms: about bars that close at or before, nobody is asked: nothing was recorded of them.

    Attributes:
        silent_since_ms: when it was first asked since it has answered last; ``None`` where it has
            answered, and may be asleep.
        last: the last answer that was made in this session.
        interruption: told since when it is silent while it is asked, returns why to break it off.
        now: the time in ms; a bar may be older when it is asked about.
        clean: takes secrets out of what it raises, before that is written down.
    """

    def __init__(
        self, agent: Agent, record: Record, *, known: Iterable[Recorded] = (), away_ms: int = 0
    ) -> None:
        self._agent, self._record = agent, record
        self._known = {made.time_ms: made for made in known}
        self._away_ms = away_ms
        self._keeps_state = hasattr(agent, "state") and hasattr(agent, "restore")
        self._read: Callable[[object], Decision] | None = None
        self.silent_since_ms: int | None = None
        self.last: Recorded | None = None
        self.interruption: Callable[[int], str] = lambda _since_ms: ""
        self.now: Callable[[], int] = lambda: 0
        self.clean: Callable[[str], str] = str

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._agent, name)
        return partial(self._call, found) if name in ("fit", "learn") else found

    def _call(self, hook: Callable[..., object], *given: object) -> object:
        """Return what a hook of the agent answers that may take long.

        Raises:
            AgentError: it took so long that it was broken off.
        """
        since_ms = self.silent_since_ms or self.now()
        try:
            with watched(lambda: self.interruption(since_ms)):
                return hook(*given)
        except Interrupted as why:
            raise AgentError(f"interrupted: {why}") from None

    def begin(self, info: AgentInfo) -> None:
        """Tell the agent what it is up to, and take how its job reads answers."""
        self._read = info.read
        begin = getattr(self._agent, "begin", None)
        if begin is not None:
            begin(info)

    def decide(self, observation: Observation) -> Answer:
        """Return the answer of the agent, or what it has answered before.

        Raises:
            AgentError: the agent had raised, or answered what is no answer.
        """
        made = self._known.get(observation.time_ms)
        if made is None and observation.time_ms <= self._away_ms:
            return None
        asked_ms = observation.time_ms if made is not None else max(observation.time_ms, self.now())
        since_ms = self.silent_since_ms or asked_ms
        if made is None:
            made = self._ask(observation, since_ms)
        elif not self._keeps_state:
            self._remind(observation)
        self.last = made
        self.silent_since_ms = since_ms if made.error or made.decision.abstained else None
        if made.error:
            raise AgentError(made.error)
        return made.answer

    def _remind(self, observation: Observation) -> None:
        """Show an agent what it has seen before; what it answers, or raises, was recorded then."""
        with (
            suppress(Exception, SystemExit, Interrupted),
            watched(lambda: self.interruption(_NEVER_MS)),
        ):
            self._agent.decide(observation)

    def _ask(self, observation: Observation, since_ms: int) -> Recorded:
        began = time.monotonic()
        decision, error, plain = Decision(), "", None
        try:
            with watched(lambda: self.interruption(since_ms)):
                answer = self._agent.decide(observation)
            decision = read_as(answer, observation.symbols, self._read)
            plain = to_plain(answer)
        except Interrupted as why:
            error = f"interrupted: {why}"
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever it raises, it has abstained
            error = self.clean(f"{type(raised).__name__}: {raised}")
        took_ms = round((time.monotonic() - began) * SECOND_MS)
        seen = {
            "equity": observation.equity,
            "cash": observation.cash,
            "quantities": dict(observation.quantities),
        }
        made = Recorded(observation.time_ms, decision, error, took_ms, seen, plain)
        self._record.keep_decision(made)
        self._keep_state(observation.time_ms)
        return made

    def _keep_state(self, time_ms: int) -> None:
        state = getattr(self._agent, "state", None)
        if state is None:
            return
        try:
            self._record.keep_state(time_ms, bytes(state()))
        except Exception as error:  # noqa: BLE001 - it may raise anything; trading goes on
            self._record.journal.note(
                time_ms, "state",
                self.clean(f"the agent's state() failed: {type(error).__name__}: {error}"),
            )  # fmt: skip


def read_as(
    answer: object, symbols: tuple[str, ...], read: Callable[[object], Decision] | None
) -> Decision:
    """Return an answer as a decision that its job has not read yet, to be shown and recorded.

    A number, or numbers by name, mean what the job makes of them; they are given to it as they are.

    Raises:
        AgentError: it is none.
    """
    if read is None:
        return to_decision(answer, symbols)
    meant = read(answer)  # what is none is found here; the job reads it once more
    if isinstance(answer, Decision):
        return answer
    if isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        return Decision(actions=tuple(answer))
    return meant
