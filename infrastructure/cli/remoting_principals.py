"""Principals enrolled at a server, by the admins' signatures."""

from collections.abc import Sequence
from pathlib import Path

from domain.tenants.decisions import enrolment_claims
from infrastructure.cli import principals
from infrastructure.cli.govern import enrolment_of
from infrastructure.cli.principals import Asked
from infrastructure.cli.remoting import There, act
from infrastructure.cli.session import load_wallets
from infrastructure.client.signing import accepted
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy


def enrol(at: There, of: str, wallet: Path, asked: Asked, keys: Sequence[Path], *, as_json: bool) -> None:
    """Enrol a key: one that signs, or one that only reads."""
    purpose = principals.signing_purpose(asked)
    if purpose is not None:
        enrol_key(at, wallet, asked.role, purpose, keys, of, as_json=as_json)
        return
    reader = principals.reader_of(wallet, asked, SystemClock().now_ms())
    shown = reader.model_dump(mode="json", exclude={"public_key", "statements"})
    lines = [principals.told(reader, of)]
    act(at, "/v1/principals", enrolment_claims(reader), keys, of, lines, as_json=as_json, shown=shown)


def enrol_key(
    at: There, wallet: Path, role: str, purpose: str, keys: Sequence[Path], tenant: str, *, as_json: bool
) -> None:
    """Enrol a key that signs."""
    drafted = enrolment_of(wallet, role, purpose)
    with at.asked(keys, tenant) as (remote, _):
        origin = remote.own_origin()
    enrolled = accepted(
        drafted, load_wallets([wallet])[0], origin, now_ms=SystemClock().now_ms(), entropy=SystemEntropy()
    )
    shown = {"kid": enrolled.kid, "person": enrolled.person, "role": role, "type": enrolled.statement_type}
    lines = [f"{enrolled.person} may sign {enrolled.statement_type} as {role}"]
    act(at, "/v1/principals", enrolment_claims(enrolled), keys, tenant, lines, as_json=as_json, shown=shown)


def revoke_key(at: There, kid: str, reason: str, keys: Sequence[Path], tenant: str, *, as_json: bool) -> None:
    """Withdraw a key."""
    claims = {"act": "revoke_principal", "kid": kid, "reason": reason}
    lines = [f"{kid} signs nothing more for {tenant}"]
    act(at, "/v1/principals/revocations", claims, keys, tenant, lines, as_json=as_json, shown={"kid": kid})
