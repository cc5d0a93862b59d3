"""What is in force in a simulation: the directory that `--policies` names.

    DAO-JUR.json    the tenant's policy, in the format of `policy adopt`
    levels.json     {"levels": ["Disaster", "Finance"]}: priority domains, highest first
    quotas.json     {"root": LIMITS, "scopes": [{"name": N, "parent": N, LIMITS}], "tenants": [{"tenant": "DAO/JUR",
                    "parent": N, LIMITS}]}, LIMITS = "slots" and "memory_bytes", each {"nominal": n, "borrow": n,
                    "lend": n} or left out (not limited there), and "weight"; without "parent": below the root
    tokens.json     {"tenants": [{"tenant": "DAO/JUR", "tokens": n, "period_ms": n, "burst": n, "from_ms": n,
                    "until_ms": n}]}; the last two may be left out
    overflow.json   {"overflow": false}: nodes of other pools than `primary` are left alone

Invariants:
- Every file may be missing: then nothing of its kind is in force. Any other file, and any unknown member, is refused.
- A scope stands behind the one that it lies below; a name or a tenant is given once in a file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import LedgerError, MalformedError
from domain.identifiers import parse_dao
from domain.jurisdictions import parse_jurisdiction
from domain.policies.kinds import MAX_POLICY_BYTES, Policy, Word, parse_policy
from domain.quotas.events import Quota
from domain.time import MAX_INSTANT_MS
from infrastructure.client.files import read_bounded
from infrastructure.simulating.lines import parse_object, reason

ROOT = "root"
MAX_FILE_BYTES = 16 * 1024 * 1024
DEFAULT_LEVELS = ("Disaster", "Health", "Finance", "Planning")
"""As `init` adopts them."""

Tenant = tuple[str, str]
"""DAO and jurisdiction."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Limits(_Strict):
    """What a place in the quota tree has of its own; None is not limited there."""

    slots: Quota | None = None
    memory_bytes: Quota | None = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1


class ScopeLimits(Limits):
    """A scope below the root or below another scope."""

    name: Word
    parent: Word = ROOT


class TenantLimits(Limits):
    """A tenant (`DAO/JUR`), a leaf of the tree."""

    tenant: str
    parent: Word = ROOT


class Tokens(_Strict):
    """A tenant's (`DAO/JUR`) bandwidth."""

    tenant: str
    tokens: Annotated[int, Field(ge=1, le=10**9)]
    period_ms: Annotated[int, Field(ge=1, le=366 * 86_400_000)]
    burst: Annotated[int, Field(ge=1, le=10**9)]
    from_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)] = 0
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)] = MAX_INSTANT_MS


class _LevelsFile(_Strict):
    levels: Annotated[list[Word], Field(min_length=1, max_length=64)]


class _QuotasFile(_Strict):
    root: Limits | None = None
    scopes: Annotated[list[ScopeLimits], Field(max_length=10_000)] = []
    tenants: Annotated[list[TenantLimits], Field(max_length=100_000)] = []


class _TokensFile(_Strict):
    tenants: Annotated[list[Tokens], Field(max_length=100_000)]


class _OverflowFile(_Strict):
    overflow: bool


@dataclass(frozen=True, slots=True)
class Governance:
    """What is in force from the first instant on.

    Attributes:
        levels: priority domains, highest first.
        policies: of tenants; who is not there has no rules.
        root: limits of the whole cell.
        scopes: the tree below the root, each behind the one above it.
        limits: of tenants; who is not there hangs below the root, unlimited.
        tokens: of tenants; who is not there is not limited.
        overflow: whether nodes of secondary pools may be used.
    """

    levels: tuple[str, ...] = DEFAULT_LEVELS
    policies: Mapping[Tenant, Policy] = field(default_factory=dict)
    root: Limits | None = None
    scopes: tuple[ScopeLimits, ...] = ()
    limits: Mapping[Tenant, TenantLimits] = field(default_factory=dict)
    tokens: Mapping[Tenant, Tokens] = field(default_factory=dict)
    overflow: bool = True


