"""What a league says of itself, in rows of text: for a terminal, a notebook and a page."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from seawall.analysis.numbers import PERCENT, RATIO, SIGNED, TENTH, write_number, write_points
from seawall.analysis.verdicts import Verdict, Verdicts
from seawall.tournament.across import MIN_WINDOWS, Abstention, Across, Strain
from seawall.tournament.stages import SPAN_DAYS, Stage
from seawall.tournament.standings import Standings
from seawall.units import DAY_MS

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
_MAX_NAMED = 3  # windows or agents in one sentence
YES, NO, NONE = "yes", "no", "–"  # noqa: RUF001 - a dash: there is none
_APART = ("leads", "track", "spread")


def span_rows(stage: Stage) -> Rows:
    """Return a header and rows of text: what may be said of each agent over one span."""
    header = (
        "rank", "agent", "total return", "more than the best benchmark", "p", "beats all",
        "among random", "Sharpe is > 0", "deflated", "trials", "days needed",
    )  # fmt: skip
    verdicts = stage.verdicts
    rows = [] if verdicts is None else [_span_row(one, stage) for one in verdicts.agents]
    return header, rows


def _span_row(one: Verdict, stage: Stage) -> tuple[str, ...]:
    nearest = min(one.leads.values(), key=lambda lead: lead.ahead, default=None)
    return (
        write_rank(one),
        one.name,
        "lost" if one.is_lost else write_number(one.total_return, SIGNED),
        NONE if nearest is None else write_number(nearest.ahead, SIGNED),
        f"{one.p_value:.3f}",
        YES if one.wins else NO,
        write_number(stage.percentiles.get(one.name), TENTH),
        write_number(one.probabilistic_sharpe, PERCENT),
        write_number(one.deflated_sharpe, PERCENT),
        f"{one.n_trials:,}",
        write_days(one.minimum_track, stage),
    )


def choose(rows: Rows, names: Sequence[str]) -> Rows:
    """Return some columns of a table, in the order given: for a narrow screen."""
    header, lines = rows
    places = [header.index(name) for name in names if name in header]
    return tuple(header[n] for n in places), [tuple(line[n] for n in places) for line in lines]


def write_rank(one: Verdict) -> str:
    """Return the ranks that an agent may have: ``2``, or ``1-4``."""
    return str(one.rank) if one.rank == one.last_rank else f"{one.rank}-{one.last_rank}"


def write_days(n_periods: float, stage: Stage) -> str:
    """Return a number of periods in days; ``never`` where no record is long enough."""
    if math.isnan(n_periods):
        return NONE
    if math.isinf(n_periods):
        return "never"
    length_ms = (stage.time_ms[-1] - stage.time_ms[0]) / max(len(stage.time_ms) - 1, 1)
    return f"{n_periods * length_ms / DAY_MS:,.0f}"


def across_rows(standings: Standings) -> Rows:
    """Return a header and rows of text: every player over all windows, best mean rank first.

    Who may be ranked in none of them has no row; a note says why.
    """
    header = (
        "mean rank", "agent", "windows", "mean return", "over the best benchmark", "95 % interval",
        "ahead / behind", "sign test", "told apart", "worst window", "return there",
        "liquidations",
    )  # fmt: skip
    marks = standings.played.benchmarks
    found = sorted((one for one in standings.across if one.n_windows or one.n_failed), key=_by_rank)
    return header, [_across_row(one, is_mark=one.name in marks) for one in found]


def _by_rank(one: Across) -> tuple[bool, float, str]:
    return (math.isnan(one.mean_rank), one.mean_rank, one.name)


def _across_row(one: Across, *, is_mark: bool) -> tuple[str, ...]:
    low, high = (write_points(v) if math.isfinite(v) else NONE for v in (one.low, one.high))
    failed = f" ({one.n_failed} failed)" if one.n_failed else ""
    return (
        write_number(one.mean_rank, TENTH),
        one.name,
        f"{one.n_windows}{failed}",
        write_number(one.mean_return, SIGNED),
        write_points(one.over) if math.isfinite(one.over) else NONE,
        f"{low} to {high}".replace(" pp", ""),
        f"{one.n_ahead} / {one.n_behind}",
        f"{one.chance:.3f}",
        NONE if is_mark else YES if one.is_told_apart else NO,
        one.worst_window,
        write_number(one.worst_return, SIGNED),
        write_number(one.n_liquidations, TENTH),
    )


def strain_rows(standings: Standings) -> Rows:
    """Return a header and rows of text: total return, and how many points of it a stress takes.

    Percentage points, over the windows that have both; how many is said where these are fewer.
    """
    stresses = standings.played.file.stress
    found = {(one.name, one.stress): one for one in standings.strains}
    names = dict.fromkeys(one.name for one in standings.strains)
    most = max((one.n_windows for one in standings.strains), default=0)
    rows = []
    for name in names:
        own = [found.get((name, stress)) for stress in stresses]
        plain = next((one.plain for one in own if one and one.n_windows == most), None)
        cells = (NONE if one is None else _write_strain(one, most) for one in own)
        rows.append((name, write_number(plain, SIGNED), *cells))
    return ("agent", "as it is", *stresses), rows


def _write_strain(one: Strain, most: int) -> str:
    points = write_points(one.stressed - one.plain).removesuffix(" pp")
    return points if one.n_windows == most else f"{points} ({one.n_windows} of {most})"


def thinking_rows(standings: Standings) -> Rows:
    """Return a header and rows of text: what deciding cost, and what was earned net of it."""
    header = (
        "agent",
        "decisions",
        "abstained",
        "cost of thinking",
        "time a decision",
        "earned, net",
    )
    rows: list[tuple[str, ...]] = [
        (
            one.name,
            f"{one.n_decisions:,}",
            f"{one.n_abstained:,}",
            write_number(one.cost, RATIO),
            NONE if math.isnan(one.latency_ms) else f"{one.latency_ms:,.0f} ms",
            write_number(one.earned, RATIO),
        )
        for one in standings.thinking
    ]
    return header, rows


def find_notes(standings: Standings) -> list[str]:
    """Return what a reader of the tables has to know, one sentence each."""
    return [
        *(_span_note(stage) for stage in standings.spans if stage.verdicts is not None),
        *_chosen_notes(standings),
        *_across_notes(standings),
        _trial_note(standings),
        *_control_notes(standings),
        *_grouped("is not ranked", ((w, n, y) for (w, n), y in standings.unranked.items())),
        *_abstention_notes(standings),
        *_grouped("failed", standings.errors),
        *_strain_notes(standings),
        *_judged_notes(standings),
        *_changed_notes(standings),
    ]


def _grouped(what: str, places: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Give one sentence for each name and reason, and the windows where it is so."""
    windows: dict[tuple[str, str], list[str]] = {}
    for window, name, why in places:
        windows.setdefault((name, why), []).append(window)
    for (name, why), found in windows.items():
        yield f"{name} {what} in {_some(found)}: {why}"


