"""What a client remembers of a log that it asked about: its keys as they were told first, its newest tree.

Invariants:
- What was told once holds: another key, or a tree that does not contain the one of before, is refused by name. A server
  that is replaced by another one, or set back, is noticed by whoever asked it before.
- One file for each server and log, the owner's alone; it is replaced whole, under a lock.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError, UnknownError, VerificationError
from infrastructure.keys.private_files import locked, make_private_directory, read_private, write_private

FORMAT: Final = "ledger-known/v1"
_LOCK: Final = ".lock"
_KEY: Final = re.compile(r"[0-9a-f]{64}")


def acknowledgement_key(told: object) -> bytes | None:
    """Return a public key (32 bytes) that was told as hex; None where it is none."""
    return bytes.fromhex(told) if isinstance(told, str) and _KEY.fullmatch(told) else None


@dataclass(frozen=True, slots=True)
class Head:
    """A tree that a server signed or proved: its size and root (32 bytes)."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """What does not change of a log: its origin, and the keys to seal to and to hold acknowledgements against (hex)."""

    origin: str
    acknowledgement_key: str
    release_key: str = ""
    output_key: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of one log at one server. `others`: by which keys (hex) other logs acknowledge, by origin."""

    keys: Keys | None = None
    head: Head | None = None
    purpose: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    def with_keys(self, told: Keys) -> "Known":
        """Return it with keys that a server told.

        Raises:
            VerificationError: when they are not those of before.
        """
        if self.keys is not None and self.keys != told:
            differs = [name for name in Keys.__slots__ if getattr(self.keys, name) != getattr(told, name)]
            raise VerificationError(
                f"the server told another {', '.join(differs)} before: it may be another server. If that is meant, "
                "remove what is remembered of it"
            )
        return replace(self, keys=told)

    def with_other(self, origin: str, key: str) -> "Known":
        """Return it with the key by which another log acknowledges.

        Raises:
            VerificationError: when it is not that of before.
        """
        if self.others.get(origin, key) != key:
            raise VerificationError(
                f"the server told another key of acknowledgements of {origin} before: it may be another server. If "
                "that is meant, remove what is remembered of it"
            )
        return replace(self, others={**self.others, origin: key})

    def with_head(self, seen: Head) -> "Known":
        """Return it with a tree, unless a larger one was seen meanwhile."""
        return replace(self, head=seen) if self.head is None or self.head.size < seen.size else self

    def to_bytes(self) -> bytes:
        """Return the file."""
        keys = None if self.keys is None else {name: getattr(self.keys, name) for name in Keys.__slots__}
        head = None if self.head is None else {"size": self.head.size, "root": self.head.root.hex()}
        others = {"others": dict(self.others)} if self.others else {}  # a file of before had none
        return canonical({"format": FORMAT, "keys": keys, "head": head, "purpose": self.purpose, **others})

    @classmethod
    def parse(cls, data: bytes) -> "Known":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else.
        """
        content: Any = parse_canonical(data)
        try:
            keys = None if content["keys"] is None else Keys(**content["keys"])
            head = content["head"] and Head(content["head"]["size"], bytes.fromhex(content["head"]["root"]))
            others = content.get("others", {})
            found = cls(keys, head, content["purpose"], others)
            if found.to_bytes() == data and None not in map(acknowledgement_key, others.values()):
                return found
        except (TypeError, ValueError, KeyError, AttributeError):
            pass
        raise MalformedError(f"not of the format {FORMAT}")


class Memory:
    """What is remembered of one log at one server, on disk.

    Args:
        folder: of all such files.
        server: the server's URL.
        tenant: as whom it is asked.
        who: thumbprint of the wallet that asks.
    """

    def __init__(self, folder: Path, server: str, tenant: str, who: str) -> None:
        self._folder = folder
        name = sha256(canonical([server.rstrip("/"), tenant, who])).hexdigest()[:32]
        self.path = folder / f"{name}.json"

    def read(self) -> Known:
        """Return it; nothing, where nothing is remembered.

        Raises:
            MalformedError: when the file is not of its form.
            RefusedError: when others may read it.
        """
        try:
            return Known.parse(read_private(self.path))
        except UnknownError:
            return Known()
        except MalformedError as error:
            raise MalformedError(f"{self.path}: {error}") from None

    @contextmanager
    def changing(self) -> Iterator[list[Known]]:
        """Hold it while it changes: the one item of the list is what is remembered then."""
        make_private_directory(self._folder)
        with locked(self.path.with_suffix(_LOCK)):
            held = [self.read()]
            yield held
            write_private(self.path, held[0].to_bytes())