def parse_tenant(text: str) -> Tenant:
    """Read `DAO/JUR`.

    Raises:
        MalformedError: for another form.
    """
    dao, slash, jurisdiction = text.partition("/")
    if not slash:
        raise MalformedError(f"tenant {text[:80]!a} is not DAO/JUR")
    return parse_dao(dao), parse_jurisdiction(jurisdiction)


def read_governance(directory: Path) -> Governance:
    """Read a directory as the module's docstring describes it.

    Raises:
        MalformedError: for a file of another name or content, or a tree that doesn't hang together.
    """
    try:
        names = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise MalformedError(f"cannot read {directory}: {error.strerror}") from None
    policies: dict[Tenant, Policy] = {}
    for name in names:
        if name not in {"levels.json", "quotas.json", "tokens.json", "overflow.json"}:
            tenant, policy = _policy(directory / name)
            if tenant in policies:
                raise MalformedError(f"{directory / name}: {'/'.join(tenant)} has a policy already")
            policies[tenant] = policy
    levels = _file(directory / "levels.json", _LevelsFile)
    quotas = _file(directory / "quotas.json", _QuotasFile) or _QuotasFile()
    tokens = _file(directory / "tokens.json", _TokensFile)
    overflow = _file(directory / "overflow.json", _OverflowFile)
    _check_tree(directory / "quotas.json", quotas)
    if levels is not None and len(set(levels.levels)) != len(levels.levels):
        raise MalformedError(f"{directory / 'levels.json'}: a level is named twice")
    return Governance(
        levels=DEFAULT_LEVELS if levels is None else tuple(levels.levels),
        policies=policies,
        root=quotas.root,
        scopes=tuple(quotas.scopes),
        limits=_by_tenant(directory / "quotas.json", quotas.tenants),
        tokens={} if tokens is None else _by_tenant(directory / "tokens.json", tokens.tenants),
        overflow=overflow is None or overflow.overflow,
    )


_File = TypeVar("_File", bound=BaseModel)
_OfTenant = TypeVar("_OfTenant", TenantLimits, Tokens)


def _file(path: Path, kind: type[_File]) -> _File | None:
    if not path.exists():
        return None
    data = read_bounded(path, MAX_FILE_BYTES)
    try:
        return kind.model_validate(parse_object(data))
    except ValidationError as error:
        raise MalformedError(f"{path}: {reason(error)}") from None
    except LedgerError as error:
        raise MalformedError(f"{path}: {error}") from None


def _policy(path: Path) -> tuple[Tenant, Policy]:
    """Read a policy and, from its file's name, whose it is: a DAO's name may have dashes, a jurisdiction has none."""
    dao, dash, jurisdiction = path.stem.rpartition("-")
    if path.suffix != ".json" or not dash:
        raise MalformedError(
            f"{path} is none of DAO-JUR.json (a policy), levels.json, quotas.json, tokens.json, overflow.json"
        )
    data = read_bounded(path, MAX_POLICY_BYTES)
    try:
        tenant = parse_dao(dao), parse_jurisdiction(jurisdiction)
        parse_object(data)  # for a member that stands there twice
        return tenant, parse_policy(data, tenant[1])
    except LedgerError as error:
        raise MalformedError(f"{path}: {error}") from None


def _check_tree(path: Path, quotas: _QuotasFile) -> None:
    known = {ROOT}
    for scope in quotas.scopes:
        if scope.name in known:
            raise MalformedError(f"{path}: scope {scope.name} is named twice")
        if scope.parent not in known:
            raise MalformedError(f"{path}: scope {scope.name} lies below {scope.parent}, which isn't before it")
        known.add(scope.name)
    for tenant in quotas.tenants:
        if tenant.parent not in known:
            raise MalformedError(f"{path}: tenant {tenant.tenant} lies below {tenant.parent}, which is no scope here")


def _by_tenant(path: Path, lines: Iterable[_OfTenant]) -> dict[Tenant, _OfTenant]:
    found: dict[Tenant, _OfTenant] = {}
    for line in lines:
        try:
            tenant = parse_tenant(line.tenant)
        except MalformedError as error:
            raise MalformedError(f"{path}: {error}") from None
        if tenant in found:
            raise MalformedError(f"{path}: tenant {line.tenant} is named twice")
        found[tenant] = line
    return found