def _abstention_notes(standings: Standings) -> Iterator[str]:
    """Give one sentence for each name and reason: an endpoint that is down is no view of cash."""
    alike: dict[tuple[str, str], list[Abstention]] = {}
    for one in standings.abstentions:
        alike.setdefault((one.name, one.reason), []).append(one)
    for (name, reason), found in alike.items():
        n, of = sum(one.n_abstained for one in found), sum(one.n_decisions for one in found)
        why = f", most often: {reason}" if reason else ""
        windows = _some([one.window for one in found])
        yield f"{name} abstained in {n:,} of {of:,} decisions in {windows}{why}"


def _strain_notes(standings: Standings) -> Iterator[str]:
    """Give why stressed cells are missing: a sentence for those who lack the same windows."""
    for stress in standings.played.file.stress:
        failed: dict[str, dict[str, str]] = {}
        for (window, name, _, under), cell in standings.played.cells.items():
            if under == stress and cell.error:
                failed.setdefault(name, {})[window] = cell.error
        alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for name, found in failed.items():
            alike.setdefault((tuple(found), next(iter(found.values()))), []).append(name)
        for (windows, why), names in alike.items():
            yield f"under {stress} {_some(names)} failed in {_some(windows)}: {why}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"


def _changed_notes(standings: Standings) -> Iterator[str]:
    n = standings.played.n_changed
    if n:
        yield (
            f"Code or files changed while {n:,} cells were played: these are not kept, and may "
            "not go with the others. Play the league again."
        )


def _span_note(stage: Stage) -> str:
    verdicts = stage.verdicts
    if verdicts is None:
        return ""
    n_apart = sum(lead.is_told_apart for lead in verdicts.leads)
    winners = ", ".join(verdicts.winners) or "nobody"
    spa = ", ".join(f"{name} p = {one.p_value:.3f}" for name, one in verdicts.spa.items())
    return (
        f"{stage.name}: {winners} beats every benchmark at 95 % (SPA: {spa}); "
        f"{len(verdicts.leads) - n_apart} of {len(verdicts.leads)} pairs cannot be told apart."
    )


