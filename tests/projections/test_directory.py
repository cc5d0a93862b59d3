"""Who and what a log speaks of."""

from domain.canonical import canonical
from domain.message import Event
from projections.directory import project
from tests.domain import samples
from tests.projections.lives import fold, told

BY_TOPIC = samples.SAMPLES_BY_TOPIC
TENANT = tuple(
    BY_TOPIC[topic]
    for topic in (
        "tenant.registered.v1", "tenant.endorsed.v1", "tenant.principal_enrolled.v1",
        "tenant.principal_revoked.v1", "tenant.policy_adopted.v1",
        "tenant.key_disclosed.v1", "tenant.key_disclosed.v1",
    )
)  # fmt: skip
PLATFORM = tuple(
    BY_TOPIC[topic]
    for topic in (
        "platform.genesis.v1", "levels.adopted.v1", "clause.registered.v1", "node.enrolled.v1", "node.drained.v1",
        "clause.deprecated.v1", "pool.offer_stood.v1", "pool.offer_withdrawn.v1",
    )
)  # fmt: skip


def test_a_tenants_log_tells_tenant_keys_policy_and_disclosures() -> None:
    rows = fold(project, told(*TENANT))
    assert set(rows) == {"tenant", f"key/{samples.KID}", f"key/{'s' * 43}", "policy", "disclosures"}
    assert rows["tenant"]["endorsed"] is True
    assert rows["tenant"]["dao"] == "ClimateDAO"
    assert rows["policy"]["rules"] == ["in_country", "re_authorisation"]
    assert rows["disclosures"]["count"] == 2
    assert rows[f"key/{samples.KID}"]["role"] == "admin"
    assert rows[f"key/{'s' * 43}"]["revoked"] is True


def test_the_platforms_log_tells_cell_levels_clauses_and_nodes() -> None:
    rows = fold(project, told(*PLATFORM))
    assert set(rows) == {"cell", "levels", f"clause/{samples.CLAUSE}", "node/node-a", "offer/secondary/GeysirReserve"}
    assert rows["offer/secondary/GeysirReserve"]["withdrawn"] is True
    assert rows[f"clause/{samples.CLAUSE}"]["deprecated"] is True
    assert rows["node/node-a"]["drained"] is True
    assert rows["levels"]["domains"][0] == "Disaster"


def test_a_node_that_returned_is_not_shown_as_drained() -> None:
    rows = fold(project, told(*PLATFORM, BY_TOPIC["node.returned.v1"]))
    assert rows["node/node-a"]["drained"] is False


def test_a_scope_is_no_tenant_of_a_dao() -> None:
    rows = fold(project, told(samples.scope_registered()))
    assert "dao" not in rows["tenant"]


def test_replay_at_every_prefix_equals_the_live_rows() -> None:
    history: tuple[Event, ...] = (*TENANT, *PLATFORM, BY_TOPIC["workload.queued.v1"])
    live: dict[str, dict[str, object]] = {}
    for at, recorded in enumerate(told(*history)):
        changed = project(live, recorded)
        assert all(row["leaf_index"] == at for row in changed.values())
        live = {**live, **changed}
        assert fold(project, told(*history)[: at + 1]) == live
        canonical(live)
