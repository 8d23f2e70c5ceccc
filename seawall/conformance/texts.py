"""Other futures of texts: what is known after a time is cut off, or says something else."""

from seawall.conformance.futures import Change
from seawall.market.catalog import Catalog
from seawall.market.texts import Texts, read_texts, write_texts
from seawall.recipe import Recipe


def write_future_texts(
    catalog: Catalog,
    recipe: Recipe,
    original: Catalog | None,
    *,
    change: Change | None,
    time_ms: int,
) -> None:
    """Write the recipe's texts into a catalog, changed after a time; as they are for no change."""
    for name in recipe.market.texts or ():
        texts = read_texts(original or Catalog(), name)
        write_texts(catalog, texts if change is None else _change(texts, change, time_ms))


def _change(texts: Texts, change: Change, time_ms: int) -> Texts:
    kept = texts.until(time_ms)
    if change == "cut":
        return kept
    others = tuple(f"{change} {text[::-1]}" for text in texts.texts[len(kept) :])
    return Texts(name=texts.name, known_ms=texts.known_ms, texts=(*kept.texts, *others))
