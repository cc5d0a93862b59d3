-- Read models: rows and tracking change in one transaction. Rows lie under the name of an edition; `family` is the name of
-- the projection without its version.

-- name: quickly
-- What is derived may wait for the disk: a crash takes rows and position back together, and they are folded again.
SET LOCAL synchronous_commit = off;

-- name: open_edition
-- The first edition of a projection for a log is live at once; there is nothing to read before it.
INSERT INTO ledger.view_editions (tenant_id, projection, live) VALUES (%(log_id)s, %(family)s, %(edition)s)
ON CONFLICT DO NOTHING;

-- name: hold_edition
-- One that is live or being built stays so until commit.
SELECT FROM ledger.view_editions
WHERE tenant_id = %(log_id)s AND projection = %(family)s AND %(edition)s IN (live, building) FOR SHARE;

-- name: open_position
-- The row of tracking, made on first use.
INSERT INTO ledger.view_positions (tenant_id, projection, position) VALUES (%(log_id)s, %(edition)s, 0)
ON CONFLICT DO NOTHING;

-- name: move_position
-- Moves tracking on, only from where the caller believes it to be; locks it until commit.
UPDATE ledger.view_positions SET position = %(to)s
WHERE tenant_id = %(log_id)s AND projection = %(edition)s AND position = %(from)s;

-- name: put_rows
-- Writes rows, new or changed.
INSERT INTO ledger.view_rows (tenant_id, projection, key, value)
SELECT %(log_id)s, %(edition)s, new.key, new.value
FROM unnest(%(keys)b::text[], %(values)b::bytea[]) AS new (key, value)
ON CONFLICT (tenant_id, projection, key) DO UPDATE SET value = EXCLUDED.value;

-- name: delete_rows
-- Removes rows by key.
DELETE FROM ledger.view_rows
WHERE tenant_id = %(log_id)s AND projection = %(edition)s AND key = ANY(%(keys)b::text[]);

-- name: clear_fault
-- It moves again.
DELETE FROM ledger.view_faults WHERE tenant_id = %(log_id)s AND edition = %(edition)s;

-- name: put_fault
-- It stands still; the instant stays that of the first time at this place.
INSERT INTO ledger.view_faults AS known (tenant_id, edition, leaf_index, error)
VALUES (%(log_id)s, %(edition)s, %(leaf_index)s, %(error)s)
ON CONFLICT (tenant_id, edition) DO UPDATE
SET leaf_index = EXCLUDED.leaf_index, error = EXCLUDED.error,
    since = CASE WHEN known.leaf_index = EXCLUDED.leaf_index THEN known.since ELSE now() END;

-- name: position
-- How far the live edition has come.
SELECT p.position FROM ledger.view_editions AS e
JOIN ledger.view_positions AS p ON p.tenant_id = e.tenant_id AND p.projection = e.live
WHERE e.tenant_id = %(log_id)s AND e.projection = %(family)s;

-- name: rows
-- All rows of a log's live edition, in order of their keys: one statement sees one edition, whole.
SELECT r.key, r.value FROM ledger.view_editions AS e
JOIN ledger.view_rows AS r ON r.tenant_id = e.tenant_id AND r.projection = e.live
WHERE e.tenant_id = %(log_id)s AND e.projection = %(family)s ORDER BY r.key;

-- name: row
-- One row of a log's live edition.
SELECT r.value FROM ledger.view_editions AS e
JOIN ledger.view_rows AS r ON r.tenant_id = e.tenant_id AND r.projection = e.live
WHERE e.tenant_id = %(log_id)s AND e.projection = %(family)s AND r.key = %(key)s;

-- name: rows_between
-- Rows of a log's live edition with keys in [first, last), in their order, and the one before them; so many at most.
SELECT r.key, r.value FROM ledger.view_editions AS e
JOIN ledger.view_rows AS r ON r.tenant_id = e.tenant_id AND r.projection = e.live
WHERE e.tenant_id = %(log_id)s AND e.projection = %(family)s AND r.key < %(last)s AND r.key >= coalesce(
    (SELECT b.key FROM ledger.view_rows AS b
     WHERE b.tenant_id = e.tenant_id AND b.projection = e.live AND b.key < %(first)s ORDER BY b.key DESC LIMIT 1),
    %(first)s)
ORDER BY r.key LIMIT %(limit)s;

-- name: rows_within
-- Rows of a log's live edition from one key to another, both included, in order of their keys.
SELECT r.key, r.value FROM ledger.view_editions AS e
JOIN ledger.view_rows AS r ON r.tenant_id = e.tenant_id AND r.projection = e.live
WHERE e.tenant_id = %(log_id)s AND e.projection = %(family)s AND r.key >= %(first)s AND r.key <= %(last)s
ORDER BY r.key LIMIT %(limit)s;

