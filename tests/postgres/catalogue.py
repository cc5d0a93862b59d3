"""Walks PostgreSQL's catalogue and names everything in the ledger's schema that could let one tenant learn of another.

A table is one of tenants (it has `tenant_id`) or stands in `CELL_TABLES`. Every grant stands in `GRANTS`, no more and
no less: a new table adds its lines there.

Invariants:
- Deny by default: what this doesn't know it reports.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

CELL_TABLES = {
    "schema_migrations", "logs", "feed", "feed_counter", "decider_epoch", "feed_channel",
    "publications", "key_notes", "sealed_views", "sealed_views_position", "plain_read_models",
    "anchor_rounds", "anchored_checkpoints", "anchor_checkpoints", "anchor_disputes", "anchor_witnesses",
    "scheduler_checkpoints", "anchor_traces", "feed_returned",
    "access_born", "access_tokens", "access_used",
}  # fmt: skip
"""Tables of the whole cell: never a grant to ledger_tenant."""

GRANTS = """
log_heads       ledger_tenant  SELECT(tenant_id) SELECT(tree_size) SELECT(frontier)
log_heads       ledger_append  SELECT INSERT UPDATE(tree_size) UPDATE(frontier)
log_heads       ledger_cell    SELECT UPDATE(frozen) UPDATE(closed)
stored_events   ledger_tenant  SELECT(tenant_id) SELECT(stream_id) SELECT(version) SELECT(topic) SELECT(state)
stored_events   ledger_tenant  SELECT(leaf_index) SELECT(leaf_hash)
stored_events   ledger_append  INSERT SELECT(tenant_id) SELECT(stream_id) SELECT(version)
stored_events   ledger_append  SELECT(leaf_index) SELECT(leaf_hash)
stored_events   ledger_cell    SELECT
commands        ledger_append  SELECT INSERT
commands        ledger_cell    SELECT
payloads        ledger_tenant  SELECT(tenant_id) SELECT(digest) SELECT(sealed)
payloads        ledger_append  INSERT
payloads        ledger_cell    SELECT
view_rows       ledger_tenant  SELECT(tenant_id) SELECT(projection) SELECT(key) SELECT(value)
view_rows       ledger_cell    SELECT INSERT UPDATE DELETE
view_positions  ledger_cell    SELECT INSERT UPDATE DELETE
view_editions   ledger_tenant  SELECT(tenant_id) SELECT(projection) SELECT(live)
view_editions   ledger_cell    SELECT INSERT UPDATE DELETE
view_faults     ledger_cell    SELECT INSERT UPDATE DELETE
logs            ledger_append  SELECT INSERT
logs            ledger_cell    SELECT
feed            ledger_append  SELECT INSERT
feed            ledger_cell    SELECT
feed_counter    ledger_append  SELECT UPDATE(last_position) UPDATE(last_notification_id)
feed_counter    ledger_cell    SELECT
decider_epoch   ledger_append  SELECT UPDATE(only_row)
decider_epoch   ledger_cell    SELECT UPDATE(epoch)
feed_channel    ledger_append  SELECT
feed_channel    ledger_cell    SELECT
unpublished_payloads  ledger_append  INSERT
unpublished_payloads  ledger_cell    SELECT DELETE
key_notes             ledger_append  INSERT
key_notes             ledger_cell    SELECT
publications          ledger_cell    SELECT INSERT UPDATE
anchor_rounds         ledger_cell    SELECT INSERT
anchored_checkpoints  ledger_cell    SELECT INSERT
anchor_checkpoints    ledger_cell    SELECT INSERT
anchor_disputes       ledger_cell    SELECT INSERT
anchor_witnesses      ledger_cell    SELECT INSERT UPDATE
sealed_views    ledger_cell    SELECT INSERT
sealed_views_position  ledger_cell  SELECT UPDATE(position)
plain_read_models  ledger_cell  SELECT
scheduler_checkpoints  ledger_cell    SELECT INSERT DELETE
anchor_traces          ledger_cell    SELECT INSERT
feed_returned          ledger_cell    SELECT
feed_returned          ledger_append  INSERT
access_born            ledger_cell    SELECT INSERT
access_tokens          ledger_cell    SELECT INSERT DELETE
access_used            ledger_cell    SELECT INSERT DELETE
bound_tenant()  ledger_tenant  EXECUTE
"""

ROLES = ["ledger_append", "ledger_cell", "ledger_tenant"]
_ONE_TENANT = "(tenant_id = ( SELECT ledger.bound_tenant() AS bound_tenant))"
_COMMANDS = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}

_RELATIONS: LiteralString = """
SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner),
       c.relowner = n.nspowner, coalesce(c.reloptions, '{}'), t.attnum,
       t.atttypid = 'uuid'::regtype AND t.attnotnull,
       EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary),
       EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped
