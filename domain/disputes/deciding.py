"""The decision of a dispute: by whom, when, about which of its CACs.

Invariants:
- Decided once, by the scope's resolvers at their threshold, over what their statements say they saw.
- Nobody is judged unheard: before the time to answer is over there is a decision only if everybody concerned answered.
- Nobody decides its own cause: neither an operator concerned nor who has signed for an affected tenant counts.
- Nothing escapes that is disputed: while an execution may still yield a CAC nothing is overturned, and a CAC that was
  issued since the opening stands only if the signatories knew of it.
- Whatever may be opened can be decided: statements name CACs by digest, so one entry holds any number of signatures.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from domain.canonical import canonical
from domain.disputes.decisions import Voice, require_before, require_open, speak, tokens
from domain.disputes.events import MAX_AFFECTED, DisputeOverturned, DisputeUpheld
from domain.disputes.state import Dispute
from domain.disputes.statements import DecideSaid
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.hashing import sha256_hex
from domain.statements import Signed
from domain.time import rfc3339


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of the executions that a dispute is about.

    Attributes:
        cacs: CACs of theirs that stand, whenever they were issued, in the order in which the dispute names these.
        pending: executions that may still yield one.
    """

    cacs: tuple[str, ...]
    pending: tuple[str, ...] = ()


def cacs_digest(cacs: Collection[str]) -> str:
    """Return H(JCS of CAC ids in this order), as a decision's statements name them."""
    return sha256_hex(canonical(list(cacs)))


def decide(
    dispute: Dispute,
    voice: Voice,
    said: DecideSaid,
    signatures: Sequence[Signed],
    *,
    parties: Collection[str],
    standing: Standing | None = None,
    named: Sequence[str] | None = None,
    now_ms: int,
) -> DisputeUpheld | DisputeOverturned:
    """Decide a dispute.

    Args:
        dispute: which.
        voice: the scope's resolvers, deciding.
        said: what the statements say.
        signatures: the statements.
        parties: raw public keys (hex) that have signed for the affected tenants: whoever holds one doesn't count. A
            key that a tenant enrolled and that never signed for it is none: a tenant alone excludes nobody.
        standing: what became of its executions; None where that can't be told.
        named: the CACs whose digest the statements name; None: all that stand. Not read where they name them in full.
        now_ms: decision time.

    Raises:
        ConflictError: when it is over, something was added since it was signed, or a CAC was overturned or issued.
        RefusedError: when somebody has still to be heard, something still runs, or it is too late.
        NotAuthorisedError: below the threshold, when a party signed, or for other CACs than were signed.
    """
    if voice.party.role != "resolver":
        raise NotAuthorisedError("a dispute is decided by the resolvers of its scope")
    require_open(dispute)
    _require_impartial(dispute, voice, signatures, parties)
    speak(voice, said, signatures, excluded={one.operator for one in dispute.opened.affected})
    if said.events != dispute.version + 1:
        raise ConflictError("something was added to the dispute since this was signed: look at it and sign again")
    if not dispute.heard and now_ms < dispute.opened.answer_by_ms:
        until = rfc3339(dispute.opened.answer_by_ms)
        raise RefusedError(f"those concerned have until {until} to answer: decide afterwards")
    require_before(now_ms, dispute.opened.decide_by_ms, "the time to decide")
    if said.decision == "upheld":
        if said.cacs or said.cacs_digest is not None:
            raise RefusedError("what is upheld overturns no CAC")
        return DisputeUpheld(dispute_id=dispute.id, reason=said.reason, statements=tokens(signatures))
    cacs = _named(dispute, said, standing, named)
    return DisputeOverturned(dispute_id=dispute.id, reason=said.reason, cacs=cacs, statements=tokens(signatures))


def _named(
    dispute: Dispute, said: DecideSaid, standing: Standing | None, named: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the CACs that are overturned, once they are what was signed and may be."""
    by_digest = said.cacs_digest is not None
    if by_digest:
        cacs = tuple(standing.cacs if named is None and standing is not None else named or ())
        if said.cacs or len(cacs) > MAX_AFFECTED or cacs_digest(cacs) != said.cacs_digest:
            raise NotAuthorisedError("the statements name other CACs than those that came along, or that stand")
    else:
        cacs = said.cacs
    # A CAC that was issued since the opening belongs to an execution that had none then.
    later = sum(one.cac_id is None for one in dispute.opened.affected)
    known = {*dispute.cacs, *(standing.cacs if standing is not None else ())}
    unknown = len(set(cacs) - known)
    if len(set(cacs)) != len(cacs) or unknown > (later if standing is None else 0):
        raise RefusedError("a CAC is overturned that the dispute is not about, or one twice")
    if standing is not None:
        _require_settled(dispute, said, standing, cacs)
    return cacs


def _require_settled(dispute: Dispute, said: DecideSaid, standing: Standing, cacs: tuple[str, ...]) -> None:
    if standing.pending:
        raise RefusedError(
            f"{standing.pending[0]} has not ended ({len(standing.pending)} may still yield a CAC): decide afterwards"
        )
    if not set(cacs) <= set(standing.cacs):
        raise ConflictError("a CAC was overturned already by another dispute: leave it out")
    if said.standing_digest is not None:
        if said.standing_digest != cacs_digest(standing.cacs):
            raise ConflictError("a CAC was issued or overturned since this was signed: look at it and sign again")
    elif not set(standing.cacs) - set(dispute.cacs) <= set(cacs):
        raise ConflictError("a CAC was issued since the dispute was opened: name it as well, or sign what stands")
    if standing.cacs and not cacs:
        raise RefusedError("name the CACs that are overturned")


def _require_impartial(dispute: Dispute, voice: Voice, signatures: Sequence[Signed], parties: Collection[str]) -> None:
    """Refuse who acts for a party: by the key that signs, or by another that the scope enrolled for that person."""
    acting = {*parties, *dispute.voices}
    persons = {one.person for one in voice.principals.values() if one.public_key in acting}
    signing = [voice.principals[one.kid] for one in signatures if one.kid in voice.principals]
    if any(one.person in persons for one in signing):
        raise NotAuthorisedError("who acts for a party does not decide")
