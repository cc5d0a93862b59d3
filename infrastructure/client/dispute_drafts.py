"""Acts about disputes as a server drafted them, held against what was meant: nobody signs what he did not ask for.

Invariants:
- Every claim that was meant stands in the draft as it was given; besides there is only as whom one speaks, and what
  follows from the ledger's state: which executions are affected, how far the dispute has come, which CACs stand.
- What is signed as a digest is shown, and the digest is computed here.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from domain.canonical import same_json
from domain.disputes.deciding import cacs_digest
from domain.disputes.events import Affected
from domain.disputes.statements import affected_digest
from domain.errors import LedgerError, VerificationError

_VOICE: Final = frozenset({"role", "party"})
ADDED: Final[Mapping[str, frozenset[str]]] = {
    "open_dispute": _VOICE | {"affected"},
    "answer_dispute": _VOICE,
    "attach_document": _VOICE,
    "attach_entry": _VOICE,
    "decide_dispute": _VOICE | {"events", "cacs", "cacs_digest", "standing_digest"},
    "withdraw_dispute": _VOICE,
}
"""The claims that a draft may add, for each act."""
_AFFECTED: TypeAdapter[tuple[Affected, ...]] = TypeAdapter(tuple[Affected, ...])


def checked_dispute_draft(
    drafted: Mapping[str, Any], meant: Mapping[str, Any], *, iss: str, voice: tuple[str, str], origin: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return for which log an act is, its claims, and what is shown of their digests.

    Args:
        drafted: what the server answered.
        meant: `act`, and the claims that were meant; `cacs` of a decision: those that are overturned.
        iss: who signs.
        voice: as whom: role and party.
        origin: of one's own log. A tenant speaks before a scope above it, whose origin the draft names.

    Raises:
        VerificationError: when the draft says something else.
    """
    aud, claims, shown = drafted.get("aud"), drafted.get("claims"), drafted.get("shown")
    if not isinstance(aud, str) or not isinstance(claims, dict) or not isinstance(shown, dict):
        raise VerificationError("the server's draft is not of its form")
    elsewhere = aud != origin and aud.rpartition("/t/")[0] == origin.rpartition("/t/")[0]
    if drafted.get("iss") != iss or not (elsewhere if voice[0] == "tenant" else aud == origin):
        raise VerificationError("the server drafted an act for another log, or of somebody else")
    act = str(meant["act"])
    said = {name: value for name, value in meant.items() if (act, name) != ("decide_dispute", "cacs")}
    for name, value in said.items():
        if name not in claims or not _same(claims[name], value):
            raise VerificationError(f"the server drafted another act than was meant: {name[:64]!a} differs")
    if not claims.keys() - said.keys() <= ADDED[act] or (claims.get("role"), claims.get("party")) != voice:
        raise VerificationError("the server drafted more than was meant, or as somebody else")
    try:
        _hold_digests(act, meant, claims, shown)
    except (ValidationError, LedgerError, KeyError, TypeError):
        raise VerificationError("the server does not show what it drafted a digest of") from None
    return aud, claims, shown


def _hold_digests(act: str, meant: Mapping[str, Any], claims: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    if act == "open_dispute":
        affected = _AFFECTED.validate_python(tuple(Affected.model_validate(one) for one in shown["affected"]))
        _require(affected_digest(affected) == claims["affected"])
        subject = meant["subject"]
        named = {"cac": "cac_id", "execution": "execution_id"}.get(subject["kind"])
        if named is not None:
            _require([getattr(one, named) for one in affected] == [subject[named]])
    elif act == "decide_dispute" and meant["decision"] == "overturned":
        cacs, standing = shown["cacs"], shown["standing"]
        _require("cacs" not in claims)
        _require((cacs_digest(cacs), cacs_digest(standing)) == (claims["cacs_digest"], claims["standing_digest"]))
        _require(cacs == list(meant["cacs"] if meant.get("cacs") is not None else standing))
    elif act == "decide_dispute":
        _require(not claims.get("cacs") and "cacs_digest" not in claims)


def _require(holds: bool) -> None:
    if not holds:
        raise VerificationError("it is another one's digest")


def _same(left: Any, right: Any) -> bool:
    try:
        return same_json(left, right)
    except LedgerError:
        return False
