"""Commands about disputes at a server: the same as in a data directory, over HTTP."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from domain.errors import MalformedError
from domain.hashing import sha256_hex
from infrastructure.cli import remoting
from infrastructure.cli.disputing import about, told
from infrastructure.cli.output import result
from infrastructure.client.files import read_bounded
from infrastructure.client.remote import Remote
from infrastructure.clock import SystemClock
from infrastructure.commands.disputes import MAX_DOCUMENT_BYTES
from infrastructure.disputes.asking import Asked
from infrastructure.ids import SystemIds

Row = dict[str, Any]

_ROOT: Final = "root"


@dataclass(frozen=True, slots=True)
class At:
    """Which server, with which wallets (the first one asks), and in whose log that is enrolled: a tenant or scope.

    `operator`: it speaks as an operator, whose name is the wallet's.
    """

    there: remoting.There
    keys: Sequence[Path]
    of: str | None
    operator: bool = False

    @property
    def log(self) -> str:
        """Whose log that is."""
        return self.of or self.there.profile.tenant or _ROOT


def find(at: At, asked: Asked, *, limit: int, after: str | None, as_json: bool) -> None:
    """Find what is involved."""
    now_ms = SystemClock().now_ms()
    asked.subject(now_ms)
    query = {
        "cac": asked.cac, "execution": asked.execution, "clause": asked.clause, "node": asked.node,
        "operator": asked.operator, "jurisdiction": asked.jurisdiction, "from": asked.from_ms, "to": asked.to_ms,
    }  # fmt: skip
    with at.there.asked(at.keys, at.log) as (remote, _):
        page = remote.get("/v1/involved", **query, limit=min(limit, 100), cursor=after)
    lines = [
        f"slot {row['slot']}  {row['jurisdiction']}  {row['execution']}  on {row['node']} ({row['operator']})  "
        f"{row['cac'] or 'no CAC'}{'  OVERTURNED' if row['overturned_by'] else ''}"
        for row in page["involved"]
    ]
    lines += [f"there may be more: --after {page['next']}"] if page["next"] else []
    members = {"involved": page["involved"], "jurisdictions": page["jurisdictions"], "after": page["next"]}
    result(members, as_json=as_json, lines=lines or ["nothing is involved that may be seen here"])


def open_dispute(at: At, asked: Asked, grounds: str, *, as_json: bool) -> None:
    """Open a dispute."""
    now_ms = SystemClock().now_ms()
    named = str(SystemIds().uuid(now_ms))
    subject = asked.subject(now_ms).model_dump(mode="json")
    claims = {"act": "open_dispute", "dispute": named, "subject": subject, "grounds": grounds}
    _acted(at, "/v1/disputes", claims, as_json=as_json)


def answer(at: At, dispute: str, text: str, *, as_json: bool) -> None:
    """Answer a dispute."""
    claims = {"act": "answer_dispute", "dispute": dispute, "text": text}
    _acted(at, f"{_path(dispute)}/answers", claims, as_json=as_json)


def attach(at: At, dispute: str, title: str, file: Path | None, *, as_json: bool) -> None:
    """Attach a document.

    Raises:
        MalformedError: when an entry is meant instead.
    """
    if file is None:
        raise MalformedError("at a server --file is attached; an entry of a log only in a data directory")
    document = read_bounded(file, MAX_DOCUMENT_BYTES)
    claims = {"act": "attach_document", "dispute": dispute, "title": title, "digest": sha256_hex(document)}
    sent = base64.b64encode(document).decode()
    _acted(at, f"{_path(dispute)}/evidence", claims, as_json=as_json, document=sent)


def decide(at: At, dispute: str, decision: str, reason: str, cacs: Sequence[str] | None, *, as_json: bool) -> None:
    """Decide a dispute. Which CACs that overturns is told with the answer."""
    named = {} if cacs is None else {"cacs": list(cacs)}
    claims = {"act": "decide_dispute", "dispute": dispute, "decision": decision, "reason": reason, **named}
    _acted(at, f"{_path(dispute)}/decisions", claims, as_json=as_json)


def withdraw(at: At, dispute: str, reason: str, *, as_json: bool) -> None:
    """Take a dispute back."""
    claims = {"act": "withdraw_dispute", "dispute": dispute, "reason": reason}
    _acted(at, f"{_path(dispute)}/withdrawals", claims, as_json=as_json)


def show(at: At, dispute: str, *, as_json: bool) -> None:
    """Show a dispute."""
    with at.there.asked(at.keys, at.log) as (remote, _):
        row = remote.dispute(dispute)
    entries = row.get("entries", [])
    lines = told(row) + [f"  entry {one['leaf_index']}  {one['topic']}  {one['leaf_hash']}" for one in entries]
    result(row, as_json=as_json, lines=lines)


def list_disputes(at: At, status: str | None, *, as_json: bool) -> None:
    """List disputes."""
    with at.there.asked(at.keys, at.log) as (remote, _):
        rows = remote.pages("/v1/disputes", "disputes", status=status)
    lines = [
        f"{row['dispute']}  {row['status']:<10} about {about(row['subject'])}, {len(row['affected'])} executions"
        for row in rows
    ]
    result({"disputes": rows}, as_json=as_json, lines=lines or ["no dispute"])


def export(at: At, dispute: str, out: Path, *, as_json: bool) -> None:
    """Export a dispute's bundle, and verify it by itself.

    Raises:
        VerificationError: when what the server gave is no case, or not of this dispute.
    """
    with at.there.asked(at.keys, at.log) as (remote, _):
        verdict = remote.case(dispute, out)
    result({**verdict.to_json(), "out": str(out)}, as_json=as_json, lines=[f"{out}  {verdict.trust}: {dispute}"])


def _acted(at: At, path: str, claims: Mapping[str, Any], *, as_json: bool, **more: Any) -> None:
    with at.there.asked(at.keys, at.log) as (remote, wallets):
        written, shown = remote.act_in_dispute(path, claims, wallets, operator=at.operator, **more)
        row = _seen(remote, str(claims["dispute"]))
    lines = told(row) + [f"signed for  {cac}" for cac in shown.get("cacs", [])]
    remoting.told(written, lines, None, as_json=as_json, shown={**row, **shown})


def _seen(remote: Remote, dispute: str) -> Row:
    return remote.dispute(dispute)


def _path(dispute: str) -> str:
    return f"/v1/disputes/{quote(dispute, safe='')}"
