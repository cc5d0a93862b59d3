"""What a client asks and how it holds what comes back against what it knows, without I/O (infrastructure.exchange).

Invariants:
- The blocking and the asynchronous client run these very conversations: nothing is verified by one of them only.
- A statement is made once and sent until it is answered: a lost answer costs nothing, since its jti is known.
- What a log is told by is remembered (infrastructure.client.known); another key later is refused, and so is a tree that
  does not contain the one that was seen before. A tree that was looked at is looked at again after a minute.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from domain.errors import (
    LedgerError,
    MalformedError,
    NotAuthorisedError,
    UnavailableError,
    UnknownError,
    VerificationError,
)
from infrastructure.backoff import Backoff
from infrastructure.client.answers import refused
from infrastructure.client.heads import newer_head
from infrastructure.client.known import Head, Keys, Known, Memory, acknowledgement_key
from infrastructure.client.profile import Profile, state_folder
from infrastructure.client.registrations import accepted_keys
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.exchange.answers import AnsweredError, TooLongError
from infrastructure.exchange.steps import Aside, Pause, Talk
from infrastructure.ids import IdSource
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.payload import payload

PATIENCE_S: Final = 20.0
"""How long is asked again of a server that says to try again, or does not answer."""
LOOK_EVERY_S: Final = 60.0
"""After so long what is read is preceded by another look at the log's tree."""
ASKS: Final = (Purpose.SUBMISSION, Purpose.GOVERNANCE, Purpose.REPORT)
"""Which of a wallet's keys may be enrolled to ask: they are tried in this order, and what did is remembered."""
LOOKS: Final = (Purpose.GOVERNANCE, Purpose.REPORT)
"""Which of them may see a whole log, or a dispute: an admin's or resolver's, an auditor's."""
JSON: Final = "application/json"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with one of the wallet's keys. JSON needs an object; every other `accept` the answer's bytes."""

    purpose: Purpose
    method: str
    path: str
    members: Mapping[str, Any] | None = field(default=None, repr=False)
    accept: str = JSON


@dataclass(frozen=True, slots=True)
class TokenAsked:
    """Needs nothing but that one of the wallet's keys gets a token."""

    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Whom:
    """By whom conversations are led: instants, ids and randomness are injected."""

    wallet: Wallet
    clock: Clock
    entropy: Entropy
    ids: IdSource


