"""Certificate revocation lists (RFC 5280 section 5).

Invariants:
- A list counts for a certificate when it names the same issuer. If that issuer's key didn't sign it, everything is
  refused: a forged list is no mishap.
- Of several lists of one issuer the one with the highest number counts, and it must be within its window
  [an old list hides a revocation].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509

from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.errors import MalformedError
from infrastructure.attestation.certificates import (
    Window,
    check_algorithm,
    name_of,
    public_key,
    seconds,
    serial_number,
    signed_by,
)

Link = tuple[x509.Certificate, bytes]
"""A certificate of a chain, and the SPKI (DER) of the key that issued it."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list, equal to another by its bytes. `number` is -1 where it has none (RFC 5280 5.2.3)."""

    der: bytes
    number: int = field(compare=False)
    window: Window = field(compare=False)
    parsed: x509.CertificateRevocationList = field(compare=False, repr=False)

    @property
    def issuer(self) -> str:
        """The issuer's name (RFC 4514)."""
        return self.parsed.issuer.rfc4514_string()

    def lists(self, certificate: x509.Certificate) -> bool:
        """Tell whether it revokes a certificate of its issuer."""
        if self.parsed.issuer != certificate.issuer:
            return False
        return self.parsed.get_revoked_certificate_by_serial_number(serial_number(certificate)) is not None


def load_crl(der: bytes) -> RevocationList:
    """Read a DER revocation list. It ends before its next update; without one it is over at once.

    Raises:
        MalformedError: when it is none.
    """
    try:
        parsed = x509.load_der_x509_crl(der)
        number = next((one.value.crl_number for one in parsed.extensions if isinstance(one.value, x509.CRLNumber)), -1)
        check_algorithm(der, parsed.tbs_certlist_bytes, parsed.signature)
        parsed.issuer.rfc4514_string()
        parsed.get_revoked_certificate_by_serial_number(0)
        begin = seconds(parsed.last_update_utc)
        end = begin if parsed.next_update_utc is None else seconds(parsed.next_update_utc) - 1
    except Exception:  # noqa: BLE001 - the parser's many ways to fail are one
        raise MalformedError("not a revocation list") from None
    return RevocationList(der, number, Window("a revocation list", begin, end), parsed)


def check_not_revoked(links: Sequence[Link], lists: tuple[RevocationList, ...], at_s: int) -> list[RevocationList]:
    """Hold a chain against revocation lists; return those that counted.

    Raises:
        EvidenceRefusedError: when a certificate is revoked, or a list of one of the issuers is forged or not current.
    """
    counted = []
    for certificate, issuer in links:
        newest = _newest(certificate, issuer, lists) if lists else None
        if newest is None:
            continue
        if newest.lists(certificate):
            raise EvidenceRefusedError(Refusal.REVOKED, f"{name_of(certificate)} is revoked by its issuer")
        newest.window.check(at_s)
        counted.append(newest)
    return counted


@lru_cache(maxsize=256)
def _newest(certificate: x509.Certificate, issuer: bytes, lists: tuple[RevocationList, ...]) -> RevocationList | None:
    own = [one for one in lists if one.parsed.issuer == certificate.issuer]
    for one in own:
        if not signed_by(one.parsed, public_key(issuer)):
            raise EvidenceRefusedError(Refusal.ENDORSEMENT_SIGNATURE, "a revocation list is not signed by its issuer")
    return max(own, key=_order, default=None)


def _order(one: RevocationList) -> tuple[int, int]:
    return one.number, one.window.begin_s
