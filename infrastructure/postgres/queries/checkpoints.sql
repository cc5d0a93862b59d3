-- Kept states of the scheduler's fold.

-- name: read
-- The parts of a kept state, in order.
SELECT sealed FROM ledger.scheduler_checkpoints WHERE name = %(name)s ORDER BY part;

-- name: forget
-- Makes room for the next one, in its transaction.
DELETE FROM ledger.scheduler_checkpoints WHERE name = %(name)s;

-- name: put
-- The parts of a state.
INSERT INTO ledger.scheduler_checkpoints (name, part, sealed)
SELECT %(name)s, * FROM unnest(%(parts)b::bigint[], %(sealed)b::bytea[]);

-- name: lock
-- One at a time keeps a state of this name.
SELECT pg_advisory_xact_lock(hashtextextended('ledger checkpoint ' || %(name)s, 0));
