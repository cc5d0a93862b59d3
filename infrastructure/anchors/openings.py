"""Openings of one log's slot: made again from what the rounds' table and the anchor secret hold, for its owner.

Invariants:
- Memory does not grow with the number of rounds: texts of the slots are carried forward, and openings stream.
- An opening is given out only if it gives the round's stored entry, byte for byte: with another secret, or a table that
  was changed, nothing is opened.
- All openings of one run rest on one checkpoint of the anchor log.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening
from domain.transparency.anchor_slots import AnchorRound, SlotKeys
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note
from domain.transparency.proofs import NodeGetter, inclusion_proof
from domain.transparency.tlog_proof import TlogProof
from infrastructure.anchors.rounds import Rounds

MOST_ROUNDS = 10_000
"""How many of the newest rounds an export opens unless it is told which: a week at one a minute."""

_NODES = 1 << 14


@dataclass(frozen=True, slots=True)
class RoundRange:
    """The rounds from `first` to `last`, both included.

    Raises:
        MalformedError: when it runs backwards.
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise MalformedError("a range of rounds is A..B, with A not above B")


def open_slot(
    rounds: Rounds, secret: bytes, slot: int, *, note: Note, node: NodeGetter, wanted: RoundRange | None = None
) -> Iterator[AnchoredOpening]:
    """Yield the openings of a slot, in the order of their rounds.

    Args:
        rounds: the cell's.
        secret: the anchor secret (32 bytes).
        slot: whose.
        note: the anchor log's checkpoint that all of them rest on.
        node: the anchor log's hashes.
        wanted: which rounds; the newest 10,000 of the checkpoint where none are named.

    Raises:
        MalformedError: when the checkpoint does not hold all of the rounds.
        VerificationError: when a round's slots do not give its entry.
    """
    size = Checkpoint.parse(note.text).size
    chosen = wanted or RoundRange(max(0, size - MOST_ROUNDS), max(0, size - 1))
    if chosen.last >= size and (wanted or size):
        raise MalformedError(f"rounds {chosen.first}..{chosen.last}: the anchor log's checkpoint holds {size} rounds")
    known = lru_cache(maxsize=_NODES)(node)
    keys = SlotKeys(secret)
    for made in remade(rounds, keys, chosen.first, min(chosen.last + 1, size)):
        index = made.entry.round_index
        path = inclusion_proof(known, index, size)
        yield AnchoredOpening(TlogProof(index, path, note, made.open(slot).to_extra()))


def remade(rounds: Rounds, keys: SlotKeys, first: int, end: int) -> Iterator[AnchorRound]:
    """Yield rounds, made again from what their slots are committed to.

    Raises:
        VerificationError: when they do not give a stored entry.
    """
    texts = rounds.texts(first - 1) if first else {}
    changes = rounds.changes(first, end)
    change = next(changes, None)
    for stored in rounds.read(first, end):
        while change is not None and change[0] == stored.index:
            texts[change[1]] = change[2]
            change = next(changes, None)
        entry = stored.parsed
        made = AnchorRound(keys, stored.index, texts, slots=entry.slots, trace_root=entry.trace_root)
        if made.entry.to_bytes() != stored.entry:
            raise VerificationError(
                f"the slots of round {stored.index} don't give its entry: the keyring's anchor secret is another one, "
                "or the database was changed"
            )
        yield made
