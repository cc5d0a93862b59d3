"""Names of read models: a projection, its version, and the edition that rows lie under.

A projection's stored name carries its version (`disputes_v2`). Its first edition has that name; one that was built
again beside it has a number after it (`disputes_v2.3`).
"""

import re
from dataclasses import dataclass

from domain.errors import MalformedError

_NAME = re.compile(r"([a-z][a-z0-9_]*)_v([1-9][0-9]{0,8})(?:\.[1-9][0-9]{0,17})?")


@dataclass(frozen=True, slots=True)
class EditionName:
    """An edition's name taken apart: the projection without its version, and the version."""

    family: str
    version: int

    @classmethod
    def parse(cls, name: str) -> "EditionName":
        """Take a projection's or an edition's stored name apart.

        Raises:
            MalformedError: when it is none.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise MalformedError(f"{name[:80]!a} is no name of a read model, such as disputes_v1")
        return cls(found[1], int(found[2]))


def family_of(name: str) -> str:
    """Return the projection that an edition is of, without its version. Raises as `EditionName.parse` does."""
    return EditionName.parse(name).family


def version_of(name: str) -> int:
    """Return an edition's version. Raises as `EditionName.parse` does."""
    return EditionName.parse(name).version
