-- The cluster's roles (schema/002_isolation.sql tells what each may do). A role stands for nobody: who logs in takes it
-- with SET ROLE, and without that has none of its rights (INHERIT FALSE), so that policies of a role bind it alone.

-- name: state
-- Of each role: does it exist; may it do more than it should, or is it a member of others; may the program's role take
-- it; does the program's role have its rights without taking it.
SELECT wanted.name,
       role.oid IS NOT NULL,
       coalesce(role.rolsuper OR role.rolbypassrls OR role.rolcreaterole OR role.rolcreatedb OR role.rolreplication
                OR EXISTS (SELECT FROM pg_auth_members WHERE pg_auth_members.member = role.oid), false),
       coalesce(pg_has_role(%(member)s, role.oid, %(taking)s), false),
       coalesce(pg_has_role(%(member)s, role.oid, 'USAGE') AND NOT member.rolsuper, false)
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN pg_roles AS role ON role.rolname = wanted.name
LEFT JOIN pg_roles AS member ON member.rolname = %(member)s
ORDER BY wanted.place;

-- name: create
-- A role that can do nothing by itself.
CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;

-- name: grant
-- The program's role may take it.
GRANT {role} TO {member} WITH INHERIT FALSE, SET TRUE;

-- name: grant_15
-- The same before PostgreSQL 16, where the member's own attribute decides about all that it inherits.
GRANT {role} TO {member};

-- name: part_15
-- As above.
ALTER ROLE {member} NOINHERIT;

-- name: tenant_login
-- Is a login good for bound reads, and for nothing else.
SELECT pg_has_role(%(login)s, %(tenant)s, 'MEMBER')
   AND NOT EXISTS (SELECT FROM pg_roles
                   WHERE rolname NOT IN (%(login)s, %(tenant)s) AND pg_has_role(%(login)s, oid, 'MEMBER'))
   AND NOT EXISTS (SELECT FROM pg_roles
                   WHERE rolname = %(login)s AND (rolsuper OR rolbypassrls OR rolcreaterole));

-- name: tenant_may_log_in
-- Whether it may.
SELECT rolcanlogin FROM pg_roles WHERE rolname = 'ledger_tenant';

-- name: let_tenant_log_in
-- Where no password is asked for because only the program reaches the server: a session of this role can take no other.
ALTER ROLE ledger_tenant LOGIN;
