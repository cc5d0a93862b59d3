-- Takes from PUBLIC, in this database, what tells a tenant's connection about others: statistics, sizes, locks, sessions,
-- transaction numbers, positions of the write-ahead log, large objects, temporary tables, code of its own. In the system's
-- catalogues all goes that is not a function of its arguments alone, but for what a bound read needs; the ledger's owner
-- and its other roles keep it.
--
-- A superuser runs it in the ledger's database: psql --dbname=DATABASE --file=hardening.sql. In the embedded server the
-- program does, at each start. Safe to repeat: it changes what is still open only. Not for a database that others use too.

DO $$
DECLARE
    open record;
    owners text := (SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(oid)), ', ')
                    FROM (SELECT datdba FROM pg_database WHERE datname = current_database()
                          UNION SELECT nspowner FROM pg_namespace WHERE nspname = 'ledger') AS owner (oid));
    keepers text := format('ledger_append, ledger_cell, %s', owners);
    catalogues oid[] := ARRAY['pg_catalog'::regnamespace, 'information_schema'::regnamespace];
BEGIN
    FOR open IN
        SELECT 'EXECUTE' AS privilege, format('ROUTINE %s', oid::regprocedure) AS name
        FROM pg_proc
        WHERE pronamespace = ANY(catalogues) AND provolatile <> 'i' AND has_function_privilege('public', oid, 'EXECUTE')
          AND oid NOT IN ('current_setting(text,boolean)'::regprocedure, 'set_config(text,text,boolean)'::regprocedure)
        UNION ALL
        SELECT 'SELECT', format('TABLE %s', oid::regclass)
        FROM pg_class
        WHERE relnamespace = ANY(catalogues) AND relkind IN ('r', 'v') AND has_table_privilege('public', oid, 'SELECT')
        UNION ALL
        SELECT 'USAGE', format('LANGUAGE %I', lanname)
        FROM pg_language
        WHERE lanpltrusted AND has_language_privilege('public', oid, 'USAGE')
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s', open.privilege, open.name, keepers);
        EXECUTE format('REVOKE %s ON %s FROM PUBLIC', open.privilege, open.name);
    END LOOP;
    IF has_any_column_privilege('public', 'pg_subscription', 'SELECT') THEN  -- by column: nobody gets the whole of it
        REVOKE SELECT ON pg_subscription FROM PUBLIC;
    END IF;
    IF has_database_privilege('public', current_database(), 'CONNECT')
        OR has_database_privilege('public', current_database(), 'TEMPORARY') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO ledger_tenant, %s', current_database(), owners);
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
    IF current_setting('log_error_verbosity') <> 'terse' THEN  -- without DETAIL, which quotes rows
        EXECUTE format('ALTER DATABASE %I SET log_error_verbosity = terse', current_database());
    END IF;
END
$$;
