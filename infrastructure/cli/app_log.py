"""Options of the commands that publish logs. What they do is in infrastructure.cli.publishing."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

log_app = group("Published logs: checkpoints, proofs, keys, and thawing after a restored backup.")
revocation_app = group("Revocation of a log's keys, by the holders of its recovery keys. Offline.")
log_app.add_typer(revocation_app, name="revocation")

RecoveryKeyFile = Annotated[Path, typer.Option("--key", help="File of a holder's recovery key.")]
LogName = Annotated[str, typer.Option("--tenant", help="Tenant (DAO/JUR or id), `platform` or `root`.")]


@log_app.command("publish")
def log_publish(
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    every: Annotated[float | None, typer.Option("--every", help="Seconds between checkpoints.")] = None,
    unpublished_bound: Annotated[
        float | None, typer.Option("--unpublished-bound", help="Seconds that an entry may stay unpublished.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Publish every log that changed. Settings: LEDGER_CHECKPOINT_INTERVAL_S, LEDGER_UNPUBLISHED_BOUND_S."""
    from infrastructure.cli import publishing

    code = publishing.publish(data_dir, follow=follow, every=every, bound=unpublished_bound, as_json=as_json)
    raise typer.Exit(code)


@log_app.command("status")
def log_status(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show how far each log is published, and which are frozen."""
    from infrastructure.cli import publishing

    raise typer.Exit(publishing.status(data_dir, as_json=as_json))


@log_app.command("proof")
def log_proof(
    tenant: LogName,
    index: Annotated[int, typer.Option("--index", min=0, help="Leaf index of the entry.")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write (default: stdout).")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Prove that an entry is in the published log (c2sp.org/tlog-proof@v1)."""
    from infrastructure.cli import publishing

    publishing.proof(data_dir, tenant, index, out, as_json=as_json)


@log_app.command("thaw")
def log_thaw(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Tenant (DAO/JUR or id), `platform` or `root`.")
    ] = None,
    every_log: Annotated[bool, typer.Option("--all", help="Every frozen log.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Published directory, mirror or bundle (default: our own).")
    ] = None,
    without_payloads: Annotated[
        bool, typer.Option("--without-payloads", help="Go on though payloads are in no copy.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Bring back the entries that a restored database lost, and let the log go on. Stop everything else before."""
    from infrastructure.cli import publishing

    if every_log == (tenant is not None):
        raise typer.BadParameter("name a log with --tenant, or take --all")
    raise typer.Exit(publishing.thaw(data_dir, tenant, source, without_payloads=without_payloads, as_json=as_json))


@log_app.command("witnesses")
def log_witnesses(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show the witnesses that are asked to cosign (witnesses.policy of the data directory), and how they stand."""
    from infrastructure.cli import anchoring

    anchoring.witnesses(data_dir, as_json=as_json)


@log_app.command("rotate-key")
def log_rotate_key(tenant: LogName, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Let new keys sign a log's checkpoints from its next entry on."""
    from infrastructure.cli import publishing

    publishing.rotate_key(data_dir, tenant, as_json=as_json)


@revocation_app.command("key")
def revocation_key(
    file: Path,
    name: Annotated[str, typer.Option("--name", help="Whose key it is.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a holder's recovery key in FILE, and show it as auditors take it (--recovery-key)."""
    from infrastructure.cli import revoking

    revoking.new_key(file, name, as_json=as_json)


@revocation_app.command("new")
def revocation_new(
    file: Path,
    origin: Annotated[str, typer.Option("--origin", help="The log.")],
    generation: Annotated[int, typer.Option("--generation", min=0, help="Whose keys are revoked.")],
    last_good_round: Annotated[int, typer.Option("--last-good-round", min=0, help="What it anchored still counts.")],
    size: Annotated[int, typer.Option("--size", min=0, help="Size of the last good tree.")],
    root: Annotated[str, typer.Option("--root", help="Its root, base64.")],
    key: RecoveryKeyFile,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write a revocation, signed by the first holder."""
    from infrastructure.cli import revoking

    revoking.new(file, origin, generation, last_good_round, size, root, key, as_json=as_json)


@revocation_app.command("sign")
def revocation_sign(
    file: Path, key: RecoveryKeyFile, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Add a holder's signature to a revocation."""
    from infrastructure.cli import revoking

    revoking.sign(file, key, as_json=as_json)
