"""What a verifier proved about a piece of evidence: typed, and no judgement of it (RFC 9334 section 8.4).

Invariants:
- Every value was signed by a key that chains to `root`, at the instant `verified_at_s`; nothing here is guessed.
- `evidence_key` is made of header and body only: bytes around the signature can be changed without breaking it, so a
  digest of the whole blob names nothing [one report replayed under many digests].
- No platform id means that nothing tells which machine it is; it then fails every policy that asks.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from domain.message import Value


class EvidenceFormat(StrEnum):
    """Formats that can be told apart and verified."""

    SGX_V3 = "sgx-quote-v3"
    TDX_V4 = "tdx-quote-v4"
    TDX_V5 = "tdx-quote-v5"
    SNP = "sev-snp-report"


class EvidenceClass(StrEnum):
    """Whose word it is: a hardware vendor's root, a root that was named by hand, or a node's key."""

    VENDOR = "vendor"
    SYNTHETIC = "synthetic"
    SOFTWARE = "software"


class TcbStatus(StrEnum):
    """A vendor's word on a platform's microcode and firmware (Intel's TCB info, appendix of the PCS API)."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"
    BELOW_EVERY_LEVEL = "BelowEveryLevel"
    """Older than the oldest level that the vendor's TCB info knows."""


class Weakness(StrEnum):
    """What genuine evidence says against itself."""

    DEBUG = "debug"
    MIGRATABLE = "migratable"
    """A migration agent may move the guest to a machine that no evidence names."""
    HOST_REQUESTED = "host_requested"
    """The hypervisor asked for the report, so nothing in it is the guest's word."""
    SERVICE_TD = "service_td"
    ATTRIBUTES = "attributes"
    """Attributes of a trust domain that its vendor reserves, or that leave its page tables to the host."""


class SgxClaims(Value):
    """An SGX enclave (hex; numbers as in its report)."""

    kind: Literal["sgx"] = "sgx"
    mr_enclave: str
    mr_signer: str
    isv_prod_id: int
    isv_svn: int
    attributes: str
    misc_select: int


class TdxClaims(Value):
    """A TDX trust domain (hex)."""

    kind: Literal["tdx"] = "tdx"
    mr_td: str
    rt_mr: tuple[str, str, str, str]
    mr_config_id: str
    mr_owner: str
    mr_owner_config: str
    mr_seam: str
    mr_signer_seam: str
    td_attributes: str
    xfam: str
    tee_tcb_svn: str
    mr_service_td: str | None


class SnpClaims(Value):
    """A SEV-SNP guest (hex; numbers as in its report)."""

    kind: Literal["snp"] = "snp"
    version: int
    product: str
    signing_key: Literal["VCEK", "VLEK"]
    guest_svn: int
    policy: int
    vmpl: int
    measurement: str
    host_data: str
    family_id: str
    image_id: str
    id_key_digest: str
    author_key_digest: str
    report_id: str
    reported_tcb: str
    committed_tcb: str
    current_tcb: str
    platform_info: int


Environment = Annotated[SgxClaims | TdxClaims | SnpClaims, Field(discriminator="kind")]


class CollateralNumber(Value):
    """A number that a vendor only ever raises: a tcbEvaluationDataNumber, or that of a revocation list."""

    source: str
    number: int


class VerifiedClaims(Value):
    """The result of a verification.

    `measurement` and `report_data` are hex; `root` is the SHA-256 of the root key's SPKI; instants are seconds since
    1970. `fresh_until_s` is when the first of the endorsements ends; `collateral_issued_s` when the oldest was made
    of those that a vendor renews (lists, TCB info), None without any; `revocation`: lists were given for the chain.
    """

    format: EvidenceFormat
    evidence_class: EvidenceClass
    root: str
    platform_id: str | None
    measurement: str
    report_data: str
    environment: Environment
    tcb_status: TcbStatus | None
    advisories: tuple[str, ...]
    weaknesses: tuple[Weakness, ...]
    collateral: tuple[CollateralNumber, ...]
    collateral_issued_s: int | None
    revocation: bool
    evidence_key: str
    verified_at_s: int
    fresh_until_s: int
