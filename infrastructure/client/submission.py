"""A submission file made into a signed statement with sealed inputs, on the submitter's side.

File (JSON): {"clause_id", "resource_class", "bounds": {"memory_bytes", "fuel", "wall_ms"}, "inputs": [{"text": ...} or
{"file": path beside it}], and optionally "trigger", "tags", "forbid_tags", "wait_ms"}.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import Field, ValidationError

from domain.attestation.binding import SALT_BYTES, salted_commitment
from domain.attestation.release import release_info
from domain.bounds import Bounds
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import ClauseName, ResourceClass, workload_id
from domain.message import Value
from domain.policies.kinds import Word, Words
from domain.statements import SUBMISSION
from domain.time import HOUR_MS
from domain.workloads.decisions import MAX_WAIT_MS, Request, request_claims
from domain.workloads.events import NamedInput
from infrastructure.client.files import read_bounded
from infrastructure.client.signing import signed_by
from infrastructure.entropy import Entropy
from infrastructure.keys import hpke
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.payload import payload

MAX_FILE_BYTES = 1_048_576
MAX_INPUT_BYTES = 262_144


class InputSource(Value):
    """One input: text in the file itself, or the name of a file beside it."""

    text: str | None = None
    file: str | None = None


class SubmissionFile(Value):
    """What a person writes."""

    clause_id: ClauseName
    resource_class: ResourceClass
    bounds: Bounds
    inputs: Annotated[tuple[InputSource, ...], Field(min_length=1, max_length=16)]
    trigger: Word | None = None
    tags: Words = ()
    forbid_tags: Words = ()
    wait_ms: Annotated[int, Field(ge=1000, le=MAX_WAIT_MS)] = 24 * HOUR_MS
    slots: Annotated[int, Field(ge=1, le=4096)] = 1


@dataclass(frozen=True, slots=True)
class Submission:
    """What travels: the statement, and each input sealed to the tenant's release key."""

    workload: str
    token: str
    ciphertexts: tuple[bytes, ...]


def read_submission_file(path: Path) -> tuple[SubmissionFile, tuple[bytes, ...]]:
    """Read a submission file and its inputs.

    Raises:
        MalformedError: naming what is wrong.
    """
    data = read_bounded(path, MAX_FILE_BYTES)
    try:
        content = SubmissionFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top"
        raise MalformedError(f"{path.name} is malformed at {where}: {first['msg']}") from None
    inputs = []
    for index, source in enumerate(content.inputs):
        if (source.text is None) == (source.file is None):
            raise MalformedError(f"input {index} needs either text or file")
        text = source.text.encode() if source.text is not None else b""
        inputs.append(read_bounded(path.parent / source.file, MAX_INPUT_BYTES) if source.file is not None else text)
    return content, tuple(inputs)


def build_submission(
    content: SubmissionFile,
    inputs: Sequence[bytes],
    *,
    wallet: Wallet,
    workload: UUID,
    origin: str,
    release_key: str,
    output_key: str | None = None,
    now_ms: int,
    entropy: Entropy,
) -> Submission:
    """Commit to the inputs with fresh salts, seal them to the tenant's release key, and sign.

    Args:
        content: what is asked for.
        inputs: the plain inputs; they leave this side sealed only.
        wallet: the submitter's.
        workload: a UUIDv7.
        origin: the tenant's log.
        release_key: the tenant's HPKE public key, hex.
        output_key: hex, where the tenant holds it itself: then the enclave seals outputs to no other.
        now_ms: instant of signing.
        entropy: where salts and the command id come from.
    """
    named, ciphertexts = [], []
    for index, data in enumerate(inputs):
        if len(data) > MAX_INPUT_BYTES:
            raise MalformedError(f"input {index} has {len(data)} bytes, more than {MAX_INPUT_BYTES}")
        salt = entropy.bytes(SALT_BYTES)
        commitment = salted_commitment(salt, data)
        ciphertext = hpke.seal(bytes.fromhex(release_key), salt + data, release_info(origin, index, commitment))
        ciphertexts.append(ciphertext)
        named.append(
            NamedInput(commitment=commitment.hex(), size_bytes=len(data), ciphertext_digest=sha256_hex(ciphertext))
        )
    request = Request(
        workload=workload_id(workload),
        clause_id=content.clause_id,
        resource_class=content.resource_class,
        bounds=content.bounds,
        trigger=content.trigger,
        tags=content.tags,
        forbid_tags=content.forbid_tags,
        inputs=tuple(named),
        not_after_ms=now_ms + content.wait_ms,
        slots=content.slots,
        output_key_digest=None if output_key is None else sha256_hex(bytes.fromhex(output_key)),
    )
    claims = payload(
        iss=wallet.did(Purpose.SUBMISSION), aud=origin, claims=request_claims(request), now_ms=now_ms, entropy=entropy
    )
    return Submission(request.workload, signed_by([wallet], SUBMISSION, claims)[0], tuple(ciphertexts))
