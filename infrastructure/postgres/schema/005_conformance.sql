-- Deciding again: where a decider goes on from, what the rounds' traces cover, and which rows came back after a restore.

-- A state of the scheduler's fold, sealed under a key of the cell, in parts. Derived: views give it again.
CREATE TABLE ledger.scheduler_checkpoints (
    name   text   NOT NULL,  -- who keeps it: `decider`, `rounds`
    part   bigint NOT NULL CHECK (part >= 0),
    sealed bytea  NOT NULL,
    PRIMARY KEY (name, part)
);
ALTER TABLE ledger.scheduler_checkpoints ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- What a round's trace covers: the feed up to this position, from where the round before ended; a bit for each entry,
-- whether it was decided, highest bit first; and the digest of the state that closes it. A round without a row has none.
CREATE TABLE ledger.anchor_traces (
    round    bigint PRIMARY KEY CHECK (round >= 0),
    position bigint NOT NULL CHECK (position >= 0),
    decided  bytea  NOT NULL,
    closing  bytea  NOT NULL CHECK (octet_length(closing) = 32)
);

-- Rows of the feed that came back after a restore: they lay at other positions when decisions rested on them.
CREATE TABLE ledger.feed_returned (
    first_position bigint PRIMARY KEY CHECK (first_position > 0),
    last_position  bigint NOT NULL,
    CHECK (last_position >= first_position)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['anchor_traces', 'feed_returned'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', name);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_change', name);
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON ledger.%I FROM PUBLIC, CURRENT_USER', name);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, DELETE ON ledger.scheduler_checkpoints TO ledger_cell;
GRANT SELECT, INSERT ON ledger.anchor_traces TO ledger_cell;
GRANT SELECT ON ledger.feed_returned TO ledger_cell;
GRANT INSERT ON ledger.feed_returned TO ledger_append;
