"""A backtest as an MCP server: time moves when the client acts, and never otherwise."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from remote_runs import spot

from seawall import workspace_folders
from seawall.engine.components import make_agent
from seawall.engine.run import run_in
from seawall.engine.world import build_world
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.remote.form import Question
from seawall.remote.mcp import Game, make_server
from seawall.remote.rebuild import rebuild
from seawall.remote.server import to_plain_answer
from seawall.result import Result
from seawall.workspace import find_recipe

mcp = pytest.importorskip("mcp", reason="the extra mcp is not installed: pip install mcp")

SHORT = {"market.since": "2025-04-05", "market.until": "2025-04-09", "market.warmup": "7d"}
Call = Callable[..., Awaitable[Any]]


def play(recipe: Recipe, script: Callable[[Call], Awaitable[None]]) -> list[Result]:
    """Let a client play a recipe by a script; return the results that were kept."""
    kept: list[Result] = []

    def keep(result: Result) -> str:
        kept.append(result)
        return "somewhere"

    async def drive() -> None:
        game = Game(recipe, build_world(recipe, Catalog(), offline=True), keep=keep)
        try:
            async with mcp.Client(make_server(game, recipe)) as client:

                async def call(tool: str, **arguments: object) -> Any:
                    return await client.call_tool(tool, arguments)

                await script(call)
        finally:
            game.close()

    asyncio.run(drive())
    return kept


def test_time_moves_only_when_the_client_acts() -> None:
    """Looking is free; what has happened is told once."""

    async def script(call: Call) -> None:
        first = (await call("observe", bars=2)).structured_content
        again = (await call("observe", bars=2)).structured_content
        assert first == again
        assert len(first["observation"]["candles"]["ETH/USDT"]["close"]) == 2
        assert (await call("results")).structured_content["is_over"] is False
        seen = (await call("act", target=1.0, bars=0)).structured_content
        assert seen["observation"]["time_ms"] == first["observation"]["time_ms"] + 3_600_000
        assert [line["kind"] for line in seen["since_last"]] == ["decision", "ordered", "filled"]
        assert (await call("observe")).structured_content["since_last"] == []

    assert play(spot(None), script) == []


@pytest.mark.parametrize("name", ["demo", "loan_demo", "margin_demo"])
def test_a_client_gets_the_result_that_an_agent_would_have_had(name: str) -> None:
    """The recipe's agent, played through tools, from the first moment to the metrics."""
    recipe = Recipe.from_file(find_recipe(name)).with_settings(SHORT)
    inside = run_in(build_world(recipe, Catalog(), offline=True), recipe)
    decisions = inside.journal[inside.journal["kind"] == "decision"]
    agent = make_agent(recipe)

    async def script(call: Call) -> None:
        seen = (await call("observe", bars=500)).structured_content
        while not seen["is_over"]:
            question = {"sequence": 1, "observation": seen["observation"]}
            observation = rebuild(Question.model_validate(question).observation)
            said = to_plain_answer(1, agent.decide(observation))
            arguments = {k: v for k, v in said.items() if k not in ("type", "sequence")}
            answered = await call("act", bars=500, **arguments)
            assert not answered.is_error, answered.content
            seen = answered.structured_content
        outcome = (await call("results")).structured_content
        assert outcome["is_over"]
        assert outcome["folder"] == "somewhere"
        assert outcome["metrics"]["total_return"] == inside.metrics.total_return

    (result,) = play(recipe, script)
    assert len(decisions) > 0
    assert result.equity["equity"].equals(inside.equity["equity"])
    assert result.agent == "mcp client"


def test_what_is_no_answer_is_refused_before_time_moves() -> None:
    """The client is told the rule and can answer again."""

    async def script(call: Call) -> None:
        before = (await call("observe")).structured_content["observation"]["time_ms"]
        for arguments, said in (
            ({"weights": {"DOGE/USDT": 1.0}}, "there is no symbol 'DOGE/USDT'"),
            ({"target": 1.0, "weights": {"ETH/USDT": 1.0}}, "has weights and target"),
            ({"actions": [{"kind": "steal"}]}, "does not match any of the expected tags"),
            ({"actions": [{"kind": "repay", "asset": "USDC", "amount": 1}]}, "not an action"),
            ({"wake": {"after": 3}}, "Extra inputs"),
            ({"bars": -1}, "greater than or equal to 0"),
        ):
            answered = await call("act", **arguments)
            assert answered.is_error, arguments
            assert said in str(answered.content), answered.content
        assert (await call("observe")).structured_content["observation"]["time_ms"] == before

    play(spot(None), script)


def test_a_run_that_is_over_takes_no_answer() -> None:
    """A long sleep is the end of the run; results stay."""

    async def script(call: Call) -> None:
        seen = (await call("act", target=1, wake={"after_ms": 10**10})).structured_content
        assert seen["is_over"]
        assert seen["observation"] is None
        answered = await call("act", target=1)
        assert answered.is_error
        assert "the run is over" in str(answered.content)
        assert (await call("results")).structured_content["n_decisions"] == 1

    assert len(play(spot(None), script)) == 1


@pytest.mark.slow
def test_the_verb_serves_a_client_over_stdio(tmp_path: Path) -> None:
    """A process of its own: tools are listed, a run is played to its end and written down."""
    recipe = tmp_path / "day.toml"
    recipe.write_text(
        'description = "a day"\n[market]\nvenue = "simulated"\nsymbols = ["ETH/USDT"]\n'
        'timeframe = "1h"\nsince = "2025-01-03"\nuntil = "2025-01-04"\nwarmup = "2d"\n'
    )
    out = tmp_path / "out"
    environment = {k: v for k, v in os.environ.items() if k != workspace_folders.VARIABLE}
    parameters = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "seawall", "mcp", str(recipe), "--out", str(out), "--offline"],
        env=environment,
        cwd=str(tmp_path),
    )

    async def drive() -> None:
        async with mcp.Client(parameters) as client:
            tools = await client.list_tools()
            assert [tool.name for tool in tools.tools] == ["observe", "act", "results"]
            seen = await client.call_tool("observe", {})
            assert seen.structured_content["observation"]["symbols"] == ["ETH/USDT"]
            await client.call_tool("act", {"target": 1.0, "wake": {"after_ms": 10**10}})
            outcome = await client.call_tool("results", {})
            assert outcome.structured_content["is_over"]

    asyncio.run(drive())
    assert (out / "report.html").is_file()
    assert Result.load(out).agent == "mcp client"
