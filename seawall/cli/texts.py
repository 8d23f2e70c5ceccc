"""``seawall data texts``: take news and other texts into the catalog."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from seawall.cli import screen
from seawall.cli.options import AsJson


def texts(
    file: Annotated[Path, Argument(help="Parquet, CSV or feather, with times and texts.")],
    *,
    name: Annotated[str, Option(help="VENUE/NAME, as market.texts of a recipe names it.")],
    column: Annotated[str | None, Option(help="Of the texts; title by default.")] = None,
    known_after: Annotated[
        str, Option(help="How long after its time a text is known: 15m; else what the file says.")
    ] = "0s",
    as_json: AsJson = False,
) -> None:
    """Take texts from a file: each is seen from when it was known."""
    from seawall.market.catalog import Catalog
    from seawall.market.texts import import_texts
    from seawall.units import to_duration_ms, to_time_text

    catalog = Catalog()
    after_ms = 0 if known_after in ("0", "0s") else to_duration_ms(known_after)
    taken = import_texts(file, catalog, name=name, column=column, known_after_ms=after_ms)
    first, last = (to_time_text(int(taken.known_ms[place])) for place in (0, -1))
    if as_json:
        values = {"name": name, "rows": len(taken), "first": first, "last": last}
        screen.print_json({**values, "sha256": taken.sha256()})
        return
    screen.say(f"texts   {name}: {len(taken):,} rows, known from {first} to {last}")
