"""Which streams of a log are disclosed with a bundle.

Invariants:
- Streams are disclosed whole or not at all. A name that means several excludes by default: `public` takes no stream
  that holds anything else than what every enrolled principal may read (wire formats 2).
"""

from typing import Final
from uuid import UUID

from domain.attestation.events import NodeChallenged, NodeEvidenceAppraised
from domain.clauses.events import ClauseDeprecated, ClauseRegistered
from domain.errors import MalformedError, UnknownError
from domain.identifiers import stream_of
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeReturned
from infrastructure.ledger import Ledger

EVERYTHING: Final = "all"
PUBLIC: Final = "public"

PUBLIC_TOPICS: Final = frozenset(
    kind.TOPIC
    for kind in (
        ClauseRegistered, ClauseDeprecated, NodeEnrolled, NodeDrained, NodeReturned, NodeChallenged,
        NodeEvidenceAppraised,
    )
)  # fmt: skip
"""What every enrolled principal may read of the platform log, where a stream holds nothing else."""


def chosen_streams(ledger: Ledger, log_id: UUID, names: str) -> list[UUID]:
    """Return the streams that are meant, in order.

    Args:
        ledger: the ledger.
        log_id: whose streams.
        names: "all"; "public", of the platform log: its clauses and nodes, without what tells of load; or streams (or
            workload, execution and CAC ids), comma-separated.

    Raises:
        UnknownError: when one is not of this log.
        MalformedError: when the log has no entry, it has nothing public, or no stream is named.
    """
    if ledger.head(log_id).size == 0:
        raise MalformedError("the log has no entry yet: there is nothing to disclose")  # its first one must register it
    if names == PUBLIC:
        return _public(ledger, log_id)
    own = {stream.stream_id for stream in ledger.as_tenant(log_id).streams()}
    if names == EVERYTHING:
        return sorted(own | {log_id})
    chosen = sorted({_stream(name.strip()) for name in names.split(",") if name.strip()})
    if not chosen:
        raise MalformedError("name at least one stream, or all")
    if not set(chosen) <= own:
        raise UnknownError("this log has no such stream")
    return chosen


def _public(ledger: Ledger, log_id: UUID) -> list[UUID]:
    """Return the streams that hold clauses and nodes alone.

    The stream of a node into which an earlier release wrote its telemetry stays sealed: it tells of everybody's load.
    """
    if log_id != ledger.platform().log_id:
        raise MalformedError("only the platform log has streams that everybody may read: its clauses and nodes")
    public: dict[UUID, bool] = {}
    for stored in ledger.as_tenant(log_id).every_entry(ledger.head(log_id).size):
        public[stored.stream_id] = public.get(stored.stream_id, True) and stored.topic in PUBLIC_TOPICS
    chosen = sorted(stream for stream, readable in public.items() if readable)
    if not chosen:
        raise MalformedError("no clause and no node is enrolled yet: there is nothing to disclose")
    return chosen


def _stream(name: str) -> UUID:
    if "-0x" in name:
        return stream_of(name)
    try:
        return UUID(name)
    except ValueError:
        raise MalformedError("a stream is a UUID or a wl-0x, exec-0x or cac-0x id") from None
