"""The shell of a report: one HTML file that holds everything and asks for nothing.

Text that came from agents, recipes or data goes through ``escape`` into HTML, through ``to_json``
into the data block and through ``plot_text`` into a figure. The Content-Security-Policy is the
second wall: only the two scripts with the stated hashes run, and no request leaves the page.
"""

import html
import json
import math
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pandas as pd

from seawall.errors import ResultError

Json = Mapping[str, object]

PAGE_SIZE = 15
PROMISE = (
    "A backtest is what would have happened under its assumptions; it is no promise. "
    "All times are UTC."
)
SIMULATED = "The market is simulated: a model made these prices, no exchange did."
SOME_SIMULATED = "Some markets are simulated: a model made those prices, no exchange did."
_MAX_TEXT = 600  # characters of one cell; a longer reason is cut and says so
_MAX_PLOT_TEXT = 80


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One chart: what plotly is given. Colours are written ``var(--name)``, see ``page.css``."""

    id: str
    traces: Sequence[Json]
    layout: Json


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a searchable table; ``format``: time, num, percent, text or prose."""

    name: str
    title: str
    format: str
    signed: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that can be searched and paged; times are UTC milliseconds.

    Attributes:
        note: what a reader has to know, above all which rows were left out.
        filter_by: name of a text column that gets a list to choose from.
    """

    id: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[object]]
    note: str = ""
    filter_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One section of the page: ``body`` is HTML that is safe already, title and note are not."""

    id: str
    title: str
    body: str
    note: str = ""
    tools: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What ``render`` turns into HTML; ``cards`` and panel bodies are safe HTML already."""

    kind: str
    title: str
    subtitle: str
    labels: Sequence[str]
    cards: str
    panels: Sequence[Panel | tuple[Panel, Panel]]
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    callouts: Sequence[str] = field(default_factory=tuple)
    footer: str = ""


def escape(value: object) -> str:
    """Return any text as HTML that shows it, and does nothing else."""
    return html.escape(str(value), quote=True)


def plot_text(value: object) -> str:
    """Return text for a figure: plotly reads a few HTML tags, so they are escaped; cut if long.

    Quotes stay: plotly would show what stands for them, and the text is in no attribute.
    """
    text = " ".join(str(value).split())
    text = text if len(text) <= _MAX_PLOT_TEXT else text[: _MAX_PLOT_TEXT - 1] + "…"
    return html.escape(text, quote=False)


def to_json(value: object) -> str:
    """Return JSON that cannot end the script block it stands in; nan and inf become null."""
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def render(page: Page) -> str:
    """Return the whole page as one HTML text without a reference to anything outside it."""
    scripts = (_plotly_js(), _asset("page.js"))
    content = {
        "figures": {f.id: {"traces": f.traces, "layout": f.layout} for f in page.figures},
        "tables": {t.id: _table_content(t) for t in page.tables},
    }
    blocks = [_panel_html(panel) for panel in page.panels]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(page.title)} · Seawall</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}</style>
</head>
<body>
{_header_html(page)}
<main class="wrap">
{page.cards}
{_callouts_html(page.callouts)}
<noscript><p class="callout">The charts and the searchable tables need JavaScript; everything they
show is in this file.</p></noscript>
</main>
{_navigation_html(page)}
<main class="wrap">
{"".join(blocks)}
</main>
<footer class="wrap">{escape(page.footer)}</footer>
<script type="application/json" id="content">{to_json(content)}</script>
<script>{scripts[0]}</script>
<script>{scripts[1]}</script>
</body>
</html>
"""


def write_page(page: Page, path: Path) -> Path:
    """Write a page to ``path`` and return it.

    Raises:
        ResultError: the file cannot be written.
    """
    try:
        return write_text(render(page), path)
    except OSError as error:
        raise ResultError(f"the report cannot be written to {path}: {error}") from None


