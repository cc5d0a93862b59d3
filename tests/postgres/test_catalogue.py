"""The schema keeps tenants apart, and the check that says so can fail."""

from typing import LiteralString

import psycopg

from tests.database import as_role
from tests.postgres.catalogue import findings

GOOD: LiteralString = (
    "CREATE TABLE ledger.x (tenant_id uuid NOT NULL, a integer, PRIMARY KEY (tenant_id, a));"
    "ALTER TABLE ledger.x OWNER TO ledger, ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    "CREATE POLICY cell_reads ON ledger.x FOR SELECT TO ledger_cell USING (true);"
    "GRANT SELECT ON ledger.x TO ledger_cell;"
)
SPOILED: dict[str, tuple[LiteralString, str]] = {
    "a table of nobody": ("CREATE TABLE ledger.x (log_id uuid)", "x: neither a table of tenants nor one of the cell"),
    "no row level security": (
        "ALTER TABLE ledger.x DISABLE ROW LEVEL SECURITY",
        "x: row level security is not enabled",
    ),
    "the owner is not bound": (
        "ALTER TABLE ledger.x NO FORCE ROW LEVEL SECURITY",
        "x: row level security is not enabled",
    ),
    "nobody may read": ("DROP POLICY cell_reads ON ledger.x", "x: ledger_cell has no policy"),
    "no primary key": ("ALTER TABLE ledger.x DROP CONSTRAINT x_pkey", "x: it has no primary key"),
    "a tenant that may be absent": (
        "ALTER TABLE ledger.x DROP CONSTRAINT x_pkey, ALTER tenant_id DROP NOT NULL",
        "x: tenant_id is not a uuid NOT NULL",
    ),
    "a unique key over all tenants": ("ALTER TABLE ledger.x ADD CONSTRAINT one UNIQUE (a)", "x: key ledger.one"),
    "a unique key with the tenant last": (
        "ALTER TABLE ledger.x ADD CONSTRAINT one UNIQUE (a, tenant_id)",
        "x: key ledger.one",
    ),
    "a unique index on an expression": ("CREATE UNIQUE INDEX one ON ledger.x ((a + 1))", "x: key ledger.one"),
    "an exclusion over all tenants": (
        "ALTER TABLE ledger.x ADD b int4range, ADD CONSTRAINT one EXCLUDE USING gist (b WITH &&)",
        "x: key ledger.one",
    ),
    "a foreign key without the tenant": (
        "ALTER TABLE ledger.x ADD slot bigint REFERENCES ledger.logs (slot)",
        "x: foreign key x_slot_fkey crosses",
    ),
    "a foreign key from the cell": (
        "CREATE TABLE ledger.y (tenant uuid, a integer, FOREIGN KEY (a, tenant) REFERENCES ledger.x (a, tenant_id))",
        "y: foreign key",
    ),
    "a policy for everybody": ("CREATE POLICY p ON ledger.x USING (true)", "x: policy p is for PUBLIC"),
    "a policy that shows all to tenants": (
        "CREATE POLICY p ON ledger.x FOR SELECT TO ledger_tenant USING (true)",
        "x: policy p lets ledger_tenant",
    ),
    "a policy that lets tenants write": (
        "CREATE POLICY p ON ledger.x TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()))",
        "x: policy p lets ledger_tenant",
    ),
    "a grant without a policy": ("GRANT INSERT ON ledger.x TO ledger_append", "x: ledger_append has a grant without a"),
    "a grant that no list has": (
        "GRANT DELETE ON ledger.feed TO ledger_cell",
        "beyond the list: feed ledger_cell DELETE",
    ),
    "a grant of one column": (
        "GRANT UPDATE (state) ON ledger.stored_events TO ledger_append",
        "beyond the list: stored_events ledger_append UPDATE(state)",
    ),
    "a grant to everybody": ("GRANT SELECT ON ledger.logs TO PUBLIC", "beyond the list: logs PUBLIC SELECT"),
    "a table of the cell for tenants": (
        "GRANT SELECT ON ledger.feed TO ledger_tenant",
        "feed: a table of the cell that tenants are granted",
    ),
    "a grant that was lost": ("REVOKE SELECT ON ledger.logs FROM ledger_cell", "is missing: logs ledger_cell SELECT"),
    "a view with its owner's eyes": ("CREATE VIEW ledger.v AS SELECT 1", "v: a view without security_invoker"),
    "a stored view": ("CREATE MATERIALIZED VIEW ledger.v AS SELECT 1", "v: neither a table nor a view"),
    "a sequence": ("CREATE SEQUENCE ledger.s", "s: neither a table nor a view"),
    "a hidden sequence": ("ALTER TABLE ledger.x ADD b integer GENERATED ALWAYS AS IDENTITY", "x_b_seq: neither"),
    "a rule": ("CREATE RULE r AS ON INSERT TO ledger.x DO INSTEAD NOTHING", "x: it has rewrite rules"),
    "a foreign owner": ("ALTER TABLE ledger.x OWNER TO ledger_cell", "x: it belongs to somebody else"),
    "a function with its owner's rights": (
        "CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql SECURITY DEFINER RETURN 1",
        "a SECURITY DEFINER or LEAKPROOF function public.f()",
    ),
    "a function that claims not to leak": (
        "CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql LEAKPROOF RETURN 1",
        "a SECURITY DEFINER or LEAKPROOF function public.f()",
    ),
    "a function for everybody": (
        "CREATE FUNCTION ledger.f() RETURNS integer LANGUAGE sql RETURN 1",
        "beyond the list: f() PUBLIC EXECUTE",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA ledger GRANT SELECT ON TABLES TO ledger_tenant",
        "default privileges in ledger",
    ),
    "a role past row level security": ("ALTER ROLE ledger_tenant BYPASSRLS", "the role ledger_tenant has an attribute"),
    "a superuser": ("ALTER ROLE ledger_cell SUPERUSER", "the role ledger_cell has an attribute"),
    "a role within another": ("GRANT ledger_cell TO ledger_tenant", "the role ledger_tenant has an attribute"),
    "an owner that inherits": ("GRANT ledger_cell TO ledger WITH INHERIT TRUE", "the owner ledger has the rights"),
    "a schema to write in": ("GRANT CREATE ON SCHEMA ledger TO ledger_append", "may make objects in ledger"),
    "another role in the schema": ("GRANT USAGE ON SCHEMA ledger TO pg_monitor", "not the ledger's uses its schema"),
    "temporary tables": ("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "beyond CONNECT: ledger_tenant"),
    "a database for everybody": ("GRANT CONNECT ON DATABASE {database} TO PUBLIC", "PUBLIC may connect"),
    "a large object": ("SELECT lo_create(4711)", "a large object 4711"),
}


def test_the_schema_keeps_tenants_apart(conninfo: str) -> None:
    with psycopg.connect(as_role(conninfo)) as connection:
        assert findings(connection) == []


def test_a_good_table_is_only_missing_from_the_list(conninfo: str) -> None:
    with psycopg.connect(as_role(conninfo)) as connection:
        connection.execute(GOOD)
        assert findings(connection) == ["a grant beyond the list: x ledger_cell SELECT"]
        connection.rollback()


def test_what_is_wrong_is_named(conninfo: str) -> None:
    with psycopg.connect(as_role(conninfo)) as connection:
        for name, (statement, words) in SPOILED.items():
            if "TABLE ledger.x (" not in statement:
                connection.execute(GOOD)
            connection.execute(statement.format(database=connection.info.dbname))
            found = findings(connection)
            assert any(words in one for one in found), (name, found)
            connection.rollback()
        assert findings(connection) == []
