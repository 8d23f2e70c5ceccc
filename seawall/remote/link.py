"""An agent elsewhere, as an agent here: asked, timed, started again, recorded.

What goes wrong on the other side is data, as with any agent: no answer in time, or one that is
none, is an abstention with its reason. An agent that is gone is started again, with the state that
it gave last; one that is gone for good stops the run (``AgentLost``).
"""

import time
from dataclasses import replace
from typing import Literal, Protocol

from seawall.agent import AgentInfo, Decision, Thinking
from seawall.errors import AgentError, AgentLost, RecipeError, RecordingError
from seawall.observation import Observation
from seawall.remote.form import (
    LONGEST_MESSAGE,
    MOST_BARS,
    PROTOCOL,
    Ready,
    read_decision,
    read_ready,
)
from seawall.remote.recording import Backlog, Recorded, Recording, next_key
from seawall.remote.wire import (
    NOTHING_HAD,
    Had,
    count,
    describe,
    describe_info,
    hello,
    question,
    to_answer,
    write,
)
from seawall.units import SECOND_MS

DEFAULT_BARS = 64
Mode = Literal["record", "replay"]
LatencySource = Literal["none", "measured"]
_MOST_LATE = 3  # decisions in a row without an answer, after which it is started again
_SHUTDOWN = write({"type": "end"})


class Late(Exception):  # noqa: N818 - what happened
    """There was no answer in time."""


class Gone(Exception):  # noqa: N818 - what happened
    """Nobody is there any more; the text says what is known of the end."""


class Way(Protocol):
    """How messages reach an agent.

    Attributes:
        name: of the agent, for messages.
        pause_s: before it is started again.
    """

    name: str
    pause_s: float

    def open(self) -> None:
        """Start it, or prepare to reach it; raises Gone."""

    def ask(self, message: bytes, sequence: int, timeout_s: float) -> bytes:
        """Return the answer to a message; raises Late or Gone. ``sequence`` 0: a handshake."""
        ...

    def close(self, farewell: bytes = b"") -> None:
        """Say farewell and end it; done twice it does nothing."""