def write_text(text: str, path: Path) -> Path:
    """Write a file whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8", errors="replace")  # lone surrogates of an agent
    return fresh.replace(path)


def card(label: str, value: str, more: str = "", *, tone: str = "") -> str:
    """Return one headline number as HTML; ``tone`` is ``good``, ``bad`` or nothing."""
    return (
        f'<div class="card"><div class="label">{escape(label)}</div>'
        f'<div class="value {escape(tone)}">{escape(value)}</div>'
        f'<div class="more">{escape(more)}</div></div>'
    )


def cards_html(cards: Iterable[str]) -> str:
    """Return the row of headline numbers."""
    return f'<div class="cards">{"".join(cards)}</div>'


def plot_html(figure: Figure, description: str) -> str:
    """Return the place where a figure is drawn; ``description`` is what it shows, in words."""
    height = escape(figure.layout.get("height", 300))
    return (
        f'<div class="plot" id="{escape(figure.id)}" role="img" '
        f'aria-label="{escape(description)}" style="height:{height}px"></div>'
    )


def scale_tools(figure: Figure) -> str:
    """Return the buttons that switch a figure between a linear and a logarithmic axis."""
    names = (("linear", "Linear", "true"), ("log", "Log", "false"))
    return "".join(
        f'<button type="button" data-figure="{escape(figure.id)}" data-scale="{scale}" '
        f'aria-pressed="{pressed}">{title}</button>'
        for scale, title, pressed in names
    )


def scroll_table(heads: str, rows: str, css: str = "") -> str:
    """Return a table that is scrolled where it is too wide; its cells are safe HTML already."""
    kind = f' class="{css}"' if css else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def table_html(table: Table) -> str:
    """Return the frame of a searchable table; its rows are drawn from the data block."""
    heads = "".join(
        f'<th class="{"num" if column.format in ("num", "percent") else column.format}">'
        f"{escape(column.title)}</th>"
        for column in table.columns
    )
    return (
        f'<div id="{escape(table.id)}"><div class="panel-head"><div class="tools">'
        f"{_filter_html(table)}"
        '<input type="search" data-role="search" placeholder="Search" aria-label="Search">'
        '<button type="button" data-role="back" aria-label="Previous page">&lsaquo;</button>'
        '<span class="muted" data-role="count"></span>'
        '<button type="button" data-role="next" aria-label="Next page">&rsaquo;</button>'
        "</div></div>"
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        '<tbody data-role="rows"></tbody></table></div></div>'
    )


def _filter_html(table: Table) -> str:
    if not table.filter_by:
        return ""
    place = [column.name for column in table.columns].index(table.filter_by)
    kinds = sorted({str(row[place]) for row in table.rows})
    options = "".join(f'<option value="{escape(kind)}">{escape(kind)}</option>' for kind in kinds)
    return (
        f'<select data-role="filter" aria-label="{escape(table.filter_by)}">'
        f'<option value="">all</option>{options}</select>'
    )


def _table_content(table: Table) -> Json:
    return {
        "columns": [vars(column) for column in table.columns],
        "rows": [[_cut(value) for value in row] for row in table.rows],
        "filter_by": table.filter_by,
        "page_size": PAGE_SIZE,
    }


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return f"{value[:_MAX_TEXT]}… (cut: {len(value):,} characters)"
    return value


def _header_html(page: Page) -> str:
    badges = "".join(f"<li>{escape(label)}</li>" for label in page.labels)
    return (
        '<header class="top"><div class="wrap"><div class="brand">'
        f'{_LOGO}Seawall <span class="kind">{escape(page.kind)}</span></div>'
        f'<h1>{escape(page.title)}</h1><p class="subtitle">{escape(page.subtitle)}</p>'
        + (f'<ul class="badges">{badges}</ul>' if badges else "")
        + "</div></header>"
    )


def _callouts_html(callouts: Sequence[str]) -> str:
    lines = "".join(f"<p>{escape(text)}</p>" for text in callouts)
    return f'<div class="callout">{lines}</div>' if lines else ""


def _navigation_html(page: Page) -> str:
    flat = [p for entry in page.panels for p in (entry if isinstance(entry, tuple) else (entry,))]
    links = "".join(f'<a href="#{escape(p.id)}">{escape(p.title)}</a>' for p in flat)
    return f'<nav class="toc" aria-label="Sections"><div class="wrap">{links}</div></nav>'


def _panel_html(panel: Panel | tuple[Panel, Panel]) -> str:
    if isinstance(panel, tuple):
        return f'<div class="pair">{_panel_html(panel[0])}{_panel_html(panel[1])}</div>'
    tools = f'<div class="tools">{panel.tools}</div>' if panel.tools else ""
    note = f'<p class="note">{escape(panel.note)}</p>' if panel.note else ""
    return (
        f'<section class="panel" id="{escape(panel.id)}"><div class="panel-head">'
        f"<h2>{escape(panel.title)}</h2>{tools}</div>{panel.body}{note}</section>"
    )


def _policy(scripts: Sequence[str]) -> str:
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return files("seawall.analysis").joinpath(name).read_text(encoding="utf-8")


def _plotly_js() -> str:
    """Return plotly.js itself; imported late, because importing plotly takes its time."""
    source = str(import_module("plotly.offline").get_plotlyjs())
    # The parser of HTML must not find an end of the script in it, nor a comment's start.
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r", "")


def _plain(value: object) -> object:
    """Return plain JSON values: nan, inf and NaT become None, floats keep seven digits."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return None if value is pd.NaT else str(value)


_LOGO = (
    '<svg viewBox="0 0 32 32" fill="none" aria-hidden="true" stroke="currentColor" '
    'stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M19 28V7l9-3v24z" fill="currentColor" fill-opacity=".25"/>'
    '<path d="M2 27c3 0 3-2.5 6-2.5S11 27 15 27M2 20c3 0 3-2.5 6-2.5s3 2.5 7 2.5'
    'M4 13c2 0 3-3.5 6-3.5 2.600 0 4.500 2 3.500 4.500"/></svg>'
)