WHERE n.nspname = 'ledger' AND c.relkind NOT IN ('i', 'I', 't', 'c') ORDER BY c.relname
"""
_POLICIES: LiteralString = """
SELECT polname, polcmd, polpermissive, coalesce(r.rolname, 'PUBLIC'), pg_get_expr(polqual, polrelid),
       pg_get_expr(polwithcheck, polrelid)
FROM pg_policy CROSS JOIN unnest(polroles) AS granted LEFT JOIN pg_roles r ON r.oid = granted WHERE polrelid = %s
"""
_KEYS: LiteralString = """
SELECT indexrelid::regclass::text FROM pg_index
WHERE indrelid = %(table)s AND (indisunique OR indisexclusion) AND indkey[0] <> %(tenant)s
"""
_CROSSING: LiteralString = """
SELECT k.conname FROM pg_constraint k
LEFT JOIN pg_attribute here ON here.attrelid = k.conrelid AND here.attname = 'tenant_id'
LEFT JOIN pg_attribute there ON there.attrelid = k.confrelid AND there.attname = 'tenant_id'
WHERE k.contype = 'f' AND k.conrelid = %s AND (here.attnum IS NOT NULL OR there.attnum IS NOT NULL)
  AND (k.conkey[1], k.confkey[1]) IS DISTINCT FROM (here.attnum, there.attnum)
"""
_GRANTED: LiteralString = """
SELECT name, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege
FROM (
    SELECT c.relname::text, a.grantee, a.privilege_type, c.relowner
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) a WHERE c.relnamespace = 'ledger'::regnamespace
    UNION ALL
    SELECT c.relname::text, a.grantee, format('%s(%s)', a.privilege_type, t.attname), c.relowner
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a
    WHERE c.relnamespace = 'ledger'::regnamespace
    UNION ALL
    SELECT format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), a.grantee, a.privilege_type,
           p.proowner
    FROM pg_proc p CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE p.pronamespace = 'ledger'::regnamespace
) AS granted (name, grantee, privilege, owner)
WHERE grantee <> owner
"""
_ELSEWHERE: dict[str, LiteralString] = {
    "a SECURITY DEFINER or LEAKPROOF function {}": """
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND (p.prosecdef OR p.proleakproof)""",
    "default privileges in {}": """
        SELECT coalesce(nullif(defaclnamespace, 0)::regnamespace::text, 'every schema') FROM pg_default_acl""",
    "the role {} has an attribute or a membership": """
        SELECT rolname FROM pg_roles WHERE rolname = ANY(%(roles)s::text[])
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
             OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid))""",
    "the owner {} has the rights of a role without taking it": """
        SELECT pg_get_userbyid(nspowner) FROM pg_namespace CROSS JOIN unnest(%(roles)s::text[]) AS r
        WHERE nspname = 'ledger' AND pg_has_role(nspowner, r, 'USAGE')""",
    "a role may make objects in {}": """
        SELECT nspname FROM pg_namespace CROSS JOIN unnest(%(roles)s::text[] || '{public}'::text[]) AS r
        WHERE has_schema_privilege(r, pg_namespace.oid, 'CREATE')""",
    "a role that is not the ledger's uses its schema: {}": """
        SELECT a.grantee::regrole FROM pg_namespace CROSS JOIN aclexplode(nspacl) AS a
        WHERE nspname = 'ledger' AND a.grantee <> nspowner AND a.grantee::regrole::text <> ALL(%(roles)s::text[])""",
    "a role has privileges on the database beyond CONNECT: {}": """
        SELECT r FROM unnest(%(roles)s::text[] || '{public}'::text[]) AS r
        CROSS JOIN unnest('{CREATE,TEMPORARY}'::text[]) AS privilege
        WHERE has_database_privilege(r, current_database(), privilege)""",
    "PUBLIC may connect to {}": """
        SELECT current_database() WHERE has_database_privilege('public', current_database(), 'CONNECT')""",
    "a large object {}": "SELECT oid FROM pg_largeobject_metadata",
}


@dataclass(frozen=True)
class _Relation:
    """A row of `_RELATIONS`."""

    oid: int
    name: str
    kind: str
    secured: bool
    forced: bool
    owner: str
    owned: bool
    options: list[str]
    tenant: int | None
    tenant_is_uuid: bool | None
    has_primary_key: bool
    has_rules: bool
    granted: set[tuple[str, str]] = field(default_factory=set)


def findings(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what is wrong, a sentence each; empty when nothing is. The connection sees the whole catalogue."""
    connection.execute("SET LOCAL search_path = pg_catalog")
    granted: set[tuple[str, str, str]] = {(a, b, c) for a, b, c in connection.execute(_GRANTED)}
    wanted = {
        (name, role, privilege)
        for name, role, *privileges in (line.split() for line in GRANTS.strip().splitlines())
        for privilege in privileges
    }
    found = [f"a grant beyond the list: {' '.join(one)}" for one in sorted(granted - wanted)]
    found += [f"a grant of the list is missing: {' '.join(one)}" for one in sorted(wanted - granted)]
    for row in connection.execute(_RELATIONS).fetchall():
        relation = _Relation(*row)
        relation.granted.update((role, privilege) for name, role, privilege in granted if name == relation.name)
        found += [f"{relation.name}: {words}" for words in _of_relation(connection, relation)]
    for words, query in _ELSEWHERE.items():
        found += [words.format(row[0]) for row in connection.execute(query, {"roles": ROLES})]
    return found


