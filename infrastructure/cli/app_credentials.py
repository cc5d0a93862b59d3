"""Options of the credential commands. What they do is in infrastructure.cli.credentials and .credential_statuses."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Key, group, instant

credential_app = group("Credentials: W3C Verifiable Credentials 2.0, their status lists and DID documents.")

Status = Annotated[Path, typer.Option("--status", help="Directory of the issuer's status register and lists.")]
Method = Annotated[
    str | None,
    typer.Option("--method", help="DID URL of the key in its issuer's DID document (default: the key's did:key)."),
]
ListDays = Annotated[int, typer.Option("--list-days", min=1, max=366, help="How long the published lists hold.")]
Target = Annotated[str, typer.Argument(metavar="CREDENTIAL", help="The credential's file, or its id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; it stays in the register.")]


@credential_app.command("issue")
def credential_issue(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="executor, node or role.")],
    subject: Annotated[Path, typer.Argument(metavar="SUBJECT", help="JSON file: the credentialSubject.")],
    key: Key,
    out: Annotated[Path | None, typer.Option("--out", help="File to write (default: stdout).")] = None,
    valid_from: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Begin of its validity (default: now).")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Length of its validity.")] = 365,
    credential_id: Annotated[str | None, typer.Option("--id", help="Its id, a URL (default: a fresh UUID).")] = None,
    status: Annotated[
        Path | None, typer.Option("--status", help="Status register to enter it in, so that it can be revoked.")
    ] = None,
    parent: Annotated[
        Path | None, typer.Option("--parent", help="Credential under which this one is issued (executor).")
    ] = None,
    method: Method = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Issue a credential, signed by the credential key of a wallet.

    SUBJECT of an executor: {"id": DID, "dao", "jurisdiction", "clauseFamilies", "resourceClasses",
    "maximumMemoryBytes"} and, to let somebody issue under it, "delegation": {"issuer": DID, "depth": 1}. Of a node:
    {"id", "operator", "countryOfOperation", "vendor", "platformIds", "attributes", "admits"}. Of a role: {"id", "role":
    "governance" | "auditor" | "dispute_resolver", "jurisdiction", "daos"}.
    """
    from infrastructure.cli import credentials

    credentials.issue(
        kind,
        subject,
        key,
        out=out,
        valid_from_ms=None if valid_from is None else instant(valid_from),
        days=days,
        credential_id=credential_id,
        status=status,
        parent=parent,
        method=method,
        as_json=as_json,
    )


@credential_app.command("verify")
def credential_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The credential.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Verify it at this instant: RFC 3339 (default: now).")
    ] = None,
    status: Annotated[
        Path | None, typer.Option("--status", help="Its status list, or a directory of lists (*.json, by their id).")
    ] = None,
    did: Annotated[
        Path | None, typer.Option("--did", help="DID documents: HOST/PATH/did.json as in their URLs, or *.json.")
    ] = None,
    issuer: Annotated[
        list[str] | None, typer.Option("--issuer", help="DID whose credentials count; repeat it for several.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify any credential with an eddsa-jcs-2022 proof: 0 valid, 1 refused with a reason, 3 valid with a warning.

    Nothing is fetched. Without --issuer the verdict is about consistency only, and says so.
    """
    from infrastructure.cli import credentials

    at_ms = None if at is None else instant(at)
    raise typer.Exit(credentials.verify(file, at_ms, status, did, issuer or [], as_json=as_json))


@credential_app.command("did")
def credential_did(
    key: Key,
    did: Annotated[str | None, typer.Argument(metavar="[DID]", help="A did:web whose document is wanted.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write that document to (default: stdout).")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show the DID that a wallet issues credentials under, or the document of a did:web with its key."""
    from infrastructure.cli import credentials

    credentials.did(key, did, out, as_json=as_json)


@credential_app.command("publish")
def credential_publish(
    status: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Of the status register; made at first.")],
    key: Key,
    url: Annotated[
        str | None, typer.Option("--url", help="What the lists' URLs begin with; needed at first, fixed then.")
    ] = None,
    method: Method = None,
    list_days: ListDays = 7,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Sign an issuer's status lists anew. Do it before they end: a list that has ended denies."""
    from infrastructure.cli import credential_statuses

    credential_statuses.publish(status, key, url, method, list_days, as_json=as_json)


@credential_app.command("revoke")
def credential_revoke(
    credential: Target,
    status: Status,
    key: Key,
    reason: Reason = "",
    list_days: ListDays = 7,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Revoke a credential for ever, with everything issued under it."""
    from infrastructure.cli import credential_statuses

    credential_statuses.change("revoke", credential, status, key, reason, list_days, as_json=as_json)


@credential_app.command("suspend")
def credential_suspend(
    credential: Target,
    status: Status,
    key: Key,
    reason: Reason = "",
    list_days: ListDays = 7,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Suspend a credential until it is reinstated, with everything issued under it."""
    from infrastructure.cli import credential_statuses

    credential_statuses.change("suspend", credential, status, key, reason, list_days, as_json=as_json)


@credential_app.command("reinstate")
def credential_reinstate(
    credential: Target,
    status: Status,
    key: Key,
    list_days: ListDays = 7,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Take a suspension back."""
    from infrastructure.cli import credential_statuses

    credential_statuses.change("reinstate", credential, status, key, "", list_days, as_json=as_json)
