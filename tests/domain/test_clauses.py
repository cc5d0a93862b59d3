"""Who may register, deprecate and run a clause. Deny by default."""

from typing import Any

import pytest

from domain.bounds import Bounds
from domain.clauses.decisions import (
    Clause,
    deprecate_clause,
    deprecation_claims,
    refusal,
    register_clause,
    registration_claims,
)
from domain.clauses.events import ClauseMetadata, ClauseRegistered
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.tenants.state import Tenant, evolve
from tests.domain import samples
from tests.domain.people import admin, signed, tenant
from tests.domain.samples import BOUNDS, CLASS, ORIGIN, hexed, metadata, payload


def register(
    owner: Tenant, meta: ClauseMetadata, *names: str, claims: dict[str, Any] | None = None
) -> ClauseRegistered:
    said = claims or registration_claims(meta, hexed(2))
    return register_clause(
        owner,
        meta,
        module_digest=hexed(2),
        module_bytes=10,
        payload=payload(3),
        signatures=[signed(name, said) for name in names],
    )


def test_the_owners_admins_register_a_clause_over_metadata_and_module() -> None:
    event = register(tenant("ada", "bob", threshold=2), metadata(), "ada", "bob")
    assert event.owner_origin == samples.ORIGIN
    assert event.statements == ("token.of.ada", "token.of.bob")
    assert (event.metadata, event.module_digest, event.module) == (metadata(), hexed(2), payload(3))


def test_a_scopes_admins_register_a_clause_for_any_owner() -> None:
    scope = evolve(samples.scope_registered(admins=(admin("root"),)), None)
    assert register(scope, metadata(owner="Anybody"), "root").metadata.owner == "Anybody"


@pytest.mark.parametrize(
    "changes", [{"title": "x"}, {"inputs": 2}, {"maximum_bounds": BOUNDS.model_copy(update={"fuel": 1})}]
)
def test_signatures_over_other_metadata_or_another_module_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthorisedError, match="metadata_digest"):
        register(tenant(), metadata(), "ada", claims=registration_claims(metadata(**changes), hexed(2)))
    with pytest.raises(NotAuthorisedError, match="module_digest"):
        register(tenant(), metadata(), "ada", claims=registration_claims(metadata(), hexed(9)))


def test_others_than_the_endorsed_owners_admins_refuse() -> None:
    with pytest.raises(RefusedError, match="not endorsed"):
        register(tenant(endorsed=False), metadata(), "ada")
    with pytest.raises(NotAuthorisedError, match="only the owner DAO"):
        register(tenant(), metadata(owner="Other"), "ada")
    with pytest.raises(NotAuthorisedError, match="not enrolled"):
        register(tenant(), metadata(), "sam")
    with pytest.raises(NotAuthorisedError, match="1 of 2"):
        register(tenant("ada", "bob", threshold=2), metadata(), "ada")


CLAUSE = Clause(metadata(), hexed(2), hexed(3), hexed(4), ORIGIN)


def test_a_clause_is_deprecated_once_by_its_owners_admins() -> None:
    claims = deprecation_claims(samples.CLAUSE, "superseded")
    event = deprecate_clause(tenant(), CLAUSE, "superseded", [signed("ada", claims)])
    assert (event.clause_id, event.reason, event.statements) == (samples.CLAUSE, "superseded", ("token.of.ada",))
    with pytest.raises(NotAuthorisedError, match="'reason'"):
        deprecate_clause(tenant(), CLAUSE, "another", [signed("ada", claims)])
    with pytest.raises(NotAuthorisedError, match="only the tenant that registered"):
        deprecate_clause(tenant(origin="ledger.example/t/8"), CLAUSE, "superseded", [signed("ada", claims)])
    over = Clause(metadata(), hexed(2), hexed(3), hexed(4), ORIGIN, deprecated=True)
    with pytest.raises(ConflictError, match="already"):
        deprecate_clause(tenant(), over, "superseded", [signed("ada", claims)])


def refused(clause: Clause | None = CLAUSE, **changes: Any) -> str | None:
    asked: dict[str, Any] = {
        "dao": "ClimateDAO", "jurisdiction": "DEU", "resource_class": CLASS, "bounds": BOUNDS, "inputs": 1,
    }  # fmt: skip
    return refusal(clause, **{**asked, **changes})


def clause(**changes: Any) -> Clause:
    return Clause(metadata(**changes), hexed(2), hexed(3), hexed(4), ORIGIN)


def test_an_open_clause_runs_for_every_endorsed_tenant_within_its_bounds() -> None:
    assert refused() is None
    assert refused(dao="Other", jurisdiction="WHO") is None
    assert refused(clause(daos=("ClimateDAO",), jurisdictions=("DEU",))) is None


@pytest.mark.parametrize(
    ("of", "changes", "says"),
    [
        (None, {}, "not registered"),
        (Clause(metadata(), hexed(2), hexed(3), hexed(4), ORIGIN, deprecated=True), {}, "deprecated"),
        (clause(daos=("Other",)), {}, "not open to this DAO"),
        (clause(jurisdictions=("FRA", "EU")), {}, "not open to this jurisdiction"),
        (CLAUSE, {"resource_class": "Disaster::Flood@v2"}, "does not serve resource class Disaster::Flood@v2"),
        (CLAUSE, {"bounds": Bounds(memory_bytes=BOUNDS.memory_bytes + 1, fuel=1, wall_ms=1)}, "exceed"),
        (CLAUSE, {"bounds": Bounds(memory_bytes=65_536, fuel=BOUNDS.fuel + 1, wall_ms=1)}, "exceed"),
        (CLAUSE, {"bounds": Bounds(memory_bytes=65_536, fuel=1, wall_ms=BOUNDS.wall_ms + 1)}, "exceed"),
        (CLAUSE, {"inputs": 2}, "takes 1 inputs, not 2"),
        (clause(simulation_required=True), {}, "simulation reference"),
    ],
)
def test_what_keeps_a_tenant_from_a_clause_is_said(of: Clause | None, changes: dict[str, Any], says: str) -> None:
    reason = refused(of, **changes)
    assert reason is not None
    assert says in reason
