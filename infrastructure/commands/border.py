"""The border: tokens become `Signed` only after their form, signature, audience and time were verified.

Invariants:
- A statement's times are held against now, unless its jti is taken in the log that it is for: then nothing new can come
  of it. It gets its first answer, or is refused as used with another body.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from domain.errors import NotAuthorisedError
from domain.statements import Principal, Signed
from domain.time import SECOND_MS
from infrastructure.keys.did_key import did_key
from infrastructure.ledger import Ledger
from infrastructure.statements import jws


def verified(token: str, *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int) -> Signed:
    """Verify what somebody says in their own name: the issuer is the did:key of the key that signed.

    Args:
        token: compact serialisation.
        typ: the type expected.
        keys: raw public keys by thumbprint.
        aud: origin of the log that it is for.
        now_ms: instant against which its times are held.

    Raises:
        MalformedError: when it is not of the one form.
        NotAuthorisedError: when type, key, signature, audience, time or issuer are wrong.
    """
    signed = _verified(token, typ=typ, keys=keys, aud=aud, now_ms=now_ms)
    # The issuer is part of a command's name: in another's name one could take it before that one speaks.
    if signed.iss != did_key(keys[signed.kid]):
        raise NotAuthorisedError("a statement's iss is not the did:key of the key that signed it")
    return signed


def all_verified(
    tokens: Sequence[str], *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int | None
) -> tuple[Signed, ...]:
    """Verify what several say for a body, in its name. Raises as `verified` does, whoever is the issuer.

    Without an instant (None) their times are not held against one: what was taken in long ago is looked at.
    """
    return tuple(_verified(token, typ=typ, keys=keys, aud=aud, now_ms=now_ms) for token in tokens)


def verified_or_known(
    ledger: Ledger, log_id: UUID, token: str, *, typ: str, keys: Mapping[str, bytes], aud: str
) -> Signed:
    """Verify what somebody says in their own name now, or said before: a repeat gets its answer whenever it comes.

    Args:
        ledger: the ledger.
        log_id: the log whose command the statement is.
        token: compact serialisation.
        typ: the type expected.
        keys: raw public keys by thumbprint.
        aud: origin of the log that it is for.

    Raises:
        NotAuthorisedError: as `verified` does; for its times unless it is known.
    """
    now_ms = ledger.clock.now_ms()
    try:
        return verified(token, typ=typ, keys=keys, aud=aud, now_ms=now_ms)
    except NotAuthorisedError:
        signed = _verified(token, typ=typ, keys=keys, aud=aud, now_ms=None)
        if signed.iss != did_key(keys[signed.kid]) or not _known(ledger, log_id, signed):
            raise
        return signed


def all_verified_or_known(
    ledger: Ledger, log_id: UUID, tokens: Sequence[str], *, typ: str, keys: Mapping[str, bytes], aud: str
) -> tuple[Signed, ...]:
    """Verify what several say now, or said before, for a body. Arguments and errors as for `verified_or_known`."""
    try:
        return all_verified(tokens, typ=typ, keys=keys, aud=aud, now_ms=ledger.clock.now_ms())
    except NotAuthorisedError:
        signed = all_verified(tokens, typ=typ, keys=keys, aud=aud, now_ms=None)
        if not all(_known(ledger, log_id, one) for one in signed):
            raise
        return signed


def keys_of(principals: Iterable[Principal], typ: str) -> dict[str, bytes]:
    """Return the public keys enrolled for one type of statement, by thumbprint."""
    return {
        principal.kid: bytes.fromhex(principal.public_key)
        for principal in principals
        if principal.statement_type == typ
    }


def _known(ledger: Ledger, log_id: UUID, signed: Signed) -> bool:
    return ledger.recorder.find_command(log_id, signed.iss, signed.jti) is not None


def _verified(token: str, *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int | None) -> Signed:
    now_s = None if now_ms is None else now_ms // SECOND_MS
    payload = jws.verify(token, typ=typ, keys=keys, aud=aud, now_s=now_s)
    return Signed(token, jws.peek(token)[0]["kid"], typ, payload)
