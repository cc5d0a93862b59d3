-- Read models: rows and tracking change in one transaction.

-- name: open_position
-- The row of tracking, made on first use.
INSERT INTO ledger.view_positions (tenant_id, projection, position) VALUES (%(log_id)s, %(projection)s, 0)
ON CONFLICT DO NOTHING;

-- name: move_position
-- Moves tracking on, only from where the caller believes it to be; locks it until commit.
UPDATE ledger.view_positions SET position = %(to)s
WHERE tenant_id = %(log_id)s AND projection = %(projection)s AND position = %(from)s;

-- name: put_rows
-- Writes rows, new or changed.
INSERT INTO ledger.view_rows (tenant_id, projection, key, value)
SELECT %(log_id)s, %(projection)s, new.key, new.value
FROM unnest(%(keys)b::text[], %(values)b::bytea[]) AS new (key, value)
ON CONFLICT (tenant_id, projection, key) DO UPDATE SET value = EXCLUDED.value;

-- name: delete_rows
-- Removes rows by key.
DELETE FROM ledger.view_rows
WHERE tenant_id = %(log_id)s AND projection = %(projection)s AND key = ANY(%(keys)b::text[]);

-- name: clear_rows
-- Removes all rows of a read model of one log.
DELETE FROM ledger.view_rows WHERE tenant_id = %(log_id)s AND projection = %(projection)s;

-- name: clear_position
-- Forgets how far it had come.
DELETE FROM ledger.view_positions WHERE tenant_id = %(log_id)s AND projection = %(projection)s;

-- name: position
-- How far a read model has come.
SELECT position FROM ledger.view_positions WHERE tenant_id = %(log_id)s AND projection = %(projection)s;

-- name: rows
-- All rows of a read model of one log, in order of their keys.
SELECT key, value FROM ledger.view_rows WHERE tenant_id = %(log_id)s AND projection = %(projection)s ORDER BY key;

-- name: row
-- One row.
SELECT value FROM ledger.view_rows WHERE tenant_id = %(log_id)s AND projection = %(projection)s AND key = %(key)s;

-- name: drop_rows
-- Removes all rows of a log, of whatever read model.
DELETE FROM ledger.view_rows WHERE tenant_id = %(log_id)s;

-- name: drop_positions
-- Forgets how far they had come.
DELETE FROM ledger.view_positions WHERE tenant_id = %(log_id)s;
