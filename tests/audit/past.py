"""A tenant's past with everything in it, and what somebody with all of the operator's keys can make of it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.message import Event, Recorded
from domain.statements import GOVERNANCE
from domain.tenants.state import Tenant
from infrastructure.audit.disclosure import KEYS, keys_document
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts
from infrastructure.client.signing import signed_by
from infrastructure.commands.loading import fold_tenant, load_tenant
from infrastructure.keys.plaintext import EntryRecord, decode_record, encode_record
from infrastructure.keys.sealing import Sealer
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.payload import payload
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.commands.cell import ENTROPY, FLOWS, Cell, Member
from tests.commands.driver import Driver

AT_S = 1_700_000_100
RETRY = {"kind": "re_authorisation", "roles": ["admin"], "threshold": 2, "timeout_ms": 3_600_000}
TWICE = {"kind": "independent_attestations", "count": 2}


@dataclass
class Past:
    """A log as it stands, with the keys that its operator and its people hold."""

    sealer: Sealer
    tenant: Tenant
    entries: list[bytes]
    history: list[Recorded]
    admins: list[Wallet]
    runs: dict[str, str] = field(default_factory=dict)
    drivers: dict[str, Driver] = field(default_factory=dict)

    @property
    def at_ms(self) -> int:
        """Return the instant of the last entry."""
        return self.history[-1].at_ms

    def of(self, topic: str, **members: Any) -> Recorded:
        """Return the first event of a topic whose members are these."""
        return next(
            item
            for item in self.history
            if topic == item.event.TOPIC and all(getattr(item.event, name) == value for name, value in members.items())
        )

    def until(self, last: Recorded) -> "Past":
        """Return the past up to an entry."""
        size = last.leaf_index + 1
        tenant = fold_tenant(item for item in self.history[:size] if item.stream_id == self.history[0].stream_id)
        assert tenant is not None
        return replace(self, entries=self.entries[:size], history=self.history[:size], tenant=tenant)

    def streams(self) -> list[UUID]:
        """Return every stream, the log's own first."""
        return list(dict.fromkeys(item.stream_id for item in self.history))

    def govern(self, claims: dict[str, Any], *wallets: Wallet, **registered: Any) -> tuple[str, ...]:
        """Let people sign a governance statement at the end of the past."""
        content = payload(
            iss=self.tenant.did, aud=self.tenant.origin, claims=claims, now_ms=self.at_ms, entropy=ENTROPY
        )
        return signed_by(wallets, GOVERNANCE, {**content, **registered})

    def seal(self, stream: UUID, version: int, topic: str, event: dict[str, Any], at_ms: int | None = None) -> bytes:
        """Seal an event as the ledger would."""
        record = EntryRecord(stream, version, topic, self.at_ms if at_ms is None else at_ms, event)
        return self.sealer.seal(stream, encode_record(record))

    def then(self, *events: tuple[UUID, Event]) -> list[bytes]:
        """Return the entries with further events, each the next of its stream."""
        versions = {item.stream_id: item.version for item in self.history}
        more = []
        for stream, event in events:
            versions[stream] = versions.get(stream, -1) + 1
            more.append(self.seal(stream, versions[stream], event.TOPIC, event.payload()))
        return [*self.entries, *more]

    def altered(self, recorded: Recorded, **changes: Any) -> list[bytes]:
        """Return the entries with members of one event changed, and sealed again."""
        content = {**recorded.event.payload(), **changes}
        entry = self.seal(recorded.stream_id, recorded.version, recorded.event.TOPIC, content, recorded.at_ms)
        return [*self.entries[: recorded.leaf_index], entry, *self.entries[recorded.leaf_index + 1 :]]

    def bundle(
        self, out: Path, entries: Sequence[bytes] | None = None, *, streams: Iterable[UUID] | None = None
    ) -> Path:
        """Write a bundle under fresh log keys, with the keys of some streams (None: of every one)."""
        kept = self.entries if entries is None else entries
        own = streams if streams is not None else {decode_record(self.sealer.open(entry)).stream_id for entry in kept}
        document = keys_document(self.tenant.origin, [self.sealer.stream_key(stream) for stream in own])
        signer = LogSigner.from_seeds(self.tenant.origin, b"e" * 32, b"m" * 32)
        write_bundle(kept, size=len(kept), signer=signer, at_unix_s=AT_S, out=out, extra=[(KEYS, document)])
        return out

    def verdict(self, out: Path, entries: Sequence[bytes] | None = None, **options: Any) -> Verification:
        """Return what a verification of such a bundle says."""
        return verify_bundle(self.bundle(out, entries, **options))


