"""Commands about principals: enrol, list. Revoking is infrastructure.cli.govern's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from domain.errors import MalformedError
from domain.executions.releases import RELEASER
from domain.jurisdictions import parse_jurisdiction
from domain.statements import ASSERTION
from domain.tenants.events import ReaderEnrolled
from domain.time import rfc3339
from infrastructure.cli.govern import enrol_key
from infrastructure.cli.output import result
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import governance
from infrastructure.client.signing import person
from infrastructure.commands.loading import find_tenant
from infrastructure.keys.wallet import Purpose

_SIGNING: Final = {"admin": "governance", "submitter": "submission", RELEASER: "endorsement"}
"""With which key a role signs, where it signs anything."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person is enrolled as. `purpose`: which of its keys; None: by its role. Instants in ms, None: no limit."""

    role: str
    purpose: str | None
    jurisdictions: tuple[str, ...]
    from_ms: int | None
    until_ms: int | None

    @property
    def limited(self) -> bool:
        """Whether it counts for some jurisdictions or some time only."""
        return bool(self.jurisdictions) or self.from_ms is not None or self.until_ms is not None


def enrol(data_dir: Path, of: str, wallet: Path, asked: Asked, keys: Sequence[Path], *, as_json: bool) -> None:
    """Enrol a key: one that signs, or one that only reads."""
    purpose = signing_purpose(asked)
    if purpose is None:
        _enrol_reader(data_dir, of, wallet, asked, keys, as_json=as_json)
        return
    enrol_key(data_dir, of, wallet, asked.role, purpose, keys, as_json=as_json)


def signing_purpose(asked: Asked) -> str | None:
    """Return which of a wallet's keys is enrolled to sign; None for one that only reads.

    Raises:
        MalformedError: when one that signs shall be limited.
    """
    purpose = asked.purpose or _SIGNING.get(asked.role)
    if purpose is not None and asked.limited:
        raise MalformedError("--jurisdiction, --from and --until limit keys that only read: leave --purpose out")
    return purpose


def _enrol_reader(data_dir: Path, of: str, wallet: Path, asked: Asked, keys: Sequence[Path], *, as_json: bool) -> None:
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        reader = reader_of(wallet, asked, ledger.clock.now_ms())
        governance.enrol_reader(ledger, find_tenant(ledger, of), admins, reader)
    members = reader.model_dump(mode="json", exclude={"public_key", "statements"})
    result(members, as_json=as_json, lines=[told(reader, of)])


def reader_of(wallet: Path, asked: Asked, now_ms: int) -> ReaderEnrolled:
    """Return the enrolment of a wallet's key that only reads, not signed yet.

    Raises:
        MalformedError: when that can't be enrolled.
    """
    newcomer = load_wallets([wallet])[0]
    try:
        return ReaderEnrolled(
            kid=newcomer.thumbprint(Purpose.REPORT),
            public_key=newcomer.public(Purpose.REPORT).hex(),
            person=person(newcomer),
            role=asked.role,
            statement_type=ASSERTION,
            jurisdictions=tuple(parse_jurisdiction(one) for one in asked.jurisdictions),
            from_ms=now_ms if asked.from_ms is None else asked.from_ms,
            until_ms=asked.until_ms,
            statements=(),
        )
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise MalformedError(f"this can't be enrolled: {where} is malformed") from None


def told(reader: ReaderEnrolled, of: str) -> str:
    """Return what is said of a reader's enrolment."""
    until = "" if reader.until_ms is None else f" until {rfc3339(reader.until_ms)}"
    return f"{reader.person} may read as {reader.role} of {of}{until}"


def show(data_dir: Path, of: str, *, as_json: bool) -> None:
    """List the keys that are enrolled, and the issuers whose tokens count."""
    with ledger_at(data_dir) as ledger:
        whose = find_tenant(ledger, of)
    rows = [
        {
            "kid": one.kid, "person": one.person, "role": one.role, "type": one.statement_type,
            "jurisdictions": list(one.jurisdictions), "from_ms": one.from_ms, "until_ms": one.until_ms,
        }
        for one in whose.principals.values()
    ]  # fmt: skip
    lines = [f"{row['kid']}  {row['person']}  {row['role']}  {row['type']}" for row in rows]
    issuers = [{**one.model_dump(mode="json"), "digest": one.digest()} for one in whose.token_issuers.values()]
    lines += [f"tokens of {one['issuer']} for {one['audience']}" for one in issuers]
    result({"principals": rows, "token_issuers": issuers}, as_json=as_json, lines=lines)
