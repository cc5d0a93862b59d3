-- What was published: rounds of the anchor log, checkpoints that they commit to, frozen logs.

-- ---------------------------------------------------------------------------------------------------------------------
-- Publication of the logs: frozen ones, what was published of each, notes about their keys, payloads still to be written.

-- Why a log is frozen; NULL while it is not. It stands in the head's row because whoever appends locks that row and reads
-- it as its last writer left it: a log that was frozen while an append waited for the lock refuses that append too.
ALTER TABLE ledger.log_heads ADD COLUMN frozen text CHECK (frozen <> '');

-- A head only grows; apart from that it can be frozen and thawed as it is.
CREATE OR REPLACE FUNCTION ledger.refuse_shrinking_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.tree_size < OLD.tree_size
       OR (NEW.tree_size = OLD.tree_size AND NEW.frontier <> OLD.frontier)
       OR (NEW.tree_size = OLD.tree_size AND NEW.frozen IS NOT DISTINCT FROM OLD.frozen) THEN
        RAISE EXCEPTION 'ledger.log_heads: a head only grows' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

-- The floor that this database was last found to hold. A database that was restored from an older backup has an older row,
-- so that its tree is held against the floor again before anything else (infrastructure.publish.freezing).
CREATE TABLE ledger.publications (
    log_id uuid   PRIMARY KEY,
    size   bigint NOT NULL CHECK (size >= 0),
    root   bytea  NOT NULL CHECK (octet_length(root) = 32)
);

-- Notes about the keys that sign a log's checkpoints, by generation; generation 0 has one once there is another.
-- A row comes in the transaction of the KeyRotated event that names it.
CREATE TABLE ledger.key_notes (
    log_id     uuid    NOT NULL,
    generation integer NOT NULL CHECK (generation >= 0),
    from_size  bigint  NOT NULL CHECK (from_size >= 0),
    note       bytea   NOT NULL,
    PRIMARY KEY (log_id, generation),
    UNIQUE (log_id, from_size)
);

-- Payloads that the published directory does not have yet: they come with their payload and go when its file is durable.
CREATE TABLE ledger.unpublished_payloads (
    tenant_id uuid  NOT NULL,
    digest    bytea NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);
CREATE FUNCTION ledger.queue_payloads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger.unpublished_payloads (tenant_id, digest) SELECT tenant_id, digest FROM made ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_payloads AFTER INSERT ON ledger.payloads
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION ledger.queue_payloads();
ALTER TABLE ledger.payloads ENABLE ALWAYS TRIGGER queue_payloads;
INSERT INTO ledger.unpublished_payloads (tenant_id, digest) SELECT tenant_id, digest FROM ledger.payloads;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.key_notes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.key_notes ENABLE ALWAYS TRIGGER refuse_change;
REVOKE UPDATE, DELETE, TRUNCATE ON ledger.key_notes FROM PUBLIC, CURRENT_USER;

-- Who may do what (002_isolation.sql tells of the roles): the append adds, the cell publishes and freezes; no tenant reads.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_cell') THEN
        REVOKE ALL ON FUNCTION ledger.queue_payloads() FROM PUBLIC;
        CREATE POLICY cell_freezes ON ledger.log_heads FOR UPDATE TO ledger_cell USING (true);
        GRANT UPDATE (frozen) ON ledger.log_heads TO ledger_cell;
        ALTER TABLE ledger.unpublished_payloads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY append_adds ON ledger.unpublished_payloads FOR INSERT TO ledger_append WITH CHECK (true);
        CREATE POLICY cell_keeps ON ledger.unpublished_payloads FOR ALL TO ledger_cell USING (true);
        GRANT INSERT ON ledger.unpublished_payloads TO ledger_append;
        GRANT SELECT, DELETE ON ledger.unpublished_payloads TO ledger_cell;
        GRANT INSERT ON ledger.key_notes TO ledger_append;
        GRANT SELECT ON ledger.key_notes TO ledger_cell;
        GRANT SELECT, INSERT, UPDATE ON ledger.publications TO ledger_cell;
    END IF;
END
$$;
