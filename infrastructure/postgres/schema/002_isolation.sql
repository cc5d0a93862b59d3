-- Row level security, and the roles that it binds. The roles belong to the whole cluster, so they are made before this
-- file runs (infrastructure/postgres/roles.py):
--
--   ledger_append  adds entries, commands, payloads and feed rows and moves heads; reads what an append must know, no entry
--   ledger_cell    the operator's own processes: reads all, writes read models and the decider's number
--   ledger_tenant  reads the rows of the one tenant that its transaction names in ledger.tenant_id, and nothing else
--
-- Every table of tenants enables and forces row level security: it binds the owner too, who has no policy and sees
-- nothing before he takes one of the roles. A later file that makes a table of tenants (tenant_id first in each key) adds:
--
--   ALTER TABLE ledger.x ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
--   CREATE POLICY cell_reads ON ledger.x FOR SELECT TO ledger_cell USING (true);
--   GRANT SELECT ON ledger.x TO ledger_cell;
--   -- what the cell or the append writes: a policy FOR ALL, or FOR INSERT, and the grant
--   -- what tenants read: by column, so that system columns (xmin counts the whole cell's transactions) stay hidden
--   CREATE POLICY tenant_reads ON ledger.x FOR SELECT TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()));
--   GRANT SELECT (tenant_id, a, b) ON ledger.x TO ledger_tenant;
--
-- A table of the whole cell (log_id) has no policy and no grant to ledger_tenant. A view is made WITH (security_invoker),
-- a function is never SECURITY DEFINER and is revoked from PUBLIC, and there are no sequences. tests/postgres/catalogue.py
-- walks the catalogue and holds all of this, and each grant, against its own list.

GRANT USAGE ON SCHEMA ledger TO ledger_append, ledger_cell, ledger_tenant;

-- The tenant of this transaction: SET LOCAL ledger.tenant_id. Unset, empty or malformed is no tenant, without an error.
-- Policies call it in a sub-select: once for each statement, and the planner's statistics of one tenant play no part.
CREATE FUNCTION ledger.bound_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN current_setting('ledger.tenant_id', true) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN current_setting('ledger.tenant_id', true)::uuid END;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.bound_tenant() TO ledger_tenant;

-- The channel that commits are told on. LISTEN asks for no privilege, so the name is the secret: 122 random bits that no
-- tenant can read. Otherwise every connection could learn when others write.
CREATE TABLE ledger.feed_channel (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name     text    NOT NULL DEFAULT 'ledger_feed_' || replace(gen_random_uuid()::text, '-', '')
);
INSERT INTO ledger.feed_channel DEFAULT VALUES;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.feed_channel
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.feed_channel ENABLE ALWAYS TRIGGER refuse_change;
REVOKE UPDATE, DELETE, TRUNCATE ON ledger.feed_channel FROM PUBLIC, CURRENT_USER;

ALTER TABLE ledger.log_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_reads ON ledger.log_heads FOR SELECT TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()));
CREATE POLICY append_reads ON ledger.log_heads FOR SELECT TO ledger_append USING (true);
CREATE POLICY append_adds ON ledger.log_heads FOR INSERT TO ledger_append WITH CHECK (true);
CREATE POLICY append_grows ON ledger.log_heads FOR UPDATE TO ledger_append USING (true);
CREATE POLICY cell_reads ON ledger.log_heads FOR SELECT TO ledger_cell USING (true);
GRANT SELECT (tenant_id, tree_size, frontier) ON ledger.log_heads TO ledger_tenant;
GRANT SELECT, INSERT, UPDATE (tree_size, frontier) ON ledger.log_heads TO ledger_append;
GRANT SELECT ON ledger.log_heads TO ledger_cell;

ALTER TABLE ledger.stored_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_reads ON ledger.stored_events FOR SELECT TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()));
CREATE POLICY append_reads ON ledger.stored_events FOR SELECT TO ledger_append USING (true);
CREATE POLICY append_adds ON ledger.stored_events FOR INSERT TO ledger_append WITH CHECK (true);
CREATE POLICY cell_reads ON ledger.stored_events FOR SELECT TO ledger_cell USING (true);
GRANT SELECT (tenant_id, stream_id, version, topic, state, leaf_index, leaf_hash) ON ledger.stored_events TO ledger_tenant;
GRANT SELECT (tenant_id, stream_id, version, leaf_index, leaf_hash), INSERT ON ledger.stored_events TO ledger_append;
GRANT SELECT ON ledger.stored_events TO ledger_cell;

ALTER TABLE ledger.commands ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY append_reads ON ledger.commands FOR SELECT TO ledger_append USING (true);
CREATE POLICY append_adds ON ledger.commands FOR INSERT TO ledger_append WITH CHECK (true);
CREATE POLICY cell_reads ON ledger.commands FOR SELECT TO ledger_cell USING (true);
GRANT SELECT, INSERT ON ledger.commands TO ledger_append;
GRANT SELECT ON ledger.commands TO ledger_cell;

ALTER TABLE ledger.payloads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_reads ON ledger.payloads FOR SELECT TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()));
CREATE POLICY append_adds ON ledger.payloads FOR INSERT TO ledger_append WITH CHECK (true);
CREATE POLICY cell_reads ON ledger.payloads FOR SELECT TO ledger_cell USING (true);
GRANT SELECT (tenant_id, digest, sealed) ON ledger.payloads TO ledger_tenant;
GRANT INSERT ON ledger.payloads TO ledger_append;
GRANT SELECT ON ledger.payloads TO ledger_cell;

ALTER TABLE ledger.view_rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_reads ON ledger.view_rows FOR SELECT TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()));
CREATE POLICY cell_keeps ON ledger.view_rows FOR ALL TO ledger_cell USING (true);
GRANT SELECT (tenant_id, projection, key, value) ON ledger.view_rows TO ledger_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.view_rows TO ledger_cell;

-- No tenant reads positions: what they count is the projection's choice, and may be the cell's feed.
ALTER TABLE ledger.view_positions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cell_keeps ON ledger.view_positions FOR ALL TO ledger_cell USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.view_positions TO ledger_cell;

-- Tables of the whole cell. To lock a row (FOR SHARE) takes the right to update one of its columns: only_row can only be
-- true, so it gives nothing else away.
GRANT SELECT, INSERT ON ledger.logs, ledger.feed TO ledger_append;
GRANT SELECT, UPDATE (last_position, last_notification_id) ON ledger.feed_counter TO ledger_append;
GRANT SELECT, UPDATE (only_row) ON ledger.decider_epoch TO ledger_append;
GRANT SELECT ON ledger.feed_channel TO ledger_append;
GRANT SELECT ON ledger.logs, ledger.feed, ledger.feed_counter, ledger.decider_epoch, ledger.feed_channel TO ledger_cell;
GRANT UPDATE (epoch) ON ledger.decider_epoch TO ledger_cell;
