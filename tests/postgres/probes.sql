-- What a tenant's connection might ask to learn of others, by channel: one statement a line (tests/postgres/test_channels.py).
-- The asker is tenant ...a, the other is ...b; ...51 is a stream of both, ...52 one of the other's only.

-- channel: rows
SELECT * FROM ledger.stored_events ORDER BY leaf_index
SELECT * FROM ledger.log_heads
SELECT * FROM ledger.payloads
SELECT * FROM ledger.view_rows
SELECT * FROM ledger.stored_events WHERE tenant_id = '00000000-0000-0000-0000-00000000000b'
SELECT * FROM ledger.stored_events WHERE stream_id = '00000000-0000-0000-0000-000000000052'
SELECT * FROM ledger.stored_events WHERE tenant_id <> '00000000-0000-0000-0000-00000000000a' OR true OFFSET 0
SELECT e FROM ledger.stored_events e ORDER BY leaf_index
TABLE ledger.commands
TABLE ledger.view_positions
TABLE ledger.logs
TABLE ledger.feed
TABLE ledger.feed_counter
TABLE ledger.feed_channel
TABLE ledger.decider_epoch
TABLE ledger.schema_migrations

-- channel: count
SELECT count(*) FROM ledger.stored_events
SELECT count(*), max(leaf_index), min(version), sum(length(state)) FROM ledger.stored_events
SELECT tenant_id, count(*) FROM ledger.stored_events GROUP BY ROLLUP (tenant_id) ORDER BY 2
SELECT count(*) FROM ledger.log_heads, ledger.payloads, ledger.view_rows
SELECT count(*) FROM ledger.stored_events TABLESAMPLE SYSTEM (100)

-- channel: existence
SELECT EXISTS (SELECT FROM ledger.log_heads WHERE tenant_id = '00000000-0000-0000-0000-00000000000b')
SELECT EXISTS (SELECT FROM ledger.stored_events WHERE stream_id = '00000000-0000-0000-0000-000000000052' AND version = 0)
SELECT EXISTS (SELECT FROM ledger.payloads WHERE tenant_id = '00000000-0000-0000-0000-00000000000b')
SELECT EXISTS (SELECT FROM ledger.view_rows WHERE key = 'only-b')

-- channel: errors of writing
INSERT INTO ledger.stored_events VALUES ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000051', 0, 't', 'x', 0, sha256('x'))
INSERT INTO ledger.stored_events VALUES ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000052', 0, 't', 'x', 9, sha256('x'))
INSERT INTO ledger.stored_events VALUES ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000052', 0, 't', 'x', 0, sha256('x'))
INSERT INTO ledger.stored_events VALUES ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000052', 0, 't', 'x', 0, sha256('x')) ON CONFLICT DO NOTHING
INSERT INTO ledger.stored_events VALUES ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000052', 0, 't', 'x', 0, sha256('x')) RETURNING version
INSERT INTO ledger.stored_events VALUES ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000051', 7, 't', 'x', 7, sha256('x'))
INSERT INTO ledger.commands VALUES ('00000000-0000-0000-0000-00000000000b', 'issuer', 'c1', 'd', 'a')
INSERT INTO ledger.log_heads VALUES ('00000000-0000-0000-0000-00000000000b')
INSERT INTO ledger.logs VALUES (gen_random_uuid(), 2, 'ledger.example/t/2')
INSERT INTO ledger.view_rows VALUES ('00000000-0000-0000-0000-00000000000b', 'v', 'only-b', 'x')
UPDATE ledger.log_heads SET tree_size = 99 WHERE tenant_id = '00000000-0000-0000-0000-00000000000b'
DELETE FROM ledger.view_rows WHERE tenant_id = '00000000-0000-0000-0000-00000000000b'
MERGE INTO ledger.view_rows USING (SELECT 1) ON tenant_id = '00000000-0000-0000-0000-00000000000b' WHEN MATCHED THEN DELETE
TRUNCATE ledger.view_rows
SELECT * FROM ledger.log_heads FOR UPDATE NOWAIT
SELECT * FROM ledger.log_heads FOR KEY SHARE SKIP LOCKED
LOCK TABLE ledger.stored_events IN ACCESS SHARE MODE NOWAIT
LOCK TABLE ledger.log_heads IN ACCESS EXCLUSIVE MODE NOWAIT

-- channel: foreign keys
CREATE TABLE ledger.mine (slot bigint REFERENCES ledger.logs (slot))
CREATE TABLE public.mine (tenant uuid REFERENCES ledger.log_heads)
CREATE TEMPORARY TABLE mine (tenant uuid DEFAULT '00000000-0000-0000-0000-00000000000b' REFERENCES ledger.log_heads)

-- channel: sequences and counters
TABLE pg_sequences
TABLE information_schema.sequences
SELECT nextval('ledger.feed_counter')
SELECT lastval()
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT pg_current_snapshot()
SELECT txid_current_snapshot()
SELECT pg_snapshot_xmax(pg_current_snapshot())
SELECT age('3'::xid)
SELECT mxid_age('3'::xid)
SELECT pg_export_snapshot()
SELECT pg_current_wal_lsn(), pg_current_wal_insert_lsn()
SELECT pg_logical_emit_message(true, 'x', 'y')
SELECT pg_xact_status('700'::xid8)
SELECT pg_xact_commit_timestamp('700'::xid)
SELECT pg_last_committed_xact()
TABLE pg_control_checkpoint
SELECT pg_control_checkpoint()
SELECT pg_backend_pid()

