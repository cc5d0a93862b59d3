"""Commands that decide again: a cell's auditor, live or with a package; a tenant with its own bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infrastructure.audit.anchored import verify_anchored
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli.anchored_auditing import expectations, keys_from_outside
from infrastructure.cli.auditing import verifier_keys
from infrastructure.cli.output import GOOD, WARNING, WRONG, progress, result
from infrastructure.cli.session import ledger_at
from infrastructure.conform import cell
from infrastructure.conform.bundle import conform_bundle
from infrastructure.conform.checking import Report


def export_cell(data_dir: Path, out: Path, *, as_json: bool) -> None:
    """Export a cell audit package."""
    with ledger_at(data_dir) as ledger, progress("exporting", None) as told:
        rounds, entries = cell.export_cell(ledger, out, told)
    lines = [f"{rounds} rounds with {entries} entries in {out}", f"check it: audit conform --cell-audit {out}"]
    result({"rounds": rounds, "entries": entries, "out": str(out)}, as_json=as_json, lines=lines)


def live(data_dir: Path, *, first: int, last: int | None, as_json: bool) -> int:
    """Check the live cell; return the exit code."""
    with ledger_at(data_dir) as ledger, progress("deciding again", None) as told:
        report, waiting = cell.conform_live(ledger, first=first, last=last, progress=told)
    lines, code = _told(report, first)
    if waiting:
        lines.append(f"  not checked  {waiting} commits that no round has traced yet")
    result({**_members(report, code), "untraced_commits": waiting}, as_json=as_json, lines=lines)
    return code


def package(
    path: Path, policy: Path | None, log_keys: Sequence[str], *, first: int, last: int | None, as_json: bool
) -> int:
    """Check a package; return the exit code."""
    expected = expectations(policy, verifier_keys(log_keys))
    with progress("deciding again", None) as told:
        report, found = cell.conform_package(path, expected, first=first, last=last, progress=told)
    lines, code = _told(report, first)
    witnessed = found.judge.witnessing
    if not found.authentic:
        lines.append("  not checked  whose the anchor log's keys are: they came with the package")
    elif policy is not None and not witnessed.independent:
        lines.append(f"  not checked  that others saw these rounds: {witnessed.why_not}")
    members = {
        **_members(report, code),
        "anchors": found.anchors,
        "authentic": found.authentic,
        "witnessed": witnessed.independent,
    }
    result(members, as_json=as_json, lines=lines)
    return code


def own_bundle(bundle: Path, policy: Path | None, log_keys: Sequence[str], *, as_json: bool) -> int:
    """Check what a tenant can of the decisions about it; return the exit code."""
    expected = expectations(policy, verifier_keys(log_keys))
    verdict = verify_bundle(bundle, log_keys=keys_from_outside(expected))
    verdict, _ = verify_anchored(bundle, verdict, expected)
    if not verdict.ok:
        result({"conform": False, "first_error": verdict.first_error}, as_json=as_json, lines=[
            f"NOT OK: {verdict.first_error}"
        ])  # fmt: skip
        return WRONG
    report = conform_bundle(bundle, expected)
    lines = [f"{report.origin} at size {report.size}: what follows from its own data holds ({verdict.trust})"]
    lines += [f"  checked      {one}" for one in report.checked]
    lines += [f"  engine       {engine} ({count} decisions)" for engine, count in sorted(report.engines.items())]
    lines += [f"  not checked  {one}" for one in report.not_checked]
    lines += [f"  rests on commitment  {one}" for one in report.commitment]
    members = {
        "conform": True,
        "trust": verdict.trust,
        "origin": report.origin,
        "size": report.size,
        "checked": report.checked,
        "not_checked": report.not_checked,
        "engines": dict(report.engines),
        "rests_on_commitment": list(report.commitment),
    }
    result(members, as_json=as_json, lines=lines)
    return GOOD


def _told(report: Report, first: int) -> tuple[list[str], int]:
    lines = [f"rounds {begin}..{end} conform, engine {report.engine}" for begin, end in report.runs]
    lines.append(f"  checked      {report.redecided} decisions made again, {report.entries} entries")
    without = sum(index >= first for index in report.untraced)
    if without:
        lines.append(f"  not checked  {without} rounds without a trace")
    lines.extend(
        f"  NOT CHECKED  {count} decisions of engine {engine}, which is not this program's: run that one"
        for engine, count in sorted(report.foreign.items())
    )
    if report.returned:
        lines.append(f"  NOT CHECKED  {report.returned} entries of decisions that were brought back after a restore")
    return lines, GOOD if report.complete else WARNING


def _members(report: Report, code: int) -> dict[str, Any]:
    return {
        "conform": code == GOOD,
        "engine": report.engine,
        "rounds": report.runs,
        "untraced": report.untraced,
        "entries": report.entries,
        "decisions": report.redecided,
        "other_engines": report.foreign,
        "returned": report.returned,
    }
