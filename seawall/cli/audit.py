"""``seawall audit``: does a track record, or a stored result, add up?"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.cli.options import AsJson
from seawall.errors import DataError, LedgerError, SeawallError

if TYPE_CHECKING:
    from seawall.analysis.audit import Audit
    from seawall.analysis.track_record import TrackRecord
    from seawall.analysis.track_record_file import Finding
    from seawall.market.series import Candles

MAX_SHOWN = 20


def audit(
    ledger: Annotated[
        Path, typer.Argument(help="A CSV track record, or a folder that run has written.")
    ],
    venue: Annotated[
        str, typer.Option(help="Of the catalog: prices are held against its candles.")
    ] = "",
    timeframe: Annotated[str, typer.Option(help="Of those candles.")] = "1h",
    *,
    as_json: AsJson = False,
) -> None:
    """Check conservation and recompute the result; name the rows that do not add up.

    A track record has the columns date, action, symbol, quantity, price, cash, holdings; and, where
    there are, fee and equity. Ends with code 8 where something does not add up.
    """
    if ledger.is_dir():
        from seawall.analysis.audit import audit_result

        result = audit_result(ledger)
        _tell(result, lambda: _say_result(result), as_json=as_json)
    else:
        from seawall.analysis.track_record import audit_track_record

        candles = _find_candles(venue, timeframe) if venue else None
        record = audit_track_record(ledger, candles=candles)
        _tell(record, lambda: _say_record(record), as_json=as_json)


def _tell(found: "Audit | TrackRecord", say: Callable[[], None], *, as_json: bool) -> None:
    if as_json:
        screen.print_json(found.to_dict())
    else:
        say()
    if not found.adds_up:
        raise _AuditError(f"it must add up, does not in {len(found.findings)} places: see above")


class _AuditError(SeawallError):
    """What was audited is wrong; Seawall is not."""

    exit_code = LedgerError.exit_code


def _find_candles(venue: str, timeframe: str) -> "Mapping[str, Candles]":
    from seawall.market.catalog import Catalog

    catalog = Catalog()
    keys = [
        key
        for key in catalog.keys()  # noqa: SIM118 - no mapping
        if (key.kind, key.venue, key.timeframe) == ("candles", venue, timeframe)
    ]
    if not keys:
        raise DataError(
            f"the catalog must have candles of {venue} at {timeframe}, has none: `seawall data "
            "list` names what there is"
        )
    found = {key.symbol: catalog.read_candles(key) for key in keys}
    # Records name coins as often as pairs.
    bases = {symbol.partition("/")[0]: series for symbol, series in found.items()}
    return {**bases, **found}


def _say_record(found: "TrackRecord") -> None:
    rows = [
        ("rows", f"{found.rows:,}"),
        ("equity at the start", screen.number(found.start_equity)),
        ("equity at the end, recomputed", screen.number(found.final_equity)),
        ("equity at the end, as stated", screen.number(found.claimed_equity)),
        ("total return, recomputed", screen.percent(found.total_return)),
        ("usual fee", screen.percent(found.fee_rate, 3)),
    ]
    screen.print_table("Track record", ("", "found"), rows)
    _say_rest(found.findings, found.notes)


def _say_result(found: "Audit") -> None:
    rows = [
        ("journal rows, chained", f"{found.n_rows:,}"),
        ("last hash", found.journal_hash),
        ("fills held against the ledger", f"{found.n_fills:,}"),
    ]
    screen.print_table("Result", ("", "found"), rows)
    _say_rest(found.findings, found.notes)


def _say_rest(findings: "tuple[Finding, ...]", notes: tuple[str, ...]) -> None:
    for one in findings[:MAX_SHOWN]:
        place = "" if one.row < 0 else f"row {one.row}, "
        screen.say(f"{place}{one.rule}: {one.text}")
    if len(findings) > MAX_SHOWN:
        screen.say(f"and {len(findings) - MAX_SHOWN} more: --json has them all")
    for note in notes:
        screen.say(note)
    if not findings:
        screen.say("everything adds up")
