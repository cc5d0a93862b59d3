"""What an auditor is given of a log, beside its tlog-policy: the keys that a policy has no place for.

A JSON file (JCS, 0600) beside the policy: {"format": "ledger-trust/v1", "origin", "anchors", "slot", "slot_key",
"acknowledgement_key"}. With the slot's key its holder can tell which value a round commits to: it is for the log's
owner and its auditors alone.

Invariants:
- Strict: exactly these members, hex in lower case, the slot that the origin names.
- Nothing of it appears in a repr.
"""

from dataclasses import dataclass, field
from pathlib import Path

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from domain.transparency.anchors import anchor_origin, slot_of
from domain.transparency.hashing import HASH_BYTES
from infrastructure.keys.private_files import read_private

FORMAT = "ledger-trust/v1"
_MEMBERS = ["acknowledgement_key", "anchors", "format", "origin", "slot", "slot_key"]


@dataclass(frozen=True, slots=True)
class Trust:
    """A log's slot key (32 bytes), and the Ed25519 key (32 bytes) of its acknowledgements.

    Raises:
        MalformedError: when the origin is none of ours, or a key has another length.
    """

    origin: str
    slot_key: bytes = field(repr=False)
    acknowledgement_key: bytes

    def __post_init__(self) -> None:
        slot_of(self.origin)
        if len(self.slot_key) != HASH_BYTES or len(self.acknowledgement_key) != HASH_BYTES:
            raise MalformedError(f"a slot's key and a key of acknowledgements have {HASH_BYTES} bytes")

    @classmethod
    def parse(cls, data: bytes) -> "Trust":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else.
        """
        content = parse_canonical(data)
        if not isinstance(content, dict) or list(content) != _MEMBERS or content["format"] != FORMAT:
            raise MalformedError(f"not of the format {FORMAT}")
        try:
            slot_key, acknowledgement_key = (bytes.fromhex(content[it]) for it in ("slot_key", "acknowledgement_key"))
            trust = cls(content["origin"], slot_key, acknowledgement_key)
        except (TypeError, ValueError):
            raise MalformedError(f"not of the format {FORMAT}") from None
        if trust.to_bytes() != data:
            raise MalformedError("its slot or anchor log is not the origin's, or a key has another spelling")
        return trust

    def to_bytes(self) -> bytes:
        """Return the file."""
        return canonical(
            {
                "format": FORMAT,
                "origin": self.origin,
                "anchors": anchor_origin(self.origin),
                "slot": slot_of(self.origin),
                "slot_key": self.slot_key.hex(),
                "acknowledgement_key": self.acknowledgement_key.hex(),
            }
        )


def trust_beside(policy: Path) -> Path:
    """Return where the file beside a policy lies: the policy's name and `.json`."""
    return policy.with_name(f"{policy.name}.json")


def read_trust(policy: Path) -> Trust | None:
    """Read the file beside a policy; None where there is none.

    Raises:
        MalformedError: when it is not of its format.
        RefusedError: when others may read it: it holds the slot's key.
    """
    path = trust_beside(policy)
    if not path.exists():
        return None
    try:
        return Trust.parse(read_private(path))
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}") from None
