"""An agent as a child process: one line of JSON on its stdin, one on its stdout.

What it writes to stderr goes to this process' stderr, and its last lines into the message where it
dies. It runs with the user's rights, in a process group of its own, which is ended with the run.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedReader, RawIOBase
from threading import Thread
from typing import IO, cast
from weakref import finalize

from seawall.errors import AgentLost, RecipeError
from seawall.remote.form import LONGEST_MESSAGE, show
from seawall.remote.link import Gone, Late

_PATIENCE_S = 1.0  # for a child to end by itself
_CHUNK = 1 << 16
_N_LAST_WORDS = 3
_LONGEST_WORDS = 1 << 16  # bytes


class Child:
    """The way to a child process; see ``Way``.

    Args:
        command: program and arguments; no shell reads it.

    Raises:
        RecipeError: it is no list of words.
    """

    pause_s = 0.0

    def __init__(self, command: Sequence[str]) -> None:
        is_list = isinstance(command, (list, tuple)) and len(command) > 0
        if not is_list or not all(isinstance(word, str) and "\0" not in word for word in command):
            raise RecipeError(
                f"agent.command must be a list of words, is {command!r:.80}: write command = "
                '["node", "my_agent.js"]'
            )
        self.name = f"the agent {' '.join(command)!r:.80}"
        self._command = list(command)
        self._running: _Running | None = None

    def open(self) -> None:
        """Start it.

        Raises:
            AgentLost: there is no such program, or it may not be run: to try again is no use.
            Gone: it cannot be started for another reason.
        """
        self.close()
        try:
            self._running = _Running(self._command)
        except (FileNotFoundError, PermissionError) as error:
            raise AgentLost(
                f"{self.name} must be a program that may be run, it cannot be started: {error}: "
                "correct agent.command"
            ) from None
        except OSError as error:
            raise Gone(f"it cannot be started: {error}") from None

    def ask(self, message: bytes, sequence: int, timeout_s: float) -> bytes:
        """Return the line that answers; lines that answer earlier questions are dropped."""
        running = self._running
        if running is None:
            raise Gone("it is not running")
        deadline = time.monotonic() + timeout_s
        if sequence:  # what a program prints before its handshake is its handshake
            running.discard()
        try:
            running.send(message + b"\n", deadline)
        except Late:
            self.close()  # half a line may be out: what follows could not be told from it
            raise
        except Gone:
            if sequence:
                raise
            # What a program has said that did not wait for a hello is read below.
        while True:
            line = running.receive(deadline)
            if not _is_stale(line, sequence):
                return line

    def close(self, farewell: bytes = b"") -> None:
        """Say farewell, close its stdin, and end what does not end by itself."""
        running, self._running = self._running, None
        if running is not None:
            running.close(farewell)


class _Running:
    """A child that has been started."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the user's recipe names it
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._in, self._out = _pipe(self._process.stdin), _pipe(self._process.stdout)
        errors = _pipe(self._process.stderr)
        for pipe in (self._in, self._out):
            os.set_blocking(pipe.fileno(), False)
        self._rest = bytearray()
        self._last_words: deque[str] = deque(maxlen=_N_LAST_WORDS)
        self._listener = Thread(target=_pass_on, args=(errors, self._last_words), daemon=True)
        self._listener.start()
        # Whoever forgets the run, or is interrupted, leaves no child behind.
        self._finalizer = finalize(self, _end, self._process, self._listener, (self._in, self._out))

    def discard(self) -> None:
        """Drop the lines that are there already: no question of theirs is open."""
        with suppress(BlockingIOError):
            while data := os.read(self._out.fileno(), _CHUNK):
                self._rest += data
                if len(self._rest) > LONGEST_MESSAGE:
                    break
        del self._rest[: self._rest.rfind(b"\n") + 1]

    def send(self, data: bytes, deadline: float) -> None:
        """Write all of it; raise Late or Gone."""
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._in.fileno(), view)
            except BlockingIOError:
                self._wait(self._in, selectors.EVENT_WRITE, deadline)
                continue
            except OSError:
                raise Gone(self._describe_end()) from None
            view = view[written:]

    def receive(self, deadline: float) -> bytes:
        """Return the next line without its end; raise Late or Gone."""
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > LONGEST_MESSAGE:
                raise Gone(f"a line must have at most {LONGEST_MESSAGE:,} bytes, has more")
            if time.monotonic() > deadline:  # who floods is never waited for
                raise Late
            try:
                data = os.read(self._out.fileno(), _CHUNK)
            except BlockingIOError:
                self._wait(self._out, selectors.EVENT_READ, deadline)
                continue
            if not data:
                raise Gone(self._describe_end())
            self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    def close(self, farewell: bytes) -> None:
        """End it, kindly first."""
        with suppress(Gone, Late):
            if farewell:
                self.send(farewell + b"\n", time.monotonic() + _PATIENCE_S)
        self._finalizer()

    @staticmethod
    def _wait(pipe: IO[bytes], event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(deadline - time.monotonic(), 0.0)):
                raise Late

    def _describe_end(self) -> str:
        """Return how it ended, and what it said last on stderr."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        self._listener.join(_PATIENCE_S)
        code = self._process.returncode
        if code is None:
            how = "it has closed its stdout"
        elif code < 0:
            how = f"it was ended by signal {-code}"
        else:
            how = f"it has ended with exit code {code}"
        words = " / ".join(self._last_words)
        return f"{how}, last on stderr: {show(words.encode())}" if words else how


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise Gone("it has no pipe")
    return pipe


def _pass_on(errors: IO[bytes], last_words: deque[str]) -> None:
    """Write a child's stderr to our own, line by line."""
    with BufferedReader(cast("RawIOBase", errors)) as lines:  # unbuffered, each byte is a call
        while line := lines.readline(_LONGEST_WORDS):  # a line without an end is shown in parts
            text = line.decode("utf-8", "backslashreplace").rstrip()
            last_words.append(text)
            with suppress(ValueError, OSError):  # ours may be closed already
                sys.stderr.write(f"[agent] {text}\n")


def _end(process: "subprocess.Popen[bytes]", listener: Thread, pipes: Sequence[IO[bytes]]) -> None:
    """Close a child's stdin, wait, and kill its group where it is still there."""
    pipes[0].close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # grandchildren too
    process.wait()
    listener.join(_PATIENCE_S)
    pipes[1].close()


def _is_stale(line: bytes, sequence: int) -> bool:
    """Return whether a line answers an earlier question: it came too late."""
    try:
        answered = json.loads(line)["sequence"] if sequence else sequence
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(answered, int) and answered < sequence
