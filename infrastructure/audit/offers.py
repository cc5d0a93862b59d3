"""Standing offers in the platform log: each signed by the key that it names, and withdrawn by who may.

Terms are those that an offer can have; a lone withdrawal by the operator's key is verified with it. That the key is the
operator's, the root's admins say: their keys are in the root's log.
"""

from domain.errors import VerificationError
from domain.message import Recorded
from domain.pools.decisions import appointment_claims, offer_claims, require_terms, withdrawal_claims
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.statements import GOVERNANCE, require_claims
from infrastructure.audit import governance
from infrastructure.audit.known import Known
from infrastructure.audit.statements import instant_before
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws


def follow(known: Known, event: OfferStood | OfferWithdrawn, recorded: Recorded) -> None:
    """Check one event of an offer.

    Raises:
        LedgerError: when it does not follow from those before it.
    """
    if not known.platform:
        raise VerificationError("standing offers are in the platform log")
    pool = event.pool, event.operator
    if isinstance(event, OfferStood):
        _stood(known, event, recorded)
        known.offers[pool] = event
        return
    standing = known.offers.pop(pool, None)
    if standing is None and known.sealed:
        known.elsewhere["offers withdrawn: what was offered was not disclosed"] += 1
        return
    if standing is None or (event.number, recorded.version) != (standing.number, standing.number + 1):
        raise VerificationError("an offer is withdrawn that does not stand")
    expected = withdrawal_claims(*pool, event.number)
    if len(event.statements) == 1 and jws.parse(event.statements[0]).kid == standing.kid:
        keys = {standing.kid: bytes.fromhex(standing.public_key)}
        require_claims(known.statements.by_signer(event.statements[0], GOVERNANCE, keys, recorded), expected)
        return
    signed = known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=governance.OTHER_KEYS)
    if not signed:
        raise VerificationError("nobody says that the offer is withdrawn")
    for one in signed:
        require_claims(one, expected)


def _stood(known: Known, event: OfferStood, recorded: Recorded) -> None:
    public = bytes.fromhex(event.public_key)
    if event.number != recorded.version or thumbprint(public) != event.kid:
        raise VerificationError("an offer does not have the number of its place, or names another key")
    require_terms(event.pool, event.until_ms, instant_before(recorded.at_ms, event.until_ms))
    signed = known.statements.by_signer(event.statement, GOVERNANCE, {event.kid: public}, recorded)
    terms = offer_claims(
        event.pool, event.operator, event.number, slots=event.slots, memory_bytes=event.memory_bytes,
        until_ms=event.until_ms,
    )  # fmt: skip
    require_claims(signed, terms)
    vouched = known.statements.unverified(event.appointed, GOVERNANCE, recorded, whose=governance.OTHER_KEYS)
    if not vouched:
        raise VerificationError("nobody vouches for the key of a pool's operator")
    for one in vouched:
        require_claims(one, appointment_claims(event.pool, event.operator, event.public_key))
