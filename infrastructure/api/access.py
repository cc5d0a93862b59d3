"""Who may ask: assertions by enrolled keys (RFC 7523), opaque tokens, the principal's state (wire formats 11).

Invariants:
- An assertion is `ledger-assertion+jwt` by a node's enrolled key, or by a key that is enrolled in a tenant's or
  scope's log, which it names as `tenant`: iss = sub = its did:key, `aud` the issuer id as the one string, at most 60 s
  long, each jti once. One that was issued before this process began is refused: what it has used up is known to this
  process only.
- A token is 256 random bits, lives 5 minutes at most, and is kept as its hash only. Tokens are this process's: after a
  restart everybody asks for a new one.
- Where several processes answer, what is used up and which tokens there are they know together
  (infrastructure.api.shared): a token of one is a token of all, and outlives the process that gave it out.
- A token that was asked for with a DPoP proof (RFC 9449), by the same key, is bound to it: each request shows a
  proof of its own. Where proofs are needed, no other token is given out or taken.
- A token of an OpenID provider that a log admits (infrastructure.api.recognition) is exchanged for one of ours (RFC
  8693): it ends with it, is bound to whatever key proved itself then, and only reads.
- With each request the principal is looked up again: a node whose credential is no longer in force has lost its tokens
  at that moment. A drained node keeps them: it gets no new work, and what runs there has to be reported. Whose key
  a tenant or scope withdrew has lost them likewise (infrastructure.api.askers).
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

from anyio import to_thread

from domain.errors import LedgerError, NotAuthorisedError, UnavailableError
from domain.time import SECOND_MS
from infrastructure.api.askers import Askers, Principal
from infrastructure.api.limits import Rate
from infrastructure.api.looking import SharedLooks
from infrastructure.api.problems import too_often
from infrastructure.api.proofs import Asked, Proofs
from infrastructure.api.recognition import Recognition
from infrastructure.api.rights import Role
from infrastructure.api.shared import AHEAD_S, Shared, SharedToken
from infrastructure.cell import LiveCell
from infrastructure.commands.loading import load_genesis, load_node, load_root
from infrastructure.exchange.session import TOO_OLD
from infrastructure.keys.did_key import did_key
from infrastructure.keys.did_key import public_key as did_public_key
from infrastructure.ledger import Ledger
from infrastructure.statements import jws

TOKEN_S: Final = 300
_TOKEN_BYTES: Final = 32
_MOST_TOKENS: Final = 50_000
_TOKENS_PER_S, _TOKENS_BURST = 1.0, 60.0
"""Of one key for one log, from wherever it asks: a token lasts minutes."""
_EXCHANGES_PER_S, _EXCHANGES_BURST = 10.0, 100.0
"""Of one log, whose provider can name as many people as it likes: so no log fills the table of tokens."""
_SKEW_MS: Final = 2 * jws.CLOCK_SKEW_S * SECOND_MS
_NAMELESS: Final = (None, "root", "platform")
_SEPARATOR: Final = " "
"""Between what other processes need to know of an exchanged token; no name of a log has one."""
_CHECKED_MS: Final = 1_000
"""A credential's signature is verified again after so long; its issuer's standing with each request."""


class ProofError(NotAuthorisedError):
    """A request is not shown to come from a key's holder."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A token as it was given out; `jkt` is the thumbprint of the key that it is bound to, if any."""

    principal: Principal
    until_ms: int
    jkt: str | None


class Given(NamedTuple):
    """A new token, whether it is bound to a key, for how long it counts, and in which role."""

    token: str
    bound: bool
    lives_s: int
    role: str


