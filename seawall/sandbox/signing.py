"""Who sent a request: the key, the signature over the raw bytes, and the time it was signed.

Source: Binance, request security: HMAC-SHA256 in hex over the query string followed by the body,
without the signature itself; a timestamp at most ``recvWindow`` old and a second ahead.
Left out: RSA and Ed25519 keys.
"""

import hmac

from seawall.sandbox.accounts import Account, Accounts
from seawall.sandbox.call import Call, Security
from seawall.sandbox.refusals import UNAUTHORIZED, ApiError, missing

DEFAULT_WINDOW_MS = 5_000
LONGEST_WINDOW_MS = 60_000
AHEAD_MS = 1_000
_MARK = b"signature="


def identify(call: Call, accounts: Accounts, security: Security) -> Account | None:
    """Return the account that a request comes from, None where the route is open to all.

    Raises:
        ApiError: key, signature or time are not what they have to be.
    """
    if security == "none":
        return None
    account = find_account(call.key, accounts)
    if security == "signed":
        payload = strip_signature(call.query) + strip_signature(call.body)
        check_signature(account, payload, call.params.get("signature"))
        check_time(call)
    return account


def find_account(key: str, accounts: Accounts) -> Account:
    """Return the account of a key.

    Raises:
        ApiError: there is no key, or nobody has it.
    """
    if not key:
        raise ApiError(-2014, "API-key format invalid.", status=UNAUTHORIZED)
    account = accounts.by_key.get(key)
    if account is None:
        raise ApiError(
            -2015, "Invalid API-key, IP, or permissions for action.", status=UNAUTHORIZED
        )
    return account


def check_signature(account: Account, payload: bytes, signature: str | None) -> None:
    """Raise ApiError where the account's secret does not sign ``payload`` so."""
    if not signature:
        raise missing("signature")
    wanted = hmac.digest(account.secret, payload, "sha256").hex()
    if not hmac.compare_digest(wanted.encode(), signature.lower().encode()):
        raise ApiError(-1022, "Signature for this request is not valid.")


def check_time(call: Call) -> None:
    """Raise ApiError where a request was signed too long ago, or in the future."""
    signed_ms = call.integer("timestamp")
    if signed_ms is None:
        raise missing("timestamp")
    window_ms = call.integer("recvWindow")
    if window_ms is None:
        window_ms = DEFAULT_WINDOW_MS
    if window_ms > LONGEST_WINDOW_MS:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    if signed_ms >= call.now_ms + AHEAD_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if call.now_ms - signed_ms > window_ms:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def strip_signature(raw: bytes) -> bytes:
    """Return the raw parameters without the signature, which may stand anywhere among them."""
    at = raw.rfind(_MARK)
    if at < 0 or (at > 0 and raw[at - 1 : at] != b"&"):
        return raw
    end = raw.find(b"&", at)
    if end < 0:
        return raw[: max(at - 1, 0)]
    return raw[:at] + raw[end + 1 :]
