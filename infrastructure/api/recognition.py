"""Who is shown by a token of an admitted OpenID provider, and that the log that is read says who that is.

Invariants:
- What can be told from the token alone (form, times) is told. Whatever rests on a log, from whether there is one to
  whether a rule fits, is refused in the same words: tenants may share a provider.
- Before anybody gets a token of ours, the log says who its pseudonym stands for (`access.recognised.v1`).
"""

import threading
from itertools import islice
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from domain.access.events import PrincipalRecognised
from domain.access.recognising import federated_kid
from domain.access.token_issuers import Subject, TokenIssuer
from domain.errors import ConflictError, LedgerError, NotAuthorisedError, UnavailableError
from domain.identifiers import access_stream
from domain.message import Pending
from infrastructure.api.askers import NOT_SHOWN, Askers, Principal
from infrastructure.ledger import Ledger
from infrastructure.statements import foreign_jwt
from infrastructure.statements.foreign_jwt import ForeignToken

ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_TYPES: Final = {"JWT": frozenset({ID_TOKEN, ACCESS_TOKEN, JWT}), "at+jwt": frozenset({ACCESS_TOKEN, JWT})}
_SUBJECT: Final[TypeAdapter[str]] = TypeAdapter(Subject)
_LOOKED_AT: Final = 64
_MOST_KNOWN: Final = 10_000
_ATTEMPTS: Final = 8


class Shown(NamedTuple):
    """Whom a token shows: as whom it asks, until when at most (ms), and the key that the token is bound to, if any."""

    principal: Principal
    until_ms: int
    jkt: str | None
    recognised: PrincipalRecognised


class Recognition:
    """Safe to call from several threads.

    Args:
        ledger: whose logs admit issuers.
        askers: finds principals.
    """

    def __init__(self, ledger: Ledger, askers: Askers) -> None:
        self._ledger = ledger
        self._askers = askers
        self._lock = threading.Lock()
        self._known: set[tuple[UUID, PrincipalRecognised]] = set()

    def show(self, text: str, token_type: str, log: str, role: str | None) -> Shown:
        """Return whom a token shows.

        Args:
            text: the token.
            token_type: what it was said to be (RFC 8693 3).
            log: name of the log that is to be read.
            role: which of the roles that it shows is wanted; None: that of the first rule that fits.

        Raises:
            MalformedError: when it is no token.
            NotAuthorisedError: when it is not of now, or the log does not admit it.
        """
        token = foreign_jwt.read(text)
        until_ms = foreign_jwt.require_now(token.claims, self._ledger.clock.now_ms())
        jkt = foreign_jwt.confirmed_by(token.claims)
        try:
            principal, recognised = self._shown(token, token_type, log, role)
        except UnavailableError:
            raise
        except LedgerError:
            raise NotAuthorisedError(NOT_SHOWN) from None
        return Shown(principal, until_ms, jkt, recognised)

    def record(self, shown: Shown) -> None:
        """Let the log say who the pseudonym is, durably, unless it says so already.

        Raises:
            LedgerError: when it can't be: then no token may be given out.
        """
        said, log_id = shown.recognised, shown.principal.log_id
        if log_id is None or (log_id, said) in self._known:
            return
        stream = access_stream(said.kid)
        for _ in range(_ATTEMPTS):
            guard = self._askers.guard(shown.principal)
            newest = list(islice(self._ledger.newest(log_id, stream), _LOOKED_AT))
            if any(one.event == said for one in newest):  # who has several roles may take them in turns
                break
            try:
                version = newest[0].version + 1 if newest else 0
                self._ledger.append([Pending(log_id, stream, version, said)], guards=[guard])
            except ConflictError:  # counts of accesses are written there too; or what is admitted has just changed
                continue
            break
        else:
            raise UnavailableError("the stream of accesses keeps growing: try again")
        with self._lock:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known.add((log_id, said))

    def _shown(
        self, token: ForeignToken, token_type: str, log: str, role: str | None
    ) -> tuple[Principal, PrincipalRecognised]:
        issuer = token.claims.get("iss")
        if not isinstance(issuer, str):
            raise NotAuthorisedError(NOT_SHOWN)
        log_id, admitted = self._askers.admitted(log, issuer)
        _require_admitted(token, token_type, admitted)
        subject = _subject(token)
        fitting = admitted.rules_for(token.claims)
        chosen = next((one for one in fitting if role in {None, admitted.rules[one].role}), None)
        if chosen is None:
            raise NotAuthorisedError(NOT_SHOWN)
        kid, digest = federated_kid(issuer, subject), admitted.digest()
        recognised = PrincipalRecognised(
            kid=kid, issuer=issuer, subject=subject, role=admitted.rules[chosen].role, admission=digest
        )
        return self._askers.find_shown(kid, log_id, f"{digest}/{chosen}"), recognised


def _require_admitted(token: ForeignToken, token_type: str, admitted: TokenIssuer) -> None:
    """Hold a token against what was admitted: key, signature, type, audience."""
    key = admitted.key_for(token.kid)
    if key is None:
        raise NotAuthorisedError(NOT_SHOWN)
    foreign_jwt.verify(token, key)
    for_whom = foreign_jwt.audiences(token.claims)
    if not token.is_of(admitted.token_type) or token_type not in _TYPES[admitted.token_type]:
        raise NotAuthorisedError(NOT_SHOWN)
    # An ID token for others too is none for us (OpenID Connect Core 1.0, 3.1.3.7); an access token may be (RFC 9068 4).
    alone = token.is_of("at+jwt") or len(for_whom) == 1
    if admitted.audience not in for_whom or not alone:
        raise NotAuthorisedError(NOT_SHOWN)


def _subject(token: ForeignToken) -> str:
    try:
        return _SUBJECT.validate_python(token.claims.get("sub"), strict=True)
    except ValidationError:
        raise NotAuthorisedError(NOT_SHOWN) from None