class Access:
    """Gives out tokens and knows whose they are. Safe to call from several threads.

    Args:
        ledger: where keys are enrolled.
        cell: knows which nodes there are.
        proofs: checks that a request comes from a token's holder.

    Attributes:
        issuer: this ledger's issuer id.
        proofs: as given.
        from_ms: instant from which on an assertion that is made is taken.
    """

    def __init__(self, ledger: Ledger, cell: LiveCell, proofs: Proofs) -> None:
        self._ledger = ledger
        self._askers = Askers(ledger)
        self._recognition = Recognition(ledger, self._askers)
        self._shared = proofs.shared
        self._looks = SharedLooks(self.require_in_force)
        self._cell = cell
        self.proofs = proofs
        self._began_s = ledger.clock.now_ms() // SECOND_MS
        began_ms = self._began_s * SECOND_MS if self._shared is None else self._shared.born_ms()
        ahead_s = 0 if self._shared is None else AHEAD_S
        self.from_ms = (began_ms // SECOND_MS + 1 + ahead_s) * SECOND_MS
        self._lock = threading.Lock()
        self._asked = Rate(_TOKENS_PER_S, _TOKENS_BURST)
        self._exchanged = Rate(_EXCHANGES_PER_S, _EXCHANGES_BURST)
        self._tokens: OrderedDict[bytes, _Token] = OrderedDict()
        self._used: dict[tuple[str, str], int] = {}
        self._nodes: dict[str, Principal] = {}
        self._known: set[str] = set()
        self._checked: dict[str, tuple[int, int]] = {}
        self.issuer = issuer_of(load_genesis(ledger).host)

    def grant(self, assertion: str, asked: Asked) -> Given:
        """Return a new token for whoever signed an assertion.

        Args:
            assertion: the statement.
            asked: the request.

        Raises:
            ProofError: when a DPoP proof is needed and there is none, or one is not good.
            NotAuthorisedError: when it is not by an enrolled node, not for us, not now, or was used before.
            MalformedError: when it is none.
            ProblemError: when the key's holder asks too often [only who has the key can use up its bucket].
        """
        header, claimed = jws.peek(assertion)
        kid = header["kid"]
        tenant = claimed.get("tenant")
        principal = self._find(kid, tenant)
        now_ms = self._ledger.clock.now_ms()
        public = {principal.kid: did_public_key(principal.did)}
        said = jws.verify(assertion, typ=jws.ASSERTION, keys=public, aud=self.issuer, now_s=now_ms // SECOND_MS)
        if said["iss"] != principal.did:
            raise NotAuthorisedError("an assertion's iss is not the did:key of the key that signed it")
        if self._shared is None and said["iat"] <= self._began_s:
            raise NotAuthorisedError(f"{TOO_OLD}: make a new one")
        self._pace(principal)
        self.require_in_force(principal)
        bound = self._holder(asked, now_ms, None, principal.kid)
        self._use_up(principal.kid, said, now_ms)
        named = _named(tenant, principal)
        return self._new(principal, now_ms + TOKEN_S * SECOND_MS, principal.kid if bound else None, named)

    def exchange(self, subject_token: str, token_type: str, log: str, role: str | None, asked: Asked) -> Given:
        """Return a new token for whom a token of an admitted issuer shows. Arguments as for `Recognition.show`.

        Raises:
            ProofError: when a DPoP proof is needed and there is none, or it is not by the key that the token is for.
            NotAuthorisedError: when the token is not of now, or the log does not admit it.
            MalformedError: when it is none.
            ProblemError: when that one asks too often.
        """
        shown = self._recognition.show(subject_token, token_type, log, role)
        now_ms = self._ledger.clock.now_ms()
        self._pace(shown.principal)
        if after_s := self._exchanged.take(shown.principal.share, time.monotonic()):
            raise too_often(after_s)
        jkt = self._shown_key(asked, now_ms, None)
        if shown.jkt is not None and jkt != shown.jkt:
            raise ProofError("the token is bound to a key: this takes a DPoP proof by that key")
        self._recognition.record(shown)
        until_ms = min(now_ms + TOKEN_S * SECOND_MS, shown.until_ms)
        named = _SEPARATOR.join((str(shown.principal.log_id), shown.principal.admission, jkt or ""))
        return self._new(shown.principal, until_ms, jkt, named)

    def _pace(self, principal: Principal) -> None:
        # By log too: two logs may admit one provider's name with different keys, and so the same person.
        after_s = self._asked.take(f"{principal.log_id}/{principal.kid}", time.monotonic())
        if after_s:
            raise too_often(after_s)

    def _new(self, principal: Principal, until_ms: int, jkt: str | None, named: str | None) -> Given:
        """Give out a token; `named` is how another process finds its log again."""
        now_ms, token = self._ledger.clock.now_ms(), secrets.token_urlsafe(_TOKEN_BYTES)
        if self._shared is not None:
            self._shared.put_token(_hashed(token), SharedToken(principal.kid, named, jkt is not None, until_ms))
        self._keep(_hashed(token), _Token(principal, until_ms, jkt), now_ms)
        lives_s = max(0, until_ms - now_ms) // SECOND_MS
        return Given(token, jkt is not None, lives_s, principal.role or "")

    def _keep(self, hashed: bytes, token: _Token, now_ms: int) -> None:
        with self._lock:
            self._tokens[hashed] = token
            while self._tokens and (
                len(self._tokens) > _MOST_TOKENS or next(iter(self._tokens.values())).until_ms <= now_ms
            ):
                self._tokens.popitem(last=False)

    def _of_another(self, shared: Shared, hashed: bytes, now_ms: int) -> _Token | None:
        """Return a token that another process gave out, with whom it names as of now."""
        given = shared.token(hashed)
        if given is None:
            return None
        log, _, shown = (given.tenant or "").partition(_SEPARATOR)
        if shown:
            admission, _, key = shown.partition(_SEPARATOR)
            principal = self._askers.find_shown(given.kid, UUID(log), admission)
        else:
            principal, key = self._find(given.kid, given.tenant), given.kid
        known = _Token(principal, given.until_ms, key if given.bound else None)
        self._keep(hashed, known, now_ms)
        return known

    def _find(self, kid: str, tenant: object) -> Principal:
        return self._by_key(kid) if tenant is None else self._askers.find(kid, tenant)

    def knows(self, token: str) -> bool:
        """Tell whether this process knows a token by itself: to look another one up costs a query."""
        return _hashed(token) in self._tokens

    async def principal(self, token: str, asked: Asked) -> Principal:
        """Return whose a token is, as of now. For the event loop; requests that come together share a look.

        Args:
            token: as it came.
            asked: the request that it came with.

        Raises:
            ProofError: when the request is not shown to be its holder's.
            NotAuthorisedError: when it is no token, has ended, or its principal may not act any more.
        """
        now_ms = self._ledger.clock.now_ms()
        hashed = _hashed(token)
        known = self._tokens.get(hashed)
        if known is None and self._shared is not None:
            known = await to_thread.run_sync(self._of_another, self._shared, hashed, now_ms)
        if known is None or known.until_ms <= now_ms:
            raise NotAuthorisedError("the token is unknown or has ended: ask for a new one")
        if (known.jkt is not None) != (asked.scheme == "dpop"):
            raise ProofError("a token that is bound to a key comes as DPoP with a proof, any other as Bearer")
        if known.jkt is not None and not await to_thread.run_sync(self._holder, asked, now_ms, token, known.jkt):
            raise ProofError("the token is bound to a key: this takes a DPoP proof")
        await self._looks.look(known.principal)
        return known.principal

    def left_s(self, token: str) -> float:
        """Return for how long a token counts that was taken a moment ago; 0 where it does not any more."""
        known = self._tokens.get(_hashed(token))
        return 0.0 if known is None else max(0, known.until_ms - self._ledger.clock.now_ms()) / SECOND_MS

    def _holder(self, asked: Asked, now_ms: int, token: str | None, key: str) -> bool:
        """Tell whether a request is shown to come from the holder of a key, by its thumbprint."""
        jkt = self._shown_key(asked, now_ms, token)
        if jkt is not None and jkt != key:
            raise ProofError("the DPoP proof is not by the principal's own key")
        return jkt is not None

    def _shown_key(self, asked: Asked, now_ms: int, token: str | None) -> str | None:
        """Return the thumbprint of the key whose holder a request is shown to come from; None where it shows none."""
        try:
            jkt = self.proofs.holder(asked, now_ms // SECOND_MS, token)
        except UnavailableError:
            raise
        except LedgerError as error:
            raise ProofError(str(error)) from None
        if jkt is None and self.proofs.needed:
            raise ProofError("tokens are bound to keys here: this takes a DPoP proof (RFC 9449)")
        return jkt

    def require_in_force(self, principal: Principal) -> None:
        """Hold a node's credential against the root scope as it is now, any other's key against its log.

        Raises:
            NotAuthorisedError: when it does not hold any more.
        """
        if principal.log_id is not None:
            self._askers.require_in_force(principal)
            return
        now_ms = self._ledger.clock.now_ms()
        version = self._root_version()
        at_ms, checked = self._checked.get(principal.node, (0, -1))
        if checked == version and now_ms < at_ms + _CHECKED_MS:
            return
        root, credential = load_root(self._ledger), load_node(self._ledger, principal.node).enrolled.credential
        try:
            self._ledger.credentials.node(credential, root.issuers, now_ms, node=principal.did)
        except LedgerError:
            raise NotAuthorisedError("the node's credential is not in force") from None
        self._checked[principal.node] = (now_ms, version)

    def _by_key(self, kid: str) -> Principal:
        known = self._nodes.get(kid)
        if known is None:
            for name in self._cell.nodes().keys() - self._known:
                enrolled = load_node(self._ledger, name).enrolled
                did = did_key(bytes.fromhex(enrolled.public_key))
                self._nodes[enrolled.kid] = Principal(enrolled.kid, did, Role.NODE, node=name)
                self._known.add(name)
            known = self._nodes.get(kid)
        if known is None:
            raise NotAuthorisedError("no node is enrolled with the key that signed the assertion")
        return known

    def _root_version(self) -> int:
        root = UUID(load_genesis(self._ledger).root_scope)
        return next(self._ledger.newest(root, root)).version

    def _use_up(self, kid: str, said: Mapping[str, Any], now_ms: int) -> None:
        jti, until_ms = said["jti"], said["exp"] * SECOND_MS
        if self._shared is not None:
            name = sha256(f"assertion\0{kid}\0{jti}".encode()).digest()
            self._shared.use_up(name, said["iat"], until_ms + _SKEW_MS)
            return
        with self._lock:
            self._used = {name: ends for name, ends in self._used.items() if ends > now_ms}
            if (kid, jti) in self._used:
                raise NotAuthorisedError("the assertion was used before: make a new one")
            self._used[kid, jti] = until_ms


def issuer_of(host: str) -> str:
    """Return the issuer id of a ledger: what an assertion's `aud` must be."""
    return f"https://{host}"


def _named(tenant: Any, principal: Principal) -> str | None:
    """Return how another process finds the log of a token again; the database holds no tenant's name."""
    return tenant if tenant in _NAMELESS else str(principal.log_id)


def _hashed(token: str) -> bytes:
    return sha256(token.encode()).digest()
