"""What a league leaves behind: one frozen value, one folder on disk, as a ``Result`` does.

The folder holds ``league.json`` and one Parquet file per table.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import pandas as pd

from seawall.analysis.guarded import WORDS, Kind, kind_of, money_of, write_safety
from seawall.analysis.judgement import LOANS_ABOVE, MARGIN_ABOVE
from seawall.analysis.notebook import notebook_table
from seawall.analysis.numbers import COUNT, PERCENT, SIGNED, TENTH, write_number
from seawall.errors import ResultError
from seawall.recipe import Recipe
from seawall.result_folder import (
    Layout,
    as_text,
    as_texts,
    check_columns,
    read_summary,
    read_tables,
    read_values,
    telling_damage,
    to_plain,
    write_folder,
)

SCHEMA = 1
LEAGUE_FILE = "league.json"
TABLES = ("cells", "equity")
LAYOUT = Layout(file=LEAGUE_FILE, tables=TABLES)
UNTOUCHED = "do_nothing"
HINDSIGHT = "hindsight"
Bound = Literal["worst", "best"]
BOUNDS: Final[tuple[Bound, ...]] = get_args(Bound)
_EXACT = 1e-9  # a share of the possible above 1 by less is 1
MIN_PERIODS = 6  # with fewer, not even a sign test could be below 5 %
_CELLS = (
    "start_equity_usd", "final_equity_usd", "total_return", "n_liquidations", "min_health",
    "share_of_possible", "price_share", "price_usd", "rank",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spell:
    """One window of a league.

    Attributes:
        name: of its recipe.
        recipe: what all agents ran, but for the agent.
        labels: what has to be said beside its numbers.
        period: the market section as JSON: windows that share it are one period.
        unit: collateral asset, or the contract that is guarded.
        start_equity_usd: what everybody starts with.
        hindsight_usd, hindsight_best_usd: what the best policy ends with, worse and better case.
        n_rebalances: how often it trades, worse case.
    """

    name: str
    recipe: Recipe
    labels: tuple[str, ...]
    period: str
    unit: str
    start_equity_usd: float
    hindsight_usd: float
    hindsight_best_usd: float
    n_rebalances: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """How one agent did over all windows, with bars resolved one way.

    Attributes:
        name: as it is shown; ``hindsight`` is the bound, and has no rank.
        bound: ``worst``, the headline, or ``best``.
        n_windows, n_failed: windows that it has a result of, and such that it failed in.
        mean_rank: by final equity, 1 the best; ties share their mean.
        n_liquidations, n_liquidated: liquidations in all, and windows with at least one.
        mean_share: mean share of the possible over the windows that have one; or nan.
        share_low, share_high: ends of its 95 % interval, bootstrapped over market periods; or nan.
        mean_price: mean price of protection, as a share of the equity at the start; < 0: it paid.
        mean_return: mean total return.
        worst_window, worst_return: where it ended lowest, and the total return there.
        min_health: lowest health factor of all windows, or margin over maintenance.
    """

    name: str
    bound: str
    n_windows: int
    n_failed: int
    mean_rank: float
    n_liquidations: int
    n_liquidated: int
    mean_share: float
    share_low: float
    share_high: float
    mean_price: float
    mean_return: float
    worst_window: str
    worst_return: float
    min_health: float


@dataclass(frozen=True, kw_only=True)
class LeaguePair:
    """Two agents over the windows that both have a result of, bars resolved for the worse.

    Attributes:
        first, second: the one with the higher mean total return comes first.
        mean: of the difference of total returns, first less second.
        low, high: ends of its 95 % interval, bootstrapped over market periods.
        n_ahead, n_behind: periods in which the first ends ahead, and behind.
        n_periods: in all; the rest are ties.
        chance: of a two-sided sign test over the periods.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    n_ahead: int
    n_behind: int
    n_periods: int
    chance: float

    @property
    def is_told_apart(self) -> bool:
        """Whether 0 lies outside the interval; too few periods tell nothing apart."""
        return self.n_periods >= MIN_PERIODS and (self.low > 0.0 or self.high < 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class League:
    """Several agents over several windows.

    Attributes:
        spells: the windows.
        places: one per agent and bound, the worse bound first, in the order of mean rank.
        pairs: every two agents.
        errors: ``window``, ``agent`` and ``error`` of what failed.
        versions, data: as in ``Result``, of all windows.
        cells: one row per window, agent and bound: what ``Protection`` and ``Price`` say, rank, and
            the paired difference to do-nothing.
        equity: columns window, agent, time, and the equity in USD, or quote units, of each bound.
    """

    spells: tuple[Spell, ...]
    places: tuple[Place, ...]
    pairs: tuple[LeaguePair, ...]
    errors: tuple[Mapping[str, str], ...]
    versions: Mapping[str, str]
    data: Mapping[str, str]
    cells: pd.DataFrame
    equity: pd.DataFrame

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents in the order of the table, hindsight last."""
        return tuple(place.name for place in self.places if place.bound == "worst")

    @property
    def kind(self) -> Kind:
        """What is guarded in every window."""
        return kind_of(self.spells[0].recipe) or "loan"

    @property
    def money(self) -> str:
        """What equity is counted in."""
        return money_of(self.spells[0].recipe)

    @property
    def labels(self) -> tuple[str, ...]:
        """What has to be said beside every number: of any window."""
        return tuple(dict.fromkeys(label for spell in self.spells for label in spell.labels))

    @property
    def title(self) -> str:
        """What this is, in a few words."""
        n = len(self.spells)
        what = self.spells[0].name if n == 1 else f"{n} windows"
        return f"{len(self.agents) - 1} agents · {what}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the table has to know, one sentence each."""
        n_periods = len({spell.period for spell in self.spells})
        n_tied = sum(not pair.is_told_apart for pair in self.pairs)
        both = (
            "Numbers are those of the worse way to resolve what a bar does not tell; behind a "
            "slash those of the better way."
        )
        share = (
            "The share of the possible is (agent - do nothing) / (hindsight - do nothing) of final "
            "equity; hindsight knows the whole path, nobody can."
        )
        many = (
            f"{len(self.spells)} windows are {n_periods} market periods; intervals are "
            "bootstrapped over periods and not corrected for their number."
        )
        ties = f"{n_tied} of {len(self.pairs)} pairs of agents cannot be told apart."
        found = [both, share, many, ties]
        above = self.cells[self.cells["share_of_possible"] > 1 + _EXACT]
        if (above["price_usd"] < 0).any():
            why = LOANS_ABOVE if self.kind == "loan" else MARGIN_ABOVE
            found.append(f"Some agents had more than 100 % of the possible: {why}")
        found += [f"{e['agent']} failed in {e['window']}: {e['error']}" for e in self.errors]
        return tuple(found)

    def place(self, name: str, bound: Bound = "worst") -> Place:
        """Return how one agent did.

        Raises:
            ResultError: it is not in the league.
        """
        for place in self.places:
            if (place.name, place.bound) == (name, bound):
                return place
        raise ResultError(f"the league has {', '.join(self.agents)}, not {name}: name one of them")

    def cell(self, window: str, agent: str, bound: Bound = "worst") -> Mapping[str, object] | None:
        """Return one row of ``cells``; None where the agent failed there."""
        cells = self.cells
        is_it = (cells["window"] == window) & (cells["agent"] == agent) & (cells["bound"] == bound)
        rows = cells[is_it].to_dict("records")
        return {str(key): value for key, value in rows[0].items()} if rows else None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per agent and bound, in the order of the table."""
        return pd.DataFrame([vars(place) for place in self.places]).set_index(["name", "bound"])

    def to_table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return a header and rows of text, for a terminal or a notebook."""
        header = (
            "mean rank", "agent", "liquidations", "windows hit", "share of the possible",
            "95 % interval", "price of protection", "worst window", "return there",
            WORDS[self.kind].column,
        )  # fmt: skip
        return header, [self._row(name) for name in self.agents]

    def _row(self, name: str) -> tuple[str, ...]:
        worst, best = self.place(name), self.place(name, "best")
        low, high = (write_number(v, PERCENT) for v in (worst.share_low, worst.share_high))
        return (
            write_number(worst.mean_rank, TENTH),
            name,
            f"{worst.n_liquidations} / {best.n_liquidations}",
            f"{worst.n_liquidated} of {worst.n_windows}",
            write_number(worst.mean_share, PERCENT),
            f"{low} to {high}",
            write_number(worst.mean_price, SIGNED),
            worst.worst_window,
            write_number(worst.worst_return, SIGNED),
            write_safety(worst.min_health, self.kind),
        )

    def to_windows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return a header and rows of text: final equity of every agent, window by window.

        Behind it the liquidations, where there were some.
        """
        rows = []
        for spell in self.spells:
            row = [spell.name]
            for agent in self.agents:
                found = self.cell(spell.name, agent)
                row.append("failed" if found is None else _write_cell(found))
            rows.append(tuple(row))
        return ("window", *self.agents), rows

    def summary(self) -> dict[str, object]:
        """Return everything but the tables as plain JSON-able values; nan is ``None``."""
        return {
            "schema": SCHEMA,
            "windows": [_plain_spell(spell) for spell in self.spells],
            "places": [to_plain(vars(place)) for place in self.places],
            "pairs": [to_plain(vars(pair)) for pair in self.pairs],
            "errors": [dict(error) for error in self.errors],
            "labels": list(self.labels),
            "versions": dict(self.versions),
            "data": dict(self.data),
            "notes": list(self.notes),
        }

    def save(self, folder: Path) -> Path:
        """Write the league to ``folder`` and return its full path; an older one is replaced.

        Raises:
            ResultError: there is something else in the folder, or it cannot be written.
        """
        tables = {name: getattr(self, name) for name in TABLES}
        return write_folder(folder, LAYOUT, summary=self.summary(), tables=tables)

    @classmethod
    def load(cls, folder: Path) -> "League":
        """Return the league stored in ``folder``.

        Raises:
            ResultError: there is none, it is damaged, or another version wrote it.
        """
        with telling_damage(folder, "compare the agents again"):
            stored = read_summary(folder, LAYOUT, schema=SCHEMA)
            tables = read_tables(folder, LAYOUT)
            check_columns("cells", tables["cells"], numbers=_CELLS)
            check_columns("cells", tables["cells"], others=("window", "agent", "bound"))
            check_columns("equity", tables["equity"], numbers=BOUNDS)
            check_columns("equity", tables["equity"], others=("window", "agent", "time"))
            return cls(
                spells=tuple(_to_spell(spell) for spell in stored["windows"]),
                places=tuple(Place(**read_values(Place, one)) for one in stored["places"]),
                pairs=tuple(LeaguePair(**read_values(LeaguePair, one)) for one in stored["pairs"]),
                errors=tuple(as_texts(error) for error in stored["errors"]),
                versions=as_texts(stored["versions"]),
                data=as_texts(stored["data"]),
                **tables,
            )

    def _repr_html_(self) -> str:
        """Return a table for notebooks; every text in it is escaped."""
        return notebook_table(self.title, self.notes, self.to_table())


def _write_cell(found: Mapping[str, object]) -> str:
    final, n_struck = found["final_equity_usd"], found["n_liquidations"]
    text = write_number(final if isinstance(final, float) else None, COUNT)
    return f"{text} ({n_struck:.0f}x)" if n_struck else text


def _plain_spell(spell: Spell) -> dict[str, object]:
    return {
        **to_plain(vars(spell)),
        "recipe": json.loads(spell.recipe.to_json()),
        "labels": list(spell.labels),
    }


def _to_spell(stored: object) -> Spell:
    if not isinstance(stored, dict):
        raise TypeError("a window has other values")
    apart = ("recipe", "labels")
    rest = {name: value for name, value in stored.items() if name not in apart}
    return Spell(
        recipe=Recipe.from_dict(stored["recipe"]),
        labels=tuple(as_text(label) for label in stored["labels"]),
        **read_values(Spell, rest, apart=apart),
    )
