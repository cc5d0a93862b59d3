"""Credentials issued under a parent's: a chain from a trusted issuer down, checked link by link.

Invariants:
- A parent names whose key may issue under it, and how many links deep (`delegation`); without that, nobody may.
- Each link is a whole credential: signed by its own issuer, in its time, its own status good. A parent that was revoked
  or suspended, or has ended, ends everything below it.
- A child is never wider than its parent: the same DAO, a jurisdiction inside the parent's, clause families and resource
  classes among the parent's, no more memory, a validity inside the parent's, and less depth left.
- The child holds its parent's whole document, so its own signature covers which one it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.jurisdictions import countries_within
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.verifiable import PARENT

MAX_PARENTS: Final = 3
"""Greatest number of credentials above one."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a credential reaches. Instants in ms; `delegates` is (issuer allowed below, links allowed), or None."""

    dao: str
    jurisdiction: str
    families: frozenset[str]
    classes: frozenset[str]
    memory_bytes: int
    valid_from_ms: int
    valid_until_ms: int
    delegates: tuple[str, int] | None


def lineage(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return a credential and those above it, the topmost first. Nothing of them is verified.

    Raises:
        CredentialRefusedError: when there are more than MAX_PARENTS above it, or one is no object.
    """
    links = [document]
    while PARENT in links[-1]:
        parent = links[-1][PARENT]
        if not isinstance(parent, dict):
            raise CredentialRefusedError(Refusal.MALFORMED, f"a {PARENT} is not an object")
        if len(links) > MAX_PARENTS:
            raise CredentialRefusedError(Refusal.DELEGATION, f"more than {MAX_PARENTS} credentials are above it")
        links.append(parent)
    return tuple(reversed(links))


def allowed_issuer(parent: Reach) -> str:
    """Return the DID that may issue under a credential.

    Raises:
        CredentialRefusedError: when nobody may.
    """
    if parent.delegates is None:
        raise CredentialRefusedError(Refusal.DELEGATION, "its parent lets nobody issue under it")
    return parent.delegates[0]


def check_narrower(child: Reach, parent: Reach) -> None:
    """Check that a credential reaches no further than its parent.

    Raises:
        CredentialRefusedError: `delegation`, naming what is wider.
    """
    within = {parent.jurisdiction} | countries_within(parent.jurisdiction)
    depth = parent.delegates[1] if parent.delegates else 0
    wider = {
        "the DAO": child.dao != parent.dao,
        "the jurisdiction": child.jurisdiction not in within,
        "clause families": not child.families <= parent.families,
        "resource classes": not child.classes <= parent.classes,
        "memory": child.memory_bytes > parent.memory_bytes,
        "the validity": not parent.valid_from_ms <= child.valid_from_ms < child.valid_until_ms <= parent.valid_until_ms,
        "the depth of delegation": depth < 1 or (child.delegates is not None and child.delegates[1] >= depth),
    }
    for what, is_wider in wider.items():
        if is_wider:
            raise CredentialRefusedError(Refusal.DELEGATION, f"it is wider than its parent: {what}")
