-- Read models and views.

-- What the scheduler reads of each event (wire formats, section 8), sealed under a key of the cell for exactly the entry
-- that lies at that place. Written by whoever folds, after the append and apart from it; kept when a tenant's key goes.
CREATE TABLE ledger.sealed_views (
    log_id     uuid   NOT NULL,
    leaf_index bigint NOT NULL CHECK (leaf_index >= 0),
    sealed     bytea  NOT NULL,
    PRIMARY KEY (log_id, leaf_index)
);
ALTER TABLE ledger.sealed_views ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Up to which position of the feed there are views of every entry. One row, written in the transaction of the views.
CREATE TABLE ledger.sealed_views_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0)
);
INSERT INTO ledger.sealed_views_position DEFAULT VALUES;

-- Logs whose read models an older program kept in the clear, and until when: backups from before hold them still.
CREATE TABLE ledger.plain_read_models (
    log_id  uuid        PRIMARY KEY,
    until   timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE ledger.view_rows NO FORCE ROW LEVEL SECURITY;  -- for the next statement: it would see nothing
INSERT INTO ledger.plain_read_models (log_id) SELECT DISTINCT tenant_id FROM ledger.view_rows;
-- They are derived, and built again sealed. TRUNCATE gives the files back at once; DELETE would leave the rows in them.
TRUNCATE ledger.view_rows, ledger.view_positions;
ALTER TABLE ledger.view_rows FORCE ROW LEVEL SECURITY;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sealed_views', 'plain_read_models'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', name);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_change', name);
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON ledger.%I FROM PUBLIC, CURRENT_USER', name);
    END LOOP;
    CREATE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON ledger.sealed_views_position
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
    ALTER TABLE ledger.sealed_views_position ENABLE ALWAYS TRIGGER refuse_removal;
    REVOKE DELETE, TRUNCATE ON ledger.sealed_views_position FROM PUBLIC, CURRENT_USER;
END
$$;

GRANT SELECT, INSERT ON ledger.sealed_views TO ledger_cell;
GRANT SELECT, UPDATE (position) ON ledger.sealed_views_position TO ledger_cell;
GRANT SELECT ON ledger.plain_read_models TO ledger_cell;

-- Editions of read models. Rows lie under the name of the edition that they belong to (`disputes_v1`; built again:
-- `disputes_v1.3`); readers read the live one, which changes in one step from complete to complete.
CREATE TABLE ledger.view_editions (
    tenant_id  uuid   NOT NULL,
    projection text   NOT NULL,               -- without a version: `disputes`
    live       text   NOT NULL,               -- what readers read
    building   text,                          -- what is being built beside it
    retired    text[] NOT NULL DEFAULT '{}',  -- whose rows nobody reads any more: to be removed
    builds     bigint NOT NULL DEFAULT 0,     -- how many were begun: each has a name of its own
    PRIMARY KEY (tenant_id, projection)
);

-- Where an edition of one log stands still, and the kind of error; never anything of the entry.
CREATE TABLE ledger.view_faults (
    tenant_id  uuid        NOT NULL,
    edition    text        NOT NULL,
    leaf_index bigint      NOT NULL CHECK (leaf_index >= 0),
    error      text        NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, edition)
);

ALTER TABLE ledger.view_editions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_reads ON ledger.view_editions FOR SELECT TO ledger_tenant USING (tenant_id = (SELECT ledger.bound_tenant()));
CREATE POLICY cell_keeps ON ledger.view_editions FOR ALL TO ledger_cell USING (true);
GRANT SELECT (tenant_id, projection, live) ON ledger.view_editions TO ledger_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.view_editions TO ledger_cell;

ALTER TABLE ledger.view_faults ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cell_keeps ON ledger.view_faults FOR ALL TO ledger_cell USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.view_faults TO ledger_cell;
