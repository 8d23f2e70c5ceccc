"""The books: what is entered adds up, and what does not is found."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import LedgerError
from seawall.venues.ledger import Entry, Ledger


@given(st.lists(st.floats(-1e9, 1e9), max_size=50))
def test_balances_are_the_sum_of_entries(amounts: list[float]) -> None:
    """Whatever is posted, the balance is the sum, to 1e-9 of the largest."""
    ledger = Ledger()
    for time_ms, amount in enumerate(amounts):
        ledger.post(time_ms, [Entry("trade", "ETH", amount)])
    ledger.check({"ETH": sum(amounts)})
    assert len(ledger) == sum(amount != 0 for amount in amounts)


def test_a_missing_cent_is_found() -> None:
    """10,000 booked and 9,999.99 held: the message names the asset and both numbers."""
    ledger = Ledger()
    ledger.post(0, [Entry("initial", "USDT", 10_000.0)])
    ledger.check({"USDT": 10_000.0})
    with pytest.raises(LedgerError, match=r"USDT add up to 10000\.0, the account holds 9999\.99"):
        ledger.check({"USDT": 9_999.99})


def test_an_asset_that_nobody_booked_is_found() -> None:
    """Coin that appears without an entry, and nan, do not pass."""
    ledger = Ledger()
    with pytest.raises(LedgerError):
        ledger.check({"ETH": 1.0})
    with pytest.raises(LedgerError):
        ledger.check({"ETH": float("nan")})


def test_rows_and_columns() -> None:
    """One transaction of three entries, one of them zero: two rows with one number."""
    ledger = Ledger()
    ledger.post(0, [Entry("initial", "USDT", 100.0)])
    entries = [Entry("trade", "ETH", 1.0), Entry("trade", "USDT", -50.0), Entry("fee", "USDT", 0.0)]
    assert ledger.post(60_000, entries) == 1
    table = pd.DataFrame(ledger.to_columns())
    assert list(table.transaction) == [0, 1, 1]
    assert list(table.amount) == [100.0, 1.0, -50.0]
    assert [tuple(row) for row in ledger] == list(table.itertuples(index=False, name=None))
    assert ledger.balance("USDT") == 50.0
    assert ledger.total("trade", "USDT") == -50.0


def test_many_small_entries_do_not_drift() -> None:
    """A million and then 100,000 times 0.1: the sum is 1,010,000 to the last bit but one."""
    ledger = Ledger()
    ledger.post(0, [Entry("initial", "USDT", 1e6)])
    for time_ms in range(100_000):
        ledger.post(time_ms, [Entry("trade", "USDT", 0.1)])
    assert ledger.balance("USDT") == pytest.approx(1_010_000.0, abs=1e-9)
