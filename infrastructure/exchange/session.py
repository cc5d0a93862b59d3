"""One key's session with a ledger, without I/O: assertions, tokens that are bound to the key, a proof for each request.

Invariants:
- Tokens are bound to the key that asserts (DPoP, RFC 9449): each request has a proof of its own, so a token that was
  read on the way is worth nothing.
- A token is asked for by a fresh assertion, before the old one ends, and again after a 401.
- The issuer, to whom assertions are addressed, is what the server says at first sight; another one later is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.canonical import canonical
from domain.errors import MalformedError, NotAuthorisedError, UnavailableError
from domain.time import SECOND_MS
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.exchange.answers import decoded, detail, good
from infrastructure.exchange.steps import Call, Pause, Reply, Talk, TokenNeeded
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import dpop, jws

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REALM: Final = re.compile(r'Bearer realm="([^"]{1,300})"')
_ASSERTION_S: Final = 60
_EARLY_MS: Final = 20_000
_SECOND_S: Final = 1.1
_BOUND: Final = "dpop"
TOO_OLD: Final = "the assertion is older than this process"
"""Begins what a server says of an assertion that was made before it, or in the second in which it began."""


class SentToken(BaseModel):
    """A token for whoever asserted a key, good for so many seconds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    access_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_~+/.=-]{1,512}$")]
    token_type: Annotated[str, Field(max_length=16)]
    expires_in: Annotated[int, Field(ge=0, le=86_400)]


class Session:
    """Speaks for one key about one log.

    Args:
        base: the server's URL without path, as proofs name it.
        wallet: the keys.
        clock: tells the instants of assertions.
        entropy: draws their jti.
        purpose: which of the wallet's keys asserts who asks: a node's is that of its reports.
        tenant: about whose log it asks; none for a node.
    """

    def __init__(
        self, base: str, wallet: Wallet, clock: Clock, entropy: Entropy, *, purpose: Purpose, tenant: str
    ) -> None:
        self._base = base
        self._wallet = wallet
        self._clock = clock
        self._entropy = entropy
        self._purpose = purpose
        self._about = {"tenant": tenant} if tenant else {}
        self._token = ""
        self._until_ms = 0
        self.issuer = ""

    def asked(self, call: Call) -> Talk[bytes]:
        """Ask with a token; come to the answer's bytes.

        Raises:
            UnavailableError: when the server does not answer, or says to try again.
            NotAuthorisedError: when it gives this key no token.
            AnsweredError: when it refuses.
        """
        token: str = yield TokenNeeded()
        reply: Reply = yield self.authorised(call, token)
        if reply.status == HTTPStatus.UNAUTHORIZED:  # it ended early: the server was started again, or it may not act
            token = yield TokenNeeded(instead_of=token)
            reply = yield self.authorised(call, token)
        return good(reply)

    def authorised(self, call: Call, token: str) -> Call:
        """Return a request with its token and proof."""
        own = {"Authorization": f"DPoP {token}", "DPoP": self._proof(call.method, call.path, token)}
        return replace(call, headers={**call.headers, **own})

    def current(self, instead_of: str | None = None) -> Talk[str]:
        """Come to a token: the one at hand while it is good, another one than `instead_of`. Raises as `asked` does."""
        now_ms = self._clock.now_ms()
        if self._token and self._token != instead_of and now_ms < self._until_ms - _EARLY_MS:
            return self._token
        yield from self.learn_issuer()
        reply: Reply = yield self._token_call()
        if reply.status == HTTPStatus.UNAUTHORIZED and detail(reply.body).startswith(TOO_OLD):
            yield Pause(_SECOND_S)
            reply = yield self._token_call()
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise NotAuthorisedError(f"the ledger gives this key no token: {detail(reply.body)}")
        given = _read_token(good(reply))
        if given.token_type.lower() != _BOUND:
            raise UnavailableError("the server gives tokens that are bound to no key")
        self._token, self._until_ms = given.access_token, now_ms + given.expires_in * SECOND_MS
        return self._token

    def learn_issuer(self) -> Talk[None]:
        """Find out to whom assertions are addressed. Raises as `asked` does."""
        if self.issuer:
            return
        reply: Reply = yield Call("POST", "/v1/token")
        match = _REALM.match(reply.headers.get("www-authenticate", ""))
        if reply.status != HTTPStatus.UNAUTHORIZED or match is None:
            raise UnavailableError("the server is no ledger, or not ready")
        self.issuer = match[1]

    def assertion(self) -> str:
        """Return a fresh assertion of the key (RFC 7523)."""
        did = self._wallet.did(self._purpose)
        issued = self._clock.now_ms() // SECOND_MS
        content = {
            **self._about,
            "iss": did,
            "sub": did,
            "aud": self.issuer,
            "jti": self._entropy.bytes(16).hex(),
            "iat": issued,
            "exp": issued + _ASSERTION_S,
        }
        return jws.sign(jws.ASSERTION, self._wallet.key(self._purpose), content)

    def _token_call(self) -> Call:
        form = urlencode({"grant_type": GRANT_TYPE, "assertion": self.assertion()}).encode()
        headers: Mapping[str, str] = {
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": self._proof("POST", "/v1/token", None),
        }
        return Call("POST", "/v1/token", form, headers)

    def _proof(self, method: str, path: str, token: str | None) -> str:
        """Return the proof of one request. Tokens are bound to the key that asserts: the ledger knows it."""
        key, jti = self._wallet.key(self._purpose), self._entropy.bytes(16).hex()
        issued_s = self._clock.now_ms() // SECOND_MS
        return dpop.make(key, method, self._base + path.partition("?")[0], issued_s=issued_s, jti=jti, token=token)


def _read_token(answer: bytes) -> SentToken:
    try:
        return SentToken.model_validate_json(canonical(decoded(answer)))
    except (ValidationError, MalformedError):
        raise UnavailableError("the ledger's answer is no token") from None
