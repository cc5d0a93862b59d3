"""Options of backup, restore, migrate and upgrade. What they do is in infrastructure.cli.backing and .upgrading."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json


def backup(
    to: Annotated[Path, typer.Option("--to", help="File to write, or an existing directory for one by its time.")],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="Also the keyring, wrapped, into a file or directory of its own: keep it apart."),
    ] = None,
    unsealed: Annotated[
        bool,
        typer.Option(
            "--unsealed", help="With --keys: also what lies in the clear (machine key, root wallet): opens all."
        ),
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Copy the database, with floors and settings, as of one instant; the ledger may be at work."""
    from infrastructure.cli import backing

    if unsealed and keys is None:
        raise typer.BadParameter("--unsealed belongs to --keys")
    backing.backup(data_dir, to, keys, unsealed=unsealed, as_json=as_json)


def restore(
    source: Annotated[Path, typer.Option("--from", help="Archive of the database, made by `backup --to`.")],
    keys: Annotated[Path, typer.Option("--keys", help="Archive of the keyring, made by `backup --keys`.")],
    machine_key: Annotated[
        Path | None, typer.Option("--machine-key", help="The machine key, where the keyring's archive lacks it.")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--kept", help="What survived: a directory with floors/, anchors/, published/.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a new data directory from backups. Its logs are frozen until `log thaw --all` and `anchor thaw`."""
    from infrastructure.cli import backing

    raise typer.Exit(backing.restore(data_dir, source, keys, machine_key, kept, as_json=as_json))


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would be done; exit 3 where something is.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Bring the database's schema to this program's. Every start does so too; older programs refuse it afterwards."""
    from infrastructure.cli import upgrading

    raise typer.Exit(upgrading.migrate(data_dir, check=check, as_json=as_json))


def upgrade(
    backup_to: Annotated[
        Path | None, typer.Option("--backup", help="File or directory for the backup that is made first.")
    ] = None,
    without_backup: Annotated[bool, typer.Option("--without-backup", help="There is one already.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Upgrade a data directory with an embedded database, with nothing else at work there: backup, schema, a look."""
    from infrastructure.cli import upgrading

    if without_backup == (backup_to is not None):
        raise typer.BadParameter("name a place with --backup, or take --without-backup")
    upgrading.upgrade(data_dir, backup_to, as_json=as_json)
