"""Records what ``backtests/language_demo.toml`` replays: ``python tests/record_language_demo.py``.

The model is ``language_server.follow_trend``; times and latencies are made up, so that the same
code writes the same recording.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from language_server import follow_trend, serving

from seawall.language.cassette import Cassette
from seawall.language.endpoint import Endpoint
from seawall.language.request import Reply, Request
from seawall.recipe import Recipe
from seawall.workspace import find_recipe

RECIPE = find_recipe("language_demo")
SHIPPED = RECIPE.with_suffix(".cassette")
LABEL = "scripted: the recorded model is a few lines of code, not a language model"
_DAY_ONE_MS = 1_767_225_600_000  # 2026-01-01 UTC: when the recording says it was made


def record(path: Path) -> None:
    """Write the recording of the demo to a file."""
    from seawall.engine.run import run  # noqa: PLC0415 - it reads the environment that is set here
    from seawall.workspace import load  # noqa: PLC0415

    recipe = Recipe.from_file(RECIPE)
    parameters = {**(recipe.agent.parameters if recipe.agent else {})}
    parameters |= {"cassette": str(path), "mode": "record"}
    with serving(follow_trend) as server:
        run(recipe, agent=_Scripted(load("agents.language_model"), parameters, server.url))
    Cassette(path).set_label(LABEL)


class _Scripted:
    """The agent, at an endpoint of its own and with latencies that a script gives."""

    def __init__(self, kind: type, parameters: dict[str, object], url: str) -> None:
        self._agent = kind(**parameters)
        self._url = url

    def begin(self, info: object) -> None:
        """Begin, with a clock that counts calls."""
        self._agent.begin(info)
        endpoint = Endpoint(self._url)

        def call(request: Request) -> Reply:
            return replace(endpoint(request), latency_ms=900 + int(request.key[:4], 16) % 2_000)

        self._agent._endpoint = _Closing(call, endpoint)
        tape = self._agent._tape
        tape._now_ms = lambda: _DAY_ONE_MS + sum(tape.counts.values())

    def decide(self, observation: object) -> object:
        """Decide as the agent does."""
        return self._agent.decide(observation)

    def end(self) -> None:
        """End as the agent does."""
        self._agent.end()


class _Closing:
    """A call that can be closed, as an endpoint can."""

    def __init__(self, call: object, endpoint: Endpoint) -> None:
        self._call, self._endpoint = call, endpoint

    def __call__(self, request: Request) -> Reply:
        reply: Reply = self._call(request)  # type: ignore[operator]  # it is the function above
        return reply

    def close(self) -> None:
        self._endpoint.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / SHIPPED.name
        record(fresh)
        SHIPPED.write_bytes(fresh.read_bytes())
    sys.stdout.write(f"{SHIPPED} is recorded\n")
