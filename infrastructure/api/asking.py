"""What a request shows of who asks: the token, its scheme, and a DPoP proof.

Invariants:
- One Authorization and one DPoP field at most; what comes twice shows nothing.
"""

import re
from typing import Final

from starlette.types import Scope

from infrastructure.api.proofs import Asked

_TOKEN: Final = re.compile(r"([Bb]earer|[Dd][Pp]o[Pp]) ([A-Za-z0-9_~+/.=-]{1,128})")


def asked(scope: Scope) -> Asked:
    """Return what a request shows, but for its token."""
    match, proofs = _TOKEN.fullmatch(_one(scope, b"authorization") or ""), _all(scope, b"dpop")
    proof = None if not proofs else proofs[0] if len(proofs) == 1 else ""
    return Asked(match[1].lower() if match else "", proof, scope["method"], scope["path"])


def token(scope: Scope) -> str | None:
    """Return the token of a request, None where it has none."""
    match = _TOKEN.fullmatch(_one(scope, b"authorization") or "")
    return match[2] if match else None


def _one(scope: Scope, name: bytes) -> str | None:
    found = _all(scope, name)
    return found[0] if len(found) == 1 else None


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
