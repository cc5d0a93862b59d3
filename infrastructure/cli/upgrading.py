"""Commands of releases: migrate, upgrade."""

import os
from datetime import UTC, datetime
from pathlib import Path

from infrastructure.backup.upgrading import Schema, migrate_database
from infrastructure.backup.upgrading import upgrade as upgrade_directory
from infrastructure.cli.backing import archive_at
from infrastructure.cli.output import GOOD, WARNING, progress, result
from infrastructure.cli.session import ledger_at


def migrate(data_dir: Path, *, check: bool, as_json: bool) -> int:
    """Migrate, or look; return the exit code: a warning where `--check` finds something to do."""
    before = migrate_database(data_dir, os.environ, check=check)
    result({**_members(before), "checked_only": check}, as_json=as_json, lines=[_line(before, done=not check)])
    return WARNING if check and before.names else GOOD


def upgrade(data_dir: Path, backup_to: Path | None, *, as_json: bool) -> None:
    """Upgrade a data directory."""
    at = datetime.now(UTC)

    def open_once() -> None:
        with ledger_at(data_dir):
            pass

    with progress("bytes", None) as told:
        before, saved = upgrade_directory(
            data_dir, os.environ, None if backup_to is None else archive_at(backup_to, "ledger", at),
            at=at, open_once=open_once, told=told or (lambda _done: None),
        )  # fmt: skip
    archive = None if saved is None else str(saved.path)
    lines = [_line(before, done=True), *([] if archive is None else [f"backup of before: {archive}"])]
    result({**_members(before), "backup": archive}, as_json=as_json, lines=lines)


def _members(before: Schema) -> dict[str, object]:
    return {"from": before.has, "to": before.wants, "migrations": list(before.names)}


def _line(before: Schema, *, done: bool) -> str:
    if not before.names:
        return f"schema {before.has}: nothing to do"
    return f"schema {before.has} {'is now' if done else 'would become'} {before.wants}: {', '.join(before.names)}"
