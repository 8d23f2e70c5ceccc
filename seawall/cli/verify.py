"""``seawall verify``: what the protocols' rules were compared with, and the largest error."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.errors import ToolError

if TYPE_CHECKING:
    from seawall.verify.proof import Proof

_HEADER = ("protocol", "compared with", "comparisons", "largest error", "")


def verify(
    data: Annotated[
        Path, typer.Option(help="Folder of chain data; what is not there is skipped.")
    ] = Path("../shared/data"),
    steps: Annotated[int, typer.Option(min=1, help="Random steps per protocol.")] = 2_000,
    scenarios: Annotated[int, typer.Option(min=1, help="Random liquidations each.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the random walks.")] = 0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON value.")] = False,
) -> None:
    """Compare the protocols' rules with their bytecode and with the chain, as far as can be."""
    from seawall.verify.everything import verify_all

    found: list[Proof] = []
    for proof in verify_all(data, steps=steps, scenarios=scenarios, seed=seed):
        found.append(proof)
        screen.say(f"{_mark(proof)}  {proof.protocol} against {proof.against}")
    if as_json:
        screen.print_json([{**vars(proof), "holds": proof.holds} for proof in found])
    else:
        screen.print_table("Verified", _HEADER, [_row(proof) for proof in found])
        for proof in found:
            screen.say(f"{proof.protocol}: {proof.skipped or proof.detail}")
    failed = [proof.protocol for proof in found if not proof.holds and proof.skipped is None]
    if failed:
        raise ToolError(
            f"every comparison must hold, {', '.join(failed)} does not: a defect of Seawall, "
            "please report it"
        )


def _mark(proof: "Proof") -> str:
    if proof.skipped is not None:
        return "skipped"
    return "holds  " if proof.holds else "DIFFERS"


def _row(proof: "Proof") -> tuple[str, ...]:
    if proof.skipped is not None:
        return (proof.protocol, proof.against, "-", "-", "skipped")
    error = proof.largest_error
    shown = f"{error:,}" if isinstance(error, int) else f"{error:.2g}"
    return (proof.protocol, proof.against, f"{proof.compared:,}", shown, _mark(proof).strip())
