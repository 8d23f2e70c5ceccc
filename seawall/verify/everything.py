"""All proofs that can be run on this machine, one after the other."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from seawall.errors import DataError
from seawall.verify.aave_v2_proof import prove_aave_v2
from seawall.verify.aave_v3_proof import prove_aave_v3
from seawall.verify.chain import chain_proofs
from seawall.verify.events import EventsReport, check_events
from seawall.verify.morpho_proof import prove_morpho
from seawall.verify.proof import Proof

LEAST_WETH_SHARE = 0.96  # of the events with WETH as collateral that must be within 1 %


def verify_all(
    data_folder: Path, *, steps: int = 2_000, scenarios: int = 1_000, seed: int = 0
) -> Iterator[Proof]:
    """Yield each proof as it is done; one that cannot be run here says why.

    ``data_folder`` holds chain data, as ``defi/aave-v3/...``; what is not there is skipped.
    ``steps`` and ``scenarios``: random steps, and liquidations, per protocol against its bytecode,
    drawn from ``seed``.
    """
    against_bytecode: tuple[Callable[..., Proof], ...] = (
        prove_aave_v2,
        partial(prove_aave_v3, "v3.0"),
        partial(prove_aave_v3, "v3.6"),
        prove_morpho,
    )
    for prove in against_bytecode:
        yield prove(steps=steps, scenarios=scenarios, seed=seed)
    yield Proof(
        protocol="Compound v3",
        against="bytecode",
        skipped="its contracts are not on npm; tests hold it to its published rules",
    )
    yield from chain_proofs(data_folder)
    yield prove_events(data_folder)


def prove_events(data_folder: Path) -> Proof:
    """Hold the dated bonuses to the liquidations that happened on Aave v2."""
    protocol, against = "Aave v2 dated bonuses", "liquidations on Ethereum, 2021-08 to 2022-04"
    try:
        report = check_events(data_folder)
    except DataError as error:
        return Proof(protocol=protocol, against=against, skipped=str(error))
    return Proof(
        protocol=protocol,
        against=against,
        compared=report.n_all,
        largest_error=1.0 - report.weth_share,
        tolerance=1.0 - LEAST_WETH_SHARE,
        detail=_describe(report),
    )


def _describe(report: EventsReport) -> str:
    return (
        f"seized = repaid x (1 + bonus) within 1 %: {report.weth_share:.2%} of {report.n_weth:,} "
        f"with WETH as collateral, {report.share:.2%} of all {report.n_all:,}; the error is the "
        "share of WETH rows beyond it"
    )
