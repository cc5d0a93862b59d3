"""A writer of C2SP tile logs that shares no code with ours."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "log.example.org/2026"


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else sha()
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha(b"\x01", tree_hash(hashes[:split]), tree_hash(hashes[split:]))


class ForeignLog:
    """A log with one Ed25519 key, whose name may differ from its origin."""

    def __init__(self, root: Path, name: str = ORIGIN, seed: bytes = b"f" * 32) -> None:
        self.root = root
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.name = name
        self.material = b"\x01" + self.private.public_key().public_bytes_raw()
        self.key_id = sha(name.encode(), b"\n", self.material)[:4]
        self.vkey = f"{name}+{self.key_id.hex()}+{base64.b64encode(self.material).decode()}"

    def write(self, size: int, *, origin: str = ORIGIN, extension: str = "", entries: str = "entries") -> "ForeignLog":
        leaves = [b"leaf %d" % index if index % 7 else b"" for index in range(size)]
        hashes = [sha(b"\x00", leaf) for leaf in leaves]
        root = tree_hash(hashes)
        for start in range(0, size, 256):
            part = leaves[start : start + 256]
            data = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in part)
            self._put(f"tile/{entries}/{start // 256:03}", len(part), data)
        level = 0
        while hashes:
            for start in range(0, len(hashes), 256):
                part = hashes[start : start + 256]
                self._put(f"tile/{level}/{start // 256:03}", len(part), b"".join(part))
            level, hashes = (
                level + 1,
                [tree_hash(hashes[at : at + 256]) for at in range(0, len(hashes) // 256 * 256, 256)],
            )
        self.sign(f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n{extension}")
        return self

    def sign(self, text: str, *lines: str) -> None:
        signature = base64.b64encode(self.key_id + self.private.sign(text.encode())).decode()
        note = f"{text}\n" + "".join(lines) + f"\u2014 {self.name} {signature}\n"
        self.root.mkdir(exist_ok=True)
        (self.root / "checkpoint").write_bytes(note.encode())

    def _put(self, path: str, width: int, data: bytes) -> None:
        file = self.root / (path if width == 256 else f"{path}.p/{width}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def text(self) -> str:
        return (self.root / "checkpoint").read_bytes().decode().split("\n\n")[0] + "\n"
