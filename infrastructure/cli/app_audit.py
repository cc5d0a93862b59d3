"""Options of the auditors' commands. What they do is in infrastructure.cli.auditing."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

audit_app = group("Export, verify and replay histories.")


@audit_app.command("export")
def audit_export(
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant (DAO/JUR or id), `platform` or `root`.")],
    out: Annotated[Path, typer.Option("--out", help="Directory that is missing or empty.")],
    with_keys: Annotated[
        str | None, typer.Option("--with-keys", help="Disclose keys: all, or streams separated by commas.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Export a log as a C2SP tile log that outsiders can verify."""
    from infrastructure.cli import auditing

    auditing.export(data_dir, tenant, out, with_keys, as_json=as_json)


@audit_app.command("verify")
def audit_verify(
    directory: Path,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="A later version's: needs witnesses.")] = None,
    max_age: Annotated[str | None, typer.Option("--max-age", help="A later version's: needs witnesses.")] = None,
    acks: Annotated[
        Path | None, typer.Option("--acks", help="Directory of acknowledgements (*.ack) to hold it to.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify a log's directory offline, with nothing but it and, for authenticity, a key from outside."""
    from infrastructure.cli import auditing

    if policy is not None or max_age is not None:
        raise typer.BadParameter("--policy and --max-age need witnesses, which this version does not have yet")
    raise typer.Exit(auditing.verify(directory, log_key or [], acks=acks, as_json=as_json))


@audit_app.command("replay")
def audit_replay(
    directory: Annotated[Path | None, typer.Argument(help="A bundle with keys.json.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="From the database instead.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=0, help="Fold this many entries.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Fold up to this instant: RFC 3339, or ms since 1970.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fold a history again, at any size or time; at the head it must equal the live read models."""
    from infrastructure.cli import auditing

    if (directory is None) == (tenant is None):
        raise typer.BadParameter("name a bundle's directory, or --tenant")
    at_ms = None if at is None else _instant(at)
    raise typer.Exit(auditing.replay(directory, data_dir, tenant, size=size, at_ms=at_ms, as_json=as_json))


def _instant(text: str) -> int:
    from datetime import datetime

    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("an instant is RFC 3339 (2026-01-31T12:00:00Z) or milliseconds since 1970") from None
    if instant.tzinfo is None:
        raise typer.BadParameter("an instant needs its offset, e.g. 2026-01-31T12:00:00Z")
    return int(instant.timestamp() * 1000)
