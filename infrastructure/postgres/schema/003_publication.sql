-- What was published: rounds of the anchor log, checkpoints that they commit to, frozen logs.

-- ---------------------------------------------------------------------------------------------------------------------
-- Publication of the logs: frozen ones, what was published of each, notes about their keys, payloads still to be written.

-- Why a log is frozen; NULL while it is not. It stands in the head's row because whoever appends locks that row and reads
-- it as its last writer left it: a log that was frozen while an append waited for the lock refuses that append too.
ALTER TABLE ledger.log_heads ADD COLUMN frozen text CHECK (frozen <> '');

-- A log is closed for good just before its data keys are destroyed, at the size that was anchored: nothing slips in after.
ALTER TABLE ledger.log_heads ADD COLUMN closed boolean NOT NULL DEFAULT false;

-- A head only grows; apart from that it can be frozen, thawed and closed as it is.
CREATE OR REPLACE FUNCTION ledger.refuse_shrinking_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.tree_size < OLD.tree_size
       OR (NEW.tree_size = OLD.tree_size AND NEW.frontier <> OLD.frontier)
       OR (OLD.closed AND (NOT NEW.closed OR NEW.tree_size <> OLD.tree_size))
       OR (NEW.tree_size = OLD.tree_size AND NEW.closed = OLD.closed
           AND NEW.frozen IS NOT DISTINCT FROM OLD.frozen) THEN
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
ALTER TABLE ledger.payloads NO FORCE ROW LEVEL SECURITY;  -- for the next statement: it would see nothing
INSERT INTO ledger.unpublished_payloads (tenant_id, digest) SELECT tenant_id, digest FROM ledger.payloads;
ALTER TABLE ledger.payloads FORCE ROW LEVEL SECURITY;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.key_notes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.key_notes ENABLE ALWAYS TRIGGER refuse_change;
REVOKE UPDATE, DELETE, TRUNCATE ON ledger.key_notes FROM PUBLIC, CURRENT_USER;

-- Who may do what (002_isolation.sql tells of the roles): the append adds, the cell publishes and freezes; no tenant reads.
REVOKE ALL ON FUNCTION ledger.queue_payloads() FROM PUBLIC;
CREATE POLICY cell_freezes ON ledger.log_heads FOR UPDATE TO ledger_cell USING (true);
GRANT UPDATE (frozen, closed) ON ledger.log_heads TO ledger_cell;
ALTER TABLE ledger.unpublished_payloads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY append_adds ON ledger.unpublished_payloads FOR INSERT TO ledger_append WITH CHECK (true);
CREATE POLICY cell_keeps ON ledger.unpublished_payloads FOR ALL TO ledger_cell USING (true);
GRANT INSERT ON ledger.unpublished_payloads TO ledger_append;
GRANT SELECT, DELETE ON ledger.unpublished_payloads TO ledger_cell;
GRANT INSERT ON ledger.key_notes TO ledger_append;
GRANT SELECT ON ledger.key_notes TO ledger_cell;
GRANT SELECT, INSERT, UPDATE ON ledger.publications TO ledger_cell;

-- ---------------------------------------------------------------------------------------------------------------------
-- The anchor log: one for the whole cell, read by no tenant (wire formats, section 3).

-- Its entries, in order. A round is its entry's leaf index. The frontier is that of the log with this round in it, as in
-- log_heads: the root at any size is in one row.
CREATE TABLE ledger.anchor_rounds (
    round    bigint PRIMARY KEY CHECK (round >= 0),
    entry    bytea  NOT NULL,
    frontier bytea  NOT NULL CHECK (octet_length(frontier) % 32 = 0),
    at_ms    bigint NOT NULL
);

-- What the rounds commit to: the text of a log's newest published checkpoint, from this round on until a later row of
-- that slot. With the anchor secret these rows open any slot of any round again.
CREATE TABLE ledger.anchored_checkpoints (
    slot  bigint NOT NULL CHECK (slot >= 0),
    round bigint NOT NULL CHECK (round >= 0),
    text  bytea  NOT NULL CHECK (octet_length(text) BETWEEN 1 AND 512),
    PRIMARY KEY (slot, round)
);
CREATE INDEX anchored_checkpoints_round ON ledger.anchored_checkpoints (round);

-- Checkpoints of the anchor log with the cosignatures that they got. `quorum` tells whether those were what the
-- configured policy asks for. A size is there twice at most: a crash can have its witnesses asked again.
CREATE TABLE ledger.anchor_checkpoints (
    size   bigint  NOT NULL CHECK (size > 0),
    quorum boolean NOT NULL,
    note   bytea   NOT NULL,
    at_ms  bigint  NOT NULL,
    PRIMARY KEY (quorum, size)
);
ALTER TABLE ledger.anchor_checkpoints ALTER COLUMN note SET STORAGE EXTERNAL;

-- What a witness answered that contradicts our log, once for each size that it holds against us: `found` is `ahead` where
-- it says that it knows a larger tree (the log is frozen), `disagrees` where it finds our tree inconsistent.
CREATE TABLE ledger.anchor_disputes (
    witness text   NOT NULL,
    found   text   NOT NULL CHECK (found IN ('ahead', 'disagrees')),
    size    bigint NOT NULL CHECK (size >= 0),
    note    bytea  NOT NULL,
    at_ms   bigint NOT NULL,
    PRIMARY KEY (witness, found, size)
);

-- What each witness did last: the largest size that it cosigned, and why it did not cosign since, if so.
CREATE TABLE ledger.anchor_witnesses (
    witness text   PRIMARY KEY,
    size    bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
    at_ms   bigint NOT NULL DEFAULT 0,
    trouble text
);

-- Rounds are dense, whoever writes them.
CREATE FUNCTION ledger.refuse_gap_in_rounds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.round > 0 AND NOT EXISTS (SELECT FROM ledger.anchor_rounds WHERE round = NEW.round - 1) THEN
        RAISE EXCEPTION 'ledger.anchor_rounds: round % would leave a gap', NEW.round USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION ledger.refuse_gap_in_rounds() FROM PUBLIC;
CREATE TRIGGER refuse_gap BEFORE INSERT ON ledger.anchor_rounds FOR EACH ROW EXECUTE FUNCTION ledger.refuse_gap_in_rounds();
ALTER TABLE ledger.anchor_rounds ENABLE ALWAYS TRIGGER refuse_gap;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['anchor_rounds', 'anchored_checkpoints', 'anchor_checkpoints', 'anchor_disputes'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', name);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_change', name);
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON ledger.%I FROM PUBLIC, CURRENT_USER', name);
    END LOOP;
END
$$;

-- Who may do what (002_isolation.sql tells of the roles): the cell's own processes; no tenant, and no append.
GRANT SELECT, INSERT ON ledger.anchor_rounds, ledger.anchored_checkpoints, ledger.anchor_checkpoints,
                        ledger.anchor_disputes TO ledger_cell;
GRANT SELECT, INSERT, UPDATE ON ledger.anchor_witnesses TO ledger_cell;
