"""What every decision names, so that it can be made again: engine, policy, and how far inputs counted."""

from domain.identifiers import Digest
from domain.message import Event


class Decided(Event):  # abstract: it has no TOPIC and is never registered
    """What every decision that a tenant sees names (wire formats 9)."""

    engine: str
    policy_version: int
    policy_digest: Digest
    seen: int
    tick: int
