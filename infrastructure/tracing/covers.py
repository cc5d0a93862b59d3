"""What a round's trace covers."""

from typing import NamedTuple


class Trace(NamedTuple):
    """What a round's trace covers: the feed up to a position, which of its entries were decided, the closing state.

    `decided` has a bit for each entry in feed order, highest first; `closing` is the digest of the state (32 bytes).
    """

    position: int
    decided: bytes
    closing: bytes


class Span(NamedTuple):
    """A round that has a trace, with the position after which that begins."""

    round_index: int
    after: int
    trace: Trace
