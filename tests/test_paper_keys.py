"""Keys: found under a sandbox's name only, never shown, and never those of production."""

import copy
import json
import logging
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.paper.allowed import find_venue
from seawall.paper.errors import KeysRefused
from seawall.paper.guard import local_venue
from seawall.paper.keys import Secret, load_keys, read_env_file
from seawall.paper.redaction import RedactionFilter, Redactor, protect_output

SPOT = find_venue("binance", "spot", "sandbox")
PERPETUAL = find_venue("binance", "perpetual", "sandbox")
GOOD = {"BINANCE_TESTNET_API_KEY": "MARKED-key-1", "BINANCE_TESTNET_SECRET": "MARKED-secret-1"}


def no_keyring(_service: str, _name: str) -> None:
    """Find nothing."""


def load(environment: dict[str, str], venue: Any = SPOT, **rest: Any) -> Any:
    """Load without the system's keyring."""
    return load_keys(venue, environment=environment, **{"keyring": no_keyring, **rest})


def fail(cause: Exception) -> None:
    """Raise with a cause."""
    raise RuntimeError("signature=abcdef") from cause


def write(file: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file of keys."""
    file.write_text(text)
    file.chmod(mode)
    return file


def test_keys_are_found_under_their_name() -> None:
    """Environment first; the market's own name before the exchange's; both named in the result."""
    keys = load(GOOD)
    assert keys.credentials() == {"apiKey": "MARKED-key-1", "secret": "MARKED-secret-1"}
    assert (keys.source, set(keys.names)) == ("environment", set(GOOD))
    own = {"BINANCE_PERPETUAL_DEMO_API_KEY": "k2", "BINANCE_PERPETUAL_DEMO_SECRET": "s2"}
    assert load({**GOOD, **own}, PERPETUAL).credentials() == {"apiKey": "k2", "secret": "s2"}
    assert load({**GOOD, **own}).credentials()["apiKey"] == "MARKED-key-1"


def test_keys_of_two_accounts_are_not_mixed() -> None:
    """A key of one name and the secret of another are no pair."""
    mixed = {"BINANCE_TESTNET_API_KEY": "k", "BINANCE_DEMO_SECRET": "s"}
    with pytest.raises(KeysRefused, match="pairs"):
        load(mixed)


def test_the_file_and_the_keyring_are_sources(tmp_path: Path) -> None:
    """A .env file with quotes, comments and export; the keyring behind it."""
    lines = ["# mine", "", "export BINANCE_TESTNET_API_KEY='ka' ", 'BINANCE_TESTNET_SECRET = "s b"']
    text = "\n".join([*lines, "OTHER=1 # x"])
    file = write(tmp_path / ".env", text)
    keys = load({}, file=file)
    assert keys.credentials() == {"apiKey": "ka", "secret": "s b"}
    assert keys.source == ".env"
    assert read_env_file(file)["OTHER"] == "1"
    vault = {("seawall", name): value for name, value in GOOD.items()}
    found = load({}, keyring=lambda service, name: vault.get((service, name)))
    assert found.source == "keyring"


def test_the_system_s_keyring_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package there: what is kept for seawall is found, and shown nowhere."""
    package: Any = pytest.importorskip("keyring", reason="the extra keyring is not installed")

    def find(service: str, name: str) -> str | None:
        return GOOD.get(name) if service == "seawall" else None

    monkeypatch.setattr(package, "get_password", find)
    keys = load({}, keyring=None)
    assert keys.source == "keyring"
    assert keys.credentials()["apiKey"] == GOOD["BINANCE_TESTNET_API_KEY"]
    assert "MARKED" not in repr(keys)


def test_a_keyring_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked, without a backend, or not installed: what to do, and nothing of what it said."""

    def locked(_service: str, _name: str) -> None:
        raise RuntimeError("MARKED: no recommended backend was available")

    with pytest.raises(KeysRefused, match="keyring cannot be used") as refusal:
        load({}, keyring=locked)
    assert "MARKED" not in str(refusal.value)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeysRefused, match=r"pip install \"seawall\[keyring\]\""):
        load({}, keyring=None)
    assert load(GOOD, keyring=locked).source == "environment"


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says what to do, and nothing of the content."""
    file = write(tmp_path / ".env", "BINANCE_TESTNET_API_KEY=MARKED\n", mode)
    with pytest.raises(KeysRefused, match="chmod 600") as refusal:
        load({}, file=file)
    assert "MARKED" not in str(refusal.value)


def test_odd_files_are_refused(tmp_path: Path) -> None:
    """A link, a folder, a missing file, a line that is none."""
    real = write(tmp_path / "real", "A=1\n")
    link = tmp_path / "link"
    link.symlink_to(real)
    for file in (link, tmp_path, tmp_path / "none", write(tmp_path / "bad", "MARKED no line\n")):
        with pytest.raises(KeysRefused) as refusal:
            load({}, file=file)
        assert "MARKED" not in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    ["BINANCE_API_KEY", "BINANCE_LIVE_API_KEY", "binance_api_key", "API_KEY", "EXCHANGE_KEY"],
)
def test_a_key_without_a_sandbox_s_name_is_not_used(name: str) -> None:
    """It is named in the refusal where it is the exchange's, and its value is not."""
    with pytest.raises(KeysRefused, match="TESTNET") as refusal:
        load({name: "MARKED", name.replace("KEY", "SECRET"): "MARKED"})
    assert "MARKED" not in str(refusal.value)


