"""How a round of the anchor log is made and opened, by whoever holds the anchor secret (wire formats 3).

Invariants:
- A free slot is committed like a used one, under its own blind: a commitment tells nobody but the key's holders
  whether the slot is used, or whether its value changed.
- Slot keys, blinds and the anchor secret show nowhere: what holds them prints redacted.
"""

import hmac
from collections.abc import Mapping, Sequence

from domain.errors import MalformedError
from domain.transparency.anchors import (
    MAX_TEXT_BYTES,
    MIN_SLOTS,
    AnchorEntry,
    Opening,
    blind_message,
    check_slots,
    commitment,
    slot_key,
)
from domain.transparency.hashing import HASH_BYTES, leaf_hash, node_hash


class SlotKeys:
    """The keys of the slots 0..S-1, derived once from the anchor secret (32 bytes) and kept."""

    __slots__ = ("_keys", "_secret")

    def __init__(self, anchor_secret: bytes) -> None:
        if len(anchor_secret) != HASH_BYTES:
            raise MalformedError(f"an anchor secret has {HASH_BYTES} bytes")
        self._secret = anchor_secret
        self._keys: list[bytes] = []

    def first(self, slots: int) -> Sequence[bytes]:
        """Return the keys of slots 0 to `slots` - 1."""
        self._keys += [slot_key(self._secret, slot) for slot in range(len(self._keys), slots)]
        return self._keys[:slots]

    def __repr__(self) -> str:
        return "SlotKeys(redacted)"


class AnchorRound:
    """All slots of one round, as whoever holds the anchor secret commits to them and opens them.

    Args:
        keys: the slot keys.
        round_index: the round, which is the entry's leaf index.
        texts: the newest published checkpoint's text by slot; a slot that isn't there is committed empty.
        slots: S, a power of two.
        trace_root: line 5 of the entry (32 bytes).
        minimum_slots: lower only for the published vector.

    Raises:
        MalformedError: when a slot or S is out of its bounds.
    """

    __slots__ = ("_blinds", "_levels", "_texts", "entry")

    def __init__(
        self,
        keys: SlotKeys,
        round_index: int,
        texts: Mapping[int, bytes],
        *,
        slots: int,
        trace_root: bytes,
        minimum_slots: int = MIN_SLOTS,
    ) -> None:
        check_slots(slots, minimum=minimum_slots)
        if any(not 0 <= slot < slots or len(text) > MAX_TEXT_BYTES for slot, text in texts.items()):
            raise MalformedError(f"a text is too long, or its slot is not among {slots}")
        self._texts = dict(texts)
        message = blind_message(round_index)
        self._blinds = [hmac.digest(key, message, "sha256") for key in keys.first(slots)]
        level = [leaf_hash(commitment(blinding, texts.get(slot, b""))) for slot, blinding in enumerate(self._blinds)]
        self._levels = [level]
        while len(level) > 1:
            level = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
            self._levels.append(level)
        self.entry = AnchorEntry(round_index, slots, level[0], trace_root)

    def open(self, slot: int) -> Opening:
        """Return the opening of a slot: for its log's owner and auditors alone.

        Raises:
            MalformedError: when there is no such slot.
        """
        if not 0 <= slot < self.entry.slots:
            raise MalformedError(f"slot {slot} is not among {self.entry.slots}")
        path = tuple(level[slot >> height ^ 1] for height, level in enumerate(self._levels[:-1]))
        text = self._texts.get(slot, b"")
        return Opening(self.entry.slots, slot, self._blinds[slot], self.entry.trace_root, path, text)

    def __repr__(self) -> str:
        return f"AnchorRound({self.entry!r}, blinds redacted)"
