"""A second opinion on a log's root and paths, by an implementation that is not ours: merkletools.

Invariants:
- merkletools hashes every node, from leaf hashes that are made here with hashlib alone; none of our tree code runs.
- Its memory is bounded: 2^18 leaves at a time, and then their roots. For trees of RFC 9162 that gives the same root,
  because the largest power of two below a size is never within an aligned block of a smaller one.
- Paths of some leaves, by its own reckoning, lead to the checkpoint's root and are those that our tiles give.
"""

import hashlib
import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from domain.errors import UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.proofs import verify_inclusion
from domain.transparency.tiles import required_tiles, split_hashes
from infrastructure.tlog.files import exists
from infrastructure.tlog.layout import TILES
from infrastructure.tlog.reader import read_checkpoint, read_entries, read_leaf_tile
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import REFUSED, Verification, naming

_BLOCK = 1 << 18
_PATHS = 20

Progress = Callable[[int], None]
_Wanted = dict[int, list[bytes]]
"""Leaf indices, and what is known of their paths, lowest node first."""


def second_opinion(path: Path, progress: Progress | None = None) -> str:
    """Let merkletools say what it makes of a log's directory.

    Args:
        path: the directory; its checkpoint's signatures are not looked at.
        progress: called with the number of entries done.

    Returns:
        What was found to agree.

    Raises:
        UnavailableError: when merkletools is not installed.
        VerificationError: when it disagrees, or a file is missing.
    """
    tools = _merkletools()
    checkpoint = read_checkpoint(path)
    paths: dict[int, list[bytes]] = {}
    if checkpoint.size == 0:
        root = EMPTY_ROOT
    else:
        root, paths = _root_and_paths(tools, _leaf_hashes(path, checkpoint.size), checkpoint.size, progress)
    if root != checkpoint.root:
        raise VerificationError(f"checkpoint: merkletools finds the root {root.hex()}, not {checkpoint.root.hex()}")
    _check_paths(path, checkpoint, paths)
    return f"merkletools, a second implementation, finds the same root and the same {len(paths)} paths"


def with_second_opinion(path: Path, verdict: Verification, progress: Progress | None = None) -> Verification:
    """Add the second opinion to the verdict on a directory; where the two disagree, the log is not verified.

    Raises:
        UnavailableError: when merkletools is not installed.
    """
    if not verdict.ok:
        return verdict
    try:
        return replace(verdict, checked=(*verdict.checked, second_opinion(path, progress)))
    except VerificationError as error:
        return replace(verdict, ok=False, trust=REFUSED, first_error=f"second opinion: {error}", checked=())


def _merkletools() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its escapes, and that it has no SHA-3
            return importlib.import_module("merkletools")
    except ImportError:
        raise UnavailableError(
            "the second opinion needs merkletools: pip install --no-deps merkletools==1.0.3 (its own dependency "
            "doesn't build on Python 3.11 and newer, and isn't needed)"
        ) from None


def _leaf_hashes(path: Path, size: int) -> Iterator[bytes]:
    """Yield the leaf hashes, made from the entries; of logs that have these in another format, as their tiles say."""
    if exists(path, f"{TILES}/entries"):
        for entry in read_entries(path, prefix=True):
            yield hashlib.sha256(b"\0" + entry).digest()
        return
    for tile in required_tiles(size, 0):
        yield from split_hashes(read_leaf_tile(path, tile))


def _root_and_paths(
    tools: Any, leaves: Iterator[bytes], size: int, progress: Progress | None
) -> tuple[bytes, dict[int, list[bytes]]]:
    wanted: _Wanted = {index * (size - 1) // max(_PATHS - 1, 1): [] for index in range(_PATHS)}
    roots: list[bytes] = []
    for first in range(0, size, _BLOCK):
        within = {index - first: path for index, path in wanted.items() if first <= index < first + _BLOCK}
        roots.append(_tree(tools, islice(leaves, _BLOCK), within))
        if progress is not None:
            progress(min(first + _BLOCK, size))
    above: _Wanted = {index // _BLOCK: [] for index in wanted}
    root = _tree(tools, roots, above)
    return root, {index: [*path, *above[index // _BLOCK]] for index, path in wanted.items()}


def _tree(tools: Any, hashes: Iterable[bytes], wanted: _Wanted) -> bytes:
    """Build one tree with merkletools; return its root, and add the paths that are wanted."""
    tree = tools.MerkleTools()
    tree.hash_function = lambda data: hashlib.sha256(b"\x01" + data)
    for digest in hashes:
        tree.add_leaf(digest.hex())
    tree.make_tree()
    for place, path in wanted.items():
        path += [bytes.fromhex(*step.values()) for step in tree.get_proof(place)]
    return bytes.fromhex(tree.get_merkle_root())


def _check_paths(path: Path, checkpoint: Checkpoint, paths: dict[int, list[bytes]]) -> None:
    tree = TileTree(path, checkpoint.size)
    for index, found in paths.items():
        with naming(f"entry {index}"):
            verify_inclusion(tree.leaf_hash(index), index, checkpoint.size, found, checkpoint.root)
        if tree.inclusion(index) != tuple(found):
            raise VerificationError(f"entry {index}: merkletools finds another path than the tiles give")
