"""Commands that hold states of a log against each other: two bundles; a database and what was published of it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.transparency.checkpoint import Checkpoint
from infrastructure.cli.auditing import verifier_keys
from infrastructure.cli.output import GOOD, WRONG, progress, result
from infrastructure.cli.session import ledger_at
from infrastructure.commands.loading import find_log
from infrastructure.fsck.check import check_database, size_of
from infrastructure.fsck.report import Report
from infrastructure.tlog.extension import Extension, prove_extension


def consistency(old: Path, new: Path, log_keys: Sequence[str], *, as_json: bool) -> int:
    """Prove that the log in `new` extends the one in `old`; return the exit code."""
    found = prove_extension(old, new, log_keys=verifier_keys(log_keys))
    origin = found.newer or found.older
    members = {
        "ok": found.ok,
        "trust": found.trust,
        "origin": None if origin is None else origin.origin,
        "old": _tree(found.older),
        "new": _tree(found.newer),
        "proof": [_base64(node) for node in found.proof],
        "first_error": found.first_error,
        "first_difference": found.first_difference,
        "checked": list(found.checked),
        "not_checked": list(found.not_checked),
        "fingerprints": list(found.fingerprints),
    }
    result(members, as_json=as_json, lines=_lines(found))
    return GOOD if found.ok else WRONG


def fsck(data_dir: Path, tenant: str | None, *, as_json: bool) -> int:
    """Check a live database; return the exit code."""
    with ledger_at(data_dir, thawing=True) as ledger:  # held against their floors, damaged logs would be frozen first
        log_id = None if tenant is None else find_log(ledger, tenant).log_id
        with progress("checking", size_of(ledger, log_id)) as told:
            report = check_database(ledger, log_id, told)
    result(report.to_json(), as_json=as_json, lines=_report_lines(report))
    return GOOD if report.ok else WRONG


def _report_lines(report: Report) -> list[str]:
    found = report.to_json()
    lines = ["ok: no difference was found" if report.ok else f"NOT OK: {report.total} differences"]
    lines.extend(f"{row['origin']}  size {row['size']}" for row in found["logs"])
    lines.extend(f"  DIFFERS      {one}" for one in report.differences)
    if report.total > len(report.differences):
        lines.append(f"  and {report.total - len(report.differences)} more")
    lines.extend(f"  checked      {item}" for item in found["checked"])
    lines.extend(f"  not checked  {item}" for item in found["not_checked"])
    return lines


def _tree(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    return None if checkpoint is None else {"size": checkpoint.size, "root": _base64(checkpoint.root)}


def _lines(found: Extension) -> list[str]:
    lines = [f"{'ok' if found.ok else 'NOT OK'}: {found.trust}"]
    for name, one in (("OLD", found.older), ("NEW", found.newer)):
        if one is not None:
            lines.append(f"{name}  {one.origin}  size {one.size}  root {_base64(one.root)}")
    if found.first_error is not None:
        lines.append(f"first error: {found.first_error}")
    lines.extend(f"  checked      {item}" for item in found.checked)
    lines.extend(f"  not checked  {item}" for item in found.not_checked)
    lines.extend(f"  key          {item}" for item in found.fingerprints)
    return lines


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
