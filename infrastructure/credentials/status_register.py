"""An issuer's own register of statuses, and the two lists that it publishes: revocation and suspension.

A directory holds `status.register` (0600: which credential has which entry, what was revoked or suspended, why) and the
lists `revocation.json` and `suspension.json`, which are what others read at `<url>/revocation` and `<url>/suspension`.

Invariants:
- The register is durable before a list is signed from it, and lists follow from the register alone: after a crash
  `publish` makes them again.
- An entry's index is drawn at random among the free ones (it says nothing of when or how many) and is never reused.
- Revocation is for ever; suspension is taken back by `reinstate`. A list never begins earlier than the one before.
- One register, one issuer: another's key refuses.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from infrastructure.credentials.bitstring import MIN_ENTRIES
from infrastructure.credentials.data_integrity import canonical_bytes
from infrastructure.credentials.envelope import is_url
from infrastructure.credentials.status_entry import REVOCATION, SUSPENSION, entry_document, read_entries
from infrastructure.credentials.status_list import issue_list
from infrastructure.entropy import Entropy
from infrastructure.keys import did_key, ed25519
from infrastructure.keys.private_files import locked, read_private, sync_directory, write_private

REGISTER: Final = "status.register"
PURPOSES: Final = (REVOCATION, SUSPENSION)
_FORMAT: Final = "ledger-status-register/v1"
_MAX_REGISTER_BYTES: Final = 67_108_864
_MAX_REASON: Final = 200


@dataclass(slots=True)
class StatusRegister:
    """What an issuer knows of the statuses of its credentials. Open one with `opened`, which writes it back.

    Attributes:
        url: what the lists' URLs begin with.
        method: the verification method that signs the lists.
        issued: entry by credential id.
        marks: per purpose: for each entry that is set, since when (ms) and why.
        published_ms: when the newest lists begin.
    """

    url: str
    method: str
    issued: dict[str, int] = field(default_factory=dict)
    marks: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {one: {} for one in PURPOSES})
    published_ms: int = 0

    @property
    def issuer(self) -> str:
        """Return the issuer's DID."""
        return self.method.partition("#")[0]

    def list_url(self, purpose: str) -> str:
        """Return the URL of a list."""
        return f"{self.url}/{purpose}"

    def allocate(self, credential_id: str, entropy: Entropy) -> list[dict[str, str]]:
        """Give a new credential an entry; return its `credentialStatus`.

        Raises:
            ConflictError: when that id has one already.
            RefusedError: when no entry is free.
        """
        if credential_id in self.issued:
            raise ConflictError("a credential of that id was issued under this register already")
        taken = set(self.issued.values())
        if len(taken) >= MIN_ENTRIES:
            raise RefusedError("every entry of this register is taken; begin another one")
        index = next(one for one in _drawn(entropy) if one not in taken)
        self.issued[credential_id] = index
        return [entry_document(self.list_url(purpose), purpose, index) for purpose in PURPOSES]

    def index_of(self, credential: Mapping[str, Any] | str) -> int:
        """Return the entry of a credential, by its id or by its own `credentialStatus`.

        Raises:
            UnknownError: when it is not of this register.
        """
        if isinstance(credential, str):
            if credential in self.issued:
                return self.issued[credential]
            raise UnknownError("no credential of that id was issued under this register")
        for entry in read_entries(credential.get("credentialStatus")):
            if entry.list_url in map(self.list_url, PURPOSES) and entry.index in self.issued.values():
                return entry.index
        raise UnknownError("the credential has no entry in this register")

    def mark(self, index: int, purpose: str, *, at_ms: int, reason: str) -> None:
        """Revoke or suspend.

        Raises:
            ConflictError: when it is already.
            MalformedError: when the reason is too long.
        """
        if len(reason) > _MAX_REASON or not reason.isprintable():
            raise MalformedError(f"a reason is at most {_MAX_REASON} printable characters")
        if index in self.marks[purpose]:
            raise ConflictError(f"it has its mark of {purpose} already")
        self.marks[purpose][index] = {"at_ms": at_ms, "reason": reason}

    def reinstate(self, index: int) -> None:
        """Take a suspension back.

        Raises:
            RefusedError: when it is not suspended, or revoked for ever.
        """
        if index in self.marks[REVOCATION]:
            raise RefusedError("a revocation is for ever: issue another credential")
        if self.marks[SUSPENSION].pop(index, None) is None:
            raise RefusedError("it is not suspended")

    def lists(self, key: Ed25519PrivateKey, *, now_ms: int, valid_ms: int) -> dict[str, dict[str, Any]]:
        """Return both lists, signed, by purpose. They hold from now on, for `valid_ms`.

        Raises:
            NotAuthorisedError: when the key is not the issuer's did:key.
        """
        if self.method.startswith("did:key:") and did_key.resolve(self.method) != ed25519.public_bytes(key):
            raise NotAuthorisedError("the register is another issuer's")
        self.published_ms = max(now_ms, self.published_ms)
        return {
            purpose: issue_list(
                self.list_url(purpose), purpose, _bits(self.marks[purpose]), key,
                valid_from_ms=self.published_ms, valid_until_ms=self.published_ms + valid_ms,
                verification_method=self.method,
            )
            for purpose in PURPOSES
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {
            "format": _FORMAT, "url": self.url, "method": self.method, "issued": self.issued, "marks": self.marks,
            "published_ms": self.published_ms,
        }  # fmt: skip

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        marks = {one: {int(index): mark for index, mark in content["marks"][one].items()} for one in PURPOSES}
        return cls(content["url"], content["method"], dict(content["issued"]), marks, content["published_ms"])


@contextmanager
def opened(directory: Path) -> Iterator[StatusRegister]:
    """Hold a register while in the block, and write it back, durably, where the block ends well.

    Raises:
        UnknownError: when the directory holds none.
        MalformedError: when it is not one.
    """
    if not (directory / REGISTER).is_file():
        raise UnknownError(f"there is no register in {directory}; `credential publish` makes one")
    with locked(directory / f"{REGISTER}.lock"):
        register = _read(directory)
        yield register
        _write(directory, register)


def create(directory: Path, url: str, method: str) -> None:
    """Begin a register.

    Raises:
        RefusedError: when there is one.
        MalformedError: when the URL is none.
    """
    if not is_url(url) or url.endswith("/"):
        raise MalformedError("the lists' URL is not a URL without a slash at its end")
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory, StatusRegister(url, method), new=True)


