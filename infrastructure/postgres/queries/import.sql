-- The import: entries come to lie at exact leaf indices, over several logs in one transaction, whether frozen or not.

-- name: lock_heads
-- The heads of all logs of the import, locked in order of their ids, as every append does.
SELECT tenant_id, tree_size, frontier, frozen FROM ledger.log_heads
WHERE tenant_id = ANY(%(log_ids)b::uuid[]) ORDER BY tenant_id FOR NO KEY UPDATE;

-- name: insert_commands
-- Commands that were carried out. One that is known already keeps its first answer.
INSERT INTO ledger.commands (tenant_id, issuer, command_id, digest, answer)
SELECT * FROM unnest(%(log_ids)b::uuid[], %(issuers)b::text[], %(command_ids)b::text[], %(digests)b::bytea[], %(answers)b::bytea[])
ON CONFLICT DO NOTHING;

-- name: insert_payloads
-- Sealed payloads.
INSERT INTO ledger.payloads (tenant_id, digest, sealed)
SELECT * FROM unnest(%(log_ids)b::uuid[], %(digests)b::bytea[], %(sealed)b::bytea[])
ON CONFLICT DO NOTHING;

-- name: insert_key_note
-- A note about a log's keys.
INSERT INTO ledger.key_notes (log_id, generation, from_size, note)
VALUES (%(log_id)s, %(generation)s, %(from_size)s, %(note)s)
ON CONFLICT DO NOTHING;

-- name: insert_events
-- Entries of one log, in leaf order.
INSERT INTO ledger.stored_events (tenant_id, stream_id, version, topic, state, leaf_index, leaf_hash)
SELECT %(log_id)s, * FROM unnest(
    %(stream_ids)b::uuid[], %(versions)b::bigint[], %(topics)b::text[], %(states)b::bytea[], %(leaf_indices)b::bigint[],
    %(leaf_hashes)b::bytea[]);

-- name: update_head
-- The new size and frontier of a log.
UPDATE ledger.log_heads SET tree_size = %(tree_size)s, frontier = %(frontier)s WHERE tenant_id = %(log_id)s;

-- name: take_positions
-- Last of all locks: the feed's counter, moved on by so many rows and events. Gives what it was before.
UPDATE ledger.feed_counter
SET last_position = last_position + %(rows)s::bigint, last_notification_id = last_notification_id + %(events)s::bigint
RETURNING last_position - %(rows)s::bigint, last_notification_id - %(events)s::bigint;

-- name: insert_feed
-- The feed's rows, in the order of the import.
INSERT INTO ledger.feed (position, log_id, first_index, count, first_notification_id)
SELECT * FROM unnest(
    %(positions)b::bigint[], %(log_ids)b::uuid[], %(first_indices)b::bigint[], %(counts)b::bigint[], %(ids)b::bigint[]);

-- name: note_returned
-- Remembers that these rows lay at other positions before.
INSERT INTO ledger.feed_returned (first_position, last_position) VALUES (%(first)s, %(last)s);
