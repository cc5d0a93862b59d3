"""What a bundle brings of the anchor log: openings, the anchor log's checkpoint and its keys.

Files: `openings/<round>.tlog-proof`, `anchors/checkpoint`, `anchors/log.vkey`.

Invariants:
- Openings come in the order of their rounds, one file at a time; a file is named for the round that it opens.
- Everything is bounded, and nothing here is believed.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening, SignedCheckpoint
from domain.transparency.note import MAX_NOTE_BYTES, VerifierKey
from domain.transparency.tlog_proof import MAX_PROOF_BYTES
from infrastructure.tlog.files import MAX_NAMES, exists, read_file, shown
from infrastructure.tlog.layout import MAX_KEYS_BYTES, parse_keys
from infrastructure.tlog.verdict import naming

OPENINGS = "openings"
ANCHOR_CHECKPOINT = "anchors/checkpoint"
ANCHOR_KEYS = "anchors/log.vkey"
_NAME = re.compile(r"(0|[1-9][0-9]{0,17})\.tlog-proof", re.ASCII)


def opening_path(round_index: int) -> str:
    """Return the path of a round's opening within a bundle."""
    return f"{OPENINGS}/{round_index}.tlog-proof"


def brings_anchors(directory: Path) -> bool:
    """Tell whether a bundle brings anything of the anchor log."""
    return any(exists(directory, path) for path in (OPENINGS, ANCHOR_CHECKPOINT, ANCHOR_KEYS))


def opened_rounds(directory: Path) -> list[int]:
    """Return the rounds that a bundle has openings of, in order.

    Raises:
        VerificationError: when a name is no round's, or there are too many.
    """
    if not exists(directory, OPENINGS):
        return []
    rounds: list[int] = []
    try:
        with os.scandir(directory / OPENINGS) as entries:
            for entry in entries:
                found = _NAME.fullmatch(entry.name)
                if found is None:
                    raise VerificationError(f"{shown(f'{OPENINGS}/{entry.name}')}: not named for a round")
                if len(rounds) == MAX_NAMES:
                    raise VerificationError(f"{OPENINGS}: more than {MAX_NAMES} rounds")
                rounds.append(int(found.group(1)))
    except OSError as error:
        raise VerificationError(f"{OPENINGS}: cannot be read ({error.strerror})") from None
    return sorted(rounds)


def read_openings(directory: Path) -> Iterator[AnchoredOpening]:
    """Yield the openings of a bundle, in the order of their rounds.

    Raises:
        VerificationError: naming the file that is none, or that opens another round than its name says.
    """
    for index in opened_rounds(directory):
        path = opening_path(index)
        data = read_file(directory, path, MAX_PROOF_BYTES)
        with naming(path):
            opening = AnchoredOpening.parse(data)
        if opening.round_index != index:
            raise VerificationError(f"{path}: it is the opening of round {opening.round_index}")
        yield opening


def read_anchor_checkpoint(directory: Path) -> SignedCheckpoint | None:
    """Return the anchor log's checkpoint that came with a bundle; None where none did.

    Raises:
        VerificationError: when it is malformed.
    """
    if not exists(directory, ANCHOR_CHECKPOINT):
        return None
    data = read_file(directory, ANCHOR_CHECKPOINT, MAX_NOTE_BYTES)
    with naming(ANCHOR_CHECKPOINT):
        return SignedCheckpoint.parse(data)


def read_anchor_keys(directory: Path, anchors: str) -> tuple[VerifierKey, ...]:
    """Return the anchor log's keys that came with a bundle; none where it brought none.

    Raises:
        VerificationError: when they are malformed, or named for another origin than `anchors`.
    """
    if not exists(directory, ANCHOR_KEYS):
        return ()
    data = read_file(directory, ANCHOR_KEYS, MAX_KEYS_BYTES)
    try:
        return parse_keys(data, anchors)
    except MalformedError as error:
        raise VerificationError(f"{ANCHOR_KEYS}: {error}") from None