def publish(directory: Path, register: StatusRegister, key: Ed25519PrivateKey, *, now_ms: int, valid_ms: int) -> None:
    """Sign both lists of a register that is held and write them, each whole or not at all."""
    lists = register.lists(key, now_ms=now_ms, valid_ms=valid_ms)
    _write(directory, register)  # what was decided is durable before anybody reads it
    for purpose, document in lists.items():
        _write_public(directory / f"{purpose}.json", canonical_bytes(document, limit=_MAX_REGISTER_BYTES))


def _read(directory: Path) -> StatusRegister:
    try:
        content = json.loads(read_private(directory / REGISTER, limit=_MAX_REGISTER_BYTES))
        known = content["format"] == _FORMAT
        register = StatusRegister.of_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedError(f"{directory / REGISTER} is not a register") from None
    if not known:
        raise MalformedError(f"{directory / REGISTER} is not a register of the format {_FORMAT}")
    return register


def _write(directory: Path, register: StatusRegister, *, new: bool = False) -> None:
    write_private(directory / REGISTER, json.dumps(register.to_json()).encode(), new=new)


def _write_public(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise RefusedError(f"cannot write {path}: {error.strerror}") from None


def _bits(marks: Mapping[int, object]) -> bytes:
    bits = bytearray(MIN_ENTRIES // 8)
    for index in marks:
        bits[index // 8] |= 0x80 >> index % 8
    return bytes(bits)


def _drawn(entropy: Entropy) -> Iterator[int]:
    while True:
        yield int.from_bytes(entropy.bytes(4)) % MIN_ENTRIES  # 2^32 is a multiple of it: none is likelier
