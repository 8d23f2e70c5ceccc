"""How a notebook shows a comparison or a league: their table of text, every cell escaped."""

import html
from collections.abc import Iterable, Sequence


def notebook_table(
    title: str,
    notes: Iterable[str],
    table: tuple[Sequence[str], Iterable[Sequence[str]]],
) -> str:
    """Return a header and rows of text as an HTML table, title and notes above it."""
    header, rows = table
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    told = "".join(f"<br>{html.escape(note)}" for note in notes)
    caption = f"<caption>{html.escape(title)}{told}</caption>"
    return f"<table>{caption}<tr>{heads}</tr>{body}</table>"
