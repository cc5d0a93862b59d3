"""Whether a credential is revoked or suspended at an instant, by lists that were verified (section 3.2).

Invariants:
- Denied unless a list says otherwise: away, unsigned, of another issuer, out of its time, for another purpose, too
  short, or without that entry.
- A list counts only if the credential's own issuer signed it, or an issuer that the caller named.
- Of several lists the one that began last counts; one that began before another that was seen here is stale [an older
  list, put back, would bring a revoked credential to life].
"""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from domain.errors import UnavailableError
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_entry import INVALIDATING, StatusEntry
from infrastructure.credentials.status_list import StatusList, read_list, refusal_of
from infrastructure.credentials.status_source import Found, StatusSource

MAX_AGE_S: Final = 60.0
"""Verified lists are verified again after this time: their issuers' keys may have ended."""

_MAX_LISTS: Final = 64


class StatusChecker(Protocol):
    """Checks the status of a credential."""

    def check(self, entries: Iterable[StatusEntry], *, issuer: str, at_ms: int) -> None:
        """Check the entries of a credential of an issuer at an instant (ms).

        Raises:
            CredentialRefusedError: when it is revoked or suspended, or nobody can tell.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    stamp: Hashable
    places: tuple[Path, ...]
    read_s: float
    lists: tuple[StatusList, ...]
    named: bool


@dataclass(slots=True)
class StatusLists:
    """Checks statuses by the lists of a source, and keeps what it verified. May be shared by threads.

    Attributes:
        source: where lists come from.
        resolver: gives the keys of their issuers.
        monotonic_s: tells time passing, for what is kept.
        also_trusted: issuers whose lists count for credentials of others.
        max_age_ms: how old a list may be that names no end; None: any age (and `undated` remembers its URL).
    """

    source: StatusSource
    resolver: Resolver
    monotonic_s: Callable[[], float]
    also_trusted: Collection[str] = ()
    max_age_ms: int | None = None
    undated: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _newest_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, entries: Iterable[StatusEntry], *, issuer: str, at_ms: int) -> None:
        """Check the entries of a credential. Purposes that don't invalidate are not looked at."""
        for entry in entries:
            if entry.purpose in INVALIDATING:
                found = self._list_of(entry.list_url, issuer, at_ms)
                found.check_time(at_ms, self.max_age_ms)
                if found.status(entry):
                    raise CredentialRefusedError(refusal_of(entry.purpose), "its issuer says so in its status list")

    def _list_of(self, url: str, issuer: str, at_ms: int) -> StatusList:
        try:
            kept = self._verified(url, at_ms)
        except UnavailableError as error:
            raise CredentialRefusedError(Refusal.STATUS_UNREACHABLE, str(error)) from None
        own = [one for one in kept.lists if one.issuer == issuer or one.issuer in self.also_trusted]
        if not own:
            raise CredentialRefusedError(Refusal.STATUS_UNSIGNED, "its status list is another issuer's")
        begun = [one for one in own if (one.valid_from_ms or 0) <= at_ms]
        newest = max(begun or own, key=lambda one: one.valid_from_ms or 0)
        began_ms, key = newest.valid_from_ms or 0, (issuer, url)
        with self._lock:
            if began_ms < self._newest_ms.get(key, 0) <= at_ms:
                raise CredentialRefusedError(Refusal.STATUS_STALE, "its status list is older than one seen before")
            if began_ms <= at_ms:
                self._newest_ms[key] = max(began_ms, self._newest_ms.get(key, 0))
            if newest.valid_until_ms is None:
                self.undated.add(url)
            if not kept.named:
                self.unnamed.add(url)
        return newest

    def _verified(self, url: str, at_ms: int) -> _Kept:
        now_s = self.monotonic_s()
        with self._lock:
            kept = self._kept.get(url)
        if kept is not None and now_s - kept.read_s < MAX_AGE_S and kept.stamp == self.source.stamp(kept.places):
            return kept
        found = self.source.find(url)
        kept = _Kept(found.stamp, found.places, now_s, self._read(found, at_ms), found.named)
        with self._lock:
            if len(self._kept) >= _MAX_LISTS:
                del self._kept[min(self._kept, key=lambda one: self._kept[one].read_s)]
            self._kept[url] = kept
        return kept

    def _read(self, found: Found, at_ms: int) -> tuple[StatusList, ...]:
        """Return the lists that verify; where none does, say why the first doesn't."""
        lists: list[StatusList] = []
        first: CredentialRefusedError | None = None
        for data in found.candidates:
            try:
                lists.append(read_list(data, resolve=self.resolver.at(at_ms)))
            except CredentialRefusedError as error:
                first = first or error
        if not lists and first is not None:
            raise first
        return tuple(lists)
