"""Holds acknowledgements against a log: what was acknowledged and isn't there is a lost write, proved by its signature.

Invariants:
- An acknowledgement counts only under the log's own key of acknowledgements, for this origin, with a path to its signed
  root. What fails there is refused by its file's name, and proves nothing against the log.
- Lost is an event whose place the log covers with something else, or whose round has passed while the log does not
  reach its place. One that is not due yet is counted, and no more. Without a round nobody can tell, and that is said.
- Where the key is known from outside, a bundle that brings another one is refused.
- The bundle was verified before: its tiles are the tree that its signed checkpoint states. Memory is constant but for
  what was lost or refused.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.tiles import TILE_WIDTH, Tile
from infrastructure.statements.acknowledgement import KEY_FILE, MAX_FILE_BYTES, SUFFIX, Acknowledgement, parse_ack_key
from infrastructure.tlog.files import exists, read_file, shown
from infrastructure.tlog.reader import stored_tile
from infrastructure.tlog.verdict import REFUSED, Verification

_KEPT_TILES = 64

LeafAt = Callable[[int], bytes]
"""Gives the leaf hash (32 bytes) at an index below the tree's size."""


@dataclass(frozen=True, slots=True)
class LostWrite:
    """An acknowledged event that the log does not hold: which file says so, its command, its place, its round."""

    file: str
    jti: str
    leaf_index: int
    publish_by: int
    reason: str

    def __str__(self) -> str:
        what = f"leaf {self.leaf_index}, command {self.jti or 'none'}, round {self.publish_by}"
        return f"{self.file}: lost write: {what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class AckReport:
    """What a directory of acknowledgements says of a log.

    `not_due` are events past its end whose round has not come yet, `untold` those of which no round is known to say so.
    """

    found: int
    not_due: int
    untold: int
    lost: tuple[LostWrite, ...]
    refused: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Tell whether all of them count, and none proves a loss."""
        return not self.lost and not self.refused

    def to_json(self) -> dict[str, Any]:
        """Return its members for `--json`."""
        lost = [{**asdict(one), "jti": one.jti or None} for one in self.lost]
        counts = {"found": self.found, "not_due": self.not_due, "untold": self.untold}
        return {**counts, "lost": lost, "refused": list(self.refused)}


@dataclass(frozen=True, slots=True)
class AckedTree:
    """What acknowledgements are held against: a log's tree, and the last round of the anchor log that is verified.

    Args:
        origin: the log's.
        size: a count of leaves.
        leaf_at: gives their hashes.
        covered_round: the last round that commits to this tree or a part of it; None where no round is known.
    """

    origin: str
    size: int
    leaf_at: LeafAt
    covered_round: int | None = None

    def lacks(self, event_hash: bytes, leaf_index: int, publish_by: int) -> str | None:
        """Return why an acknowledged event is lost; None when it is there, or not due."""
        if leaf_index < self.size:
            return None if self.leaf_at(leaf_index) == event_hash else "another event lies in its place"
        if self.covered_round is not None and self.covered_round >= publish_by:
            return f"round {self.covered_round} has passed, and the log ends at size {self.size}"
        return None


def check_acks(directory: Path, tree: AckedTree, key: bytes) -> AckReport:
    """Hold every `*.ack` file of a directory against a log.

    Args:
        directory: of acknowledgements; other files in it are left alone.
        tree: the log's.
        key: the public key (32 bytes) of the log's acknowledgements.

    Raises:
        MalformedError: when the directory can't be read, or holds none.
        VerificationError: when the tree's own files are not what was verified.
    """
    found = beyond = 0
    lost: list[LostWrite] = []
    refused: list[str] = []
    for name in _names(directory):
        try:
            one = Acknowledgement.from_bytes(read_file(directory, name, MAX_FILE_BYTES))
            promise = one.verify(key, tree.origin)
        except LedgerError as error:
            refused.append(_named(name, error))
            continue
        event = one.event
        reason = tree.lacks(event.leaf_hash, event.leaf_index, promise.publish_by)
        if reason is not None:
            lost.append(LostWrite(shown(name), event.jti, event.leaf_index, promise.publish_by, reason))
        elif event.leaf_index < tree.size:
            found += 1
        else:
            beyond += 1
    not_due, untold = (0, beyond) if tree.covered_round is None else (beyond, 0)
    return AckReport(found, not_due, untold, tuple(lost), tuple(refused))


def hold_acks(
    bundle: Path, verdict: Verification, directory: Path, *, key: bytes | None = None, covered_round: int | None = None
) -> tuple[Verification, AckReport | None]:
    """Add to the verdict of a bundle what acknowledgements say of it.

    Args:
        bundle: the directory that was verified.
        verdict: what its verification said.
        directory: of acknowledgements.
        key: of the log's acknowledgements, from outside; None takes the one in the bundle, which the log's keys sign.
        covered_round: the last round of the anchor log that was verified with the bundle, and for which independent
            witnesses vouch; None where none was.

    Raises:
        MalformedError: as `check_acks`.
    """
    if not verdict.ok or verdict.origin is None or verdict.size is None:
        return verdict, None
    try:
        public = _known_key(bundle, key)
        tree = AckedTree(verdict.origin, verdict.size, bundle_leaves(bundle, verdict.size), covered_round)
        report = check_acks(directory, tree, public)
    except VerificationError as error:
        return _refused(verdict, str(error)), None
    if not report.ok:
        return _refused(verdict, str(report.lost[0]) if report.lost else report.refused[0]), report
    checked = (*verdict.checked, f"{report.found} acknowledged events lie where they were acknowledged")
    not_checked = [*verdict.not_checked]
    if report.not_due:
        not_checked.append(f"{report.not_due} acknowledged events that are not due yet")
    if report.untold:
        not_checked.append(
            f"{report.untold} acknowledged events past the bundle's end: whether they were due could not be told: no "
            "independently witnessed round of the anchor log is known"
        )
    return replace(verdict, checked=checked, not_checked=tuple(not_checked)), report


def bundle_leaves(bundle: Path, size: int) -> LeafAt:
    """Return the leaf hashes of a verified bundle, a tile at a time."""

    @lru_cache(maxsize=_KEPT_TILES)
    def tile(number: int) -> bytes:
        wanted = Tile(0, number, min(size - number * TILE_WIDTH, TILE_WIDTH))
        return read_file(bundle, stored_tile(bundle, wanted).path, TILE_WIDTH * HASH_BYTES)

    def leaf_at(index: int) -> bytes:
        number, place = divmod(index, TILE_WIDTH)
        return tile(number)[place * HASH_BYTES : (place + 1) * HASH_BYTES]

    return leaf_at


def _known_key(bundle: Path, outside: bytes | None) -> bytes:
    if not exists(bundle, KEY_FILE):
        if outside is not None:
            return outside
        raise VerificationError(f"{KEY_FILE}: not in this bundle: the key of acknowledgements must come from outside")
    try:
        brought = parse_ack_key(read_file(bundle, KEY_FILE, MAX_FILE_BYTES))
    except MalformedError as error:
        raise VerificationError(f"{KEY_FILE}: {error}") from None
    if outside is not None and outside != brought:
        raise VerificationError(f"{KEY_FILE}: not the key of acknowledgements that is known from outside")
    return brought


def _names(directory: Path) -> list[str]:
    try:
        names = sorted(path.name for path in directory.iterdir() if path.name.endswith(SUFFIX))
    except OSError as error:
        raise MalformedError(f"cannot read {directory}: {error.strerror}") from None
    if not names:
        raise MalformedError(f"{directory} holds no acknowledgement (*{SUFFIX})")
    return names


def _named(name: str, error: LedgerError) -> str:
    text = str(error)
    return text if text.startswith(shown(name)) else f"{shown(name)}: {text}"


def _refused(verdict: Verification, first_error: str) -> Verification:
    return replace(verdict, ok=False, trust=REFUSED, first_error=first_error, checked=())
