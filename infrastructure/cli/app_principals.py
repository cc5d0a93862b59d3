"""Options of the commands about principals. What they do is in infrastructure.cli.principals."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Keys, Place, Reason, group, instant, placed

principal_app = group("Principals: whose keys may ask a served ledger, for which log and in which role.")

Log = Annotated[str, typer.Option("--of", help="Whose: a tenant (DAO/JUR or id), a scope's name, or `root`.")]


@principal_app.command("enrol")
@placed
def principal_enrol(
    wallet: Annotated[Path, typer.Argument(metavar="WALLET", help="Wallet of the person to enrol.")],
    of: Log,
    role: Annotated[
        str,
        typer.Option(
            "--role", help="admin, submitter, auditor, resolver, monitor, witness, operator (of root), releaser."
        ),
    ],
    purpose: Annotated[
        str | None,
        typer.Option(
            "--purpose", help="Enrol the key that signs: governance, submission, endorsement. Default: by role."
        ),
    ] = None,
    jurisdiction: Annotated[
        list[str] | None, typer.Option("--jurisdiction", help="Of a scope: only of these tenants may it learn.")
    ] = None,
    begins: Annotated[str | None, typer.Option("--from", help="Counts from then on (default: now).")] = None,
    ends: Annotated[
        str | None, typer.Option("--until", help="Counts until then (default: until it is revoked).")
    ] = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Enrol a person's key, signed by the admins of the tenant or scope (--key, as many as the threshold).

    Auditors, monitors, resolvers and operators only read: theirs is a key that signs nothing else (of the wallet's keys
    that of reports). Admins, submitters and releasers read with the key that they sign with.
    """
    from infrastructure.cli import principals, remoting_principals

    asked = principals.Asked(
        role=role,
        purpose=purpose,
        jurisdictions=tuple(jurisdiction or ()),
        from_ms=None if begins is None else instant(begins),
        until_ms=None if ends is None else instant(ends),
    )
    at = place.there()
    if at is not None:
        remoting_principals.enrol(at, of, wallet, asked, key or [], as_json=place.as_json)
        return
    principals.enrol(place.data_dir, of, wallet, asked, key or [], as_json=place.as_json)


# A thumbprint in base64url may begin with "-": what is no option is the argument.
@principal_app.command("revoke", context_settings={"ignore_unknown_options": True})
@placed
def principal_revoke(
    kid: Annotated[str, typer.Argument(metavar="KID", help="Thumbprint of the key.")],
    of: Log,
    reason: Reason,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Withdraw a key for ever: it signs nothing more, and its tokens end at once."""
    from infrastructure.cli import govern, remoting_principals

    at = place.there()
    if at is not None:
        remoting_principals.revoke_key(at, kid, reason, key or [], of, as_json=place.as_json)
        return
    govern.revoke_key(place.data_dir, of, kid, reason, key or [], as_json=place.as_json)


@principal_app.command("admit-issuer")
@placed
def principal_admit_issuer(
    issuer: Annotated[str, typer.Argument(metavar="URL", help="The OpenID provider: its tokens' `iss`, exactly.")],
    of: Log,
    audience: Annotated[str, typer.Option("--audience", help="For whom its tokens must be: their `aud`.")],
    jwks: Annotated[
        Path, typer.Option("--jwks", help="Its public keys, as a file (JWKS). They are pinned: nothing is fetched.")
    ],
    role: Annotated[
        list[str],
        typer.Option(
            "--role", help="ROLE=CLAIM=VALUE, the first that fits counts. CLAIM: a name, or /a/b for a member inside."
        ),
    ],
    token_type: Annotated[
        str,
        typer.Option("--token-type", help="JWT (ID tokens, or without a type), or at+jwt (RFC 9068)."),
    ] = "JWT",  # noqa: S107
    jurisdiction: Annotated[
        list[str] | None, typer.Option("--jurisdiction", help="Of a scope: only of these tenants may they learn.")
    ] = None,
    begins: Annotated[str | None, typer.Option("--from", help="Counts from then on (default: now).")] = None,
    ends: Annotated[
        str | None, typer.Option("--until", help="Counts until then (default: until it is revoked).")
    ] = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Let tokens of an OpenID provider show who may read, signed by the admins of the tenant or scope (--key).

    Whoever has such a token exchanges it at POST /v1/token (RFC 8693) for one of the ledger's, which reads and nothing
    else. Given again, this replaces what was admitted before, e.g. with new keys: tokens of before end at once.
    """
    from infrastructure.cli import token_issuers

    asked = token_issuers.Asked(
        issuer=issuer,
        audience=audience,
        jwks=jwks,
        rules=tuple(role),
        token_type=token_type,
        jurisdictions=tuple(jurisdiction or ()),
        from_ms=None if begins is None else instant(begins),
        until_ms=None if ends is None else instant(ends),
    )
    token_issuers.admit(place.data_dir, of, asked, key or [], at=place.there(), as_json=place.as_json)


@principal_app.command("revoke-issuer")
@placed
def principal_revoke_issuer(
    issuer: Annotated[str, typer.Argument(metavar="URL", help="The OpenID provider, as it was admitted.")],
    of: Log,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence.")],
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Let no token of an OpenID provider count any more, at once. Its keys are never admitted again."""
    from infrastructure.cli import token_issuers

    at = place.there()
    token_issuers.revoke(place.data_dir, of, issuer, reason, key or [], at=at, as_json=place.as_json)


@principal_app.command("list")
def principal_list(of: Log, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the keys that are enrolled and not revoked, and the OpenID providers that are admitted."""
    from infrastructure.cli import principals

    principals.show(data_dir, of, as_json=as_json)
