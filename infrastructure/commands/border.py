"""The border: tokens become `Signed` only after their form, signature, audience and time were verified."""

from collections.abc import Iterable, Mapping, Sequence

from domain.statements import Principal, Signed
from domain.time import SECOND_MS
from infrastructure.statements import jws


def verified(token: str, *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int) -> Signed:
    """Verify a statement.

    Args:
        token: compact serialisation.
        typ: the type expected.
        keys: raw public keys by thumbprint.
        aud: origin of the log that it is for.
        now_ms: instant against which its times are held.

    Raises:
        MalformedError: when it is not of the one form.
        NotAuthorisedError: when type, key, signature, audience or time are wrong.
    """
    payload = jws.verify(token, typ=typ, keys=keys, aud=aud, now_s=now_ms // SECOND_MS)
    return Signed(token, jws.peek(token)[0]["kid"], typ, payload)


def all_verified(
    tokens: Sequence[str], *, typ: str, keys: Mapping[str, bytes], aud: str, now_ms: int
) -> tuple[Signed, ...]:
    """Verify several statements. Raises as `verified` does."""
    return tuple(verified(token, typ=typ, keys=keys, aud=aud, now_ms=now_ms) for token in tokens)


def keys_of(principals: Iterable[Principal], typ: str) -> dict[str, bytes]:
    """Return the public keys enrolled for one type of statement, by thumbprint."""
    return {
        principal.kid: bytes.fromhex(principal.public_key)
        for principal in principals
        if principal.statement_type == typ
    }
