"""Keys of sandboxes: where they are found, and how it is known that they are not production's.

A key is taken from the environment, a ``.env`` file or the system's keyring, under a name that
says what it is for: ``BINANCE_TESTNET_API_KEY``, ``BINANCE_PERPETUAL_DEMO_SECRET``. **The name is
what tells**: testnet and production keys of most exchanges look alike, and to ask production
whether it knows one would be to use it there. So a name must hold SANDBOX, TESTNET or DEMO, and a
key is refused where the same value also stands under a name without one of them, or where its
shape is one that only production has.

Left out: proof. A production key that its owner calls a testnet key reaches the testnet's host
only (``guard``), which does not know it.
"""

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from seawall.paper.allowed import Venue
from seawall.paper.errors import KeysRefused

SANDBOX_WORDS = ("SANDBOX", "TESTNET", "DEMO")
_FIELDS = {
    "API_KEY": "apiKey",
    "SECRET": "secret",
    "PASSWORD": "password",
    "WALLET_ADDRESS": "walletAddress",
    "PRIVATE_KEY": "privateKey",
}
_PRODUCTION_WORDS = re.compile(r"(^|_)(LIVE|PROD|PRODUCTION|MAINNET|REAL)(_|$)")
_PRODUCTION_SHAPES = (
    (re.compile(r"organizations/[0-9a-f-]+/apiKeys/[0-9a-f-]+"), "a key of Coinbase's production"),
    (re.compile(r"(?i)(^|[_-])(live|prod|mainnet)[_-]"), "called live by its exchange"),
    (re.compile(r"([a-z]{3,8}\s+){11,23}[a-z]{3,8}"), "the seed phrase of a wallet"),
)
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_KEYRING_SERVICE = "seawall"


class Secret:
    """A text that is never shown: not printed, logged, pickled, formatted or serialised."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the text itself; for the one who signs, and for the redaction."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, _how: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self.reveal().encode(), other.reveal().encode()
        )

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce__(self) -> NoReturn:
        raise KeysRefused("a secret is not stored or sent to another process: load it there")


@dataclass(frozen=True, kw_only=True)
class SandboxKeys:
    """The keys of one account in one sandbox.

    Attributes:
        values: secrets by ccxt's names.
        source: ``environment``, ``keyring`` or the file's name; never a value.
        names: under which names they were found.
    """

    values: Mapping[str, Secret]
    source: str
    names: tuple[str, ...]

    def credentials(self) -> dict[str, str]:
        """Return what ccxt takes, in the clear; hand it to ``connect`` and keep it nowhere."""
        return {name: secret.reveal() for name, secret in self.values.items()}

    @property
    def fingerprint(self) -> str:
        """Return twelve hex digits that tell accounts apart and keys not."""
        one = self.values.get("apiKey") or self.values["walletAddress"]
        return hashlib.sha256(b"seawall account " + one.reveal().encode()).hexdigest()[:12]


def load_keys(
    venue: Venue,
    *,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
    keyring: Callable[[str, str], str | None] | None = None,
) -> SandboxKeys:
    """Return the keys of a sandbox, from the first source that has any.

    Args:
        venue: a sandbox, or the local exchange.
        environment: the process's own by default.
        file: a ``.env`` file that nobody else may read; none by default.
        keyring: ``(service, name) -> secret``; by default the system's, where the extra
            ``keyring`` is installed: ``keyring set seawall BINANCE_TESTNET_API_KEY`` fills it.

    Raises:
        KeysRefused: there are none, they are incomplete, the file is open to others, or they may
            be production's.
    """
    if venue.mode == "shadow":
        raise KeysRefused("a shadow needs no keys and takes none: start it without")
    process = os.environ if environment is None else environment
    from_file = {} if file is None else read_env_file(file)
    wanted = _names_of(venue)
    sources: list[tuple[str, Callable[[str], str | None]]] = [
        ("environment", process.get),
        (file.name if file else "", from_file.get),
    ]
    vault = _Vault(keyring)
    sources.append(("keyring", vault.look_up))
    for source, look_up in sources:
        found = {name: value for name in wanted if (value := look_up(name))}
        if found:
            keys = _to_keys(found, wanted, source)
            _check_not_production(found, {**from_file, **process})
            return keys
    nothing = _nothing_found(venue, wanted, {**from_file, **process})
    raise KeysRefused(f"{nothing}; {vault.why_not}" if vault.why_not else nothing)


def read_env_file(file: Path) -> dict[str, str]:
    """Return what a ``.env`` file sets.

    Raises:
        KeysRefused: it is no plain file of this user that others can neither read nor write.
    """
    try:
        status = file.lstat()
    except OSError as error:
        raise KeysRefused(
            f"the file of keys cannot be read: {error.strerror}: {file.name}"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise KeysRefused(f"the file of keys must be a plain file, is none: {file.name}")
    if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid not in (0, os.getuid())):
        raise KeysRefused(
            f"the file of keys must be yours alone, has mode {status.st_mode & 0o777:o}: "
            f"chmod 600 {file.name}"
        )
    pairs: dict[str, str] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise KeysRefused(f"a line is NAME=VALUE, line {number} of {file.name} is not")
        pairs[match[1]] = _unquote(match[2])
    return pairs


def _unquote(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text.partition(" #")[0].rstrip()


def _names_of(venue: Venue) -> dict[str, str]:
    """Return ccxt's field by name, the names that also say the market first."""
    exchange, market = venue.exchange.upper(), venue.market.upper()
    stems = [f"{exchange}_{market}_{word}" for word in SANDBOX_WORDS]
    stems += [f"{exchange}_{word}" for word in SANDBOX_WORDS]
    return {f"{stem}_{name}": field for stem in stems for name, field in _FIELDS.items()}


