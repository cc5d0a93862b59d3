"""How old the entries are that no round of the anchor log holds yet.

A round is a minute, and a disclosure is itself an entry: an honest bundle has a few such entries, just made. An
operator who stops anchoring a log has more and more of them, and can show another tail to everybody.

Invariants:
- Each such entry must state an instant within the greatest age. Its writer can state a later one than is true, and
  gains that age and no more: by then a round has to hold the entry, or it is stated anew and contradicts the one shown.
- What was not disclosed states no instant, and counts as too old.
"""

import tempfile
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.time import SECOND_MS
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.key_index import build_index
from infrastructure.audit.opening import Item
from infrastructure.audit.reading import Source, read_items
from infrastructure.audit.witnessed import MAX_SKEW_S
from infrastructure.tlog.files import exists

_ASKED = "a greatest age is asked for"


def require_young(path: Path, origin: str, indices: range, now_unix_s: int, max_age_s: int) -> None:
    """Refuse entries that no round holds and that are not younger than the greatest age.

    Args:
        path: the bundle, which was verified.
        origin: its log's.
        indices: of the entries that no round holds.
        now_unix_s: the auditor's clock.
        max_age_s: the greatest age.

    Raises:
        VerificationError: naming the entry.
    """
    if not indices:
        return
    if not exists(path, KEYS):
        raise _untold(indices.start)
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        source = Source(path, indices.stop, origin, Path(folder) / "keys.index")
        build_index(path, source.index)
        for index, item in read_items(source, indices):
            _require_young(index, item, now_unix_s, max_age_s)


def _require_young(index: int, item: Item, now_unix_s: int, max_age_s: int) -> None:
    if isinstance(item, int):
        raise _untold(index)
    age_s = now_unix_s - item.at_ms // SECOND_MS
    if age_s < -MAX_SKEW_S:
        raise VerificationError(f"entry {index} states a time {-age_s} s from now: compare the clocks")
    if age_s > max_age_s:
        raise VerificationError(
            f"{_ASKED}, {max_age_s} s, and entry {index}, which no round that is shown holds, is {age_s} s old"
        )


def _untold(index: int) -> LedgerError:
    return VerificationError(
        f"{_ASKED}, and how old entry {index} is, which no round that is shown holds, can't be told: ask for a bundle "
        "with keys, or one that was exported right after a round"
    )
