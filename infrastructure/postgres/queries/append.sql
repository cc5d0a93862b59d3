-- The append: one transaction, two round trips. First round: begin, share_epoch, lock_heads. Second: the rest.

-- name: begin
-- Read committed, whatever the server's default: a head that we waited for is then read as its last writer left it.
BEGIN ISOLATION LEVEL READ COMMITTED;

-- name: share_epoch
-- The decider's number, held until commit: a new decider that has got its number knows that no older batch is under way.
SELECT epoch FROM ledger.decider_epoch FOR SHARE;

-- name: lock_heads
-- The heads of all logs of the batch, locked in order of their ids, so that two batches never wait for each other in a ring.
SELECT tenant_id, tree_size, frontier, frozen, closed
FROM ledger.log_heads
WHERE tenant_id = ANY(%(log_ids)b::uuid[])
ORDER BY tenant_id
FOR NO KEY UPDATE;

-- name: moved_on
-- How many guarded streams do not end with the guarded version: one has an event after it, or (in a database that was
-- restored) lacks it. The first so many are guards; the others are what the batch's own events follow, and whether one
-- of those is taken its insert tells. Their logs' heads are locked: none can come any more.
SELECT count(*)
FROM unnest(%(log_ids)b::uuid[], %(stream_ids)b::uuid[], %(versions)b::bigint[])
    WITH ORDINALITY AS guard (tenant_id, stream_id, version, place)
WHERE (guard.place <= %(guards)s::bigint AND EXISTS (
       SELECT FROM ledger.stored_events AS e
              WHERE e.tenant_id = guard.tenant_id AND e.stream_id = guard.stream_id AND e.version > guard.version))
   OR (guard.version >= 0 AND NOT EXISTS (
       SELECT FROM ledger.stored_events AS e
       WHERE e.tenant_id = guard.tenant_id AND e.stream_id = guard.stream_id AND e.version = guard.version));

-- name: insert_commands
-- First of all inserts: that a command is known matters more than the conflicts that follow from it.
INSERT INTO ledger.commands (tenant_id, issuer, command_id, digest, answer)
SELECT * FROM unnest(%(log_ids)b::uuid[], %(issuers)b::text[], %(command_ids)b::text[], %(digests)b::bytea[], %(answers)b::bytea[]);

-- name: insert_payloads
-- Stored under their own hash: one that is there already is the same.
INSERT INTO ledger.payloads (tenant_id, digest, sealed)
SELECT * FROM unnest(%(log_ids)b::uuid[], %(digests)b::bytea[], %(sealed)b::bytea[])
ON CONFLICT DO NOTHING;

-- name: insert_events
-- All events of the batch. A version that is taken already ends the transaction.
INSERT INTO ledger.stored_events (tenant_id, stream_id, version, topic, state, leaf_index, leaf_hash)
SELECT * FROM unnest(
    %(log_ids)b::uuid[], %(stream_ids)b::uuid[], %(versions)b::bigint[], %(topics)b::text[],
    %(states)b::bytea[], %(leaf_indices)b::bigint[], %(leaf_hashes)b::bytea[]);

-- name: update_heads
-- The new size and frontier of each log that grew.
UPDATE ledger.log_heads AS head
SET tree_size = new.tree_size, frontier = new.frontier
FROM unnest(%(log_ids)b::uuid[], %(tree_sizes)b::bigint[], %(frontiers)b::bytea[]) AS new (tenant_id, tree_size, frontier)
WHERE head.tenant_id = new.tenant_id;

-- name: insert_feed
-- Last of all: take the counter, held from here until commit only, and write one row for each log that grew.
WITH taken AS (
    UPDATE ledger.feed_counter
    SET last_position = last_position + cardinality(%(log_ids)b::uuid[]),
        last_notification_id = last_notification_id + %(events)s::bigint
    RETURNING last_position - cardinality(%(log_ids)b::uuid[]) AS position, last_notification_id - %(events)s::bigint AS id
)
INSERT INTO ledger.feed (position, log_id, first_index, count, first_notification_id)
SELECT taken.position + part.ordinal, part.log_id, part.first_index, part.count, taken.id + part.before + 1
FROM taken, unnest(%(log_ids)b::uuid[], %(first_indices)b::bigint[], %(counts)b::bigint[], %(befores)b::bigint[])
    WITH ORDINALITY AS part (log_id, first_index, count, before, ordinal)
RETURNING first_notification_id;

-- name: notify
-- Wakes whoever tails the feed. It carries nothing: they read.
SELECT pg_notify(name, '') FROM ledger.feed_channel;

-- name: commit
COMMIT;

-- name: take_epoch
-- A new decider's number. Waits for batches of the older one that are under way.
UPDATE ledger.decider_epoch SET epoch = epoch + 1 RETURNING epoch;

-- name: create_log
-- A log and its empty head; nothing if that id, slot or origin is taken.
WITH made AS (
    INSERT INTO ledger.logs (log_id, slot, origin) VALUES (%(log_id)s, %(slot)s, %(origin)s)
    ON CONFLICT DO NOTHING
    RETURNING log_id
)
INSERT INTO ledger.log_heads (tenant_id) SELECT log_id FROM made;
