"""The highest numbers of collateral ever seen, kept beside the ledger.

Invariants:
- A number that was seen never falls: who appraises with older collateral than was used before is refused
  [an instant set back, to when a weakness was not known yet].
- Only numbers that a verification proved are kept. The file is replaced whole, under a lock.
"""

from pathlib import Path

from domain.attestation.claims import CollateralNumber
from domain.attestation.numbers import admit
from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from infrastructure.keys.private_files import locked
from infrastructure.publish.files import replace_file

_FILE, _LOCK = "highest.json", "highest.lock"
_MAX_BYTES = 4_194_304


class HighestNumbers:
    """The numbers of one data directory.

    Args:
        root: directory of the collateral; it is made with the first number.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / _FILE
        self._lock = root / _LOCK

    def admit(self, numbers: tuple[CollateralNumber, ...]) -> None:
        """Keep what is higher than before, durably.

        Raises:
            EvidenceRefusedError: when one is lower.
            MalformedError: when the file is damaged; it is never taken for empty.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._lock):
            seen = self.seen()
            higher = admit(seen, numbers)
            if higher != seen:
                replace_file(self._path, canonical(higher))

    def seen(self) -> dict[str, int]:
        """Return the highest numbers by their source.

        Raises:
            MalformedError: when the file is damaged.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        value = parse_canonical(data)
        if not isinstance(value, dict) or not all(type(number) is int for number in value.values()):
            raise MalformedError(f"{self._path} does not hold the numbers of collateral that were seen")
        return value
