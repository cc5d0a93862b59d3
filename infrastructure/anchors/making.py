"""What the next round commits to: the newest published checkpoint of every log.

Invariants:
- Only published checkpoints are committed to, never a head of the database.
- What a slot is committed to never falls: where a published directory shows less than a round has committed to, or
  another root at the same size, the earlier text stays and that is told.
- S is a power of two, at least 64, above every slot that was given, and never smaller than in the round before.
"""

from collections.abc import Callable, Iterable, Mapping

from domain.errors import LedgerError
from domain.transparency.anchor_slots import AnchorRound, SlotKeys
from domain.transparency.anchors import MIN_SLOTS
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from infrastructure.anchors.rounds import Draft, Round
from infrastructure.postgres.records import Log
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tracing.covers import Trace

Tell = Callable[[str], None]
"""Takes one line for the operator."""


def published_texts(logs: Iterable[Log], tiles_of: Callable[[Log], TileDirectory], tell: Tell) -> dict[int, bytes]:
    """Return the text of each log's newest published checkpoint, by slot; a log without one is left out.

    Args:
        logs: the cell's.
        tiles_of: where a log is published.
        tell: is told of what can't be read; the other logs go on.
    """
    texts: dict[int, bytes] = {}
    for log in logs:
        try:
            tiles = tiles_of(log)
            checkpoint = tiles.checkpoint()
        except LedgerError as error:
            tell(str(error))
            continue
        if checkpoint is not None and checkpoint.origin == log.origin:
            texts[log.slot] = checkpoint.to_text()
        elif checkpoint is not None:
            tell(f"{tiles.path} holds a checkpoint of {checkpoint.origin!a}, not of {log.origin!a}")
    return texts


def slots_for(highest: int, before: int) -> int:
    """Return S for a cell whose highest slot is `highest`, after a round of `before` slots (0 before the first)."""
    return max(MIN_SLOTS, before, 1 << highest.bit_length())


def draft_round(
    keys: SlotKeys,
    newest: Round | None,
    committed: Mapping[int, bytes],
    published: Mapping[int, bytes],
    *,
    highest_slot: int,
    tell: Tell,
    trace: Callable[[int], tuple[bytes, Trace] | None] = lambda _round: None,
) -> Draft:
    """Return the next round.

    Args:
        keys: of all slots.
        newest: the round before; None for the first.
        committed: what the slots are committed to as of the round before.
        published: what is published now.
        highest_slot: the highest slot that was given to a log.
        tell: is told where the earlier text stays.
        trace: gives a round's trace root, and what its trace covers; None where there is none.
    """
    changed = {slot: text for slot, text in published.items() if _follows(slot, committed.get(slot), text, tell)}
    before = 0 if newest is None else newest.parsed.slots
    index = 0 if newest is None else newest.index + 1
    root, covers = trace(index) or (EMPTY_ROOT, None)
    made = AnchorRound(
        keys,
        index,
        {**committed, **changed},
        slots=slots_for(max((highest_slot, *committed, *changed)), before),
        trace_root=root,
    )
    return Draft(made.entry.to_bytes(), changed, covers)


def _follows(slot: int, before: bytes | None, text: bytes, tell: Tell) -> bool:
    """Tell whether a published text may follow what a slot is committed to; the same again changes nothing."""
    if before is None or before == text:
        return before is None
    old, new = Checkpoint.parse(before), Checkpoint.parse(text)
    if new.size > old.size:
        return True
    tell(
        f"slot {slot}: published is size {new.size} with root {new.root.hex()}, but a round has committed to size "
        f"{old.size} with root {old.root.hex()}: that stays; restore the published directory"
    )
    return False
