"""Statements inside the entries of one log: signature, type, audience, time, and that each is used once.

Invariants:
- A statement's (iss, jti) stands for one payload in one entry of the log, for ever [a token replayed elsewhere].
- Times are held against the instant of the entry. An entry is stamped a moment after its statements were checked, so
  one that expired in between still counts.
- What only another log's keys could verify is read, held to its form and its audience, and counted as such.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from domain.errors import NotAuthorisedError, VerificationError
from domain.message import Recorded
from domain.statements import Signed
from domain.time import SECOND_MS
from infrastructure.audit.once import Once
from infrastructure.audit.signatures import Signatures
from infrastructure.keys.did_key import did_key, public_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws

GRACE_MS = 60 * SECOND_MS
"""Longest time between the check of a statement and the instant of its entry."""


def instant_before(at_ms: int, limit_ms: int) -> int:
    """Return the instant at which something that ends at `limit_ms` was checked, for an entry recorded at `at_ms`."""
    return min(at_ms, max(limit_ms - 1, at_ms - GRACE_MS))


class Statements:
    """Reads the statements of one log.

    Args:
        origin: the log's origin, which is every statement's audience.
        once: remembers which entry has a statement.
        signatures: verifies signatures.
    """

    def __init__(self, origin: str, once: Once, signatures: Signatures) -> None:
        self._origin = origin
        self._once_in_log = once
        self._signatures = signatures
        self.verified: Counter[str] = Counter()
        self.read: Counter[str] = Counter()

    def by_keys(
        self, tokens: Sequence[str], typ: str, keys: Mapping[str, bytes], recorded: Recorded
    ) -> tuple[Signed, ...]:
        """Verify what several say for a body, with keys enrolled at this position, by thumbprint.

        Raises:
            LedgerError: when form, signature, key, audience, time or use are wrong.
        """
        self.verified[f"statements of type {typ}: signature, enrolled key, audience, time, used once"] += len(tokens)
        return tuple(self._verify(token, jws.parse(token), typ, keys, recorded) for token in tokens)

    def by_signer(self, token: str, typ: str, keys: Mapping[str, bytes], recorded: Recorded) -> Signed:
        """Verify what one says in its own name: iss is the did:key of the enrolled key. Raises as `by_keys` does."""
        (signed,) = self.by_keys([token], typ, keys, recorded)
        if signed.iss != did_key(keys[signed.kid]):
            raise NotAuthorisedError("a statement's iss is not the did:key of the key that signed it")
        return signed

    def by_itself(self, token: str, typ: str, recorded: Recorded, *, whose: str) -> Signed:
        """Verify a statement with the key that its own iss names; whose key that is, this log can't say.

        Args:
            token: compact serialisation.
            typ: the type expected.
            recorded: the entry that it stands in.
            whose: what is left open.

        Raises:
            LedgerError: as `by_keys` does.
        """
        statement = jws.parse(token)
        public = public_key(statement.payload["iss"])
        self.read[whose] += 1
        return self._verify(token, statement, typ, {thumbprint(public): public}, recorded)

    def unverified(self, tokens: Sequence[str], typ: str, recorded: Recorded, *, whose: str) -> tuple[Signed, ...]:
        """Read statements whose keys this log, or what is disclosed of it, does not have. Nothing of them is verified.

        Raises:
            LedgerError: when form, type, audience or use are wrong.
        """
        found = []
        for token in tokens:
            statement = jws.parse(token)
            if statement.typ != typ or statement.payload["aud"] != self._origin:
                raise VerificationError(f"a statement of type {statement.typ}, or for another log, where {typ} is due")
            found.append(self._once(Signed(token, statement.kid, typ, statement.payload), recorded))
        self.read[whose] += len(found)
        return tuple(found)

    def _verify(
        self, token: str, statement: jws.Statement, typ: str, keys: Mapping[str, bytes], recorded: Recorded
    ) -> Signed:
        at_ms = recorded.at_ms
        if "exp" in statement.payload:
            at_ms = instant_before(at_ms, statement.payload["exp"] * SECOND_MS)
        payload = jws.verify_parsed(
            statement, typ=typ, keys=keys, aud=self._origin, now_s=at_ms // SECOND_MS, check=self._signatures.verify
        )
        return self._once(Signed(token, statement.kid, typ, payload), recorded)

    def _once(self, signed: Signed, recorded: Recorded) -> Signed:
        payload = signed.token.split(".")[1].encode()  # it has one spelling
        otherwise = f"the statement {signed.jti} was used in entry {{}} already"
        key = b"\0".join((b"statement", signed.jti.encode(), signed.iss.encode()))
        self._once_in_log.claim(key, recorded.leaf_index, payload, otherwise)
        return signed
