-- What a backup reads, and what a restore writes. {…} are identifiers from the catalogue, quoted by the driver.

-- The durable tables of the ledger with their columns in order, and whether policies bind their owner.
-- name: tables
SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum), c.relforcerowsecurity
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'ledger' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
GROUP BY c.oid, c.relname, c.relforcerowsecurity ORDER BY c.relname;

-- name: read_as_the_cell
SET LOCAL ROLE ledger_cell;

-- name: logs
SELECT l.log_id, l.slot, l.origin, coalesce(h.tree_size, 0), coalesce(h.closed, false)
FROM ledger.logs l LEFT JOIN ledger.log_heads h ON h.tenant_id = l.log_id ORDER BY l.slot;

-- name: copy_out
COPY (SELECT {columns} FROM ledger.{table}) TO STDOUT (FORMAT binary);

-- Rounds are only taken in their order.
-- name: copy_out_in_order
COPY (SELECT {columns} FROM ledger.{table} ORDER BY {order}) TO STDOUT (FORMAT binary);

-- name: copy_in
COPY ledger.{table} ({columns}) FROM STDIN (FORMAT binary);

-- Of a table that has its one row from the start.
-- name: make_stage
CREATE TEMPORARY TABLE stage (LIKE ledger.{table}) ON COMMIT DROP;

-- name: copy_into_stage
COPY stage ({columns}) FROM STDIN (FORMAT binary);

-- name: take_from_stage
UPDATE ledger.{table} SET ({columns}) = (SELECT {columns} FROM stage);

-- name: drop_stage
DROP TABLE stage;

-- name: let_the_owner_write
ALTER TABLE ledger.{table} NO FORCE ROW LEVEL SECURITY;

-- name: bind_the_owner
ALTER TABLE ledger.{table} FORCE ROW LEVEL SECURITY;

-- Of each log and generation of its data key the newest entry. The generation is the first four bytes of the kid, whose
-- place follows from the head of the protected header: one byte of length (0x58) or two (0x59).
-- name: newest_of_each_generation
SELECT e.tenant_id, e.state
FROM (
    SELECT tenant_id, max(leaf_index) AS leaf_index
    FROM ledger.stored_events
    GROUP BY tenant_id, substring(state FROM CASE get_byte(state, 2) WHEN 88 THEN 14 ELSE 15 END FOR 4)
) newest
JOIN ledger.stored_events e USING (tenant_id, leaf_index);

-- name: newest_key_notes
SELECT DISTINCT ON (log_id) log_id, generation, note FROM ledger.key_notes ORDER BY log_id, generation DESC;
