"""What keep and worker say to each other. Bytes travel as base64 in canonical JSON.

Invariants:
- Every message is frozen, strict and of closed shape; `kind` says which it is.
- No message holds a private key or plaintext: inputs come sealed to the enclave's key, outputs go sealed to the
  tenant's.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.errors import MalformedError
from infrastructure.runtime.abi import MAX_INPUTS, Fault, Outcome

_T = TypeVar("_T")

Digest = Annotated[bytes, Field(min_length=32, max_length=32)]


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Begin(_Message):
    """First message: whose worker this is, and how large a clause's memory may be at most."""

    kind: Literal["begin"] = "begin"
    origin: str
    memory_limit_bytes: int


class Ready(_Message):
    """The worker is limited, in the ways that `confined` names, and waits. `measurement` is 64 hex digits."""

    kind: Literal["ready"] = "ready"
    engine: str
    measurement: str
    confined: tuple[str, ...]


class Prepare(_Message):
    """Make an enclave for one execution. `submission` is the compact JWS as submitted, `module` WebAssembly."""

    kind: Literal["prepare"] = "prepare"
    host: str
    origin: str
    execution_id: str
    node_id: str
    nonce: Digest
    module: bytes
    limits: Bounds
    policy_digest: Digest
    submission: str


class Prepared(_Message):
    """The enclave's public keys and what its evidence is bound to (64 bytes)."""

    kind: Literal["prepared"] = "prepared"
    execution_id: str
    cac_public_key: Digest
    hpke_kem_id: int
    hpke_public_key: bytes
    report_data: Annotated[bytes, Field(min_length=64, max_length=64)]
    module_digest: Digest
    limits_digest: Digest
    engine: str
    measurement: str


class Run(_Message):
    """Open the inputs, run, seal the output. `cac` holds all members that are known before the run."""

    kind: Literal["run"] = "run"
    execution_id: str
    sealed_inputs: Annotated[tuple[bytes, ...], Field(max_length=MAX_INPUTS)]
    output_public_key: bytes
    cac: dict[str, Any]
    created_ms: int


class Completed(_Message):
    """The clause gave an outcome. `cac` is complete and signed; the output is sealed to the tenant's key."""

    kind: Literal["completed"] = "completed"
    execution_id: str
    outcome: Outcome
    output_commitment: Digest
    output_size_bytes: int
    sealed_output: bytes
    cac: dict[str, Any]
    fuel_used: int
    peak_memory_bytes: int


class Faulted(_Message):
    """The clause gave none. `detail` holds nothing of inputs; fuel and memory are 0 where they are not known."""

    kind: Literal["faulted"] = "faulted"
    execution_id: str
    fault: Fault
    detail: str
    fuel_used: int
    peak_memory_bytes: int


class Reset(_Message):
    """Drop an execution's enclave."""

    kind: Literal["reset"] = "reset"
    execution_id: str


class WasReset(_Message):
    """Instance, keys and plaintext of the execution are gone."""

    kind: Literal["was_reset"] = "was_reset"
    execution_id: str


class Refused(_Message):
    """The request was refused and changed nothing."""

    kind: Literal["refused"] = "refused"
    reason: Literal["malformed", "conflict", "unknown"]
    text: str


Request = Begin | Prepare | Run | Reset
Answer = Ready | Prepared | Completed | Faulted | WasReset | Refused

_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_ANSWERS: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])


def encode(message: Request | Answer) -> bytes:
    """Return a message as canonical JSON.

    Raises:
        MalformedError: when a member has no canonical form.
    """
    return canonical(message.model_dump(mode="json"))


def decode_request(data: bytes) -> Request:
    """Read a request.

    Raises:
        MalformedError: when it is none.
    """
    return _decode(_REQUESTS, data)


def decode_answer(data: bytes) -> Answer:
    """Read an answer.

    Raises:
        MalformedError: when it is none.
    """
    return _decode(_ANSWERS, data)


def _decode(adapter: TypeAdapter[_T], data: bytes) -> _T:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)[:3])
        raise MalformedError(f"not a message between keep and worker: {places}") from None
