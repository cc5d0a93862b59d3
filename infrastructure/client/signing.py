"""Statements signed with wallets. Private keys never leave this side."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from domain.errors import MalformedError
from domain.platform.events import AdminKey
from domain.policies.kinds import Word
from domain.statements import ENDORSEMENT, GOVERNANCE, REPORT, SUBMISSION
from domain.tenants.decisions import holder_claims
from domain.tenants.events import HolderEnrolled, PrincipalEnrolled
from infrastructure.entropy import Entropy
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import jws
from infrastructure.statements.payload import payload

_PURPOSES = {
    GOVERNANCE: Purpose.GOVERNANCE,
    SUBMISSION: Purpose.SUBMISSION,
    REPORT: Purpose.REPORT,
    ENDORSEMENT: Purpose.ENDORSEMENT,
}
_WORD: TypeAdapter[str] = TypeAdapter(Word)


def signed_by(wallets: Sequence[Wallet], typ: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Let every wallet sign the same payload with its key for this type of statement."""
    return tuple(jws.sign(typ, wallet.key(_PURPOSES[typ]), content) for wallet in wallets)


def accepted(
    enrolled: PrincipalEnrolled, holder: Wallet, origin: str, *, now_ms: int, entropy: Entropy
) -> HolderEnrolled:
    """Return an enrolment with the acceptance of the key that is enrolled, by the wallet that holds it.

    Args:
        enrolled: the enrolment.
        holder: the wallet.
        origin: of the log in which it is enrolled.
        now_ms: when it accepts.
        entropy: draws the statement's id.
    """
    typ = enrolled.statement_type
    content = payload(
        iss=holder.did(_PURPOSES[typ]), aud=origin, claims=holder_claims(enrolled), now_ms=now_ms, entropy=entropy
    )
    return HolderEnrolled(**enrolled.model_dump(), acceptance=signed_by([holder], typ, content)[0])


def admin_key(wallet: Wallet) -> AdminKey:
    """Return a wallet's governance key as a registration names it. The person is the wallet's name."""
    return AdminKey(
        kid=wallet.thumbprint(Purpose.GOVERNANCE),
        public_key=wallet.public(Purpose.GOVERNANCE).hex(),
        person=person(wallet),
    )


def person(wallet: Wallet) -> str:
    """Return the person or machine that a wallet's name stands for in the ledger. Raises as `check_person` does."""
    return check_person(wallet.name)


def check_person(name: str) -> str:
    """Return a name unchanged, if it can stand for a person or machine in the ledger.

    Raises:
        MalformedError: when it can't.
    """
    try:
        return _WORD.validate_python(name)
    except ValidationError:
        raise MalformedError(
            f"the wallet's name {name[:80]!a} is no name of a person here: it takes a letter, then letters, "
            "digits, _ . : or - (at most 64)"
        ) from None
