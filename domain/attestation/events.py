"""What is recorded of platforms' evidence: of machines when they enrol, of executions, of collateral that was seen."""

from typing import Annotated, ClassVar

from pydantic import Field

from domain.attestation.claims import CollateralNumber, EvidenceFormat
from domain.attestation.trust_vector import Tier, TrustVector
from domain.executions.events import EvidenceAppraised, Hex32
from domain.identifiers import Digest
from domain.message import Event, Value
from domain.payloads import StoredPayload
from domain.policies.kinds import EvidenceClass, Word

KeyThumbprint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AppraisalKept(Value):
    """All that an appraisal of platform evidence rests on, and its answer, so that it can be repeated.

    `platform_evidence` and `endorsements` are what was verified, in the form in which it came; `at_s` is the instant
    (seconds since 1970). `evidence_format`, `evidence_key` and `root` are None where nothing was recognised or proved.
    `collateral` are the numbers that were proved. `ear` is the signed result.
    """

    evidence_format: EvidenceFormat | None
    evidence_key: Digest | None
    root: Digest | None
    platform_evidence: StoredPayload
    endorsements: tuple[StoredPayload, ...]
    at_s: Annotated[int, Field(ge=0)]
    trust_vector: TrustVector
    not_appraised: tuple[str, ...]
    collateral: tuple[CollateralNumber, ...]
    ear: str


class PlatformEvidenceAppraised(EvidenceAppraised):
    """A platform's evidence for an execution: verified, judged under the policy in force, and answered with an EAR.

    `evidence_class` is the one that was proved; where nothing was, the one that the report claims.
    """

    TOPIC: ClassVar[str] = "execution.evidence_appraised.v2"

    status: Tier
    policy_version: int
    policy_digest: Digest
    kept: AppraisalKept

    @property
    def evidence_root(self) -> Digest | None:
        """The root that a platform's evidence rests on."""
        return self.kept.root


class NodeChallenged(Event):
    """The nonce that a machine's evidence must answer before a node enrols with its id. The newest of a key counts."""

    TOPIC: ClassVar[str] = "node.challenged.v1"

    node: Word
    kid: KeyThumbprint
    public_key: PublicKey
    nonce: Hex32
    expires_ms: Annotated[int, Field(ge=0)]


class NodeEvidenceAppraised(Event):
    """A machine's evidence over a node's key: the nonce is used up, whatever the verdict.

    Only an affirming or warning one proves a platform id. A machine that names none (VLEK) has none.
    """

    TOPIC: ClassVar[str] = "node.evidence_appraised.v1"

    node: Word
    kid: KeyThumbprint
    nonce: Hex32
    status: Tier
    reason: str
    evidence_class: EvidenceClass | None
    platform_id: str | None
    kept: AppraisalKept

    @property
    def accepted(self) -> bool:
        """Whether it proves the machine."""
        return self.status in {Tier.AFFIRMING, Tier.WARNING}


class ResultKeyEnrolled(Event):
    """The key that signs this ledger's attestation results (EAR), and nothing else."""

    TOPIC: ClassVar[str] = "attestation.key_enrolled.v1"

    kid: KeyThumbprint
    public_key: PublicKey


class CollateralSeen(Event):
    """A number of collateral rose: nothing older of this source is taken any more."""

    TOPIC: ClassVar[str] = "collateral.seen.v1"

    source: Annotated[str, Field(min_length=1, max_length=512)]
    number: Annotated[int, Field(ge=0)]
