"""The shipped leagues: each can be read, and each of its cells could be played."""

import pytest

from seawall.analysis.contender import to_contender
from seawall.engine.run import check
from seawall.tournament.league_file import LeagueFile, find_league

LEAGUES = ("trading", "loans", "futures")


@pytest.mark.parametrize("name", LEAGUES)
def test_every_shipped_league_names_what_exists(name: str) -> None:
    """Windows are recipes, agents do the job of a window, and there is a description."""
    file = LeagueFile.from_file(find_league(name))
    assert file.description
    sweeps = [one.name for sweep in file.sweep for one in sweep.contenders()]
    first, *others = file.recipes().values()
    for agent in (*file.agents, *sweeps):
        check(to_contender(agent).recipe(first))
    for recipe in others:
        check(to_contender(file.agents[0]).recipe(recipe))


@pytest.mark.parametrize("name", LEAGUES)
def test_every_shipped_league_has_spans_crashes_and_calm(name: str) -> None:
    """Two long spans, eight crashes and three calm months, of each market."""
    recipes = LeagueFile.from_file(find_league(name)).recipes()
    spans = [window for window in recipes if "span" in window]
    calm = [window for window in recipes if "calm" in window]
    n_markets = len({recipe.market.symbols for recipe in recipes.values()})
    assert (len(spans), len(calm)) == (2 * n_markets, 3 * n_markets)
    assert len(recipes) == 13 * n_markets
