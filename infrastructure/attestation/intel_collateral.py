"""Intel's collateral and PCK chains, checked so that each fault has its name (PCS API v4; Intel SGX PCK profile).

Invariants:
- All three issuer chains of a collateral, and the quote's own, end at the trusted root's key, link by link; both lists
  of revoked certificates are signed by their issuers. `dcap-qvl` doesn't look at the list's issuer chain: here it is.
- What is said here about a collateral is said once for its bytes; only the instant is held against it each time.
- This finds the fault's name. That a quote is good is only ever said by `dcap-qvl`, which checks all of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import orjson
from cryptography import x509
from dcap_qvl import QuoteCollateralV3, parse_pck_extension_from_pem

from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.errors import MalformedError
from infrastructure.attestation.certificates import (
    Window,
    is_ca,
    name_of,
    pem_chain,
    public_key,
    seconds,
    signed_by,
    spki,
    window_of,
)
from infrastructure.attestation.revocation import RevocationList, load_crl
from infrastructure.attestation.roots import Root

_CHAINS = ("pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain")
_MAX_CHAIN = 4


@dataclass(frozen=True, slots=True)
class Checked:
    """Certificates whose signatures hold, their windows, and which of them a list of their issuer's revokes."""

    certificates: tuple[x509.Certificate, ...]
    windows: tuple[Window, ...]
    revoked: str | None

    def check(self, at_s: int) -> None:
        """Hold an instant against all windows, then look whether one is revoked.

        Raises:
            EvidenceRefusedError: when one is not valid at that instant, or revoked.
        """
        for window in self.windows:
            window.check(at_s)
        if self.revoked is not None:
            raise EvidenceRefusedError(Refusal.REVOKED, f"{self.revoked} is revoked by its issuer")


@dataclass(frozen=True, slots=True, eq=False)
class Collateral:
    """A collateral whose signatures hold. `tee` is SGX or TDX, `fmspc` lowercase hex."""

    parsed: QuoteCollateralV3
    tee: str
    fmspc: str
    issued_s: int
    evaluation: int
    qe: str
    pck_chain: str | None
    crls: tuple[RevocationList, ...]
    pck_crl_issuer: str
    checked: Checked


