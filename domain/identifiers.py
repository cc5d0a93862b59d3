"""Names and ids, parsed strictly at the edge and derived in one place.

Invariants:
- Every parser accepts exactly one spelling of a thing; what it returns prints as what it took.
- Workload and CAC ids are ``wl-0x`` / ``cac-0x`` + 32 hex digits of a UUIDv7; an execution id is derived (9).
- Tenant origins are ``<host>/t/<slot>``; slot 0 is the platform's.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field

from domain.errors import MalformedError

PLATFORM_SLOT = 0

_WORD = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_NUMBER = r"(?:0|[1-9][0-9]{0,5})"
_CLAUSE = re.compile(rf"({_WORD})::({_WORD})::({_WORD})@({_NUMBER})\.({_NUMBER})\.({_NUMBER})")
_RESOURCE_CLASS = re.compile(rf"({_WORD})::({_WORD})@v({_NUMBER})")
_DAO = re.compile(_WORD)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9][0-9]{0,4})?")
_PREFIXED = re.compile(r"(wl|cac|exec)-0x([0-9a-f]{32})")
_HEX = "0123456789abcdef"
_DIGEST_DIGITS = 64


class ClauseId(NamedTuple):
    """``Namespace::Domain::Name@Major.Minor.Patch``."""

    namespace: str
    domain: str
    name: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.namespace}::{self.domain}::{self.name}@{'.'.join(map(str, self.version))}"

    @property
    def family(self) -> str:
        """Return the id without its version: what a credential grants."""
        return f"{self.namespace}::{self.domain}::{self.name}"

    @property
    def draft(self) -> bool:
        """Tell whether the major version is 0: a draft never yields a CAC."""
        return self.version[0] == 0


@lru_cache(maxsize=1024)
def parse_clause_id(text: str) -> ClauseId:
    """Parse a clause id.

    Raises:
        MalformedError: for any other form.
    """
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise MalformedError(f"clause id {_shown(text)} is not Namespace::Domain::Name@Major.Minor.Patch")
    namespace, domain, name, major, minor, patch = found.groups()
    return ClauseId(namespace, domain, name, (int(major), int(minor), int(patch)))


def parse_dao(text: str) -> str:
    """Return a DAO's name unchanged, if it is one: a letter, then letters, digits, ``-`` or ``_``, at most 64."""
    if _DAO.fullmatch(text) is None:
        raise MalformedError(
            f"DAO name {_shown(text)} must be a letter followed by letters, digits, - or _ (at most 64)"
        )
    return text


def parse_resource_class(text: str) -> str:
    """Return ``Domain::Name@vN`` unchanged, if it is one."""
    if _RESOURCE_CLASS.fullmatch(text) is None:
        raise MalformedError(f"resource class {_shown(text)} is not Domain::Name@vN, e.g. Disaster::Flood@v1")
    return text


def priority_domain(resource_class: str) -> str:
    """Return the first part of a resource class: the domain whose level decides who runs first."""
    return resource_class.partition("::")[0]


def parse_host(text: str) -> str:
    """Return a ledger host (lower case DNS name, optionally ``:port``) unchanged, if it is one."""
    if _HOST.fullmatch(text) is None or ".." in text:
        raise MalformedError(f"host {_shown(text)} must be a lower-case DNS name, e.g. ledger.example")
    return text


def parse_digest(text: str) -> str:
    """Return 64 lowercase hex digits unchanged, if they are that."""
    if len(text) != _DIGEST_DIGITS or text.strip(_HEX):
        raise MalformedError("a digest must be 64 lowercase hexadecimal digits")
    return text


def origin(host: str, slot: int) -> str:
    """Return a log's origin, which is also the name of its keys (wire formats 2)."""
    return f"{host}/t/{slot}"


def workload_id(stream_id: UUID) -> str:
    """Return the workload id of a UUIDv7."""
    return f"wl-0x{stream_id.hex}"


def cac_id(stream_id: UUID) -> str:
    """Return the CAC id of a UUIDv7."""
    return f"cac-0x{stream_id.hex}"


def execution_id(log_origin: str, workload: str, attempt: int, k: int) -> str:
    """Derive an execution id (wire formats 9): k counts the attempt's independent enclaves from 0."""
    preimage = b"\0".join(
        (
            b"ledger exec id v1",
            log_origin.encode(),
            workload.encode() + attempt.to_bytes(4, "big") + k.to_bytes(4, "big"),
        )
    )
    return f"exec-0x{sha256(preimage).digest()[:16].hex()}"


def cac_id_of_execution(execution: str, placed_at_ms: int) -> str:
    """Derive the CAC id of an execution: a UUIDv7 of the placement's instant, random bits from H(execution id)."""
    bits = int.from_bytes(sha256(b"ledger cac id v1\0" + execution.encode()).digest()[:10], "big")
    return cac_id(uuid7(placed_at_ms, bits))


