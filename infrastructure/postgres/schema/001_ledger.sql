-- The ledger: logs, their events, the feed that orders all commits, and the read models.
--
-- Tables of tenants have a column tenant_id (the id of the log that the row belongs to), and each of their keys begins
-- with it: nothing about one tenant's rows can be learnt from a refusal on another's. Tables of the whole cell, which no
-- tenant ever reads, call the same value log_id.

CREATE SCHEMA IF NOT EXISTS ledger;

-- Which files of this folder were applied, in order; the digest shows a file that was edited afterwards.
CREATE TABLE ledger.schema_migrations (
    version integer PRIMARY KEY,
    name    text    NOT NULL,
    digest  bytea   NOT NULL CHECK (octet_length(digest) = 32)
);

-- The logs of this cell. A slot is given once and never again (wire formats, section 2); the platform's is 0.
CREATE TABLE ledger.logs (
    log_id uuid   PRIMARY KEY,
    slot   bigint NOT NULL UNIQUE CHECK (slot >= 0),
    origin text   NOT NULL UNIQUE CHECK (origin <> '')
);

-- The head of each log: its size and the roots of its perfect subtrees, largest first, 32 bytes each. Whoever appends
-- holds this row's lock until commit, so leaf indices are dense and nobody extends an old frontier. Room is left on the
-- pages because every append rewrites a row.
CREATE TABLE ledger.log_heads (
    tenant_id uuid   PRIMARY KEY,
    tree_size bigint NOT NULL DEFAULT 0 CHECK (tree_size >= 0),
    frontier  bytea  NOT NULL DEFAULT '' CHECK (octet_length(frontier) % 32 = 0)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

-- The events. state is the sealed entry: the only copy, never written again. (tenant_id, stream_id, version) is the
-- optimistic check of the streams; (tenant_id, leaf_index) the place in the Merkle tree. There is no foreign key to the
-- log: the lock on its head, which each append takes, proves more and costs nothing for each row.
CREATE TABLE ledger.stored_events (
    tenant_id  uuid   NOT NULL,
    stream_id  uuid   NOT NULL,
    version    bigint NOT NULL,
    topic      text   NOT NULL,
    state      bytea  NOT NULL,
    leaf_index bigint NOT NULL CHECK (leaf_index >= 0),
    leaf_hash  bytea  NOT NULL CHECK (octet_length(leaf_hash) = 32),
    PRIMARY KEY (tenant_id, stream_id, version),
    CONSTRAINT stored_events_leaf UNIQUE (tenant_id, leaf_index)
);
-- Ciphertext does not compress: don't try.
ALTER TABLE ledger.stored_events ALTER COLUMN state SET STORAGE EXTERNAL;
-- Finds a stream whose log the caller does not name (the library's interface has no word for it). Not unique: two
-- tenants' streams never meet in a key.
CREATE INDEX stored_events_stream ON ledger.stored_events (stream_id);

-- The commands that were carried out, with their answers: the same command again gets the same answer.
CREATE TABLE ledger.commands (
    tenant_id  uuid  NOT NULL,
    issuer     text  NOT NULL,
    command_id text  NOT NULL,
    digest     bytea NOT NULL,
    answer     bytea NOT NULL,
    PRIMARY KEY (tenant_id, issuer, command_id)
);

-- Payloads too large for an entry, sealed, under the hash of their sealed bytes.
CREATE TABLE ledger.payloads (
    tenant_id uuid  NOT NULL,
    digest    bytea NOT NULL CHECK (octet_length(digest) = 32),
    sealed    bytea NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);
ALTER TABLE ledger.payloads ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- The order of all commits: one row for each log that a transaction extended. Positions come from feed_counter, which the
-- transaction locks last and holds until commit: they are dense and become visible in order, so that who has read up to a
-- position has missed nothing before it. A sequence would not do: it gives out numbers before their commits.
CREATE TABLE ledger.feed (
    position              bigint PRIMARY KEY CHECK (position > 0),
    log_id                uuid   NOT NULL,
    first_index           bigint NOT NULL CHECK (first_index >= 0),
    count                 bigint NOT NULL CHECK (count > 0),
    first_notification_id bigint NOT NULL UNIQUE CHECK (first_notification_id > 0),
    UNIQUE (log_id, first_index)
);

-- The last feed position and the last notification id that were given out: one row.
CREATE TABLE ledger.feed_counter (
    only_row             boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_position        bigint NOT NULL DEFAULT 0,
    last_notification_id bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
INSERT INTO ledger.feed_counter DEFAULT VALUES;

-- Which decider may write: each new one takes the next number, and batches of an older one fail. One row.
CREATE TABLE ledger.decider_epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    bigint NOT NULL DEFAULT 0
);
INSERT INTO ledger.decider_epoch DEFAULT VALUES;

-- Rows of the read models: derived, so they may be changed and deleted.
CREATE TABLE ledger.view_rows (
    tenant_id  uuid  NOT NULL,
    projection text  NOT NULL,
    key        text  NOT NULL,
    value      bytea NOT NULL,
    PRIMARY KEY (tenant_id, projection, key)
);

-- How far each read model has come: written in the transaction that changes its rows, so each event counts once.
CREATE TABLE ledger.view_positions (
    tenant_id  uuid   NOT NULL,
    projection text   NOT NULL,
    position   bigint NOT NULL CHECK (position >= 0),
    PRIMARY KEY (tenant_id, projection)
);

-- Refuses, for everybody: the owner and a superuser too, and under session_replication_role = replica (ENABLE ALWAYS).
CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger.% keeps what it has: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

-- A head only grows: a smaller tree, or another one of the same size, would be a second history.
CREATE FUNCTION ledger.refuse_shrinking_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.tree_size <= OLD.tree_size THEN
        RAISE EXCEPTION 'ledger.log_heads: a head only grows' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refuse_shrinking BEFORE UPDATE ON ledger.log_heads FOR EACH ROW EXECUTE FUNCTION ledger.refuse_shrinking_head();
ALTER TABLE ledger.log_heads ENABLE ALWAYS TRIGGER refuse_shrinking;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['schema_migrations', 'logs', 'stored_events', 'commands', 'payloads', 'feed'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', name);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_change', name);
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON ledger.%I FROM PUBLIC, CURRENT_USER', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['log_heads', 'feed_counter', 'decider_epoch'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON ledger.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', name);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_removal', name);
        EXECUTE format('REVOKE DELETE, TRUNCATE ON ledger.%I FROM PUBLIC, CURRENT_USER', name);
    END LOOP;
END
$$;
