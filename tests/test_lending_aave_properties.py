"""What holds in an Aave market whatever its users do, in every version."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from lending_pools import DOLLAR, START_S, TOKENS, listed, market, wei

from seawall.errors import Refused
from seawall.venues.lending.aave import ALL, AavePool, Liquidation
from seawall.venues.lending.fixed import RAY, WAD
from seawall.venues.lending.rules import RULES

USERS = ("alice", "bob", "lender")
VERBS = ("supply", "withdraw", "borrow", "repay", "liquidate", "liquidate", "price", "price")


class Move(NamedTuple):
    """One thing that happens: somebody acts, or a price moves.

    Attributes:
        user: who acts; of a liquidation who is liquidated.
        asset: of a liquidation the collateral, where the user has it as such.
        other: of a liquidation the debt, where the user has it.
        size: dollars; of a price its factor in percent is taken from it.
        elapsed_s: seconds since the move before.
    """

    verb: str
    user: str
    asset: str
    other: str
    size: float
    elapsed_s: int


MOVES = st.builds(
    Move,
    verb=st.sampled_from(VERBS),
    user=st.sampled_from(USERS),
    asset=st.sampled_from(list(TOKENS)),
    other=st.sampled_from(list(TOKENS)),
    size=st.sampled_from([0.001, 1.0, 900.0, 2_500.0, 12_000.0, float("inf")]),
    elapsed_s=st.sampled_from([0, 1, 13, 3_600, 86_400 * 30]),
)
FACTORS = {0.001: 1.02, 1.0: 0.9, 900.0: 0.75, 2_500.0: 0.6, 12_000.0: 1.1, float("inf"): 1.4}
WALKS = st.lists(MOVES, min_size=1, max_size=25)
VERSIONS = st.sampled_from(list(RULES))


def opened(rules: str) -> AavePool:
    """Return a market in which all three have supplied and two have borrowed."""
    pool = market(rules, lent=50_000.0)
    pool.supply("alice", "WETH", wei("WETH", 10), START_S)
    pool.supply("bob", "DAI", wei("DAI", 9_000), START_S)
    pool.borrow("alice", "USDC", wei("USDC", 14_000), START_S)
    pool.borrow("bob", "WETH", wei("WETH", 3), START_S)
    return pool


def amount_of(pool: AavePool, asset: str, size: float) -> int:
    """Return dollars of an asset in wei, infinity as everything."""
    if size == float("inf"):
        return ALL
    dollars = round(size * 1_000) * (DOLLAR // 1_000)
    return int(dollars * 10 ** TOKENS[asset] // pool.reserves[asset].price)


def aimed(pool: AavePool, move: Move) -> Move:
    """Return the move, a liquidation aimed at what the user has and owes if that is anything."""
    account = pool.market.account(move.user)
    if move.verb != "liquidate" or not account.collateral or not account.borrowing:
        return move
    asset = move.asset if move.asset in account.collateral else min(account.collateral)
    other = move.other if move.other in account.borrowing else min(account.borrowing)
    return move._replace(asset=asset, other=other)


def perform(pool: AavePool, move: Move, now_s: int) -> Liquidation | None:
    """Let one move happen; a refusal is an answer, too."""
    amount = amount_of(pool, move.other if move.verb == "liquidate" else move.asset, move.size)
    try:
        if move.verb == "price":
            price = pool.reserves["WETH"].price * FACTORS[move.size]
            pool.set_price("WETH", min(max(round(price), 100 * DOLLAR), 9_000 * DOLLAR))
        elif move.verb == "liquidate":
            return pool.liquidate("keeper", move.user, move.asset, move.other, amount, now_s)
        elif move.verb == "supply":
            pool.supply(move.user, move.asset, min(amount, wei(move.asset, 10_000)), now_s)
        elif move.verb == "withdraw":
            pool.withdraw(move.user, move.asset, amount, now_s)
        elif move.verb == "borrow":
            pool.borrow(move.user, move.asset, amount, now_s)
        else:
            pool.repay(move.user, move.asset, amount, now_s)
    except Refused:
        return None
    return None


@given(rules=VERSIONS, walk=WALKS)
@settings(deadline=None, max_examples=150)
def test_shares_add_up_and_flags_tell_the_truth(rules: str, walk: list[Move]) -> None:
    """A reserve's shares are its users' shares; nothing is negative; every debt has its flag."""
    pool, now_s = opened(rules), START_S
    for move in walk:
        now_s += move.elapsed_s
        perform(pool, aimed(pool, move), now_s)
        accounts = pool.market.accounts.values()
        for asset, reserve in pool.reserves.items():
            assert sum(x.supplied.get(asset, 0) for x in accounts) == reserve.supplied
            assert sum(x.borrowed.get(asset, 0) for x in accounts) == reserve.borrowed
            assert min(reserve.available, reserve.deficit, reserve.treasury_shares) >= 0
            assert reserve.liquidity_index >= RAY <= reserve.borrow_index
        for account in accounts:
            assert min([*account.supplied.values(), *account.borrowed.values()], default=0) >= 0
            if pool.rules.flags_by_shares:
                assert set(account.borrowed) == account.borrowing


@given(rules=VERSIONS, walk=WALKS)
@settings(deadline=None, max_examples=150)
def test_the_pool_can_pay_everybody(rules: str, walk: list[Move]) -> None:
    """What is owed to suppliers is there, lent, or booked as a deficit: solvent to rounding.

    Supply interest is simple and borrow interest compound, so the pool has rather too much.
    """
    pool, now_s = opened(rules), START_S
    for n_steps, move in enumerate(walk, 1):
        now_s += move.elapsed_s
        perform(pool, aimed(pool, move), now_s)
        for asset, reserve in pool.reserves.items():
            pool.accrue(asset, now_s)
            owed = (reserve.supplied + reserve.treasury_shares) * reserve.liquidity_index // RAY
            lent = reserve.borrowed * reserve.borrow_index // RAY
            tolerance = 10 * n_steps + owed // 10**15
            assert owed <= reserve.available + lent + reserve.deficit + tolerance


@given(rules=VERSIONS, walk=WALKS)
@settings(deadline=None, max_examples=150)
def test_a_liquidation_takes_what_is_there_and_no_more(rules: str, walk: list[Move]) -> None:
    """Seized <= held, repaid <= owed, bad debt only where nothing is left; and it was unhealthy."""
    pool, now_s = opened(rules), START_S
    for step in walk:
        move = aimed(pool, step)
        now_s += move.elapsed_s
        kept = pool.market.copy()
        deal = perform(pool, move, now_s)
        if deal is None:
            continue
        before = AavePool(kept.rules, kept.reserves, kept.emodes)
        before.market.accounts = kept.accounts
        assert before.account(move.user, now_s).health_wad < WAD
        assert 0 < deal.repaid <= before.debt(move.user, move.other, now_s)
        assert deal.seized <= before.collateral(move.user, move.asset, now_s)
        assert deal.repaid <= before.max_cover(move.user, move.asset, move.other, now_s) + 1
        if deal.bad_debt:
            assert pool.rules.records_deficit
            assert pool.account(move.user, now_s).debt_base == 0
            assert pool.account(move.user, now_s).collateral_base == 0


@given(rules=VERSIONS, walk=WALKS)
@settings(deadline=None, max_examples=150)
def test_who_takes_out_stays_healthy(rules: str, walk: list[Move]) -> None:
    """After a loan or a withdrawal that was allowed the health factor is at 1 or above."""
    pool, now_s = opened(rules), START_S
    for move in walk:
        now_s += move.elapsed_s
        before = pool.market.copy()
        perform(pool, aimed(pool, move), now_s)
        takes_out = move.verb in {"borrow", "withdraw"} and pool.market != before
        is_backed = move.verb == "borrow" or move.asset in before.account(move.user).collateral
        if takes_out and is_backed:
            assert pool.account(move.user, now_s).health_wad >= WAD


@given(rules=VERSIONS, elapsed_s=st.integers(0, 86_400 * 365))
@settings(deadline=None, max_examples=60)
def test_time_alone_changes_nothing_but_interest(rules: str, elapsed_s: int) -> None:
    """Nobody acts: shares and prices stay, balances grow or stay; without rates all stays."""
    pool = opened(rules)
    shares = {user: account.copy() for user, account in pool.market.accounts.items()}
    debt, supply = pool.debt("alice", "USDC", START_S), pool.collateral("lender", "USDC", START_S)
    now_s = START_S + elapsed_s
    assert pool.debt("alice", "USDC", now_s) >= debt
    assert pool.collateral("lender", "USDC", now_s) >= supply
    for asset in TOKENS:
        pool.set_rates(asset, 0, 0)
        pool.accrue(asset, now_s)
    assert pool.debt("alice", "USDC", now_s) == debt
    assert pool.collateral("lender", "USDC", now_s) == supply
    assert pool.market.accounts == shares


@given(rules=VERSIONS, walk=WALKS, elapsed_s=st.integers(1, 86_400 * 30))
@settings(deadline=None, max_examples=60)
def test_asking_and_touching_agree(rules: str, walk: list[Move], elapsed_s: int) -> None:
    """A balance read at a moment is the one an operation at that moment finds."""
    pool, now_s = opened(rules), START_S
    for move in walk:
        now_s += move.elapsed_s
        perform(pool, aimed(pool, move), now_s)
    now_s += elapsed_s
    pool.reserves["USDC"].liquidity_rate = max(1, pool.reserves["USDC"].liquidity_rate)
    read = [(pool.debt(x, "USDC", now_s), pool.collateral(x, "USDC", now_s)) for x in USERS]
    pool.accrue("USDC", now_s)
    pool.accrue("USDC", now_s)
    assert read == [(pool.debt(x, "USDC", now_s), pool.collateral(x, "USDC", now_s)) for x in USERS]


def test_a_broken_rule_would_be_seen() -> None:
    """Planted fault: a share lost in a transfer breaks the sum that the first property checks."""
    pool = opened("v3.7")
    pool.market.account("alice").supplied["WETH"] -= 1
    held = sum(x.supplied.get("WETH", 0) for x in pool.market.accounts.values())
    assert held != pool.reserves["WETH"].supplied
    assert listed("WETH", 1.0).supplied == 0