def _chosen_notes(standings: Standings) -> Iterator[str]:
    for stage in standings.spans:
        verdicts = stage.verdicts
        if verdicts is None:
            continue
        for family, found in verdicts.overfitting.items():
            yield (
                f"{stage.name}: of the {found.n_settings} settings of {family}, the best in sample "
                f"lies in the lower half out of sample with a probability of "
                f"{write_number(found.probability, PERCENT)} (PBO)."
            )
        if verdicts.selection is not None:
            share = write_number(verdicts.selection.probability, PERCENT)
            n = verdicts.selection.n_settings
            yield f"{stage.name}: PBO of choosing among all {n}: {share}."


def _across_notes(standings: Standings) -> Iterator[str]:
    n_periods = standings.n_periods
    if n_periods < MIN_WINDOWS:
        yield (
            f"The windows in pairs are {n_periods} periods that do not overlap: with fewer than "
            f"{MIN_WINDOWS} nobody can be told apart over them."
        )
    if math.isfinite(standings.concordance):
        yield (
            f"Kendall's W of the ranks over the windows is {standings.concordance:.2f}: 1 would be "
            "the same order in each, 0 none."
        )


def _trial_note(standings: Standings) -> str:
    n = sum(standings.trials.values())
    if not standings.spans:
        return (
            f"{n:,} trials of all families here were counted; no window is long enough to use it."
        )
    where = (
        f"the workspace's ledger {standings.digest}" if standings.digest else "this league alone"
    )
    return f"Sharpe ratios are deflated by the trials in {where}: {n:,} of all families here."


def _control_notes(standings: Standings) -> Iterator[str]:
    for stage in standings.stages:
        if stage.oracle is None:
            continue
        best = max(stage.returns.values(), default=-math.inf)
        if stage.oracle <= best:
            yield (
                f"{stage.name}: who knows the next bar ended at "
                f"{write_number(stage.oracle, SIGNED)} and does not win: it can tell nothing."
            )


def _judged_notes(standings: Standings) -> Iterator[str]:
    for stage in standings.stages:
        if stage.verdicts is None and stage.n_days >= SPAN_DAYS:
            yield f"{stage.name} is not judged by itself: {stage.why}"
        elif stage.verdicts is not None:
            for name, why in stage.verdicts.unjudged.items():
                yield f"{stage.name}: {name} is not judged: {why}"


def summary(standings: Standings) -> dict[str, object]:
    """Return everything as plain JSON-able values; nan and infinity are None."""
    return {
        "name": standings.played.file.name,
        "n_played": standings.played.n_played,
        "n_known": standings.played.n_known,
        "n_periods": standings.n_periods,
        "spans": {s.name: _plain_span(s.verdicts) for s in standings.spans if s.verdicts},
        "across": [
            {**_plain(vars(one)), "is_told_apart": one.is_told_apart} for one in standings.across
        ],
        "stress": [_plain(vars(one)) for one in standings.strains],
        "thinking": [_plain(vars(one)) for one in standings.thinking],
        "abstentions": [_plain(vars(one)) for one in standings.abstentions],
        "returns": {stage.name: _plain(stage.returns) for stage in standings.stages},
        "oracle": {stage.name: stage.oracle for stage in standings.stages},
        "trials": dict(standings.trials),
        "ledger": standings.digest,
        "concordance": _number(standings.concordance),
        "unranked": [[*place, why] for place, why in standings.unranked.items()],
        "errors": [list(error) for error in standings.errors],
        "labels": list(standings.labels),
        "notes": find_notes(standings),
    }


def _plain_span(verdicts: Verdicts) -> dict[str, object]:
    chosen = verdicts.selection
    return {
        "agents": [
            {
                **_plain({k: v for k, v in vars(one).items() if k not in _APART}),
                "leads": {name: _plain(vars(lead)) for name, lead in one.leads.items()},
                "sharpe_per_period": _number(one.track.sharpe),
            }
            for one in verdicts.agents
        ],
        "winners": list(verdicts.winners),
        "groups": [list(group) for group in verdicts.groups],
        "spa": {name: _number(one.p_value) for name, one in verdicts.spa.items()},
        "pbo": {name: _number(one.probability) for name, one in verdicts.overfitting.items()},
        "pbo_of_all": None if chosen is None else _number(chosen.probability),
        "unjudged": dict(verdicts.unjudged),
    }  # fmt: skip


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {name: _number(v) if isinstance(v, float) else v for name, v in values.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
