-- The scheduler's views, sealed, beside the entries that they are of.

-- name: position
-- Up to which position of the feed there are views of every entry.
SELECT position FROM ledger.sealed_views_position;

-- name: read
-- The views of a log from one leaf index up to, not including, another, in order, with the leaf hashes of their entries.
SELECT v.leaf_index, v.sealed, e.leaf_hash
FROM ledger.sealed_views AS v
JOIN ledger.stored_events AS e ON e.tenant_id = v.log_id AND e.leaf_index = v.leaf_index
WHERE v.log_id = %(log_id)s AND v.leaf_index >= %(first)s AND v.leaf_index < %(last)s
ORDER BY v.leaf_index;

-- name: count
-- How many of a log's first entries have a view.
SELECT count(*) FROM ledger.sealed_views WHERE log_id = %(log_id)s AND leaf_index < %(size)s;

-- name: lazily
-- Views are derived: their commit needn't wait for the disk.
SET LOCAL synchronous_commit = off;

-- name: put
-- Views of one entry are alike, whoever wrote them first.
INSERT INTO ledger.sealed_views (log_id, leaf_index, sealed)
SELECT * FROM unnest(%(log_ids)b::uuid[], %(leaf_indices)b::bigint[], %(sealed)b::bytea[])
ON CONFLICT DO NOTHING;

-- name: move_on
-- Never back: of two writers each has written all from a position that was reached up to its own.
UPDATE ledger.sealed_views_position SET position = greatest(position, %(position)s);

-- name: plain_until
-- Until when an older program kept this log's read models in the clear; no row where none did.
SELECT until FROM ledger.plain_read_models WHERE log_id = %(log_id)s;
