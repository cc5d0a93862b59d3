"""Publishes a log's tree: tiles, floor, signature, witness, checkpoint, in this order (wire formats 2, "Floor").

Invariants:
- One root for each size, for ever: nothing is signed that the floor's tree is not a prefix of, and the floor stands,
  durable, before the signature is made. A crash between any two steps is made good by running again.
- Only one process signs for an origin at a time (the lock beside the floor).
- Entries whose leaf hashes don't give the source's root leave no trace in the published directory.
- Where nothing is new, nothing is written and nothing signed.
- Where source and floor disagree, or a witness knows more than we do, the log is frozen: that is durable, and nothing
  is signed for it until it is thawed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, parse_note
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.floors import Floors, described
from infrastructure.publish.growing import Growth, TreeSource
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.signing import LogSigner
from infrastructure.witness.client import WitnessAheadError

__all__ = ["Cosign", "Published", "TreeSource", "publish_tree"]

Prove = Callable[[int, int], Sequence[bytes]]
"""`prove(old_size, new_size)`: the consistency proof between two sizes of this log."""

Cosign = Callable[[Note, Prove], Note]
"""Has a signed checkpoint cosigned; returns it with the witnesses' lines."""

ADVICE = (
    "run `enclave-ledger log thaw` (of the anchor log: `anchor thaw`) with a copy of what is missing; until then "
    "nothing is appended and nothing signed"
)


@dataclass(frozen=True, slots=True)
class Published:
    """The published checkpoint, its note, and whether this run made it."""

    checkpoint: Checkpoint
    note: Note
    changed: bool


def publish_tree(
    source: TreeSource,
    signer: LogSigner | Callable[[int], LogSigner],
    tiles: TileDirectory,
    floors: Floors,
    *,
    at_unix_s: int,
    cosign: Cosign | None = None,
    attach: Callable[[TileDirectory], None] | None = None,
) -> Published:
    """Publish a log at the size that its source has.

    Args:
        source: the log, as stored. It is asked for its size under the log's lock: before, it may be behind the floor.
        signer: the log's keys, or what gives those that are in force at a size.
        tiles: its published directory.
        floors: where its floor is.
        at_unix_s: POSIX time in seconds that the signatures state.
        cosign: asks witnesses. What it raises leaves the older checkpoint in place; run again.
        attach: writes what goes with the entries (payloads, notes about keys), before them and under the log's lock.

    Raises:
        FrozenLogError: when the log is frozen, or has to be.
        VerificationError: when entries don't give the source's root, or a published file is damaged; nothing is signed.
        UnavailableError: when the disk refuses.
    """
    origin = source.origin
    with floors.signing(origin):
        floor, head = _checked_floor(source, tiles, floors)
        note = tiles.note()
        if note is not None and floor == head and tiles.checkpoint() == head:
            return Published(head, note, changed=False)
        published = tiles.checkpoint()
        if attach is not None:
            attach(tiles)
        _store(source, tiles, floors, floor, head)
        floors.raise_to(head)
        keys = signer if isinstance(signer, LogSigner) else signer(head.size)
        signed = parse_note(keys.sign_checkpoint(head.to_text(), at_unix_s))
        if cosign is not None:
            try:
                signed = cosign(signed, lambda old, new: tiles.tree(new).consistency(old))
            except WitnessAheadError as error:
                raise freeze(floors, origin, f"{error}; {ADVICE}") from None
        tiles.drop_partials(published.size if published else 0, head.size)
        tiles.put_checkpoint(signed)
        return Published(head, signed, changed=True)


def freeze(floors: Floors, origin: str, reason: str) -> FrozenLogError:
    """Freeze a log, durably; return the error that says so."""
    floors.freeze(origin, reason)
    return FrozenLogError(f"{origin} is frozen: {floors.frozen(origin)}")


def disagreement(floor: Checkpoint | None, head: Checkpoint, published: Checkpoint | None) -> str | None:
    """Return why a log must be frozen, as far as sizes and roots tell without its leaf hashes; None if they don't.

    Args:
        floor: the log's floor, if there is one.
        head: the log as its database has it.
        published: the published checkpoint, if there is one.
    """
    if published is not None and (floor is None or (floor != published and floor.size <= published.size)):
        said = "missing" if floor is None else described(floor)
        return f"{described(published)} was published, but the floor is {said}; {ADVICE}"
    if floor is not None and head.size <= floor.size and head != floor:
        return contradiction(floor, head)
    return None


def contradiction(floor: Checkpoint, found: Checkpoint) -> str:
    """Return the words for a database that does not hold the floor's tree."""
    return f"{described(floor)} may have been signed, but the database has {described(found)}; {ADVICE}"


def _checked_floor(source: TreeSource, tiles: TileDirectory, floors: Floors) -> tuple[Checkpoint | None, Checkpoint]:
    origin = source.origin
    reason = floors.frozen(origin)
    if reason is not None:
        raise FrozenLogError(f"{origin} is frozen: {reason}")
    floor, head = floors.read(origin), Checkpoint(origin, source.size(), source.root())
    reason = disagreement(floor, head, tiles.checkpoint())
    if reason is not None:
        raise freeze(floors, origin, reason)
    return floor, head


def _store(
    source: TreeSource, tiles: TileDirectory, floors: Floors, floor: Checkpoint | None, head: Checkpoint
) -> None:
    """Write the tiles of the head's tree, after its entries were found to extend the floor's and to give its root."""
    with tiles.batch() as batch:
        growth = _growth(tiles, floor)
        if growth is not None:
            growth.take(source, head.size, batch)
            if growth.frontier.root() == head.root:
                growth.finish(batch)
                batch.place()
                return
    with tiles.batch() as batch:  # tiles are missing, or something is wrong: all over again, from the first entry
        growth = Growth()
        if floor is not None:
            growth.take(source, floor.size, batch)
            found = Checkpoint(floor.origin, floor.size, growth.frontier.root())
            if found != floor:
                raise freeze(floors, floor.origin, contradiction(floor, found))
            growth.finish(batch)  # what is published is compared, and written again where it is missing
        growth.take(source, head.size, batch)
        root = growth.frontier.root()
        if root != head.root:
            raise VerificationError(
                f"the entries of {head.origin} give root {root.hex()} at size {head.size}, its head says "
                f"{head.root.hex()}; nothing was signed"
            )
        growth.finish(batch)
        batch.place()


def _growth(tiles: TileDirectory, floor: Checkpoint | None) -> Growth | None:
    """Return the published tree of the floor to go on from; None where it is not there whole, or not the floor's."""
    if floor is None:
        return None
    try:
        growth = Growth.of(tiles, floor.size)
    except VerificationError:
        return None
    return growth if growth.frontier.root() == floor.root else None
