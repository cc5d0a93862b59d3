"""Options of commands that hold states of a log against each other: two bundles; a database and what is published."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json


def audit_consistency(
    old: Annotated[Path, typer.Argument(help="A bundle, or a file that holds its checkpoint.")],
    new: Annotated[Path, typer.Argument(help="A later bundle of the same log.")],
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Prove that one bundle extends another: nothing that OLD holds was changed in NEW (exit 1 where it was)."""
    from infrastructure.cli import consistency

    raise typer.Exit(consistency.consistency(old, new, log_key or [], as_json=as_json))


def audit_fsck(
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="One log (DAO/JUR or id, `platform`, `root`); default: the whole cell."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Check a live database: entries, trees, feed, payloads, what was published, what is signed (exit 1 for damage)."""
    from infrastructure.cli import consistency

    raise typer.Exit(consistency.fsck(data_dir, tenant, as_json=as_json))
