-- What publication reads and writes: heads, frozen logs, floors that the database was found to hold, key notes, payloads.

-- name: heads
-- All logs with their heads, why they are frozen, and the floor that this database was last found to hold.
SELECT log.log_id, log.slot, log.origin, head.tree_size, head.frontier, head.frozen, published.size, published.root
FROM ledger.logs AS log
JOIN ledger.log_heads AS head ON head.tenant_id = log.log_id
LEFT JOIN ledger.publications AS published ON published.log_id = log.log_id
WHERE %(log_id)s::uuid IS NULL OR log.log_id = %(log_id)s::uuid
ORDER BY log.slot;

-- name: freeze
-- Let a log take nothing more. Waits for appends that hold its head; those that wait for it are refused.
UPDATE ledger.log_heads SET frozen = %(reason)s WHERE tenant_id = %(log_id)s AND frozen IS NULL RETURNING true;

-- name: thaw
-- Let a log go on.
UPDATE ledger.log_heads SET frozen = NULL WHERE tenant_id = %(log_id)s AND frozen IS NOT NULL RETURNING true;

-- name: close
-- Let a log take nothing more for good, if it is as long as that. Waits for appends that hold its head.
UPDATE ledger.log_heads SET closed = true
WHERE tenant_id = %(log_id)s AND tree_size = %(size)s AND NOT closed RETURNING true;

-- name: closed
SELECT closed FROM ledger.log_heads WHERE tenant_id = %(log_id)s;

-- name: publish
-- Remember the floor that this database was found to hold.
INSERT INTO ledger.publications (log_id, size, root) VALUES (%(log_id)s, %(size)s, %(root)s)
ON CONFLICT (log_id) DO UPDATE SET size = EXCLUDED.size, root = EXCLUDED.root
RETURNING true;

-- name: key_notes
-- The notes about a log's keys that are in force for trees larger than their size.
SELECT generation, from_size, note FROM ledger.key_notes WHERE log_id = %(log_id)s ORDER BY generation;

-- name: rotated_logs
-- The logs that have such notes.
SELECT DISTINCT log_id FROM ledger.key_notes;

-- name: unpublished_payloads
-- Payloads of a log that its published directory does not have yet.
SELECT digest, sealed FROM ledger.unpublished_payloads JOIN ledger.payloads USING (tenant_id, digest)
WHERE tenant_id = %(log_id)s LIMIT %(limit)s;

-- name: payloads_published
-- These are there now.
DELETE FROM ledger.unpublished_payloads
WHERE tenant_id = %(log_id)s AND digest = ANY(%(digests)b::bytea[])
RETURNING true;
