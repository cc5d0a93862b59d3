-- Reads. None of them takes a lock of the append.

-- name: logs
-- All logs, in order of their slots.
SELECT log_id, slot, origin FROM ledger.logs ORDER BY slot;

-- name: log
-- One log.
SELECT log_id, slot, origin FROM ledger.logs WHERE log_id = %(log_id)s;

-- name: head
-- A log's size and frontier.
SELECT tree_size, frontier FROM ledger.log_heads WHERE tenant_id = %(log_id)s;

-- name: command
-- What a command was answered.
SELECT digest, answer FROM ledger.commands
WHERE tenant_id = %(log_id)s AND issuer = %(issuer)s AND command_id = %(command_id)s;

-- name: payload
-- A payload's sealed bytes.
SELECT sealed FROM ledger.payloads WHERE tenant_id = %(log_id)s AND digest = %(digest)s;

-- name: entries
-- A log's events from one leaf index up to, not including, another, in order, with the notification ids that their
-- feed rows give them. The feed is entered at the row that holds the first one; OFFSET 0 keeps the planner to one index
-- lookup for each feed row, whatever its statistics say.
SELECT e.leaf_index, e.stream_id, e.version, e.topic, e.state, e.leaf_hash,
       f.first_notification_id + e.leaf_index - f.first_index
FROM ledger.feed AS f
CROSS JOIN LATERAL (
    SELECT * FROM ledger.stored_events
    WHERE tenant_id = f.log_id
      AND leaf_index >= greatest(f.first_index, %(first)s) AND leaf_index < least(f.first_index + f.count, %(last)s)
    OFFSET 0
) AS e
WHERE f.log_id = %(log_id)s
  AND f.first_index >= coalesce((SELECT max(first_index) FROM ledger.feed
                                 WHERE log_id = %(log_id)s AND first_index <= %(first)s), 0)
  AND f.first_index < %(last)s
ORDER BY f.first_index, e.leaf_index;

-- name: entries_at
-- A log's events at some leaf indices, in order; those that it does not have are left out.
SELECT leaf_index, stream_id, version, topic, state, leaf_hash FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND leaf_index = ANY(%(leaf_indices)b::bigint[]) ORDER BY leaf_index;

-- name: leaf_hashes
-- A log's leaf hashes from one leaf index up to, not including, another, in order.
SELECT leaf_hash FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND leaf_index >= %(first)s AND leaf_index < %(last)s ORDER BY leaf_index;

-- name: leaf_index
-- Where an event lies in its log.
SELECT leaf_index FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND stream_id = %(stream_id)s AND version = %(version)s;

-- name: streams
-- A log's streams and the version of the last event in each.
SELECT stream_id, max(version) FROM ledger.stored_events WHERE tenant_id = %(log_id)s GROUP BY stream_id ORDER BY stream_id;

-- name: stream_log
-- The logs that hold a stream: one, if ids are made as they should be.
SELECT DISTINCT tenant_id FROM ledger.stored_events WHERE stream_id = %(stream_id)s;

-- name: stream_ascending
-- A stream's events in order.
SELECT version, topic, state FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND stream_id = %(stream_id)s AND version > %(after)s AND version <= %(last)s
ORDER BY version LIMIT %(limit)s;

-- name: tails
-- What several streams hold beyond versions that are known, each in order.
SELECT tail.tenant_id, tail.stream_id, tail.version, tail.topic, tail.state, tail.leaf_index
FROM unnest(%(log_ids)b::uuid[], %(stream_ids)b::uuid[], %(after)b::bigint[]) AS known (tenant_id, stream_id, version)
CROSS JOIN LATERAL (
    SELECT e.tenant_id, e.stream_id, e.version, e.topic, e.state, e.leaf_index FROM ledger.stored_events AS e
    WHERE e.tenant_id = known.tenant_id AND e.stream_id = known.stream_id AND e.version > known.version
    ORDER BY e.version) AS tail;

-- name: stream_descending
-- A stream's events, last first.
SELECT version, topic, state FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND stream_id = %(stream_id)s AND version > %(after)s AND version <= %(last)s
ORDER BY version DESC LIMIT %(limit)s;

-- name: stored_as
-- Which of these events are stored with exactly these leaf hashes: what a writer asks that lost its connection in a commit.
SELECT e.tenant_id, e.stream_id, e.version, e.leaf_index, f.first_notification_id + e.leaf_index - f.first_index,
       f.first_index + f.count