def _to_keys(found: Mapping[str, str], wanted: Mapping[str, str], source: str) -> SandboxKeys:
    """Keep the names of the first stem only: keys of two accounts are never mixed."""
    stem = _stem(next(iter(found)), wanted)
    chosen = {name: value for name, value in found.items() if _stem(name, wanted) == stem}
    values = {wanted[name]: Secret(value) for name, value in chosen.items()}
    pairs = (("apiKey", "secret"), ("walletAddress", "privateKey"))
    if not any(set(pair) <= set(values) for pair in pairs):
        raise KeysRefused(
            f"keys come in pairs, {', '.join(chosen)} stands alone in the {source}: set "
            f"{stem}_API_KEY and {stem}_SECRET"
        )
    return SandboxKeys(values=values, source=source, names=tuple(chosen))


def _stem(name: str, wanted: Mapping[str, str]) -> str:
    field = wanted[name]
    suffix = next(one for one, of in _FIELDS.items() if of == field)
    return name.removesuffix("_" + suffix)


def _check_not_production(found: Mapping[str, str], everything: Mapping[str, str]) -> None:
    for name, value in found.items():
        for shape, what in _PRODUCTION_SHAPES:
            if shape.search(value):
                raise KeysRefused(f"{name} is {what}: paper trading takes sandbox keys only")
        for other, same in everything.items():
            if same == value and not _says_sandbox(other):
                raise KeysRefused(
                    f"{name} has the value of {other}, which is not named as a sandbox's: if it is "
                    f"production's, make keys in the sandbox; if not, unset {other}"
                )


def _says_sandbox(name: str) -> bool:
    name = name.upper()
    return any(word in name for word in SANDBOX_WORDS) and not _PRODUCTION_WORDS.search(name)


def _nothing_found(venue: Venue, wanted: Mapping[str, str], everything: Mapping[str, str]) -> str:
    """Return what to set; a key under another name is named, never used."""
    exchange = venue.exchange.upper()
    is_future = venue.market == "perpetual"
    word = "SANDBOX" if venue.mode == "local" else "PERPETUAL_DEMO" if is_future else "TESTNET"
    other = [n for n in everything if n.upper().startswith(exchange + "_") and n not in wanted]
    hint = f"; {', '.join(sorted(other))} is not named as a sandbox's and was not used"
    return (
        f"{venue.name} needs keys of its sandbox, named with {', '.join(SANDBOX_WORDS)}: set "
        f"{exchange}_{word}_API_KEY and {exchange}_{word}_SECRET in the environment, a .env file "
        f"or the system keyring{hint if other else ''}"
    )


class _Vault:
    """The system's keyring, which may be missing, locked or without a place to keep anything.

    Attributes:
        why_not: why nothing can be found in it, ``""`` where it could be.
    """

    def __init__(self, ask: Callable[[str, str], str | None] | None) -> None:
        self._ask, self.why_not = ask, ""
        if ask is None:
            try:
                self._ask = import_module("keyring").get_password
            except ImportError:
                self.why_not = (
                    'the system keyring was not asked: pip install "seawall[keyring]" to use it'
                )

    def look_up(self, name: str) -> str | None:
        """Return what is kept under a name; ``None`` also from the first failure on."""
        if self._ask is None or self.why_not:
            return None
        try:
            return self._ask(_KEYRING_SERVICE, name)
        except Exception as error:  # noqa: BLE001 - each backend has its own; its text may say much
            self.why_not = (
                f"the system keyring cannot be used ({type(error).__name__}): unlock it, or use "
                "the environment or a .env file"
            )
            return None
