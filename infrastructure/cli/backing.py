"""Commands of backups: backup, restore."""

import os
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import ConflictError
from infrastructure.backup.restoring import Sources
from infrastructure.backup.restoring import restore as restore_from
from infrastructure.backup.saving import require_ledger, save, save_keyring
from infrastructure.cli.output import GOOD, WARNING, progress, result, say
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.memory import forbid_dumps


def backup(data_dir: Path, to: Path, keys: Path | None, *, unsealed: bool, as_json: bool) -> None:
    """Write the archives."""
    require_ledger(data_dir)
    at = datetime.now(UTC)
    out, keys_out = archive_at(to, "ledger", at), None if keys is None else archive_at(keys, "keyring", at)
    if keys_out is not None and keys_out.resolve().parent == out.resolve().parent:
        say("the keyring lies beside the database's archive: keep them apart, for together they open everything")
    if keys_out == out:
        raise ConflictError("--to and --keys are the same file")
    with progress("bytes", None) as told:
        saved = save(data_dir, os.environ, out, at=at, told=told or (lambda _done: None))
    # after the database: each log that is in it has its keys there
    kept = None if keys_out is None else save_keyring(data_dir, keys_out, at=at, unsealed=unsealed)
    for name in saved.left_out:
        say(f"left out, because it is nothing of the ledger's: {data_dir / name}")
    members = {
        "archive": str(saved.path), "manifest_sha256": saved.sha256, "bytes": saved.size_bytes, "rows": saved.rows,
        "logs": saved.logs, "keyring": None if kept is None else str(kept.path), "left_out": list(saved.left_out),
    }  # fmt: skip
    lines = [f"{saved.path}: {saved.logs} logs, {saved.rows} rows, {saved.size_bytes} bytes, manifest {saved.sha256}"]
    lines += ["the keyring is not in it: `backup --keys` writes it"] if kept is None else [f"{kept.path}: the keyring"]
    result(members, as_json=as_json, lines=lines)


def restore(
    data_dir: Path, source: Path, keys: Path, machine_key: Path | None, kept: Path | None, *, as_json: bool
) -> int:
    """Make a data directory; return the exit code: a warning where keys that were destroyed came back."""
    forbid_dumps()
    sources = Sources(source, keys, machine_key, kept)
    with progress("bytes", None) as told:
        done = restore_from(sources, data_dir, os.environ, entropy=SystemEntropy(), told=told or (lambda _done: None))
    members = {
        "data_dir": str(data_dir), "made_at": done.made_at, "logs": done.logs, "frozen": done.logs,
        "schema": {"from": done.schema[0], "to": done.schema[1]}, "destroy_again": list(done.destroy_again),
    }  # fmt: skip
    lines = [
        f"{data_dir}: {done.logs} logs as of {done.made_at}, all frozen",
        "next: `log thaw --all`, then `anchor thaw`, with --from MIRROR where the published directory is lost",
        *(f"ERASED BEFORE, and its keys are back: run `key destroy` for {origin}" for origin in done.destroy_again),
    ]
    result(members, as_json=as_json, lines=lines)
    return WARNING if done.destroy_again else GOOD


def archive_at(to: Path, name: str, at: datetime) -> Path:
    """Return the file to write: the one that was named, or in a directory one by name and time."""
    return to / f"{name}-{at:%Y%m%dT%H%M%SZ}.backup" if to.is_dir() else to
