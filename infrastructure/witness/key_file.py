"""The witness's own keys, in one file that only its owner may read.

Invariants:
- The file is canonical JSON, 0600, written once and never replaced: a new key is a new witness.
- Seeds appear in no error and no repr.
"""

from pathlib import Path

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from infrastructure.entropy import Entropy
from infrastructure.keys.private_files import read_private, write_private
from infrastructure.tlog.cosigning import Cosigner
from infrastructure.tlog.signing import SEED_BYTES

KEY_FILE = "witness.key"
_FORMAT = "ledger-witness-key/v1"
_MEMBERS = {"ed25519", "format", "mldsa44", "name"}


def create_key_file(directory: Path, name: str, entropy: Entropy) -> Cosigner:
    """Draw the keys of a new witness and write them durably.

    Raises:
        MalformedError: when the name is no key name.
        RefusedError: when the directory holds a key already, or can't be written.
    """
    seeds = {purpose: entropy.bytes(SEED_BYTES) for purpose in ("ed25519", "mldsa44")}
    cosigner = Cosigner.from_seeds(name, seeds["ed25519"], seeds["mldsa44"])
    content = {"format": _FORMAT, "name": name, **{purpose: seed.hex() for purpose, seed in seeds.items()}}
    write_private(directory / KEY_FILE, canonical(content), new=True)
    return cosigner


def load_key_file(directory: Path) -> Cosigner:
    """Load the keys.

    Raises:
        UnknownError: when there are none.
        RefusedError: when others may read the file.
        MalformedError: when it is damaged.
    """
    path = directory / KEY_FILE
    content = parse_canonical(read_private(path))
    if not isinstance(content, dict) or set(content) != _MEMBERS or content["format"] != _FORMAT:
        raise MalformedError(f"{path} is not a key file of the format {_FORMAT}")
    if not all(isinstance(value, str) for value in content.values()):
        raise MalformedError(f"{path} is damaged")
    try:
        return Cosigner.from_seeds(
            content["name"], bytes.fromhex(content["ed25519"]), bytes.fromhex(content["mldsa44"])
        )
    except ValueError:
        raise MalformedError(f"{path} is damaged") from None
