"""Statements signed with wallets. Private keys never leave this side."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.platform.events import AdminKey
from domain.statements import ENDORSEMENT, GOVERNANCE, REPORT, SUBMISSION
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import jws

_PURPOSES = {
    GOVERNANCE: Purpose.GOVERNANCE,
    SUBMISSION: Purpose.SUBMISSION,
    REPORT: Purpose.REPORT,
    ENDORSEMENT: Purpose.ENDORSEMENT,
}


def signed_by(wallets: Sequence[Wallet], typ: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Let every wallet sign the same payload with its key for this type of statement."""
    return tuple(jws.sign(typ, wallet.key(_PURPOSES[typ]), content) for wallet in wallets)


def admin_key(wallet: Wallet) -> AdminKey:
    """Return a wallet's governance key as a registration names it. The person is the wallet's name."""
    return AdminKey(
        kid=wallet.thumbprint(Purpose.GOVERNANCE),
        public_key=wallet.public(Purpose.GOVERNANCE).hex(),
        person=wallet.name,
    )
