"""Tells a history in rounds: as an honest operator would, and as one who forks."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from domain.transparency.anchor_evidence import AnchoredOpening
from domain.transparency.anchor_rounds import AuditedTree
from domain.transparency.anchor_slots import AnchorRound, SlotKeys
from domain.transparency.anchors import slot_key
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT, leaf_hash
from domain.transparency.note import Note, NoteSignature, parse_note
from domain.transparency.proofs import inclusion_proof, nodes_of
from domain.transparency.tlog_proof import TlogProof
from infrastructure.tlog.signing import LogSigner

ORIGIN = "ledger.example/t/5"
ANCHORS = "ledger.example/anchors"
SECRET = bytes(range(32))
AT = 1_700_000_000

Sign = Callable[[Checkpoint], Note]


def unsigned(checkpoint: Checkpoint) -> Note:
    """Sign with nothing: for tests that judge no signatures."""
    return Note(checkpoint.to_text(), (NoteSignature(checkpoint.origin, b"none", b"nothing"),))


def leaves(history: str, size: int) -> list[bytes]:
    """Return the leaf hashes of a history: two with another letter share the leaves before it."""
    return [leaf_hash(f"{history[: index + 1]} {index}".encode()) for index in range(size)]


def checkpoint_of(leaf_hashes: Sequence[bytes], size: int, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, Frontier.empty().extend(leaf_hashes[:size]).root())


@dataclass
class Anchors:
    """An anchor log that commits to what it is told."""

    sign: Sign = unsigned
    slots: int = 64
    rounds: list[AnchorRound] = field(default_factory=list)
    keys: SlotKeys = field(default_factory=lambda: SlotKeys(SECRET))

    def add(self, text: bytes) -> int:
        """Append a round; returns it."""
        trace = hashlib.sha256(b"trace %d" % len(self.rounds)).digest() if len(self.rounds) % 2 else EMPTY_ROOT
        texts = {5: text, 6: Checkpoint("ledger.example/t/6", 0, EMPTY_ROOT).to_text()}
        self.rounds.append(AnchorRound(self.keys, len(self.rounds), texts, slots=self.slots, trace_root=trace))
        return len(self.rounds) - 1

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        hashes = [each.entry.leaf_hash() for each in self.rounds]
        return checkpoint_of(hashes, len(hashes) if size is None else size, ANCHORS)

    def open(self, round_index: int, *, size: int | None = None, slot: int = 5) -> AnchoredOpening:
        hashes = [each.entry.leaf_hash() for each in self.rounds]
        checkpoint = self.checkpoint(size)
        path = inclusion_proof(hashes, round_index, checkpoint.size)
        extra = self.rounds[round_index].open(slot).to_extra()
        return AnchoredOpening(TlogProof(round_index, path, self.sign(checkpoint), extra))

    def open_all(self) -> list[AnchoredOpening]:
        """Return the opening of every round, all in the newest anchor tree."""
        hashes = [each.entry.leaf_hash() for each in self.rounds]
        note, node = self.sign(self.checkpoint()), nodes_of(hashes)
        return [
            AnchoredOpening(TlogProof(index, inclusion_proof(node, index, len(hashes)), note, each.open(5).to_extra()))
            for index, each in enumerate(self.rounds)
        ]


@dataclass
class World:
    """What the tests are given."""

    origin: str = ORIGIN
    anchors_origin: str = ANCHORS
    slot_key: bytes = slot_key(SECRET, 5)
    secret: bytes = SECRET
    anchors: type[Anchors] = Anchors
    tenant: LogSigner = field(default_factory=lambda: LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32))
    platform: LogSigner = field(default_factory=lambda: LogSigner.from_seeds(ANCHORS, b"E" * 32, b"M" * 32))

    def leaves(self, history: str, size: int) -> list[bytes]:
        return leaves(history, size)

    def checkpoint(self, history: str, size: int) -> Checkpoint:
        return checkpoint_of(leaves(history, size), size)

    def text(self, history: str, size: int) -> bytes:
        return self.checkpoint(history, size).to_text()

    def tree(self, history: str, size: int, sign: Sign = unsigned) -> AuditedTree:
        return AuditedTree(sign(self.checkpoint(history, size)), nodes_of(leaves(history, size)))

    def signed(self, checkpoint: Checkpoint) -> Note:
        signer = {ORIGIN: self.tenant, ANCHORS: self.platform}[checkpoint.origin]
        return parse_note(signer.sign_checkpoint(checkpoint.to_text(), AT))


@pytest.fixture(scope="session")
def world() -> World:
    return World()