def refused(verdict: Verification, *says: str, entry: int | None = None) -> None:
    """Assert that a bundle was refused, at that entry and with these words."""
    assert not verdict.ok
    assert verdict.checked == ()
    error = verdict.first_error or ""
    assert error.startswith("entry " if entry is None else f"entry {entry}: "), error
    assert all(word in error for word in says), error


def live(cell: Cell) -> Past:
    """Let a tenant live through everything that its log can hold; return its past."""
    member = cell.join("FloodDAO", admins=3, threshold=2)
    drivers: dict[str, Driver] = {}
    member.adopt(RETRY, {"kind": "notification", "recipients": ["court"]})
    drivers["done"] = _one(cell, member).whole()
    drivers["done"].send(drivers["done"].token({"kind": "reset"}))  # refused: it is over
    drivers["held"] = _one(cell, member).fail()
    drivers["refused"] = _one(cell, member).fail("fuel")
    acts.refuse_retry(cell.ledger, drivers["refused"].execution, member.admins[:2])
    drivers["again"] = _one(cell, member).fail("memory")
    acts.authorize_retry(cell.ledger, drivers["again"].execution, member.admins[1:])
    cell.settle()
    (second,) = cell.decider.state.live
    Driver(cell, second).whole()
    cell.place(member, inputs=(FLOWS, b"1\n"), tags=("late",))
    cell.advance(700_000)  # the reservation expires, and the workload is placed again
    (late,) = cell.decider.state.live
    drivers["late"] = Driver(cell, late).whole()
    acts.cancel(cell.ledger, member.tenant, member.admins[0], cell.submit(member))
    cell.submit(member, clause_id="UNDRR::Disaster::Unregistered@1.0.0")
    helper = cell.wallet("helper")
    enrolled = acts.principal(helper, Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")
    acts.enrol(cell.ledger, member.tenant, member.admins[:2], enrolled)
    cell.submit(member, wallet=helper)
    acts.revoke(cell.ledger, member.tenant, member.admins[:2], enrolled.kid, "left")
    cell.settle()
    (waiting,) = cell.decider.state.live
    Driver(cell, waiting).evidence(measurement="0" * 64)  # refused, and placed again
    cell.settle()
    (waiting,) = cell.decider.state.live
    Driver(cell, waiting).whole()
    member.adopt(RETRY, TWICE)
    for execution in cell.place(member):
        drivers[f"quorum {len(drivers)}"] = Driver(cell, execution).whole()
    return _past(cell, member, drivers)


def _one(cell: Cell, member: Member) -> Driver:
    (execution,) = cell.place(member)
    return Driver(cell, execution)


def _past(cell: Cell, member: Member, drivers: dict[str, Driver]) -> Past:
    runs = {name: driver.execution for name, driver in drivers.items()}
    return replace(past_of(cell, member.log_id, member.admins), runs=runs, drivers=drivers)


def past_of(cell: Cell, log_id: UUID, admins: list[Wallet]) -> Past:
    """Return the past of a tenant or scope."""
    keys = cell.ledger.keyring.get(log_id)
    tenant = load_tenant(cell.ledger, log_id)
    entries = [stored.entry for stored in cell.ledger.recorder.every_entry(log_id)]
    return Past(Sealer(tenant.origin, keys.data_key, ENTROPY), tenant, entries, cell.history(log_id), admins)


def without(streams: Collection[UUID], *hidden: UUID) -> list[UUID]:
    """Return the streams but for some."""
    return [stream for stream in streams if stream not in hidden]