def _of_relation(connection: psycopg.Connection[Any], relation: _Relation) -> Iterator[str]:
    if not relation.owned or relation.owner in ROLES:
        yield "it belongs to somebody else than the schema"
    if relation.has_rules:
        yield "it has rewrite rules"
    if relation.kind == "v":
        if not {"security_invoker=true", "security_invoker=on"} & set(relation.options):
            yield "a view without security_invoker"
        return
    if relation.kind not in {"r", "p"}:
        yield f"neither a table nor a view ({relation.kind})"
        return
    yield from (f"foreign key {row[0]} crosses tenants" for row in connection.execute(_CROSSING, (relation.oid,)))
    if relation.tenant is None:
        if relation.name not in CELL_TABLES:
            yield "neither a table of tenants nor one of the cell"
        if any(role in {"ledger_tenant", "PUBLIC"} for role, _ in relation.granted):
            yield "a table of the cell that tenants are granted"
        return
    yield from _of_tenants_table(connection, relation)


def _of_tenants_table(connection: psycopg.Connection[Any], table: _Relation) -> Iterator[str]:
    if table.name in CELL_TABLES:
        yield "a table of the cell with a tenant_id"
    if not table.tenant_is_uuid:
        yield "tenant_id is not a uuid NOT NULL"
    if not table.has_primary_key:
        yield "it has no primary key"
    if not (table.secured and table.forced):
        yield "row level security is not enabled and forced"
    keys = connection.execute(_KEYS, {"table": table.oid, "tenant": table.tenant})
    yield from (f"key {row[0]} does not begin with tenant_id" for row in keys)
    allowed: set[tuple[str, str]] = set()
    for name, command, permissive, role, using, checking in connection.execute(_POLICIES, (table.oid,)):
        if role not in ROLES or not permissive:
            yield f"policy {name} is for {role}, or not permissive"
        if role == "ledger_tenant" and (command, using, checking) != ("r", _ONE_TENANT, None):
            yield f"policy {name} lets ledger_tenant do more than read one tenant's rows"
        allowed |= {(role, one) for one in ("rawd" if command == "*" else command)}
    used = {(role, _COMMANDS.get(privilege.split("(")[0], privilege)) for role, privilege in table.granted}
    yield from (f"{role} has a grant without a policy ({command})" for role, command in sorted(used - allowed))
    if ("ledger_cell", "r") not in allowed & used:
        yield "ledger_cell has no policy and grant to read it"
