"""What the commands about disputes do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import UUID

from domain.disputes.decisions import NOTHING
from domain.disputes.events import NamedEntry
from domain.disputes.state import Status
from domain.errors import MalformedError, UnknownError
from domain.tenants.state import Tenant
from domain.time import rfc3339
from infrastructure.cli.auditing import verifier_keys
from infrastructure.cli.involving import scope_named
from infrastructure.cli.output import GOOD, WRONG, result
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import disputes
from infrastructure.client.disputes import Speaker
from infrastructure.client.files import read_bounded
from infrastructure.commands.disputes import MAX_DOCUMENT_BYTES
from infrastructure.commands.loading import find_tenant, load_scope
from infrastructure.commands.scopes import scopes
from infrastructure.disputes import reading
from infrastructure.disputes.asking import Asked
from infrastructure.disputes.evidence import entries_of
from infrastructure.disputes.exporting import export_dispute
from infrastructure.disputes.reading import read_dispute, scope_of
from infrastructure.disputes.verifying import verify_case
from infrastructure.keys.wallet import Wallet
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector

Row = dict[str, Any]
Who = tuple[str | None, str | None]
"""Tenant or operator for whom somebody speaks; neither: a resolver."""


def open_dispute(
    data_dir: Path, scope: str | None, tenant: str | None, asked: Asked, grounds: str, keys: Sequence[Path], *,
    as_json: bool,
) -> None:  # fmt: skip
    """Open a dispute."""
    wallets = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        member = None if tenant is None else find_tenant(ledger, tenant)
        if scope is None and member is not None:
            judging = load_scope(ledger, member.parent)
        else:
            judging = scope_named(ledger, scope or "root")
        subject = asked.subject(ledger.clock.now_ms())
        named = disputes.open_dispute(Speaker(ledger, judging, wallets, tenant=member), subject, grounds)
        row = read_dispute(ledger, judging, named)
    result(row, as_json=as_json, lines=told(row))


def answer(data_dir: Path, dispute: str, text: str, who: Who, keys: Sequence[Path], *, as_json: bool) -> None:
    """Answer a dispute."""
    wallets = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        scope = scope_of(ledger, dispute)
        disputes.answer(_speaker(ledger, scope, wallets, who), dispute, text)
        row = read_dispute(ledger, scope, dispute)
    result(row, as_json=as_json, lines=told(row))


def attach(
    data_dir: Path, dispute: str, title: str, file: Path | None, entry: str | None, who: Who, keys: Sequence[Path], *,
    as_json: bool,
) -> None:  # fmt: skip
    """Attach a document or an entry."""
    wallets = load_wallets(keys)
    document = None if file is None else read_bounded(file, MAX_DOCUMENT_BYTES)
    with ledger_at(data_dir) as ledger:
        scope = scope_of(ledger, dispute)
        by = _speaker(ledger, scope, wallets, who)
        if document is not None:
            disputes.attach(by, dispute, title, document)
        else:
            disputes.attach_entry(by, dispute, title, _entry(ledger, entry or ""))
        row = read_dispute(ledger, scope, dispute)
    result(row, as_json=as_json, lines=told(row))


def decide(
    data_dir: Path, dispute: str, decision: Literal["upheld", "overturned"], reason: str, cacs: list[str] | None,
    keys: Sequence[Path], *, as_json: bool,
) -> None:  # fmt: skip
    """Decide a dispute."""
    wallets = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        scope = scope_of(ledger, dispute)
        disputes.decide(Speaker(ledger, scope, wallets), dispute, decision, reason, cacs=cacs)
        Projector(ledger).catch_up()  # `cac show` tells at once
        row = read_dispute(ledger, scope, dispute)
    result(row, as_json=as_json, lines=told(row))


def withdraw(
    data_dir: Path, dispute: str, reason: str, tenant: str | None, keys: Sequence[Path], *, as_json: bool
) -> None:
    """Take a dispute back."""
    wallets = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        scope = scope_of(ledger, dispute)
        disputes.withdraw(_speaker(ledger, scope, wallets, (tenant, None)), dispute, reason)
        row = read_dispute(ledger, scope, dispute)
    result(row, as_json=as_json, lines=told(row))


def show(data_dir: Path, dispute: str, *, as_json: bool) -> None:
    """Show a dispute."""
    with ledger_at(data_dir) as ledger:
        scope = scope_of(ledger, dispute)
        row = read_dispute(ledger, scope, dispute)
        entries = [one.to_json() for one in entries_of(ledger, UUID(scope.log_id), [UUID(dispute)])]
    lines = told(row) + [f"  entry {one['leaf_index']}  {one['topic']}  {one['leaf_hash']}" for one in entries]
    result({**row, "entries": entries}, as_json=as_json, lines=lines)


def list_disputes(data_dir: Path, scope: str | None, status: str | None, *, as_json: bool) -> None:
    """List disputes, by scope and in the order of their openings."""
    if status is not None and status not in get_args(Status):
        raise MalformedError(f"--status is one of {', '.join(get_args(Status))}")
    with ledger_at(data_dir) as ledger:
        asked = [scope_named(ledger, scope)] if scope else scopes(ledger)
        rows = [row for one in asked for row in reading.list_disputes(ledger, one, status=status)]
    lines = [
        f"{row['dispute']}  {row['status']:<10} {row['scope']}  about {about(row['subject'])}, "
        f"{len(row['affected'])} executions; opened {rfc3339(row['opened_at_ms'])}"
        for row in rows
    ]
    result({"disputes": rows}, as_json=as_json, lines=lines or ["no dispute"])


def export(data_dir: Path, dispute: str, out: Path, recipient: str, *, as_json: bool) -> None:
    """Export a dispute's bundle."""
    with ledger_at(data_dir) as ledger:
        document = export_dispute(ledger, scope_of(ledger, dispute), dispute, out, recipient=recipient)
    lines = [
        f"{out / one['directory']}  {one['origin']} at size {one['size']}, keys of {len(one['streams'])} streams"
        for one in document["logs"]
    ]
    result({**document, "out": str(out)}, as_json=as_json, lines=lines)