@pytest.mark.parametrize(
    ("venue", "stem"),
    [
        (SPOT, "BINANCE_TESTNET"),
        (PERPETUAL, "BINANCE_PERPETUAL_DEMO"),
        (local_venue("http://127.0.0.1:8080", "spot"), "LOCAL_SANDBOX"),
        (local_venue("http://127.0.0.1:8080", "perpetual"), "LOCAL_SANDBOX"),
    ],
)
def test_what_is_missing_has_the_name_of_the_readme(venue: Any, stem: str) -> None:
    """Who sets what the refusal names has keys."""
    with pytest.raises(KeysRefused, match=f"set {stem}_API_KEY and {stem}_SECRET in"):
        load({}, venue)
    assert load({f"{stem}_API_KEY": "MARKED", f"{stem}_SECRET": "MARKED-2"}, venue).values


@pytest.mark.parametrize("name", ["BINANCE_API_KEY", "MY_KEY", "BINANCE_TESTNET_LIVE_KEY"])
def test_a_value_that_stands_under_another_name_is_refused(name: str) -> None:
    """The same key called testnet's and not: it may be production's."""
    with pytest.raises(KeysRefused, match=name):
        load({**GOOD, name: "MARKED-key-1"})


@pytest.mark.parametrize(
    "value",
    [
        "organizations/1b2c-3d/apiKeys/4e5f-6a",
        "sk_live_abcdef",
        "abandon ability able about above absent absorb abstract absurd abuse access accident",
    ],
)
def test_production_shapes_are_refused(value: str) -> None:
    """Keys that only production hands out, and wallets."""
    with pytest.raises(KeysRefused, match="sandbox keys only") as refusal:
        load({"BINANCE_TESTNET_API_KEY": value, "BINANCE_TESTNET_SECRET": "s"})
    assert value not in str(refusal.value)


def test_a_shadow_takes_no_keys() -> None:
    """Even keys with the right name are not loaded."""
    with pytest.raises(KeysRefused, match="shadow"):
        load(GOOD, find_venue("binance", "spot", "shadow"))


# Never shown ------------------------------------------------------------------------------------


def test_a_secret_is_never_shown() -> None:
    """Printed, formatted, in containers and dataclasses, copied or pickled: stars, or a refusal."""
    secret = Secret("MARKED")
    keys = load(GOOD)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", "%s" % secret]  # noqa: UP031
    shown += [repr([secret]), repr({"a": secret}), repr(keys), str(keys), keys.fingerprint]
    assert not [text for text in shown if "MARKED" in text]
    with pytest.raises(KeysRefused):
        pickle.dumps(secret)
    with pytest.raises(KeysRefused):
        copy.deepcopy(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert secret == Secret("MARKED")
    assert secret != Secret("other")
    assert not hasattr(secret, "__dict__")


def test_fingerprints_tell_accounts_apart() -> None:
    """The same key, the same fingerprint; another key, another."""
    other = {**GOOD, "BINANCE_TESTNET_API_KEY": "k9"}
    assert load(GOOD).fingerprint == load(dict(GOOD)).fingerprint != load(other).fingerprint


@given(st.text("abcdefXYZ0189+/=&%? -_", min_size=4, max_size=40), st.text(max_size=20))
def test_no_secret_survives_cleaning(value: str, around: str) -> None:
    """Whatever surrounds it, the value is gone; so is what stands behind ``signature=``."""
    redactor = Redactor([Secret(value)])
    cleaned = redactor.clean(f"{around}{value}{around} signature=abcdef0123&x=1")
    assert value not in cleaned.replace("***", "\0")
    assert "abcdef0123" not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "GET https://x/api?timestamp=1&signature=MARKED&recvWindow=5",
        "{'X-MBX-APIKEY': 'MARKED', 'a': 1}",
        '{"listenKey":"MARKED"}',
        "Authorization: Bearer MARKED",
        "OK-ACCESS-SIGN=MARKED",
        'secret="MARKED"',
        "apiKey: MARKED, more",
    ],
)
def test_places_of_secrets_are_cleaned_untold(text: str) -> None:
    """A signature is not known beforehand; its place is."""
    assert "MARKED" not in Redactor().clean(text)


def test_logs_are_cleaned(caplog: pytest.LogCaptureFixture) -> None:
    """Message, arguments, traceback with its causes, and a format that does not fit."""
    redactor = Redactor([Secret("MARKED-1")])
    caplog.handler.addFilter(RedactionFilter(redactor))
    logger = logging.getLogger("anywhere.below")
    cause = ValueError("MARKED-1")
    try:
        fail(cause)
    except RuntimeError:
        logger.exception("with %s and %r", "MARKED-1", {"a": "MARKED-1"})
    logger.warning("%d", "MARKED-1")
    logger.warning("stack MARKED-1", stack_info=True)
    assert "RuntimeError" in caplog.text
    assert "MARKED-1" not in caplog.text
    assert "abcdef" not in caplog.text


def test_an_uncaught_error_is_cleaned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The interpreter's last words hold no secret."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    protect_output(Redactor([Secret("MARKED")]), [])
    error = ValueError("it was MARKED")
    sys.excepthook(ValueError, error, None)
    assert capsys.readouterr().err == "ValueError: it was ***\n"
