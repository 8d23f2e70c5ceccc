"""How long a decision takes over stdio, and over HTTP on loopback.

The agents do nothing, so what is measured is the way to them: writing the observation with 64
candles, the trip, and reading the answer. The HTTP servers are another process: one of Python's
own standard library, and ``seawall serve``, which makes an observation of what it is sent. Wall
time of each of a month's hourly decisions; on a busy machine the processes wait for each other.

    python -m bench.remote
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.timing import describe_machine
from seawall.agent import Agent, AgentInfo, Answer
from seawall.engine.components import make_agent
from seawall.engine.run import play_once
from seawall.engine.world import World, build_world
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.workspace import find_recipe

AIM_MS = 2.0  # over HTTP
_CHILD = (
    "import sys, json\n"
    "for line in sys.stdin:\n"
    "    m = json.loads(line)\n"
    "    if m['type'] == 'hello': said = {'type': 'ready', 'protocol': 1}\n"
    "    elif m['type'] == 'end': break\n"
    "    else: said = {'type': 'decision', 'sequence': m['sequence']}\n"
    "    print(json.dumps(said), flush=True)\n"
)
_SERVER = Path(__file__).parents[1] / "examples" / "agents" / "uagents_style.py"


class Row(NamedTuple):
    """One line of the table."""

    way: str
    median_ms: float
    p95_ms: float


def main() -> None:
    """Print the table, the machine and the versions."""
    print(describe_machine(("aiohttp",)))
    print(f"\nA decision with 64 candles, aim over HTTP {AIM_MS:g} ms\n")
    print(f"{'way':<36}{'median ms':>12}{'95 % ms':>12}")
    for row in measure():
        print(f"{row.way:<36}{row.median_ms:>12.3f}{row.p95_ms:>12.3f}")


def measure() -> Iterator[Row]:
    """Yield a row for each way."""
    month = {"market.since": "2025-04-01", "market.until": "2025-05-01"}
    recipe = Recipe.from_file(find_recipe("demo")).with_settings(month)
    world = build_world(recipe, Catalog(), offline=True)
    command = [sys.executable, "-c", _CHILD]
    stdio = {"name": "agents.stdio", "command": command, "timeout_ms": 30_000}
    yield Row("stdio, a Python child", *_time(recipe, world, stdio))
    with _served([sys.executable, str(_SERVER), "0"]) as url:
        http = {"name": "agents.http", "url": url, "timeout_ms": 30_000, "bars": 64}
        yield Row("HTTP, Python's own server", *_time(recipe, world, http))
    serve = [sys.executable, "-m", "seawall", "serve", "cash", "--port", "0", "--bars", "64"]
    with _served([*serve, "--json"]) as url:
        http = {"name": "agents.http", "url": url, "timeout_ms": 30_000}
        yield Row("HTTP, seawall serve", *_time(recipe, world, http))


class _Timed:
    """An agent, and how long each of its decisions takes, in milliseconds."""

    def __init__(self, agent: Agent) -> None:
        self._agent, self.took_ms = agent, list[float]()

    def begin(self, info: AgentInfo) -> None:
        """Begin."""
        self._agent.begin(info)  # type: ignore[attr-defined]  # a remote agent has it

    def decide(self, observation: Observation) -> Answer:
        """Decide, with an eye on the clock."""
        began = time.perf_counter()
        answer = self._agent.decide(observation)
        self.took_ms.append((time.perf_counter() - began) * 1_000)
        return answer

    def end(self) -> None:
        """End."""
        self._agent.end()  # type: ignore[attr-defined]  # as begin


def _time(recipe: Recipe, world: World, agent: Mapping[str, object]) -> tuple[float, float]:
    """Return the median and the 95th percentile of a month's decisions, milliseconds."""
    job = Recipe.from_dict({**recipe.to_dict(), "agent": dict(agent)})
    timed = _Timed(make_agent(job))
    play_once(world, job, timed)
    return statistics.median(timed.took_ms), statistics.quantiles(timed.took_ms, n=20)[-1]


@contextmanager
def _served(command: list[str]) -> Iterator[str]:
    """Start a server; yield the address that it prints first."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            if process.stdout is None:
                raise RuntimeError("a server says where it is on stdout")
            url = ""
            while "http" not in url:
                url = process.stdout.readline()
            yield url[url.index("http") :].strip().strip('"')
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
