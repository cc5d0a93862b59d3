"""Registration of clauses: the module is validated in a limited process, stored sealed, and pinned by its digest."""

from collections.abc import Sequence
from functools import lru_cache

from pydantic import ValidationError

from domain.clauses.decisions import deprecate_clause, register_clause
from domain.clauses.events import ClauseMetadata
from domain.errors import ConflictError, MalformedError, UnknownError
from domain.identifiers import clause_stream
from domain.malformed import malformed
from domain.message import Pending
from domain.statements import GOVERNANCE
from domain.tenants.state import Tenant
from infrastructure.commands.border import all_verified_or_known, keys_of
from infrastructure.commands.loading import load_clause
from infrastructure.commands.tenants import statement_command
from infrastructure.ledger import Answer, Ledger
from infrastructure.runtime.module import validate_module

MAX_METADATA_BYTES = 32_768


def read_metadata(data: bytes) -> ClauseMetadata:
    """Read a clause's metadata.

    Raises:
        MalformedError: naming the first member that is wrong.
    """
    if len(data) > MAX_METADATA_BYTES:
        raise MalformedError(f"clause metadata of {len(data)} bytes is larger than {MAX_METADATA_BYTES}")
    try:
        return ClauseMetadata.model_validate_json(data)
    except ValidationError as error:
        raise malformed("clause", error, "/metadata") from None


def register(ledger: Ledger, owner: Tenant, metadata: ClauseMetadata, module: bytes, tokens: Sequence[str]) -> Answer:
    """Register a clause, by its owner's admins.

    Raises:
        MalformedError: when the keep would not run the module.
        NotAuthorisedError: below the threshold, or by another DAO.
        ConflictError: when a clause of that id is registered.
    """
    platform = ledger.platform()
    stream = clause_stream(metadata.clause_id)
    keys = keys_of(owner.principals.values(), GOVERNANCE)
    signed = all_verified_or_known(ledger, platform.log_id, tokens, typ=GOVERNANCE, keys=keys, aud=platform.origin)
    digest = _valid(module)
    attachment = ledger.attach(platform.log_id, stream, module)
    event = register_clause(
        owner,
        metadata,
        module_digest=digest,
        module_bytes=len(module),
        payload=attachment.reference(),
        signatures=signed,
    )
    command = statement_command(platform.log_id, signed, {"clause_id": metadata.clause_id, "module_digest": digest})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    if load_clause(ledger, metadata.clause_id) is not None:
        raise ConflictError("a clause of this id is registered; a change takes a new version")
    return ledger.append([Pending(platform.log_id, stream, 0, event)], command=command, attachments=[attachment])


def deprecate(ledger: Ledger, owner: Tenant, clause_id: str, reason: str, tokens: Sequence[str]) -> Answer:
    """Deprecate a clause, by its owner's admins.

    Raises:
        UnknownError: when it is not registered.
        NotAuthorisedError: below the threshold, or by another DAO.
        ConflictError: when it is deprecated already.
    """
    platform = ledger.platform()
    keys = keys_of(owner.principals.values(), GOVERNANCE)
    signed = all_verified_or_known(ledger, platform.log_id, tokens, typ=GOVERNANCE, keys=keys, aud=platform.origin)
    clause = load_clause(ledger, clause_id)
    if clause is None:
        raise UnknownError("there is no such clause")
    command = statement_command(platform.log_id, signed, {"clause_id": clause_id})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    event = deprecate_clause(owner, clause, reason, signed)
    stream = clause_stream(clause_id)
    version = ledger.stream(platform.log_id, stream)[-1].version + 1
    return ledger.append([Pending(platform.log_id, stream, version, event)], command=command)


@lru_cache(maxsize=8)
def _valid(module: bytes) -> str:
    """Return the digest of a module that the keep would run. The same bytes are the same module: asked once."""
    return validate_module(module)


def load_module(ledger: Ledger, clause_id: str, payload_digest: str) -> bytes:
    """Return a registered clause's module. Its digest names it, so it is opened once."""
    log_id, stream = ledger.platform().log_id, clause_stream(clause_id)
    return ledger.once("module", (clause_id, payload_digest), lambda: ledger.attached(log_id, stream, payload_digest))