def uuid7(at_ms: int, random_bits: int) -> UUID:
    """Build a UUIDv7 (RFC 9562 5.7) from an instant in ms and at least 74 random bits."""
    value = (
        (at_ms & (2**48 - 1)) << 80
        | 0x7 << 76
        | (random_bits >> 62 & 0xFFF) << 64
        | 0b10 << 62
        | random_bits & (2**62 - 1)
    )
    return UUID(int=value)


@lru_cache(maxsize=4096)
def same_uuid(number: int) -> UUID:
    """Return the UUID of 128 bits: mostly the same object, which finds its place in a map without a call of Python."""
    return UUID(int=number)


@lru_cache(maxsize=4096)
def stream_of(prefixed_id: str) -> UUID:
    """Return the stream of a workload, CAC or execution: the 128 bits of its id.

    Raises:
        MalformedError: when it is no such id.
    """
    found = _PREFIXED.fullmatch(prefixed_id)
    if found is None:
        raise MalformedError(f"id {_shown(prefixed_id)} is not wl-0x, exec-0x or cac-0x followed by 32 hex digits")
    return same_uuid(int(found.group(2), 16))


def clause_stream(clause: str) -> UUID:
    """Return the stream of a clause in the platform log, derived from its id so that a clause registers once."""
    return _uuid8(b"ledger clause stream v1\0" + clause.encode())


def node_stream(node: str) -> UUID:
    """Return the stream of a node in the platform log, derived from its name so that a name is enrolled once."""
    return _uuid8(b"ledger node stream v1\0" + node.encode())


def offer_stream(pool: str, operator: str) -> UUID:
    """Return the stream of what an operator offers in a pool, in the platform log."""
    return _uuid8(b"ledger pool offer stream v1\0" + pool.encode() + b"\0" + operator.encode())


def telemetry_stream(node: str) -> UUID:
    """Return the stream of a node's signs of life in the platform log, apart from its own: it tells of others' load."""
    return _uuid8(b"ledger telemetry stream v1\0" + node.encode())


def node_evidence_stream(node: str) -> UUID:
    """Return the stream of a node's challenges and machines in the platform log, before and after it is enrolled."""
    return _uuid8(b"ledger node evidence stream v1\0" + node.encode())


def collateral_stream(source: str) -> UUID:
    """Return the stream of a source of collateral in the platform log: its numbers, each higher than the last."""
    return _uuid8(b"ledger collateral stream v1\0" + source.encode())


def batch_stream(node: str, jti: str) -> UUID:
    """Return the stream of a batch of a node's reports in a tenant's log, where its statement is kept, once."""
    return _uuid8(b"ledger reports received stream v1\0" + node.encode() + b"\0" + jti.encode())


def access_stream(kid: str) -> UUID:
    """Return the stream of a principal's accesses in the log that it reads, apart from what the log decides by."""
    return _uuid8(b"ledger access stream v1\0" + kid.encode())


def subscription_stream(subscription: str) -> UUID:
    """Return the stream of what was delivered to a subscription, apart from what the log decides by."""
    return _uuid8(b"ledger subscription stream v1\0" + subscription.encode())


def erasure_stream(slot: int) -> UUID:
    """Return the stream of a slot in the platform log, where the end of its tenant's data keys is told, once."""
    return _uuid8(b"ledger erasure stream v1\0" + slot.to_bytes(8, "big"))


def _uuid8(name: bytes) -> UUID:
    """Return the UUIDv8 (RFC 9562 5.8) of a name: its hash with version and variant set."""
    value = int.from_bytes(sha256(name).digest()[:16], "big")
    return UUID(int=value & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)


DECIDER_STREAM = _uuid8(b"ledger decider stream v1\0")
"""The stream of the platform log in which each batch of decisions begins."""

RESULT_KEY_STREAM = _uuid8(b"ledger attestation result key stream v1\0")
"""The stream of the platform log in which the key of attestation results is enrolled."""

ANCHOR_LOG = _uuid8(b"ledger anchor log v1\0")
"""The anchor log, as the keyring knows it. It is no log of the database: it has no slot, no tenant and no data key."""


def _shown(text: str) -> str:
    """Quote foreign text for an error, bounded and without control characters."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")  # noqa: PLR2004 - a line of a terminal


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""What `parse_digest` takes, checked without a call of Python: an entry holds four of them."""
DaoName = Annotated[str, AfterValidator(parse_dao)]
ResourceClass = Annotated[str, AfterValidator(parse_resource_class)]
ClauseName = Annotated[str, AfterValidator(lambda text: str(parse_clause_id(text)))]
