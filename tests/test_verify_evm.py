"""The local EVM: words in and out, reverts by name, the clock, and ways back."""

import pytest

from seawall.errors import ToolError
from seawall.verify.evm import Contract, Evm, Reverted, decode, encode, link
from seawall.verify.packages import Artifact, missing_tools, own_contracts

REASON = missing_tools()
needs_evm = pytest.mark.skipif(REASON is not None, reason=REASON or "")
UNSIGNED = ("uint256", "address", "bool")
ADDRESS = "0x" + "ab" * 20


def test_unsigned_words_survive_encoding() -> None:
    """Integers of 256 bits, addresses and booleans come back as they went in."""
    values = (2**256 - 1, ADDRESS, True)
    data = encode(UNSIGNED, values)
    assert len(data) == 96
    assert decode(UNSIGNED, data) == values


def test_arguments_are_counted() -> None:
    """A forgotten argument is an error here, not a revert there."""
    with pytest.raises(TypeError, match="3 arguments are wanted, 1 were given"):
        encode(UNSIGNED, (1,))


def test_libraries_are_linked_where_they_are_called() -> None:
    """Each placeholder of 20 bytes becomes the address of its library."""
    code = "60" + "__" * 20 + "61" + "__" * 20
    artifact = Artifact(name="A", abi=(), bytecode=code, links={"L": (1, 22)})
    assert link(artifact, {"L": ADDRESS}) == "60" + "ab" * 20 + "61" + "ab" * 20


@pytest.fixture(scope="module")
def compiled() -> dict[str, Artifact]:
    """Return our own contracts, or skip where they cannot be compiled."""
    try:
        return own_contracts()
    except ToolError as error:
        pytest.skip(str(error))


@pytest.fixture
def evm() -> Evm:
    """Return a fresh EVM."""
    return Evm()


@pytest.fixture
def token(evm: Evm, compiled: dict[str, Artifact]) -> Contract:
    """Return a token of which the first user holds 100."""
    deployed = evm.deploy(compiled["Token"], "WETH", 18)
    deployed.call("mint", evm.account(1), 100)
    return deployed


@pytest.mark.evm
@needs_evm
class TestEvm:
    """What needs pyrevm and the compiler."""

    def test_a_call_changes_and_a_view_does_not(self, evm: Evm, token: Contract) -> None:
        """A view of a function that writes is refused, as a static call is."""
        one, two = evm.account(1), evm.account(2)
        assert token.call("transfer", two, 30, sender=one) is True
        with pytest.raises(Reverted):
            token.view("transfer", two, 30, sender=one)
        assert (token.view("balanceOf", one), token.view("balanceOf", two)) == (70, 30)
        assert (token.view("symbol"), token.view("decimals")) == ("WETH", 18)

    def test_a_revert_says_why_and_changes_nothing(self, evm: Evm, token: Contract) -> None:
        """More than is held underflows, which Solidity calls panic 0x11."""
        one, two = evm.account(1), evm.account(2)
        with pytest.raises(Reverted, match=r"Panic\(0x11\)"):
            token.call("transfer", two, 101, sender=one)
        assert token.view("balanceOf", one) == 100

    def test_the_way_back_is_state_and_clock(self, evm: Evm, token: Contract) -> None:
        """After a revert to a snapshot it is as if nothing had been."""
        one, two, began = evm.account(1), evm.account(2), evm.now_s
        point = evm.snapshot()
        token.call("transfer", two, 30, sender=one)
        evm.warp(60)
        assert evm.now_s == began + 60
        evm.revert(point)
        assert (token.view("balanceOf", two), evm.now_s) == (0, began)

    def test_a_feed_answers_as_it_was_set(self, evm: Evm, compiled: dict[str, Artifact]) -> None:
        """Prices may be negative in the interface, and the round is stamped with the clock."""
        feed = evm.deploy(compiled["PriceFeed"])
        feed.call("set", -5)
        evm.warp(10)
        assert feed.view("latestAnswer") == -5
        assert feed.view("latestRoundData")[3] == evm.now_s

    def test_the_last_event_is_read(self, evm: Evm, token: Contract) -> None:
        """Its unindexed words, by the event's signature; another kind is not found."""
        token.call("transfer", evm.account(2), 30, sender=evm.account(1))
        assert evm.last_event_words("Transfer(address,address,uint256)") == (30,)
        with pytest.raises(LookupError, match="emitted no Approval"):
            evm.last_event_words("Approval(address,address,uint256)")
