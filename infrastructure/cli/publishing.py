"""Commands of publication: publish, status, proof, thaw, rotate-key."""

import base64
import os
import threading
from dataclasses import asdict
from pathlib import Path

from infrastructure.cli.output import GOOD, WARNING, WRONG, progress, result, say
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import write_new
from infrastructure.commands.loading import find_log
from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.publish.places import tiles_of
from infrastructure.publish.publisher import Publisher, metrics, pace_from, statuses
from infrastructure.thaw.plan import copies_of, frozen_logs
from infrastructure.thaw.thawing import thaw as thaw_logs


def publish(data_dir: Path, *, follow: bool, every: float | None, bound: float | None, as_json: bool) -> int:
    """Publish what changed, once or until interrupted; return the exit code."""
    pace = pace_from(os.environ, every, bound)
    with ledger_at(data_dir) as ledger:
        publisher = Publisher(ledger)
        if follow:
            publisher.follow(pace, say, threading.Event().wait)
        done = publisher.publish()
        members = {"published": done.published, "failed": dict(done.failed), "lag": metrics(statuses(ledger))}
    for origin, text in done.failed.items():
        say(text if origin in text else f"{origin}: {text}")
    result(members, as_json=as_json, lines=[f"{done.published} checkpoints published"])
    return WRONG if done.failed else GOOD


def status(data_dir: Path, *, as_json: bool) -> int:
    """Show how far each log is published; return the exit code, a warning where one is frozen or beyond the bound."""
    pace = pace_from(os.environ)
    with ledger_at(data_dir) as ledger:
        found = statuses(ledger)
    lag = metrics(found)
    late = lag["unpublished_oldest_ms"] > pace.bound_s * 1000
    lines = [
        f"{one.origin}  size {one.size}  published {_or_none(one.published)}  floor {_or_none(one.floor)}  "
        f"behind {one.lag_entries} entries, {one.lag_ms or 0} ms" + (f"  {one.trouble}" if one.trouble else "")
        for one in found
    ]
    if late:
        lines.append(f"an entry has been unpublished for longer than {pace.bound_s:g} s")
    members = {"logs": [asdict(one) for one in found], "lag": lag, "beyond_bound": late}
    result(members, as_json=as_json, lines=lines or ["there is no log yet"])
    return WARNING if late or any(one.trouble for one in found) else GOOD


def proof(data_dir: Path, tenant: str, index: int, out: Path | None, *, as_json: bool) -> None:
    """Write or print the proof that an entry is in the published log."""
    with ledger_at(data_dir) as ledger:
        log = find_log(ledger, tenant)
        found = tiles_of(ledger, log).proof(index)
    if out is not None:
        write_new(out, found.to_bytes())
    text, size = found.to_bytes().decode(), found.checkpoint().size
    where = None if out is None else str(out)
    members = {"origin": log.origin, "index": index, "size": size, "proof": text, "out": where}
    lines = (
        [text.rstrip("\n")] if where is None else [f"entry {index} of {log.origin} at size {size}: proof in {where}"]
    )
    result(members, as_json=as_json, lines=lines)


def thaw(data_dir: Path, tenant: str | None, source: Path | None, *, without_payloads: bool, as_json: bool) -> int:
    """Bring back what frozen logs lost; return the exit code.

    A warning where payloads are lost for good, a log stays frozen, or one was held against nothing but its backup.
    """
    with ledger_at(data_dir, thawing=True) as ledger:
        frozen = frozen_logs(ledger, source)
        if tenant is not None:
            wanted = find_log(ledger, tenant)
            frozen = [log for log in frozen if log == wanted]
        copies = copies_of(ledger, frozen, source)
        with progress("importing", None) as told:
            thawed = thaw_logs(ledger, copies, without_payloads=without_payloads, progress=told) if copies else []
        left = [log.origin for log in frozen if log.log_id not in {log_id for log_id, _, _ in copies}]
    missing = sum(one.payloads_missing for one in thawed)
    lines = [
        f"{one.origin}  {one.entries} entries came back, size {one.size}"
        + ("; its keys were destroyed: nobody can read them" if one.sealed else "")
        for one in thawed
    ]
    lines += [f"{origin}  stays frozen: there is no copy of it, or its keys are lost" for origin in left]
    unheld = [one.origin for one in thawed if not one.compared]
    if unheld:
        lines.append(
            f"{len(unheld)} logs were HELD AGAINST NOTHING but the backup: whether more was signed after it is not "
            "known here, and what is signed from now on may be another history. Before anything is published compare "
            "with the newest checkpoint that an auditor, a mirror or a witness has"
        )
    if missing:
        lines.append(f"{missing} payloads are lost: what rests on them can't be carried out")
    members = {
        "thawed": [asdict(one) for one in thawed], "still_frozen": left, "payloads_missing": missing,
        "compared_with_nothing": unheld,
    }  # fmt: skip
    result(members, as_json=as_json, lines=lines or ["no log is frozen"])
    return WARNING if missing or left or unheld else GOOD


def rotate_key(data_dir: Path, tenant: str, *, as_json: bool) -> None:
    """Let new keys sign a log's checkpoints."""
    with ledger_at(data_dir) as ledger:
        log = find_log(ledger, tenant)
        note = rotate_log_key(ledger, log.log_id)
    members = {
        "origin": log.origin,
        "generation": note.generation,
        "from_size": note.start.size,
        "root": base64.b64encode(note.start.root).decode(),
        "log_keys": [str(key) for key in note.keys],
    }
    lines = [f"{log.origin}: generation {note.generation} signs from size {note.start.size} on", str(note.keys[0])]
    result(members, as_json=as_json, lines=lines)


def _or_none(size: int | None) -> str:
    return "none" if size is None else str(size)
