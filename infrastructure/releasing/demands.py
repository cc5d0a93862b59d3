"""What a tenant's releaser asks for on top of the tenant's policy, in a file that the operator has no say in.

File (JSON), every member optional: {"admins": [thumbprints of the tenant's admin keys], "measurements": [of the
runtime], "modules": [digests of clauses' WebAssembly], "evidence_classes": ["vendor"], "nodes": [names],
"node_issuers": [DIDs]}. Node issuers have to be named, here or to the command (`--node-issuer`); else any node has to
be taken by name (`--any-node`).
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from domain.attestation.events import KeyThumbprint
from domain.errors import MalformedError
from domain.identifiers import Digest
from domain.message import Value
from domain.policies.kinds import EvidenceClass, Word
from domain.tenants.events import IssuerDid
from infrastructure.client.files import read_bounded

_MAX_BYTES = 262_144
_MOST = 1024


class Demands(Value):
    """What must hold beside everything else. None asks for nothing; an empty list lets nothing pass."""

    admins: Annotated[tuple[KeyThumbprint, ...], Field(max_length=_MOST)] | None = None
    measurements: Annotated[tuple[Digest, ...], Field(max_length=_MOST)] | None = None
    modules: Annotated[tuple[Digest, ...], Field(max_length=_MOST)] | None = None
    evidence_classes: Annotated[tuple[EvidenceClass, ...], Field(max_length=_MOST)] | None = None
    nodes: Annotated[tuple[Word, ...], Field(max_length=_MOST)] | None = None
    node_issuers: Annotated[tuple[IssuerDid, ...], Field(max_length=_MOST)] | None = None


def read_demands(path: Path) -> Demands:
    """Read a releaser's demands.

    Raises:
        MalformedError: naming what is wrong.
    """
    try:
        return Demands.model_validate_json(read_bounded(path, _MAX_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top"
        raise MalformedError(f"{path.name} is malformed at {where[:80]}: {first['msg']}") from None
