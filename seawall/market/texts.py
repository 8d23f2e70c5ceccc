"""Texts that are known from a time on: news titles, posts, announcements.

``<root>/texts/<venue>/<name>/`` of the catalog holds ``texts.parquet`` (``known_at`` UTC, ``text``)
and ``texts.json``, written last, which names its hash. A text is data and is never carried out.
"""

import json
from bisect import bisect_right
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seawall.errors import DataError
from seawall.market.catalog import Catalog, put_whole
from seawall.market.series import TimeArray
from seawall.market.tables import KNOWN_NAMES, read_table
from seawall.units import to_time_text

SCHEMA = 1
FOLDER = "texts"
LONGEST_TEXT = 2_000  # characters that are kept of one
TEXT_NAMES = ("title", "text", "headline", "body")


class Text(NamedTuple):
    """One text, and when it was known, UTC milliseconds."""

    known_ms: int
    text: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """A series of texts, in the order in which they were known.

    Attributes:
        name: ``venue/name``, as a recipe names it.
        known_ms: int64, shape (n,), not decreasing.
        texts: shape (n,).

    Raises:
        DataError: lengths differ, or the times decrease.
    """

    name: str
    known_ms: TimeArray
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        known = np.array(self.known_ms, dtype=np.int64)
        if known.shape != (len(self.texts),) or (np.diff(known) < 0).any():
            raise DataError(
                f"texts of {self.name} must have one time each, in order: sort them by known_at"
            )
        known.flags.writeable = False
        object.__setattr__(self, "known_ms", known)

    def __len__(self) -> int:
        return len(self.texts)

    def until(self, time_ms: int) -> "Texts":
        """Return those that were known by then."""
        n = int(np.searchsorted(self.known_ms, time_ms, "right"))
        return Texts(name=self.name, known_ms=self.known_ms[:n], texts=self.texts[:n])

    def sha256(self) -> str:
        """Return the hash of the content: name, times and texts."""
        digest = sha256(self.name.encode())
        digest.update(np.ascontiguousarray(self.known_ms).tobytes())
        digest.update(json.dumps(self.texts).encode())
        return digest.hexdigest()


class TextWindow:
    """The visible part of one series of texts; it only grows.

    Attributes:
        n_read: how often texts were taken from it.
    """

    __slots__ = ("_seen", "_source", "n_read")

    def __init__(self, source: Texts) -> None:
        self.n_read = 0
        self._source = source
        self._seen: list[Text] = []

    @property
    def n_visible(self) -> int:
        """How many texts are known."""
        return len(self._seen)

    def reveal_until(self, time_ms: int) -> None:
        """Make every text visible that was known at ``time_ms`` or before."""
        n = int(np.searchsorted(self._source.known_ms, time_ms, "right"))
        for place in range(len(self._seen), n):
            known_ms = int(self._source.known_ms[place])
            self._seen.append(Text(known_ms, self._source.texts[place]))

    def count(self, time_ms: int, n: int) -> int:
        """Return how many of the first ``n`` texts were known at ``time_ms``."""
        return bisect_right(self._seen, time_ms, 0, n, key=lambda one: one.known_ms)

    def view(self, n: int, newest: int) -> tuple[Text, ...]:
        """Return the ``newest`` of the first ``n`` texts, the newest last."""
        self.n_read += 1
        return tuple(self._seen[max(n - newest, 0) : n])