-- channel: system columns
SELECT xmin FROM ledger.stored_events
SELECT xmax FROM ledger.stored_events
SELECT cmin FROM ledger.stored_events
SELECT cmax FROM ledger.stored_events
SELECT ctid FROM ledger.stored_events
SELECT tableoid FROM ledger.stored_events
SELECT count(*) FROM ledger.stored_events WHERE xmin::text::bigint > 0
SELECT max(ctid) FROM ledger.log_heads
SELECT version FROM ledger.stored_events WHERE ctid = '(0,1)'
SELECT version FROM ledger.stored_events ORDER BY ctid
SELECT currtid2('ledger.stored_events', '(0,1)')

-- channel: planner statistics
SELECT reltuples, relpages FROM pg_class WHERE relname = 'stored_events'
TABLE pg_stats
TABLE pg_statistic
TABLE pg_stats_ext
SELECT n_live_tup FROM pg_stat_user_tables
TABLE pg_statio_user_tables
TABLE pg_stat_database
TABLE pg_stat_wal
TABLE pg_stat_io
TABLE pg_stat_xact_user_tables
SELECT pg_stat_get_live_tuples('ledger.stored_events'::regclass)
SELECT pg_stat_get_tuples_inserted('ledger.stored_events'::regclass)
SELECT pg_relation_size('ledger.stored_events')
SELECT pg_table_size('ledger.stored_events'), pg_total_relation_size('ledger.stored_events')
SELECT pg_indexes_size('ledger.stored_events')
SELECT pg_database_size(current_database())
SELECT pg_relation_filepath('ledger.stored_events')
ANALYZE ledger.stored_events
TABLE information_schema.tables
TABLE information_schema.columns

-- channel: locks and sessions
TABLE pg_locks
SELECT pg_lock_status()
SELECT query FROM pg_stat_activity
SELECT pg_stat_get_activity(NULL)
SELECT pg_stat_get_backend_activity(1)
SELECT pg_blocking_pids(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_try_advisory_xact_lock_shared(1)
SELECT pg_cancel_backend(1)
TABLE pg_prepared_xacts
TABLE pg_prepared_statements
TABLE pg_cursors
TABLE pg_replication_slots
SELECT pg_notification_queue_usage()
SELECT pg_listening_channels()

-- channel: large objects
SELECT lo_get(4711)
SELECT lo_open(4711, 131072)
SELECT lo_create(4711)
TABLE pg_largeobject
TABLE pg_largeobject_metadata

-- channel: names
SELECT rolname FROM pg_roles
TABLE pg_user
SELECT datname FROM pg_database
SELECT oid FROM pg_namespace
SELECT has_table_privilege('ledger_cell', 'ledger.feed', 'SELECT')
SELECT pg_get_viewdef('pg_stats'::regclass)
SELECT to_regclass('ledger.feed')
SELECT setting FROM pg_settings

-- channel: functions that leak
SELECT version FROM ledger.stored_events WHERE 1 / (leaf_index - 3) > 1
SELECT version FROM ledger.stored_events WHERE topic::integer > 0 OR true
SELECT version FROM ledger.stored_events WHERE convert_from(state, 'UTF8')::integer > 0
SELECT key::integer FROM ledger.view_rows WHERE key::integer > 0
SELECT version FROM ledger.stored_events WHERE cast(stream_id::text AS integer) = 1
SELECT (SELECT version FROM ledger.stored_events)
DO $$BEGIN RAISE NOTICE 'x'; END$$
CREATE FUNCTION pg_temp.f(x anyelement) RETURNS boolean LANGUAGE sql COST 0.0001 RETURN true
CREATE FUNCTION public.f(x text) RETURNS boolean LANGUAGE sql RETURN true

-- channel: temporary tables
CREATE TEMPORARY TABLE mine AS SELECT * FROM ledger.stored_events
CREATE TEMPORARY VIEW mine AS SELECT * FROM ledger.stored_events

-- channel: other roles
SET ROLE ledger_cell
SET ROLE ledger
SET SESSION AUTHORIZATION ledger
SET row_security = off; SELECT count(*) FROM ledger.stored_events
RESET ROLE; SELECT count(*) FROM ledger.commands
SET ROLE NONE; SELECT count(*) FROM ledger.commands
RESET SESSION AUTHORIZATION; SELECT count(*) FROM ledger.commands
ALTER ROLE ledger_tenant SUPERUSER
GRANT ledger_cell TO ledger_tenant
ALTER TABLE ledger.stored_events NO FORCE ROW LEVEL SECURITY
DROP POLICY tenant_reads ON ledger.stored_events
SET session_replication_role = replica

-- channel: copy
COPY ledger.stored_events TO STDOUT
COPY (SELECT * FROM ledger.stored_events) TO STDOUT
COPY ledger.stored_events (xmin) TO STDOUT
COPY ledger.feed TO STDOUT
COPY ledger.commands TO STDOUT
COPY ledger.stored_events TO '/dev/null'
COPY ledger.stored_events TO PROGRAM 'cat'
