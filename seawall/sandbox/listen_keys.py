"""Listen keys: what a user stream of perpetuals is opened with, and for how long it lives.

One key for each account; it lives an hour from when it was asked for or prolonged, in the
exchange's time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from seawall.sandbox.accounts import Account
from seawall.sandbox.linear_refusals import unknown_listen_key
from seawall.units import HOUR_MS

LIFE_MS = HOUR_MS
_LENGTH = 64


@dataclass(slots=True)
class ListenKey:
    """One key, and until when it lives."""

    text: str
    account: Account
    until_ms: int


Ended = Callable[[ListenKey, int], None]  # with the time of its end


class ListenKeys:
    """The keys of all accounts."""

    def __init__(self) -> None:
        self.on_expired: list[Ended] = []
        self.on_closed: list[Ended] = []
        self._by_account: dict[str, ListenKey] = {}
        self._by_text: dict[str, ListenKey] = {}
        self._n_made = 0

    def open(self, account: Account, now_ms: int) -> ListenKey:
        """Return the account's key, made where it has none, and prolong it."""
        key = self._by_account.get(account.name)
        if key is None:
            self._n_made += 1
            seed = f"{account.name}:{account.number}:{self._n_made}:{now_ms}".encode()
            key = ListenKey(sha256(seed).hexdigest()[:_LENGTH], account, 0)
            self._by_account[account.name] = self._by_text[key.text] = key
        key.until_ms = now_ms + LIFE_MS
        return key

    def prolong(self, account: Account, now_ms: int) -> ListenKey:
        """Let the account's key live for another hour.

        Raises:
            ApiError: it has none.
        """
        if account.name not in self._by_account:
            raise unknown_listen_key()
        return self.open(account, now_ms)

    def close(self, account: Account, now_ms: int) -> None:
        """Take the account's key away, if it has one."""
        key = self._by_account.get(account.name)
        if key is not None:
            self._forget(key)
            for ended in self.on_closed:
                ended(key, now_ms)

    def find(self, text: str) -> ListenKey | None:
        """Return a key by its text."""
        return self._by_text.get(text)

    def expire(self, now_ms: int) -> None:
        """Take away the keys whose hour is over."""
        for key in list(self._by_account.values()):
            if key.until_ms <= now_ms:
                self._forget(key)
                for ended in self.on_expired:
                    ended(key, key.until_ms)

    def _forget(self, key: ListenKey) -> None:
        del self._by_account[key.account.name], self._by_text[key.text]