def read_texts(catalog: Catalog, name: str) -> Texts:
    """Return stored texts by the name that a recipe gives them, ``venue/name``.

    Raises:
        DataError: there are none, or they are damaged or another version's.
    """
    folder = _folder(catalog, name)
    try:
        stored = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        if stored.get("schema_version") != SCHEMA:
            raise DataError(
                f"texts must be of version {SCHEMA}, {folder} says "
                f"{stored.get('schema_version')!r}: import them again"
            )
        frame = pd.read_parquet(folder / "texts.parquet")
        known = np.asarray(frame["known_at"].dt.as_unit("ms").astype("int64"), dtype=np.int64)
        texts = Texts(name=name, known_ms=known, texts=tuple(str(one) for one in frame["text"]))
    except FileNotFoundError:
        raise DataError(
            f"the recipe needs the texts {name}, the catalog in {catalog.root} has none: run "
            f"`seawall data texts FILE --name {name}`"
        ) from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"texts must be as they were stored, {folder} is not ({error}): import them again"
        ) from None
    if texts.sha256() != stored.get("sha256"):
        raise DataError(
            f"texts must have the hash that texts.json says, {folder} has another: import them "
            "again"
        )
    return texts


def write_texts(catalog: Catalog, texts: Texts) -> Path:
    """Store texts in place of what was stored under their name; return their folder."""
    folder = _folder(catalog, texts.name)
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        {
            "known_at": pd.to_datetime(np.asarray(texts.known_ms), unit="ms", utc=True),
            "text": list(texts.texts),
        }
    )
    draft = folder / ".texts.tmp"
    frame.to_parquet(draft, index=False)
    put_whole(draft, folder / "texts.parquet")
    manifest = {"schema_version": SCHEMA, "sha256": texts.sha256(), "rows": len(texts)}
    draft.write_text(json.dumps(manifest), encoding="utf-8")
    put_whole(draft, folder / "texts.json")
    return folder


def import_texts(
    path: Path,
    catalog: Catalog,
    *,
    name: str,
    column: str | None = None,
    known_after_ms: int = 0,
) -> Texts:
    """Take the texts of a file into a catalog, and return them.

    Args:
        path: Parquet, CSV or feather, with a time column and one of texts.
        catalog: where they go; what is there under the name is replaced.
        name: ``venue/name``.
        column: of the texts; else title, text, headline or body, whichever there is.
        known_after_ms: how long after its time a text is known, where the file has no ``known_at``.

    Raises:
        DataError: the file cannot be read, or has no such column or no text.
    """
    frame = read_table(path).frame
    wanted = column or next((one for one in TEXT_NAMES if one in frame), None)
    if wanted is None or wanted not in frame:
        raise DataError(
            f"texts are a column {', '.join(TEXT_NAMES)}, {path} has "
            f"{', '.join(str(one) for one in frame.columns[:8])}: say --column NAME"
        )
    known = next((one for one in KNOWN_NAMES if one in frame), None)
    times = pd.DatetimeIndex(
        pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
        if known is None
        else pd.to_datetime(frame[known], utc=True)
    )
    known_ms = times.as_unit("ms").asi8 + (known_after_ms if known is None else 0)
    told_ms = frame["timestamp"].to_numpy(np.int64)
    if len(early := np.flatnonzero(known_ms < told_ms)):
        raise DataError(
            f"a text cannot be known before its time, row {early[0]} of {path} is known at "
            f"{to_time_text(int(known_ms[early[0]]))}: correct its {known}"
        )
    rows = [
        Text(int(time_ms), _to_plain(text))
        for time_ms, text in zip(known_ms, frame[wanted], strict=True)
        if isinstance(text, str) and text.strip()
    ]
    if not rows:
        raise DataError(f"column {wanted} of {path} must hold texts, holds none: name another")
    rows.sort()
    texts = Texts(
        name=name,
        known_ms=np.array([row.known_ms for row in rows], dtype=np.int64),
        texts=tuple(row.text for row in rows),
    )
    write_texts(catalog, texts)
    return texts


def _to_plain(text: str) -> str:
    """Return one line of a text that UTF-8 can hold, not too long."""
    line = " ".join(text.split())[:LONGEST_TEXT]
    return line.encode("utf-8", "replace").decode("utf-8")


def _folder(catalog: Catalog, name: str) -> Path:
    venue, _, rest = name.partition("/")
    if not venue or not rest or "/" in rest:
        raise DataError(f"texts are named VENUE/NAME, is {name!r}: write news/titles")
    return catalog.folder_of(FOLDER, venue, rest)