-- name: row_of_edition
-- One row of one edition, for whoever folds it.
SELECT value FROM ledger.view_rows WHERE tenant_id = %(log_id)s AND projection = %(edition)s AND key = %(key)s;

-- name: standings
-- How a projection stands over its logs: a log's size, live edition and position, what is being built and how far that
-- is, whether rows of older editions are left, and faults of the two. A log without rows yet has no edition.
SELECT h.tenant_id, h.tree_size, e.live, coalesce(lp.position, 0), e.building, coalesce(bp.position, 0),
       coalesce(cardinality(e.retired), 0) > 0, coalesce(lf.leaf_index, bf.leaf_index), coalesce(lf.error, bf.error),
       (extract(epoch FROM coalesce(lf.since, bf.since)) * 1000)::bigint
FROM ledger.log_heads AS h
LEFT JOIN ledger.view_editions AS e ON e.tenant_id = h.tenant_id AND e.projection = %(family)s
LEFT JOIN ledger.view_positions AS lp ON lp.tenant_id = e.tenant_id AND lp.projection = e.live
LEFT JOIN ledger.view_positions AS bp ON bp.tenant_id = e.tenant_id AND bp.projection = e.building
LEFT JOIN ledger.view_faults AS lf ON lf.tenant_id = h.tenant_id AND lf.edition = coalesce(e.live, %(name)s)
LEFT JOIN ledger.view_faults AS bf ON bf.tenant_id = e.tenant_id AND bf.edition = e.building
WHERE h.tenant_id BETWEEN %(first)s AND %(last)s
ORDER BY h.tenant_id;

-- name: lock_edition
-- Waits for changes under way, and holds others back until commit.
SELECT live, building FROM ledger.view_editions
WHERE tenant_id = %(log_id)s AND projection = %(family)s FOR UPDATE;

-- name: begin_build
-- A new edition beside the live one, under a name that none had before; what was being built is given up.
UPDATE ledger.view_editions
SET building = %(name)s || '.' || builds + 1, builds = builds + 1, retired = array_remove(retired || building, NULL)
WHERE tenant_id = %(log_id)s AND projection = %(family)s
RETURNING building;

-- name: positions
-- How far the two editions have come.
SELECT projection, position FROM ledger.view_positions
WHERE tenant_id = %(log_id)s AND projection IN (%(live)s, %(building)s);

-- name: switch
-- From now on readers read what was built.
UPDATE ledger.view_editions SET live = building, building = NULL, retired = retired || live
WHERE tenant_id = %(log_id)s AND projection = %(family)s AND building = %(building)s;

-- name: retired
-- Editions whose rows are to be removed. Nobody writes them any more.
SELECT unnest(retired) FROM ledger.view_editions WHERE tenant_id = %(log_id)s AND projection = %(family)s;

-- name: sweep_rows
-- Removes some rows of a retired edition.
DELETE FROM ledger.view_rows
WHERE tenant_id = %(log_id)s AND projection = %(edition)s
  AND key IN (SELECT key FROM ledger.view_rows
              WHERE tenant_id = %(log_id)s AND projection = %(edition)s LIMIT %(limit)s);

-- name: clear_position
-- Forgets how far an edition had come.
DELETE FROM ledger.view_positions WHERE tenant_id = %(log_id)s AND projection = %(edition)s;

-- name: forget_edition
-- Nothing of a retired edition is left.
UPDATE ledger.view_editions SET retired = array_remove(retired, %(edition)s)
WHERE tenant_id = %(log_id)s AND projection = %(family)s;

-- name: drop_editions
-- A log has no read models any more: first this, so that nobody writes rows meanwhile.
DELETE FROM ledger.view_editions WHERE tenant_id = %(log_id)s;

-- name: drop_rows
-- Removes all rows of a log, of whatever read model.
DELETE FROM ledger.view_rows WHERE tenant_id = %(log_id)s;

-- name: drop_positions
-- Forgets how far they had come.
DELETE FROM ledger.view_positions WHERE tenant_id = %(log_id)s;

-- name: drop_faults
-- Forgets where they stood still.
DELETE FROM ledger.view_faults WHERE tenant_id = %(log_id)s;

-- name: try_lease
-- A name that one session of all processes holds; it goes with the session.
SELECT pg_try_advisory_lock(%(key)s);

-- name: try_lease_together
-- The same name held by several sessions, none of them alone.
SELECT pg_try_advisory_lock_shared(%(key)s);

-- name: end_lease
-- Lets others have it.
SELECT pg_advisory_unlock(%(key)s);

-- name: leased
-- Which names somebody holds, each in two halves.
SELECT classid::bigint, objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: still_there
-- Asks whether the session lives, and with it its leases.
SELECT true;

-- name: notice_death
-- Lets the server notice within some 20 s that a machine is gone; a process that dies is noticed at once.
SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false);
