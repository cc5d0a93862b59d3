"""What a server drafted to be signed, held against what was meant: nobody signs what he did not ask for.

Invariants:
- Every claim that was meant stands in the draft as it was given; the draft adds those only that follow from the
  ledger's state (numbers and digests of what is in force, the fault, who grants).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from domain.canonical import canonical
from domain.errors import LedgerError, VerificationError
from domain.statements import REGISTERED_CLAIMS

ADDED: Final[Mapping[str, frozenset[str]]] = {
    "adopt_policy": frozenset({"version"}),
    "order_erasure": frozenset({"tenant"}),
    "withdraw_erasure": frozenset({"tenant", "not_before_ms"}),
    "grant_quota": frozenset({"version", "granted_by"}),
    "grant_tokens": frozenset({"version", "granted_by"}),
    "stand_offer": frozenset({"number"}),
    "withdraw_offer": frozenset({"number"}),
    "adopt_levels": frozenset({"version"}),
    "endorse": frozenset({"dao", "jurisdiction", "admins"}),
    "subscribe_cacs": frozenset({"after"}),
    "authorize_retry": frozenset(
        {
            "origin", "workload", "execution", "fault_leaf_index", "fault_entry", "policy_version", "policy_digest",
            "module_digest", "bounds", "next_attempt", "decision", "not_after_ms",
        }
    ),
    "refuse_retry": frozenset(
        {"origin", "workload", "execution", "fault_leaf_index", "fault_entry", "policy_version", "decision"}
    ),
}  # fmt: skip
"""The claims that a draft may add, for each act; for every other one it adds none."""
DECISIONS: Final[Mapping[str, str]] = {"authorize_retry": "authorize", "refuse_retry": "refuse"}
ELSEWHERE: Final = frozenset(
    {
        "grant_quota", "grant_tokens", "endorse", "adopt_levels", "drain_node", "return_node", "register_clause",
        "deprecate_clause", "stand_offer", "withdraw_offer",
    }
)  # fmt: skip
"""Acts that are told in another log than one's own: the grantee's, or the platform's."""
_NAMED: Final = frozenset({"to", "tenant"})
"""Claims that name somebody: a name that was given comes back as an id. Who gives the id, signs that id."""
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def checked_draft(
    drafted: Mapping[str, Any], meant: Mapping[str, Any], *, origin: str, did: str, own_id: str
) -> tuple[str, str, dict[str, Any]]:
    """Return whose act it is, for which log, and its claims.

    Args:
        drafted: what the server answered.
        meant: `act`, and the claims that were meant.
        origin: of one's own log.
        did: of the tenant or scope that acts.
        own_id: of its log.

    Raises:
        VerificationError: when the draft says something else.
    """
    iss, aud, claims = drafted.get("iss"), drafted.get("aud"), drafted.get("claims")
    if not isinstance(iss, str) or not isinstance(aud, str) or not isinstance(claims, dict):
        raise VerificationError("the server's draft is not of its form")
    act = str(meant["act"])
    if iss != did or (aud.split("/")[0] != origin.split("/", maxsplit=1)[0] if act in ELSEWHERE else aud != origin):
        raise VerificationError("the server drafted an act for another log, or of somebody else")
    if act in {"order_erasure", "withdraw_erasure"} and claims.get("tenant") != own_id:
        raise VerificationError("the server drafted the erasure of another tenant")
    for name, value in meant.items():
        if name == "execution" and str(value).startswith("wl-"):
            same = claims.get("workload") == value
        else:
            same = _same(claims.get(name), value) or (name in _NAMED and not _ID.fullmatch(str(value)))
        if not same:
            raise VerificationError(f"the server drafted another act than was meant: {name[:64]!a} differs")
    added = claims.keys() - meant.keys()
    if not added <= ADDED.get(act, frozenset()) or added & REGISTERED_CLAIMS:
        raise VerificationError(f"the server drafted more than was meant: {sorted(added)[:8]!a}")
    if claims.get("decision", DECISIONS.get(act)) != DECISIONS.get(act):
        raise VerificationError("the server drafted the other decision")
    if "origin" in claims and claims["origin"] != origin:
        raise VerificationError("the server drafted an act for another log")
    return iss, aud, claims


def _same(left: Any, right: Any) -> bool:
    try:
        return canonical(left) == canonical(right)
    except LedgerError:
        return False
