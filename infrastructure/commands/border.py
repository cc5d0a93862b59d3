"""The border: tokens become `Signed` only after their form, signature, audience and time were verified."""

from collections.abc import Iterable, Mapping, Sequence

from domain.errors import NotAuthorisedError
from domain.statements import Principal, Signed
from domain.time import SECOND_MS
from infrastructure.keys.did_key import did_key
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
    tokens: Sequence[str], *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int
) -> tuple[Signed, ...]:
    """Verify what several say for a body, in its name. Raises as `verified` does, whoever is the issuer."""
    return tuple(_verified(token, typ=typ, keys=keys, aud=aud, now_ms=now_ms) for token in tokens)


def keys_of(principals: Iterable[Principal], typ: str) -> dict[str, bytes]:
    """Return the public keys enrolled for one type of statement, by thumbprint."""
    return {
        principal.kid: bytes.fromhex(principal.public_key)
        for principal in principals
        if principal.statement_type == typ
    }


def _verified(token: str, *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int) -> Signed:
    payload = jws.verify(token, typ=typ, keys=keys, aud=aud, now_s=now_ms // SECOND_MS)
    return Signed(token, jws.peek(token)[0]["kid"], typ, payload)