@lru_cache(maxsize=256)
def label(text: str) -> tuple[str, str, int, str]:
    """Return (tee, fmspc, evaluation number, issue date) that a collateral says of itself; empty: damaged."""
    try:
        info = orjson.loads(orjson.loads(text)["tcb_info"])
        number = info.get("tcbEvaluationDataNumber", 0)
        return str(info.get("id", "SGX")), str(info["fmspc"]).lower(), int(number), str(info["issueDate"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "", 0, ""


@lru_cache(maxsize=64)
def read_collateral(text: str, root: Root) -> Collateral:
    """Return a collateral whose chains end at the root, all signatures checked; its windows are not.

    Raises:
        EvidenceRefusedError: when it is malformed, or a signature or chain doesn't hold.
    """
    try:
        parsed = QuoteCollateralV3.from_json(text)
    except ValueError as error:
        raise EvidenceRefusedError(Refusal.MALFORMED, f"the collateral: {_first_line(error)}") from None
    chains = {name: _chain(getattr(parsed, name), name.replace("_", " ")) for name in _CHAINS}
    for name, chain in chains.items():
        check_links(chain, root, name.replace("_", " "))
    try:
        root_crl, pck_crl = load_crl(parsed.root_ca_crl), load_crl(parsed.pck_crl)
    except MalformedError:
        raise EvidenceRefusedError(Refusal.MALFORMED, "a revocation list of the collateral is damaged") from None
    pck_issuer = chains["pck_crl_issuer_chain"][0]
    if not signed_by(root_crl.parsed, public_key(root.spki)):
        raise EvidenceRefusedError(
            Refusal.ENDORSEMENT_SIGNATURE, "the root's revocation list is not signed by the root"
        )
    if pck_crl.parsed.issuer != pck_issuer.subject or not signed_by(pck_crl.parsed, pck_issuer.public_key()):
        text_of = "the list of revoked platforms is not signed by its issuer"
        raise EvidenceRefusedError(Refusal.ENDORSEMENT_SIGNATURE, text_of)
    tee, fmspc, evaluation, issued = label(text)
    return Collateral(
        parsed=parsed,
        tee=tee,
        fmspc=fmspc,
        issued_s=min(root_crl.window.begin_s, pck_crl.window.begin_s, _instant_s(issued)),
        evaluation=evaluation,
        qe=str(_json(parsed.qe_identity).get("id", "")),
        pck_chain=orjson.loads(text).get("pck_certificate_chain"),
        crls=(root_crl, pck_crl),
        pck_crl_issuer=pck_crl.issuer,
        checked=_checked(tuple(dict.fromkeys(one for chain in chains.values() for one in chain)), (root_crl, pck_crl)),
    )


@dataclass(frozen=True, slots=True)
class Platform:
    """What a PCK certificate's SGX extension (1.2.840.113741.1.13.1) says: the kind of platform, and which one."""

    fmspc: str
    platform_id: str | None


@lru_cache(maxsize=1024)
def platform(text: str) -> Platform:
    """Return what the first certificate of a PEM chain says of its platform; empty where it says nothing."""
    try:
        extension = parse_pck_extension_from_pem(text.encode("ascii", "replace"))
    except ValueError:
        return Platform("", None)
    ids = (extension.platform_instance_id, extension.ppid)
    known = next((bytes(value).hex() for value in ids if value is not None and any(value)), None)
    return Platform(bytes(extension.fmspc).hex(), None if known is None else f"intel:{known}")


@lru_cache(maxsize=1024)
def pck_chain(text: str, collateral: Collateral, root: Root) -> Checked:
    """Return a platform's certificate chain, which ends at the root, all signatures checked.

    Raises:
        EvidenceRefusedError: when it is damaged, or doesn't end there.
    """
    return _checked(linked_pck_chain(text, root), collateral.crls)


def linked_pck_chain(text: str, root: Root) -> tuple[x509.Certificate, ...]:
    """Return a platform's certificate chain before revocation is looked at. Raises as `pck_chain` does."""
    chain = _chain(text, "platform's certificate chain")
    check_links(chain, root, "platform's certificate chain")
    return chain


def check_links(chain: Sequence[x509.Certificate], root: Root, what: str) -> None:
    """Check that each certificate is signed by the next, and the last by the root, which may be that last one itself.

    Raises:
        EvidenceRefusedError: when it isn't so.
    """
    issuers = list(chain[1:])
    for certificate, issuer in zip(chain, issuers, strict=False):
        if certificate.issuer != issuer.subject or not is_ca(issuer) or not signed_by(certificate, issuer.public_key()):
            raise EvidenceRefusedError(
                Refusal.ENDORSEMENT_SIGNATURE, f"{name_of(certificate)} in the {what} is not signed"
            )
    last = chain[-1]
    if not signed_by(last, public_key(root.spki)):
        if spki(last.public_key()) == root.spki:
            raise EvidenceRefusedError(Refusal.ENDORSEMENT_SIGNATURE, f"the root in the {what} is damaged")
        raise EvidenceRefusedError(Refusal.UNTRUSTED_ROOT, f"the {what} ends at {name_of(last)}, no trusted root")


def _checked(certificates: tuple[x509.Certificate, ...], crls: tuple[RevocationList, ...]) -> Checked:
    windows = (*(window_of(one) for one in certificates), *(crl.window for crl in crls))
    revoked = (name_of(one) for one in certificates for crl in crls if crl.lists(one))
    return Checked(certificates, windows, next(revoked, None))


def _chain(text: str, what: str) -> tuple[x509.Certificate, ...]:
    try:
        chain = pem_chain(text)
    except MalformedError as error:
        raise EvidenceRefusedError(Refusal.MALFORMED, f"the {what}: {error}") from None
    if not chain or len(chain) > _MAX_CHAIN:
        raise EvidenceRefusedError(Refusal.INCOMPLETE, f"the {what} has {len(chain)} certificates")
    return chain


def _instant_s(text: str) -> int:
    try:
        return seconds(datetime.fromisoformat(text))
    except ValueError:
        raise EvidenceRefusedError(Refusal.MALFORMED, "the collateral's TCB info has no issue date") from None


def _json(text: str) -> dict[str, object]:
    try:
        value = orjson.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0][:160]
