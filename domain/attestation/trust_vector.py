"""The trustworthiness vector and its tiers (draft-ietf-rats-ar4si, sections 2.3 and 3.2).

Invariants:
- A claim that is not made is left out; a vector without claims has no tier but none.
- A vector's tier is that of its weakest claim: contraindicated before warning before affirming.
"""

from enum import StrEnum

from domain.message import Value

TRUSTED = 2
"""Recognised, genuine, approved: affirming."""
UNSAFE = 32
"""Genuine, but with known weaknesses: warning."""
CONTRAINDICATED = 96
"""Genuine, and not to be relied on."""
UNRECOGNISED = 97
"""Not what the reference values know."""
CRYPTO_FAILED = 99
"""A signature or chain behind the claim does not verify."""

_NO_CLAIM = frozenset({-1, 0, 1})
_WARNING_FROM = 32
_CONTRAINDICATED_FROM = 96


class Tier(StrEnum):
    """How far a claim, or a result, may be relied on. `REJECTED` is ours: nothing was proved at all."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"
    REJECTED = "rejected"


_ORDER = tuple(Tier)


def tier_of(claim: int) -> Tier:
    """Return the tier of a claim's value (2..31 affirms, 32..95 warns, 96..127 contraindicates)."""
    size = claim if claim >= 0 else -claim - 1
    if size >= _CONTRAINDICATED_FROM:
        return Tier.CONTRAINDICATED
    if size >= _WARNING_FROM:
        return Tier.WARNING
    return Tier.NONE if claim in _NO_CLAIM else Tier.AFFIRMING


def weakest(*tiers: Tier) -> Tier:
    """Return the weakest of some tiers; none says nothing."""
    return max(tiers, key=_ORDER.index, default=Tier.NONE)


class TrustVector(Value):
    """The eight claims of AR4SI; None where no claim is made."""

    instance_identity: int | None = None
    configuration: int | None = None
    executables: int | None = None
    file_system: int | None = None
    hardware: int | None = None
    runtime_opaque: int | None = None
    storage_opaque: int | None = None
    sourced_data: int | None = None

    def members(self) -> dict[str, int]:
        """Return the claims that are made, under their names in an EAR."""
        made = self.model_dump(exclude_none=True)
        return {name.replace("_", "-"): value for name, value in made.items()}

    def tier(self) -> Tier:
        """Return the tier of the weakest claim."""
        return weakest(*(tier_of(value) for value in self.members().values()))