class Link:
    """The agent's side of a remote agent: ``begin``, ``decide`` and ``end``.

    Args:
        way: how it is reached.
        timeout_ms: for one decision, > 0.
        start_timeout_ms: until it answers the handshake, > 0.
        max_restarts: in one run, >= 0.
        bars: candles of each symbol in an observation, 0 to 10,000; ``None``: as many as the agent
            asks for in its handshake, all of them, each once, where it keeps them, or 64.
        recording: a ``.jsonl`` file that every answer is kept in and taken from.
        mode: ``record`` asks what the recording lacks, ``replay`` asks nobody.
        latency: ``measured``: what an answer took delays its orders; needs a recording.

    Raises:
        RecipeError: a parameter is not allowed.
        RecordingError: the recording cannot be used.
    """

    def __init__(
        self,
        way: Way,
        *,
        timeout_ms: int = 1_000,
        start_timeout_ms: int = 10_000,
        max_restarts: int = 3,
        bars: int | None = None,
        recording: str | None = None,
        mode: Mode = "record",
        latency: LatencySource = "none",
    ) -> None:
        self._way = way
        self._timeout_s = _whole("timeout_ms", timeout_ms, 1) / SECOND_MS
        self._start_timeout_s = _whole("start_timeout_ms", start_timeout_ms, 1) / SECOND_MS
        self._max_restarts = _whole("max_restarts", max_restarts, 0)
        self._wanted_bars = None if bars is None else _whole("bars", bars, 0, MOST_BARS)
        _check_word("mode", mode, ("record", "replay"))
        _check_word("latency", latency, ("none", "measured"))
        if recording is None and (mode == "replay" or latency == "measured"):
            what = 'mode = "replay"' if mode == "replay" else 'latency = "measured"'
            raise RecipeError(
                f'agent.{what} needs a recording, there is none: add recording = "answers.jsonl"'
            )
        self._recording = None if recording is None else Recording(_text("recording", recording))
        self._is_replay, self._charges = mode == "replay", latency == "measured"
        self._reset()

    def _reset(self) -> None:
        self._is_open = False
        self._sequence = self._n_starts = self._n_late = 0
        self._key = ""
        self._state: str | None = None
        self._bars = DEFAULT_BARS if self._wanted_bars is None else self._wanted_bars
        self._backlog = Backlog()  # questions that the recording alone has answered
        self._keeps = False
        # What it has had after all questions, as they are recorded; and what this start of it has.
        self._asked, self._had = NOTHING_HAD, NOTHING_HAD

    # The hooks of an agent ------------------------------------------------------------------------

    def begin(self, info: AgentInfo) -> None:
        """Shake hands, or take the handshake from the recording.

        Raises:
            AgentLost: nobody answers, or in another version of the form.
            RecordingError: a replay has not been recorded.
        """
        self.end()
        self._reset()
        self._info, self._shown = info, describe_info(info)
        # The seed says it too: recordings know of no state.
        told = {name: value for name, value in self._shown.items() if name != "rng"}
        self._key = next_key("", write(hello(told)))
        known = self._find()
        if known is None:
            ready = self._start()
            self._keep(Recorded(answer=ready))
        else:
            ready = known.answer or ""
        try:
            self._take(read_ready(ready.encode()))
        except AgentError:
            self.end()
            raise

    def decide(self, observation: Observation) -> Decision:
        """Return what the agent answers; an abstention where it does not.

        Raises:
            AgentError: its answer is none.
            AgentLost: it is gone for good.
            RecordingError: a replay has not been recorded.
        """
        self._sequence += 1
        message = self._write(observation, self._asked)
        self._key = next_key(self._key, message) if self._recording else ""
        recorded = self._find()
        if recorded is None:
            recorded = self._ask(message, observation)
            self._keep(recorded)
        elif not self._is_replay:
            self._backlog.add(self._sequence, message)
        if self._keeps:
            self._asked = count(observation)
        return self._read(recorded)

    def end(self) -> None:
        """Say that it is over, and let it go."""
        self._backlog.clear()
        self._let_go()

    def _let_go(self) -> None:
        if self._is_open:
            self._is_open = False
            self._way.close(_SHUTDOWN)

    # One question ---------------------------------------------------------------------------------

    def _write(self, observation: Observation, had: Had) -> bytes:
        """Return a question to an agent that has had so much, which counts where it keeps it."""
        kept = had if self._keeps else None
        shown = describe(observation, self._info, bars=self._bars, had=kept)
        return write(question(self._sequence, shown))

    def _ask(self, message: bytes, observation: Observation) -> Recorded:
        """Return what comes of a question; who is gone is started again and asked again."""
        began = time.perf_counter()
        failure, answer = "", b""
        while True:
            try:
                self._make_ready()
                if self._had != self._asked:  # it is new, or may not have read what came late
                    message = self._write(observation, self._had)
                self._check_length(message)
                answer = self._way.ask(message, self._sequence, self._timeout_s)
                self._n_late = 0
                self._had = count(observation) if self._keeps else NOTHING_HAD
            except Late:
                failure = f"no answer within timeout_ms = {self._timeout_s * SECOND_MS:.0f}"
                self._count_late()
            except Gone as error:
                self._lose(str(error))
                continue
            took_ms = round((time.perf_counter() - began) * SECOND_MS)
            if failure:
                return Recorded(answer=None, failure=failure, latency_ms=took_ms)
            return Recorded(answer=answer.decode("utf-8", "backslashreplace"), latency_ms=took_ms)

    def _check_length(self, message: bytes) -> None:
        if len(message) > LONGEST_MESSAGE:
            self.end()
            raise AgentLost(
                f"a question must have at most {LONGEST_MESSAGE:,} bytes, number {self._sequence} "
                f"has {len(message):,}: give agent.bars, or a shorter market.warmup"
            )

    def _read(self, recorded: Recorded) -> Decision:
        """Return the decision that an answer stands for."""
        thinking = Thinking(latency_ms=recorded.latency_ms) if self._charges else None
        if recorded.answer is None:
            return Decision(abstained=recorded.failure, thinking=thinking)
        try:
            form = read_decision(recorded.answer.encode(), self._sequence)
            self._state = form.state if form.state is not None else self._state
            decision = to_answer(form, self._info)
        except AgentError as error:
            return Decision(abstained=str(error), thinking=thinking)
        return decision if thinking is None else replace(decision, thinking=thinking)

    # Starting, and starting again -----------------------------------------------------------------

    def _make_ready(self) -> None:
        """Start the agent where it is not there, and show it what the recording has answered."""
        if not self._is_open:
            try:
                ready = read_ready(self._greet().encode())
            except AgentError as error:
                raise Gone(str(error)) from None
            self._check_version(ready)
            if self._state is not None:
                self._backlog.clear()
        has_backlog = False
        for sequence, message in self._backlog:
            has_backlog = True
            try:
                self._way.ask(message, sequence, self._start_timeout_s)
            except Late:
                raise Gone(f"no answer to question {sequence}, which it has answered") from None
        if has_backlog:
            self._had = self._asked
        self._backlog.clear()

    def _start(self) -> str:
        """Return the answer to the first handshake."""
        while True:
            try:
                return self._greet()
            except Gone as error:
                self._lose(str(error))

    def _greet(self) -> str:
        """Open the way and shake hands; return the answer."""
        self._n_starts += 1
        self._had = NOTHING_HAD
        self._way.open()
        self._is_open = True
        message = write(hello(self._shown, self._state))
        try:
            return self._way.ask(message, 0, self._start_timeout_s).decode("utf-8", "replace")
        except Late:
            limit = f"start_timeout_ms = {self._start_timeout_s * SECOND_MS:.0f}"
            raise Gone(f"no answer to hello within {limit}") from None

    def _lose(self, why: str) -> None:
        """Let go of an agent that is gone; raise where it was the last time."""
        self._let_go()
        if self._n_starts > self._max_restarts:
            raise AgentLost(
                f"{self._way.name} must answer, has gone {self._n_starts} times "
                f"(max_restarts = {self._max_restarts}), at last: {why}"
            )
        if self._way.pause_s:
            time.sleep(self._way.pause_s)

    def _count_late(self) -> None:
        """Let go of an agent that does not answer any more: it is started again when asked next."""
        self._n_late += 1
        if self._n_late >= _MOST_LATE:
            self._n_late = 0
            if self._n_starts > self._max_restarts:
                self.end()
                raise AgentLost(
                    f"{self._way.name} must answer, has not answered {_MOST_LATE} times in a row "
                    f"after {self._n_starts} starts (max_restarts = {self._max_restarts}): give it "
                    "more time with timeout_ms"
                )
            self._let_go()

    def _take(self, ready: Ready) -> None:
        self._check_version(ready)
        if self._wanted_bars is None:
            self._bars = self._bars if ready.bars is None else ready.bars
            self._keeps = ready.keeps

    def _check_version(self, ready: Ready) -> None:
        if ready.protocol != PROTOCOL:
            self.end()
            raise AgentLost(
                f"an agent speaks protocol {PROTOCOL}, {self._way.name} speaks {ready.protocol}: "
                "`seawall schema` prints the one that is spoken here"
            )

    # The recording --------------------------------------------------------------------------------

    def _find(self) -> Recorded | None:
        if self._recording is None:
            return None
        found = self._recording.find(self._key)
        if found is None and self._is_replay:
            what = f"question {self._sequence}" if self._sequence else "this run"
            raise RecordingError(
                f"a replay needs every answer, {self._recording.path} has none to {what}: market, "
                'job or bars are not those it was recorded with; set mode = "record"'
            )
        return found

    def _keep(self, recorded: Recorded) -> None:
        if self._recording is None:
            return
        try:
            self._recording.keep(self._key, recorded)
        except RecordingError:
            self.end()
            raise


def _whole(name: str, value: object, least: int, most: int = 1 << 31) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RecipeError(f"agent.{name} must be a whole number from {least}, is {value!r}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise RecipeError(f"agent.{name} must be text, is {value!r}: write it in quotes")
    return value


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecipeError(f"agent.{name} must be {' or '.join(allowed)}, is {value!r}: pick one")
