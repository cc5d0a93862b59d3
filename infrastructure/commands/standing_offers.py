"""Standing offers of pools' operators: made by the operator's key, which the root's admins vouch for; and withdrawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.errors import ConflictError, NotAuthorisedError, UnknownError
from domain.identifiers import offer_stream
from domain.message import Pending
from domain.pools.decisions import appointment_claims, offer_claims, require_terms, withdrawal_claims
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.statements import GOVERNANCE, Signed, require_claims, require_threshold
from domain.tenants.state import Tenant
from infrastructure.commands.border import all_verified, all_verified_or_known, keys_of, verified_or_known
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.loading import load_root
from infrastructure.commands.tenants import statement_command
from infrastructure.keys.did_key import did_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Answer, Ledger


def newest_offer(ledger: Ledger, pool: str, operator: str) -> tuple[int, OfferStood | None]:
    """Return the number that the next offer has, and the offer that stands, if one does (it may be over by time)."""
    stream = ledger.stream(ledger.platform().log_id, offer_stream(pool, operator))
    last = stream[-1].event if stream else None
    return len(stream), last if isinstance(last, OfferStood) else None


def stand_offer(
    ledger: Ledger, *, pool: str, operator: str, slots: int | None, memory_bytes: int | None, until_ms: int,
    public_key: bytes, statement: str, appointed: Sequence[str],
) -> Answer:  # fmt: skip
    """Let an operator's offer stand for its nodes of a pool, instead of the one before.

    Raises:
        RefusedError: for terms that no offer can have.
        NotAuthorisedError: when the operator did not sign just this, or the root's admins do not vouch for its key.
        ConflictError: when another offer came first.
    """
    platform, now_ms, kid = ledger.platform(), ledger.clock.now_ms(), thumbprint(public_key)
    keys = {kid: public_key}
    signed = verified_or_known(ledger, platform.log_id, statement, typ=GOVERNANCE, keys=keys, aud=platform.origin)
    command = statement_command(platform.log_id, [signed], {"pool": pool, "operator": operator})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    require_terms(pool, until_ms, now_ms)
    number, _ = newest_offer(ledger, pool, operator)
    terms = offer_claims(pool, operator, number, slots=slots, memory_bytes=memory_bytes, until_ms=until_ms)
    _require_said(signed, public_key, terms)
    root = load_root(ledger)
    vouched = _require_root(ledger, root, appointed, appointment_claims(pool, operator, public_key.hex()))
    event = OfferStood(
        number=number, pool=pool, operator=operator, kid=kid, public_key=public_key.hex(), slots=slots,
        memory_bytes=memory_bytes, until_ms=until_ms, statement=statement, appointed=tuple(appointed),
    )  # fmt: skip
    used = statement_command(platform.log_id, vouched, {})  # what vouches for a key counts once
    pending = Pending(platform.log_id, offer_stream(pool, operator), number, event)
    return ledger.append([pending], command=command, claims=[used], guards=[guard_of(root)])


def withdraw_offer(ledger: Ledger, *, pool: str, operator: str, statements: Sequence[str]) -> Answer:
    """Let an offer be over: its operator says so, or the root's admins do.

    Raises:
        UnknownError: when none stands.
        NotAuthorisedError: when neither of them says just this.
    """
    platform = ledger.platform()
    version, standing = newest_offer(ledger, pool, operator)
    root = load_root(ledger)
    keys = keys_of(root.principals.values(), GOVERNANCE)
    known_keys = keys | _offerers(ledger, pool, operator)
    aud = platform.origin
    signed = all_verified_or_known(ledger, platform.log_id, statements, typ=GOVERNANCE, keys=known_keys, aud=aud)
    if not signed:
        raise NotAuthorisedError("no signature was given")
    command = statement_command(platform.log_id, signed, {"pool": pool, "operator": operator})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    if standing is None:
        raise UnknownError("no offer of that operator stands in that pool")
    expected = withdrawal_claims(pool, operator, standing.number)
    if len(signed) == 1 and signed[0].kid == standing.kid:
        _require_said(signed[0], bytes.fromhex(standing.public_key), expected)
    else:
        _require_root(ledger, root, statements, expected)
    if version != standing.number + 1:
        raise ConflictError("another act about that offer came first")
    event = OfferWithdrawn(number=standing.number, pool=pool, operator=operator, statements=tuple(statements))
    pending = Pending(platform.log_id, offer_stream(pool, operator), version, event)
    return ledger.append([pending], command=command, guards=[guard_of(root)])


def _offerers(ledger: Ledger, pool: str, operator: str) -> dict[str, bytes]:
    """Return the keys that made an operator's offers: a withdrawal is answered again after the offer is gone."""
    stream = ledger.stream(ledger.platform().log_id, offer_stream(pool, operator))
    stood = [one.event for one in stream if isinstance(one.event, OfferStood)]
    return {one.kid: bytes.fromhex(one.public_key) for one in stood}


def _require_said(signed: Signed, public_key: bytes, expected: Mapping[str, Any]) -> None:
    if signed.iss != did_key(public_key):
        raise NotAuthorisedError("the operator's statement names another as its issuer")
    require_claims(signed, expected)


def _require_root(
    ledger: Ledger, root: Tenant, tokens: Sequence[str], expected: Mapping[str, Any]
) -> tuple[Signed, ...]:
    signed = all_verified(
        tokens, typ=GOVERNANCE, keys=keys_of(root.principals.values(), GOVERNANCE), aud=ledger.platform().origin,
        now_ms=ledger.clock.now_ms(),
    )  # fmt: skip
    require_threshold(signed, root.principals, roles=root.admins, threshold=root.threshold, expected=expected)
    return tuple(signed)
