"""A local EVM: deploy contracts, call them, move the clock; small, and deterministic.

What one has to know of pyrevm, and what is done about it here: ``commit`` breaks every later call,
so it is never called; a whole session is one transaction, so transient storage is cleared after
each call and gas figures mean nothing; memory grows with every call, so a proof starts a fresh
``Evm`` now and then; a revert raises ``RuntimeError`` with the data in its text alone.

Addresses are lower-case hex strings, amounts and words are ``int``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from seawall.verify.packages import Artifact

DEPLOYER = "0x" + "d0" * 20
ZERO_ADDRESS = "0x" + "00" * 20
WORD = 32
_WALLET = 10**24
_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_REVERT_DATA = re.compile(r"output: 0x([0-9a-f]*)")
_UNSIGNED = re.compile(r"uint\d*|address|bool")


class Reverted(Exception):  # noqa: N818 - reads as what happened; the comparison expects it
    """A contract refused a call.

    ``reason`` is the text of a ``require``, the name of a custom error, or ``Panic(0x..)``.
    """

    def __init__(self, reason: str, data: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.data = data


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of an interface, ready to encode and decode."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    leaf_names: tuple[str, ...]
    leaf_types: tuple[str, ...]

    @cached_property
    def selector(self) -> bytes:
        """Return the four bytes that a call starts with."""
        return selector_of(f"{self.name}({','.join(self.inputs)})")

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """Return the data of a call."""
        return self.selector + encode(self.inputs, arguments)

    def decode(self, data: bytes) -> Any:
        """Return the answer: the value of a single output, a tuple of several, else ``None``."""
        if not self.outputs:
            return None
        values = decode(self.outputs, data)
        return values[0] if len(values) == 1 else values


class Contract:
    """A deployed contract and its interface.

    A function that is overloaded is named with its types, ``"mint(address,uint256)"``.
    """

    def __init__(self, evm: "Evm", address: str, abi: Sequence[Mapping[str, Any]]) -> None:
        self.address = address
        self._evm = evm
        self._functions = _functions(abi)

    def call(self, name: str, *arguments: Any, sender: str = DEPLOYER) -> Any:
        """Send a transaction and return what the function returns.

        Raises:
            Reverted: the contract refuses; nothing has changed then.
        """
        function = self._functions[name]
        return function.decode(self._evm.send(self.address, function.encode(arguments), sender))

    def view(self, name: str, *arguments: Any, sender: str = DEPLOYER) -> Any:
        """Return what a function returns, leaving the state as it is.

        Raises:
            Reverted: the contract refuses.
        """
        function = self._functions[name]
        return function.decode(self._evm.read(self.address, function.encode(arguments), sender))

    def record(self, name: str, *arguments: Any) -> dict[str, Any]:
        """Return the named outputs of a view, those of a struct within it beside them.

        For structs of plain words only, which are all that the protocols' readers return.
        """
        function = self._functions[name]
        data = self._evm.read(self.address, function.encode(arguments), DEPLOYER)
        return dict(zip(function.leaf_names, decode(function.leaf_types, data), strict=True))


class Evm:
    """An in-process EVM by Cancun's rules, with a clock that only ``warp`` and ``revert`` move."""

    def __init__(self, now_s: int = 1_700_000_000) -> None:
        import pyrevm

        self.now_s = now_s
        self._block: Callable[[int], Any] = lambda time_s: pyrevm.BlockEnv(timestamp=time_s)
        self._evm = pyrevm.EVM(env=pyrevm.Env(block=self._block(now_s)), spec_id="CANCUN")
        self._evm.set_balance(DEPLOYER, _WALLET)
        self._errors: dict[bytes, str] = {}

    def account(self, number: int) -> str:
        """Return the address of the user of that number, with native coins to spend."""
        address = f"0x{0xA11CE000 + number:040x}"
        self._evm.set_balance(address, _WALLET)
        return address

    def deploy(
        self,
        artifact: Artifact,
        *arguments: Any,
        sender: str = DEPLOYER,
        libraries: Mapping[str, str] | None = None,
    ) -> Contract:
        """Deploy a contract, its calls to libraries linked to the given addresses.

        Raises:
            Reverted: the constructor refuses.
        """
        self.learn_errors(artifact.abi)
        constructor = next((x for x in artifact.abi if x["type"] == "constructor"), None)
        types = tuple(_type_of(x) for x in constructor["inputs"]) if constructor else ()
        code = bytes.fromhex(link(artifact, libraries or {})) + encode(types, arguments)
        try:
            address = self._evm.deploy(sender, code)
        except RuntimeError as error:
            raise self._reverted(error) from None
        return self.at(str(address), artifact.abi)

    def at(self, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        """Return the contract at an address, seen through an interface."""
        return Contract(self, address.lower(), abi)

    def learn_errors(self, abi: Sequence[Mapping[str, Any]]) -> None:
        """Know an interface's custom errors by name; ``deploy`` does so by itself."""
        for entry in abi:
            if entry["type"] == "error":
                types = ",".join(_type_of(x) for x in entry["inputs"])
                self._errors[selector_of(f"{entry['name']}({types})")] = entry["name"]

    def send(self, to: str, data: bytes, sender: str = DEPLOYER) -> bytes:
        """Send a transaction of raw data and return the raw answer."""
        try:
            answer: bytes = self._evm.message_call(sender, to, data)
        except RuntimeError as error:
            raise self._reverted(error) from None
        finally:
            self._evm.reset_transient_storage()
        return answer

    def read(self, to: str, data: bytes, sender: str = DEPLOYER) -> bytes:
        """Return the raw answer to raw data, leaving the state as it is."""
        try:
            answer: bytes = self._evm.message_call(sender, to, data, is_static=True)
        except RuntimeError as error:
            raise self._reverted(error) from None
        return answer

    def warp(self, seconds: int) -> None:
        """Move the clock forward."""
        self._set_time(self.now_s + seconds)

    def snapshot(self) -> tuple[Any, int]:
        """Return a point to ``revert`` to: the state and the clock; it serves once."""
        return self._evm.snapshot(), self.now_s

    def revert(self, point: tuple[Any, int]) -> None:
        """Go back to an earlier point."""
        checkpoint, time_s = point
        self._evm.revert(checkpoint)
        self._set_time(time_s)

    def last_event_words(self, signature: str) -> tuple[int, ...]:
        """Return the data of the last call's latest event of a kind, as unsigned words.

        Raises:
            LookupError: there was no such event.
        """
        topic = "0x" + keccak(signature.encode()).hex()
        result = self._evm.result
        for log in reversed(result.logs if result is not None else []):
            if log.topics and log.topics[0] == topic:
                data = bytes(log.data[1])
                return tuple(int.from_bytes(data[i : i + WORD]) for i in range(0, len(data), WORD))
        raise LookupError(f"the last call emitted no {signature}")

    def _set_time(self, time_s: int) -> None:
        self.now_s = time_s
        self._evm.set_block_env(self._block(time_s))

    def _reverted(self, error: RuntimeError) -> Reverted:
        found = _REVERT_DATA.search(str(error))
        if found is None:
            return Reverted(str(error)[:200])
        data = bytes.fromhex(found[1])
        head, body = data[:4], data[4:]
        if head == _ERROR_STRING:
            return Reverted(str(decode(("string",), body)[0]), data)
        if head == _PANIC:
            return Reverted(f"Panic(0x{int.from_bytes(body):02x})", data)
        return Reverted(self._errors.get(head, f"0x{head.hex()}"), data)


def link(artifact: Artifact, libraries: Mapping[str, str]) -> str:
    """Return the creation code with the addresses of its libraries filled in, as hex digits."""
    code = artifact.bytecode
    for library, offsets in artifact.links.items():
        address = libraries[library].removeprefix("0x")
        for offset in offsets:
            code = code[: 2 * offset] + address + code[2 * offset + 40 :]
    return code


@lru_cache(maxsize=4096)
def selector_of(signature: str) -> bytes:
    """Return the first four bytes of a signature's hash, such as of ``"transfer(address)"``."""
    return keccak(signature.encode())[:4]


def keccak(data: bytes) -> bytes:
    """Return Ethereum's hash of some bytes."""
    from eth_hash.auto import keccak as hash_of

    return bytes(hash_of(data))


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the ABI encoding of some values; whole words by hand, which is ten times faster."""
    if len(types) != len(values):
        raise TypeError(f"{len(types)} arguments are wanted, {len(values)} were given")
    if _are_unsigned(tuple(types)):
        words = (int(v, 16) if isinstance(v, str) else int(v) for v in values)
        return b"".join(word.to_bytes(WORD) for word in words)
    from eth_abi.abi import encode as encode_any

    return bytes(encode_any(types, values))


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Return the values of an ABI encoding; unsigned words by hand, addresses in lower case."""
    if _are_unsigned(tuple(types)) and len(data) >= WORD * len(types):
        words = (data[at : at + WORD] for at in range(0, WORD * len(types), WORD))
        return tuple(_from_word(kind, word) for kind, word in zip(types, words, strict=True))
    from eth_abi.abi import decode as decode_any

    return tuple(decode_any(types, data))


@lru_cache(maxsize=4096)
def _are_unsigned(types: tuple[str, ...]) -> bool:
    return all(_UNSIGNED.fullmatch(kind) for kind in types)


def _from_word(kind: str, word: bytes) -> int | str | bool:
    if kind == "address":
        return f"0x{word[12:].hex()}"
    number = int.from_bytes(word)
    return bool(number) if kind == "bool" else number


def _functions(abi: Sequence[Mapping[str, Any]]) -> dict[str, Function]:
    """Return an interface's functions by name, and by signature."""
    found: dict[str, Function] = {}
    for entry in abi:
        if entry["type"] == "function":
            leaves = [leaf for output in entry["outputs"] for leaf in _leaves(output)]
            function = Function(
                name=entry["name"],
                inputs=tuple(_type_of(x) for x in entry["inputs"]),
                outputs=tuple(_type_of(x) for x in entry["outputs"]),
                leaf_names=tuple(x["name"] for x in leaves),
                leaf_types=tuple(x["type"] for x in leaves),
            )
            found[f"{function.name}({','.join(function.inputs)})"] = function
            found[function.name] = function
    return found


def _leaves(output: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an output, or the fields of the struct that it is, and of those within it."""
    if output["type"] != "tuple":
        return [output]
    return [leaf for field in output["components"] for leaf in _leaves(field)]


def _type_of(parameter: Mapping[str, Any]) -> str:
    """Return a parameter's type in canonical form; a struct as the tuple of its fields."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    fields = ",".join(_type_of(field) for field in parameter["components"])
    return f"({fields}){kind.removeprefix('tuple')}"