def verify(directory: Path, log_keys: Sequence[str], *, as_json: bool) -> int:
    """Verify an exported dispute; return the exit code."""
    verdict = verify_case(directory, log_keys=verifier_keys(log_keys))
    lines = [f"{'ok' if verdict.ok else 'NOT OK'}: {verdict.trust}"]
    lines += [f"{verdict.dispute}  {verdict.status}"] if verdict.dispute else []
    lines += [f"first error: {verdict.first_error}"] if verdict.first_error else []
    lines += [f"  checked      {item}" for item in verdict.checked]
    lines += [f"  not checked  {item}" for item in verdict.not_checked]
    result(verdict.to_json(), as_json=as_json, lines=lines)
    return GOOD if verdict.ok else WRONG


def _speaker(ledger: Ledger, scope: Tenant, wallets: Sequence[Wallet], who: Who) -> Speaker:
    tenant, operator = who
    member = None if tenant is None else find_tenant(ledger, tenant)
    return Speaker(ledger, scope, wallets, tenant=member, operator=operator or "")


def _entry(ledger: Ledger, text: str) -> NamedEntry:
    origin, _, number = text.rpartition("#")
    log = next((one for one in ledger.logs() if one.origin == origin), None)
    if log is None or not (number.isascii() and number.isdecimal() and len(number) < 16):  # noqa: PLR2004 - 2^53
        raise MalformedError("an entry is ORIGIN#LEAF_INDEX, e.g. ledger.example/t/7#12")
    stored = ledger.recorder.entries(log.log_id, int(number), 1)
    if not stored:
        raise UnknownError(NOTHING)
    return NamedEntry(origin=origin, leaf_index=int(number), leaf_hash=stored[0].leaf_hash.hex())


def about(subject: Row) -> str:
    """Return what is disputed, in a few words."""
    own = [str(value) for name, value in subject.items() if name not in {"kind", "from_ms", "to_ms"}]
    span = f" {rfc3339(subject['from_ms'])} to {rfc3339(subject['to_ms'])}" if "from_ms" in subject else ""
    return " ".join([subject["kind"], *own]) + span


def told(row: Row) -> list[str]:
    """Return what is said of a dispute, line by line."""
    lines = [
        f"{row['dispute']}  {row['status']}",
        f"about     {about(row['subject'])}: {row['grounds']}",
        f"opened    {rfc3339(row['opened_at_ms'])} by {row['opened_by']['role']} {row['opened_by']['name']}",
        f"answer by {rfc3339(row['answer_by_ms'])}, decide by {rfc3339(row['decide_by_ms'])}, before {row['scope']}",
    ]
    lines += [
        f"  {one['role']} {one['name']}: {'has answered' if one['answered'] else 'has not answered'}"
        for one in row["concerned"]
    ]
    lines += [
        f"  slot {one['slot']}  {one['execution_id']}  {one['cac_id'] or 'no CAC'}  on {one['node']}"
        for one in row["affected"]
    ]
    lines += [f"{row['evidence']} pieces of evidence"] if row.get("evidence") else []
    lines += [f"{row['status']}: {row['reason']}"] if "reason" in row else []
    return lines + [f"  overturned {cac}" for cac in row["overturned"]]