class Dialogue:
    """With one log at one server, by one wallet.

    Args:
        profile: how the server is reached, and what is known of the log.
        whom: who asks.
        patience_s: how long is asked again where there is no answer.
        asks: which of the wallet's keys reads; None: whichever is enrolled there.

    Raises:
        MalformedError: when the profile names no tenant.
    """

    def __init__(
        self, profile: Profile, whom: Whom, *, patience_s: float = PATIENCE_S, asks: Purpose | None = None
    ) -> None:
        if not profile.tenant:
            raise MalformedError("name the tenant with --tenant, or in the profile")
        self.profile = profile
        self.whom = whom
        self._patience_s = patience_s
        self._reads = asks
        folder = profile.state or state_folder()
        self._memory = Memory(folder, profile.server, profile.tenant, whom.wallet.thumbprint(Purpose.GOVERNANCE))
        self._spoken: list[Purpose] = []
        self._keys: Keys | None = None
        self._looked_s: float | None = None

    def get(self, path: str, purpose: Purpose | None = None, /, **query: Any) -> Talk[Row]:
        """Come to what is at a path.

        Raises:
            LedgerError: of the kind that fits what the server answered.
            VerificationError: when the log is not what it was before.
        """
        if self._looked_s is None or time.monotonic() - self._looked_s > LOOK_EVERY_S:
            yield from self.look()
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        found: Row = yield from self.asked("GET", f"{path}?{asked}" if asked else path, purpose=purpose)
        return found

    def pages(self, path: str, member: str, **query: Any) -> Talk[list[Row]]:
        """Come to all items of a collection."""
        found: list[Row] = []
        cursor: str | None = None
        while True:
            page = yield from self.get(path, **query, cursor=cursor)
            found += _items(page, member)
            following = page.get("next")
            if following is None or following == cursor:
                return found
            cursor = following

    def own(self, purpose: Purpose | None = None) -> Talk[Row]:
        """Come to the tenant or scope as the server tells of it.

        Args:
            purpose: which of the wallet's keys asks; None: whichever is enrolled there.

        Raises:
            UnknownError: when the wallet asks for neither.
        """
        for collection in ("tenants", "scopes"):
            page = yield from self.asked("GET", f"/v1/{collection}", purpose=purpose)
            for row in _items(page, collection):
                if "acknowledgement_key" in row:
                    return row
        raise UnknownError("the wallet's key is enrolled in no tenant's or scope's log")

    def told(self, row: Mapping[str, Any]) -> Talk[Keys]:
        """Come to the keys of a tenant or scope, once they are what is known of them.

        Raises:
            VerificationError: when they are not what was known before, or not what its admins accepted.
        """
        if self._keys is not None:
            return self._keys
        told = accepted_keys(row, self.profile.admins)
        known = self.profile
        if known.origin is not None and known.origin != told.origin:
            raise VerificationError(f"the server speaks of the log {told.origin}, and the profile of {known.origin}")
        if known.acknowledgement_key not in {None, bytes.fromhex(told.acknowledgement_key)}:
            raise VerificationError("the server tells another key of acknowledgements than the profile's trust")
        yield from self.remember(lambda held: held.with_keys(told))
        self._keys = told
        if self._looked_s is None:
            yield from self.look()
        return told

    def own_origin(self) -> Talk[str]:
        """Come to the origin of the log, as the server tells it and as it is known here."""
        keys = yield from self.told((yield from self.own()))
        return keys.origin

    def acknowledges(self, origin: str, told: object) -> Talk[bytes]:
        """Come to the key by which another log acknowledges, once it is what is known of it.

        Args:
            origin: the other log's.
            told: the key, as the server says it (hex).

        Raises:
            VerificationError: when the server says none, or another one than was known.
        """
        key = acknowledgement_key(told)
        if key is None:
            raise VerificationError(
                f"the server does not say by which key {origin} acknowledges, so what it stored there can't be proved"
            )
        if self.profile.acknowledgement_keys.get(origin, key) != key:
            raise VerificationError(f"the server tells another key of acknowledgements of {origin} than the profile")
        yield from self.remember(lambda held: held.with_other(origin, key.hex()))
        return key

    def look(self, note: bytes | None = None) -> Talk[Head | None]:
        """Hold the log's newest tree against the one that was seen before, and remember it.

        Args:
            note: its checkpoint; None: the server is asked for it.

        Returns:
            the tree; None where nothing of the log is published yet.

        Raises:
            VerificationError: when it does not contain what was seen before.
        """
        self._looked_s = time.monotonic()
        known: Known = yield Aside(self._memory.read)
        seen = yield from newer_head(
            lambda: self._checkpoint(note), self._prove, known.head, origin=self.origin,
            keys=self.profile.log_keys,
        )  # fmt: skip
        if seen is not None:
            found: Head = seen
            yield from self.remember(lambda held: held.with_head(found))  # another may have seen more meanwhile
        return seen

    @property
    def origin(self) -> str | None:
        """The log's origin, where it is known."""
        return self.profile.origin if self._keys is None else self._keys.origin

    def remember(self, change: Callable[[Known], Known]) -> Talk[None]:
        """Change what is remembered of the log."""

        def work() -> None:
            with self._memory.changing() as held:
                held[0] = change(held[0])

        yield Aside(work)

    def payload(self, iss: str, aud: str, claims: Mapping[str, Any]) -> Row:
        """Return what is to be signed, at this instant."""
        now_ms = self.whom.clock.now_ms()
        return payload(iss=iss, aud=aud, claims=claims, now_ms=now_ms, entropy=self.whom.entropy)

    def read(self, path: str, accept: str = "*/*", purpose: Purpose | None = None) -> Talk[bytes]:
        """Come to the bytes at a path. Raises as `get` does."""
        found: bytes = yield from self._repeated("GET", path, None, accept, purpose)
        return found

    def asked(
        self, method: str, path: str, members: Mapping[str, Any] | None = None, *, purpose: Purpose | None = None
    ) -> Talk[Row]:
        """Ask for JSON, without a look at the log."""
        found: Row = yield from self._repeated(method, path, members, JSON, purpose)
        return found

    def _checkpoint(self, note: bytes | None) -> Talk[bytes]:
        if note is not None:
            return note
        return (yield from self.read("/v1/audit/checkpoint"))

    def _prove(self, old: int, size: int) -> Talk[Row]:
        return self.asked("GET", f"/v1/audit/consistency?old={old}&size={size}")

    def _repeated(
        self, method: str, path: str, members: Mapping[str, Any] | None, accept: str, purpose: Purpose | None
    ) -> Talk[Any]:
        """Ask until there is an answer, or patience is at its end. Everything that is asked is safe to repeat."""
        until_s, backoff = time.monotonic() + self._patience_s, Backoff(0.2, 2.0)
        while True:
            try:
                chosen = purpose or (yield from self._speaking())
                self._speaks(chosen)
                return (yield Asked(chosen, method, path, members, accept))
            except AnsweredError as error:
                raise refused(error) from None
            except UnavailableError as error:
                pause_s = backoff.next_s()
                if isinstance(error, TooLongError) or time.monotonic() + pause_s > until_s:
                    raise
                yield Pause(pause_s)

    def _speaking(self) -> Talk[Purpose]:
        """Come to the key that asks: a certain one, or one that is enrolled there.

        Which one that is, is found out once and remembered.
        """
        if self._reads is not None:
            return self._reads
        if self._spoken:
            return self._spoken[0]
        known: Known = yield Aside(self._memory.read)
        found = yield from self._first(sorted(ASKS, key=lambda it: it.value != known.purpose))
        if found.value != known.purpose:
            yield from self.remember(lambda held: replace(held, purpose=found.value))
        return found

    def looking(self) -> Talk[Purpose]:
        """Come to the key that may see a whole log, or a dispute.

        Raises:
            NotAuthorisedError: when none of the wallet's may.
        """
        if self._reads is not None:
            return self._reads
        return (yield from self._first(LOOKS))

    def _first(self, purposes: Sequence[Purpose]) -> Talk[Purpose]:
        """Come to the first key that gets a token."""
        denied: LedgerError | None = None
        for one in purposes:
            try:
                yield TokenAsked(one)
            except NotAuthorisedError as error:
                denied = denied or error
            else:
                return one
        raise denied or NotAuthorisedError("the ledger gives this wallet no token")

    def _speaks(self, purpose: Purpose) -> None:
        if purpose not in self._spoken:
            self._spoken.append(purpose)


def _items(page: Mapping[str, Any], member: str) -> list[Row]:
    found = page.get(member)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise VerificationError(f"the server's answer has no {member}")
    return found
