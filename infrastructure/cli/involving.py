"""The command `dispute find`."""

from pathlib import Path
from typing import Any

from domain.errors import MalformedError, UnknownError
from domain.tenants.state import Tenant
from infrastructure.cli.output import result
from infrastructure.cli.session import ledger_at
from infrastructure.commands.involved import START, Cursor, Involved
from infrastructure.commands.involved import find as find_involved
from infrastructure.commands.loading import find_tenant
from infrastructure.disputes.asking import Asked, involved_row, summed
from infrastructure.keys.private_files import make_private_directory, write_private
from infrastructure.ledger import Ledger
from infrastructure.publish.logs import publish_log
from infrastructure.publish.places import tiles_of

Row = dict[str, Any]


def find(
    data_dir: Path, scope: str, tenant: str | None, asked: Asked, *, limit: int, after: str | None,
    proofs: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Find what is involved."""
    with ledger_at(data_dir) as ledger:
        asker = scope_named(ledger, scope) if tenant is None else find_tenant(ledger, tenant)
        subject = asked.subject(ledger.clock.now_ms())
        page = find_involved(ledger, asker, subject, limit=limit, after=_cursor(after))
        rows = [_involved(ledger, one, proofs) for one in page.found]
    by_jurisdiction = summed(page)
    next_page = None if page.after is None else ".".join(map(str, page.after))
    lines = [
        f"slot {row['slot']}  {row['jurisdiction']}  {row['execution']}  on {row['node']} ({row['operator']})  "
        f"{row['cac'] or 'no CAC'}{'  OVERTURNED' if row['overturned_by'] else ''}"
        for row in rows
    ]
    lines += [
        f"{one['jurisdiction']}: {one['executions']} executions of {one['tenants']} tenants" for one in by_jurisdiction
    ]
    lines += [f"there may be more: --after {next_page}"] if next_page else []
    members = {"involved": rows, "jurisdictions": by_jurisdiction, "after": next_page}
    result(members, as_json=as_json, lines=lines or ["nothing is involved that may be seen here"])


def scope_named(ledger: Ledger, name: str) -> Tenant:
    """Return a scope by its name, or id.

    Raises:
        UnknownError: when there is none.
    """
    scope = find_tenant(ledger, name)
    if scope.dao:
        raise UnknownError("there is no scope of that name")
    return scope


def _involved(ledger: Ledger, one: Involved, proofs: Path | None) -> Row:
    row = involved_row(ledger, one)
    if proofs is not None:
        make_private_directory(proofs)
        log = ledger.log(one.log_id)
        publish_log(ledger, log)
        for entry in row["entries"]:
            entry["proof"] = f"t-{one.slot}-{entry['leaf_index']}.tlog-proof"
            write_private(proofs / entry["proof"], tiles_of(ledger, log).proof(entry["leaf_index"]).to_bytes())
    return row


def _cursor(text: str | None) -> Cursor:
    if text is None:
        return START
    parts = text.split(".")
    if len(parts) != len(START) or not all(one.isascii() and one.isdecimal() and len(one) < 16 for one in parts):  # noqa: PLR2004 - 2^53
        raise MalformedError("--after takes what the page before gave as `after`")
    slot, at_ms, leaf = map(int, parts)
    return slot, at_ms, leaf