FROM unnest(%(log_ids)b::uuid[], %(stream_ids)b::uuid[], %(versions)b::bigint[], %(leaf_hashes)b::bytea[])
    AS mine (tenant_id, stream_id, version, leaf_hash)
JOIN ledger.stored_events AS e USING (tenant_id, stream_id, version, leaf_hash)
JOIN LATERAL (SELECT first_index, count, first_notification_id FROM ledger.feed
              WHERE log_id = e.tenant_id AND first_index <= e.leaf_index ORDER BY first_index DESC LIMIT 1) AS f ON true;

-- name: notifications
-- Events of all logs in the order of the feed, by notification id; entered as above.
SELECT f.first_notification_id + e.leaf_index - f.first_index AS id, e.stream_id, e.version, e.topic, e.state
FROM ledger.feed AS f
CROSS JOIN LATERAL (
    SELECT * FROM ledger.stored_events
    WHERE tenant_id = f.log_id AND leaf_index >= f.first_index AND leaf_index < f.first_index + f.count
    OFFSET 0
) AS e
WHERE f.first_notification_id >= coalesce((SELECT max(first_notification_id) FROM ledger.feed
                                           WHERE first_notification_id <= %(first)s), 0)
  AND f.first_notification_id <= %(last)s
  AND f.first_notification_id + e.leaf_index - f.first_index BETWEEN %(first)s AND %(last)s
  AND (%(topics)s::text[] IS NULL OR e.topic = ANY(%(topics)s::text[]))
ORDER BY f.first_notification_id, e.leaf_index
LIMIT %(limit)s;

-- name: last_notification
-- The last notification id that was given out; 0 before the first.
SELECT last_notification_id FROM ledger.feed_counter;

-- name: feed
-- The feed after a position, in order, and of each row whether it came back after a restore.
SELECT position, log_id, first_index, count,
       EXISTS (SELECT FROM ledger.feed_returned AS back WHERE position BETWEEN back.first_position AND back.last_position)
FROM ledger.feed WHERE position > %(after)s ORDER BY position LIMIT %(limit)s;

-- name: last_position
-- The last feed position that was given out; 0 before the first.
SELECT last_position FROM ledger.feed_counter;

-- name: log_page
-- A log's events from a leaf index on, in order: so many, or fewer where they are large (the one that reaches the limit
-- of bytes is the last). What tenants read of their own log too: nothing of the whole cell is in it.
SELECT leaf_index, stream_id, version, topic, state, leaf_hash
FROM (
    SELECT leaf_index, stream_id, version, topic, state, leaf_hash,
           sum(octet_length(state)) OVER (ORDER BY leaf_index) - octet_length(state) AS before
    FROM ledger.stored_events
    WHERE tenant_id = %(log_id)s AND leaf_index >= %(first)s AND leaf_index < %(first)s::bigint + %(limit)s
) AS e
WHERE before < %(bytes)s
ORDER BY leaf_index;

-- name: page
-- Events of all logs from a notification id on, in order of commit; limited as above, entered as `notifications`.
SELECT id, log_id, leaf_index, stream_id, version, topic, state, leaf_hash
FROM (
    SELECT f.first_notification_id + e.leaf_index - f.first_index AS id, f.log_id, e.*,
           sum(octet_length(e.state)) OVER (ORDER BY f.first_notification_id, e.leaf_index) - octet_length(e.state) AS before
    FROM ledger.feed AS f
    CROSS JOIN LATERAL (
        SELECT leaf_index, stream_id, version, topic, state, leaf_hash FROM ledger.stored_events
        WHERE tenant_id = f.log_id
          AND leaf_index >= f.first_index + greatest(0, %(first)s - f.first_notification_id)
          AND leaf_index < f.first_index + least(f.count, %(first)s::bigint + %(limit)s - f.first_notification_id)
        OFFSET 0
    ) AS e
    WHERE f.first_notification_id >= coalesce((SELECT max(first_notification_id) FROM ledger.feed
                                               WHERE first_notification_id <= %(first)s), 0)
      AND f.first_notification_id < %(first)s::bigint + %(limit)s
) AS e
WHERE before < %(bytes)s
ORDER BY id;

-- name: last_of_topic
-- How many events of a topic a log's own stream holds, and where the last one lies (null where there is none).
SELECT count(*), max(leaf_index) FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND stream_id = %(log_id)s AND topic = %(topic)s;

-- name: channel
-- What to listen to, so as to be woken by commits.
SELECT name FROM ledger.feed_channel;

-- name: newest_round
-- The newest round of the anchor log; 0 before the first.
SELECT coalesce(max(round), 0) FROM ledger.anchor_rounds;
