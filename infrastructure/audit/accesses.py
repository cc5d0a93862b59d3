"""Who read a log, as the service says: nobody signed it, so only what it must agree with is checked."""

from domain.access.events import AccessSummarised, PrincipalRecognised
from domain.access.recognising import federated_kid
from domain.errors import VerificationError
from domain.message import Recorded
from infrastructure.audit.known import Known
from infrastructure.audit.statements import instant_before


def recognise(known: Known, event: PrincipalRecognised, recorded: Recorded) -> None:
    """Check who a pseudonym is said to be: shown by an issuer that the log admitted at that position.

    Raises:
        VerificationError: when the pseudonym is another's, or nothing that was admitted then gives that role.
    """
    if event.kid != federated_kid(event.issuer, event.subject):
        raise VerificationError("a pseudonym stands for another issuer and subject")
    known.recognised.add(event.kid)
    if known.platform:
        known.elsewhere["people whom an issuer's tokens showed, admitted in the root scope's log"] += 1
        return
    tenant = known.tenant("people whom an issuer's tokens showed")
    if tenant is None:
        return
    admitted = tenant.token_issuers.get(event.issuer)
    if admitted is None or admitted.digest() != event.admission:
        raise VerificationError("somebody was shown by an issuer that the log did not admit so")
    at_ms = instant_before(recorded.at_ms, recorded.at_ms if admitted.until_ms is None else admitted.until_ms)
    if not admitted.in_force(max(at_ms, admitted.from_ms)) or recorded.at_ms < admitted.from_ms:
        raise VerificationError("somebody was shown by an issuer outside the time for which it is admitted")
    if event.role not in {rule.role for rule in admitted.rules}:
        raise VerificationError("somebody was shown in a role that no rule gives")


def follow(known: Known, event: AccessSummarised, recorded: Recorded) -> None:
    """Check one summary of a principal's accesses.

    Raises:
        VerificationError: when its key was never enrolled in this log and stands for nobody who was shown, it counts
            more refused than asked for, or it was recorded before its minute began.
    """
    if event.refused > event.requests or recorded.at_ms < event.minute_ms:
        raise VerificationError("accesses are of a later minute, or more were refused than there were")
    if known.platform:
        known.elsewhere["accesses by keys that the root scope enrolled"] += 1
        return
    if event.kid in known.recognised:
        return
    tenant = known.tenant("accesses by keys of the log's own stream")
    if tenant is not None and event.kid not in tenant.principals and event.kid not in tenant.revoked:
        raise VerificationError("accesses by a key that was never enrolled here")
