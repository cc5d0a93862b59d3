"""Signed notes and verifier keys (c2sp.org/signed-note).

Invariants:
- `parse_note` accepts exactly what `Note.to_bytes` prints; `VerifierKey.parse` exactly what `str` prints. Base64 is
  canonical and numbers have one spelling, so no byte of a note can change without its meaning changing.
- Everything is bounded: a note by its bytes and its number of signatures, a key name by 255 bytes.
- Nothing here verifies a signature: a parsed note is not to be believed.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum

from domain.errors import MalformedError

MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100
MAX_NAME_BYTES = 255
"""A name travels behind a one-byte length in the ML-DSA-44 message (c2sp.org/tlog-cosignature)."""

KEY_ID_BYTES = 4
_EM_DASH = "\u2014 "
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})", re.ASCII)


class SignatureType(IntEnum):
    """Signature type identifier bytes that are understood here (signed-note, Signature types)."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44 = 0x06


_PUBLIC_KEY_BYTES = {
    SignatureType.ED25519: 32,
    SignatureType.ED25519_COSIGNATURE: 32,
    SignatureType.ML_DSA_44: 1312,
}
_WORDS = {
    SignatureType.ED25519: "Ed25519",
    SignatureType.ED25519_COSIGNATURE: "Ed25519 cosignature",
    SignatureType.ML_DSA_44: "ML-DSA-44",
}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name and signature type (signed-note, Verifier keys).

    Raises:
        MalformedError: when name or key do not fit the type.
    """

    name: str
    type: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public_key) != _PUBLIC_KEY_BYTES[self.type]:
            raise MalformedError(f"a {_WORDS[self.type]} key has {_PUBLIC_KEY_BYTES[self.type]} bytes")

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read `<name>+<key id in hex>+<base64 of type and key>`.

        Raises:
            MalformedError: for any other form, an unknown type, or a key id that is not this key's.
        """
        match = _VKEY.fullmatch(text)
        if match is None:
            raise MalformedError("not a verifier key of the form name+hex+base64")
        name, key_id, encoded = match.groups()
        material = decode_base64(encoded)
        try:
            key = cls(name, SignatureType(material[0]), material[1:])
        except ValueError:
            raise MalformedError(f"signature type 0x{material[0]:02x} is not supported") from None
        if key.key_id.hex() != key_id:
            raise MalformedError(f"key id {key_id} does not belong to this name and key")
        return key

    @property
    def key_id(self) -> bytes:
        """Return the 4-byte id, `SHA-256(name || 0x0A || type || public key)[:4]`."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._material()).digest()[:KEY_ID_BYTES]

    @property
    def fingerprint(self) -> str:
        """Return what a person compares: algorithm and full SHA-256 of type and public key, in hex."""
        return f"{_WORDS[self.type]} sha256:{hashlib.sha256(self._material()).hexdigest()}"

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._material()).decode()}"

    def _material(self) -> bytes:
        return bytes((self.type,)) + self.public_key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the signer's name, its 4-byte key id, and the signature as its type defines it.

    Raises:
        MalformedError: when the name is not one, or id or signature have a wrong length.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.signature:
            raise MalformedError("a signature line holds a 4-byte key id and a signature")

    def by(self, key: VerifierKey) -> bool:
        """Tell whether name and id are this key's (which proves nothing yet)."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class Note:
    """A text of bytes that ends in a newline, and its signatures in the order of their lines.

    Raises:
        MalformedError: when the text could not be read back.
    """

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        check_text(self.text)
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise MalformedError(f"a note has 1 to {MAX_SIGNATURES} signatures")

    def to_bytes(self) -> bytes:
        """Return the note as it is written down."""
        lines = [
            f"{_EM_DASH}{line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n".encode()
            for line in self.signatures
        ]
        return self.text + b"\n" + b"".join(lines)


def parse_note(data: bytes) -> Note:
    """Read a signed note (signed-note, Format).

    Raises:
        MalformedError: when it is not one, is out of bounds, or has another spelling than the printer's.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedError(f"a note of {len(data)} bytes is over the limit of {MAX_NOTE_BYTES}")
    split = data.rfind(b"\n\n")
    if split < 0 or not data.endswith(b"\n"):
        raise MalformedError("a note is a text, an empty line and signature lines")
    lines = data[split + 2 : -1].split(b"\n") if len(data) > split + 2 else []
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"a note has more than {MAX_SIGNATURES} signatures")
    return Note(data[: split + 1], tuple(_parse_signature(line) for line in lines))


def _parse_signature(line: bytes) -> NoteSignature:
    prefix = _EM_DASH.encode()
    if not line.startswith(prefix):
        raise MalformedError("a signature line does not begin with an em dash and a space")
    name, space, encoded = _utf8(line.removeprefix(prefix)).partition(" ")
    blob = decode_base64(encoded) if space else b""
    return NoteSignature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def check_text(text: bytes) -> None:
    """Refuse a note text that is not UTF-8, has control characters, or does not end in a newline.

    Raises:
        MalformedError: naming which.
    """
    if not text.endswith(b"\n"):
        raise MalformedError("a note's text ends in a newline")
    if any(character < " " for character in _utf8(text).replace("\n", "")):
        raise MalformedError("a note holds a control character")


def check_name(name: str) -> None:
    """Refuse a key name that is empty, over 255 bytes, unprintable, or holds a space or plus sign.

    Raises:
        MalformedError: naming which. Unprintable characters are refused beyond what signed-note asks: a name is shown.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise MalformedError("a key name is not valid Unicode") from None
    if not 1 <= length <= MAX_NAME_BYTES:
        raise MalformedError(f"a key name has 1 to {MAX_NAME_BYTES} bytes")
    if not name.isprintable() or any(character == "+" or character.isspace() for character in name):
        raise MalformedError("a key name holds a space, a plus sign or an unprintable character")


def decode_base64(text: str) -> bytes:
    """Decode standard base64 (RFC 4648 4) that must be in its one canonical spelling.

    Raises:
        MalformedError: for anything else, such as missing padding or stray bits in the last character.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedError("not valid base64") from None
    if base64.b64encode(data).decode() != text:
        raise MalformedError("base64 is not in its canonical form")
    return data


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedError("a note is not valid UTF-8") from None
