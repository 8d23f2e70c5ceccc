"""The specification of Aave against what chains have stored."""

from pathlib import Path

import pytest

from seawall.errors import DataError
from seawall.venues.lending.fixed import compounded_growth_taylor
from seawall.verify import chain
from seawall.verify.chain import chain_proofs, compare_indices, compare_rates


def test_the_rate_strategy_gives_the_borrow_rate_of_every_reserve(shared_data: Path) -> None:
    """All 37 reserves but GHO on Ethereum, 2025-03-19: equal to the ray."""
    rates = compare_rates(shared_data)
    assert (rates.n_reserves, rates.n_equal, rates.largest_error_ray) == (37, 37, 0)


def test_borrow_indices_follow_the_compounding_of_their_day(shared_data: Path) -> None:
    """Polygon, August 2023: the old compounding is exact in 2,782 of 2,782 steps, the new never."""
    indices = compare_indices(shared_data)
    assert indices.n_changes == 5_146
    assert indices.n_single_steps == indices.n_binomial == 2_782
    assert indices.n_taylor == 0
    assert indices.largest_error_ray == 0


def test_both_proofs_hold(shared_data: Path) -> None:
    """What `seawall verify` prints of the chain: something was compared and nothing differed."""
    assert all(proof.holds for proof in chain_proofs(shared_data))


def test_a_wrong_rule_does_not_hold(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compounded as v3.4 does, the indices of 2023 differ: the proof can fail."""
    monkeypatch.setattr(chain, "compounded_growth_binomial", compounded_growth_taylor)
    rates, indices = chain_proofs(shared_data)
    assert rates.holds
    assert not indices.holds


def test_without_data_a_proof_says_so(tmp_path: Path) -> None:
    """A machine without the data is told which file is missing, and nothing counts as proven."""
    proofs = chain_proofs(tmp_path)
    assert [proof.holds for proof in proofs] == [False, False]
    assert all("is not in the data" in (proof.skipped or "") for proof in proofs)
    with pytest.raises(DataError, match="chain data must be there"):
        compare_rates(tmp_path)
