"""Options of the commands on evidence. What they do is in infrastructure.cli.attesting."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

attestation_app = group("Evidence of trusted hardware: SGX and TDX quotes, SEV-SNP reports.")


@attestation_app.command("verify")
def attestation_verify(
    evidence: Annotated[Path, typer.Argument(help="SGX v3 or TDX v4/v5 quote, or SEV-SNP report; raw or hex.")],
    endorsements: Annotated[
        Path | None,
        typer.Option(
            "--endorsements",
            help="Certificates (PEM, DER), revocation lists, Intel collateral (JSON), told apart by content; a "
            "directory means all its files. Without it: what was kept in the data directory. Nothing is fetched.",
        ),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Instant to verify at, RFC 3339 (default: now).")] = None,
    nonce: Annotated[
        str | None, typer.Option("--nonce", help="What report_data must be: hex, up to 64 bytes, zeros behind it.")
    ] = None,
    trust_root: Annotated[
        Path | None,
        typer.Option("--trust-root", help="Trust this root only (PEM or DER), not the vendors': synthetic platforms."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep good endorsements in the data directory, for verifying without them.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify and appraise a piece of evidence: 0 affirming, 3 warning, 1 contraindicated or rejected."""
    from infrastructure.cli import attesting

    code = attesting.verify(
        evidence, endorsements, at=at, nonce=nonce, trust_root=trust_root, keep=keep, data_dir=data_dir, as_json=as_json
    )
    raise typer.Exit(code)
