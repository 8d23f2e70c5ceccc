"""The agent of a session: every answer is written down before it is carried out.

A session that goes on after a crash runs the bars it has recorded once more. What the agent has
said then counts, not what it would say now. One that keeps its own state (``state`` and
``restore``) is not asked again; any other is shown the same bars for its memory's sake, and its
answers are not used. About bars that closed while the session was away nobody is asked.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from seawall.agent import Agent, Decision, to_decision
from seawall.errors import AgentError
from seawall.observation import Observation
from seawall.paper.record import Record, Recorded
from seawall.units import SECOND_MS


class AskedAgent:
    """Asks an agent, or its record; has whatever other hooks the agent has.

    Args:
        agent: who is asked.
        record: where answers are written.
        known: what was answered before, of the bars that are run again.
        away_ms: about bars that close at or before, nobody is asked: nothing was recorded of them.

    Attributes:
        answered_ms: the time of the last answer; ``None`` before the first.
        last: the last answer that was made in this session.
    """

    def __init__(
        self, agent: Agent, record: Record, *, known: Iterable[Recorded] = (), away_ms: int = 0
    ) -> None:
        self._agent, self._record = agent, record
        self._known = {made.time_ms: made for made in known}
        self._away_ms = away_ms
        self._keeps_state = hasattr(agent, "state") and hasattr(agent, "restore")
        self.answered_ms: int | None = None
        self.last: Recorded | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def decide(self, observation: Observation) -> Decision | None:
        """Return the answer of the agent, or what it has answered before.

        Raises:
            AgentError: the agent had raised, or answered what is no answer.
        """
        made = self._known.get(observation.time_ms)
        if made is None and observation.time_ms <= self._away_ms:
            return None
        if made is None:
            made = self._ask(observation)
        elif not self._keeps_state:
            self._remind(observation)
        self.last, self.answered_ms = made, observation.time_ms
        if made.error:
            raise AgentError(made.error)
        return made.decision

    def _remind(self, observation: Observation) -> None:
        """Show an agent what it has seen before; what it answers, or raises, was recorded then."""
        with suppress(Exception, SystemExit):
            self._agent.decide(observation)

    def _ask(self, observation: Observation) -> Recorded:
        began = time.monotonic()
        decision, error = Decision(), ""
        try:
            answer = self._agent.decide(observation)
            decision = to_decision(answer, observation.symbols)
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever it raises, it has abstained
            error = f"{type(raised).__name__}: {raised}"
        took_ms = round((time.monotonic() - began) * SECOND_MS)
        seen = {
            "equity": observation.equity,
            "cash": observation.cash,
            "quantities": dict(observation.quantities),
        }
        made = Recorded(observation.time_ms, decision, error, took_ms, seen)
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
                time_ms, "state", f"the agent's state() failed: {type(error).__name__}: {error}"
            )
