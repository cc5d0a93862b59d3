"""All that a node needs to make the enclave of one execution."""

from dataclasses import dataclass

from domain.bounds import Bounds


@dataclass(frozen=True, slots=True)
class Assignment:
    """One execution for one node. `module` is WebAssembly, `submission` the compact JWS; `until_ms` ends its window."""

    host: str
    origin: str
    execution_id: str
    node: str
    nonce: bytes
    module: bytes
    module_digest: str
    limits: Bounds
    policy_digest: bytes
    submission: str
    until_ms: int
