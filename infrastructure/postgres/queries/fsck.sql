-- What the check of a live database reads. Every value is bounded: a row may hold anything.

-- name: pins
-- All logs with their heads, and how far feed and rounds have come: one statement, so one state of the database.
SELECT log.log_id, log.slot, log.origin, head.tree_size, substring(head.frontier FOR 4096) AS frontier, published.size, published.root,
       counter.last_position, counter.last_notification_id,
       (SELECT coalesce(max(round) + 1, 0) FROM ledger.anchor_rounds) AS rounds
FROM ledger.logs AS log
CROSS JOIN ledger.feed_counter AS counter
LEFT JOIN ledger.log_heads AS head ON head.tenant_id = log.log_id
LEFT JOIN ledger.publications AS published ON published.log_id = log.log_id
ORDER BY log.slot;

-- name: entries
-- Rows of a log by leaf index; the state only where it can be an entry.
SELECT leaf_index, stream_id, version, left(topic, 200), octet_length(state),
       CASE WHEN octet_length(state) <= 65535 THEN state END, leaf_hash
FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND leaf_index >= %(first)s AND leaf_index < %(last)s ORDER BY leaf_index;

-- name: beyond
-- Rows that lie beyond their log's head, or below it have no place: the head and they in one state.
SELECT e.leaf_index, head.tree_size
FROM ledger.log_heads AS head
CROSS JOIN LATERAL (
    SELECT leaf_index FROM ledger.stored_events
    WHERE tenant_id = head.tenant_id AND leaf_index >= head.tree_size ORDER BY leaf_index LIMIT 10
) AS e
WHERE head.tenant_id = %(log_id)s;

-- name: disordered
-- Rows whose version is not the next of their stream, or does not lie behind the one before.
SELECT stream_id, version, leaf_index, due
FROM (
    SELECT stream_id, version, leaf_index, row_number() OVER w - 1 AS due, lag(leaf_index) OVER w AS before
    FROM ledger.stored_events WHERE tenant_id = %(log_id)s AND leaf_index < %(size)s
    WINDOW w AS (PARTITION BY stream_id ORDER BY version)
) AS s
WHERE version <> due OR before >= leaf_index LIMIT 10;

-- name: strangers
-- Rows of logs that there are not, by table.
SELECT 'stored_events', tenant_id::text FROM (SELECT DISTINCT tenant_id FROM ledger.stored_events) AS e
WHERE tenant_id NOT IN (SELECT log_id FROM ledger.logs)
UNION ALL
SELECT 'log_heads', tenant_id::text FROM ledger.log_heads WHERE tenant_id NOT IN (SELECT log_id FROM ledger.logs)
UNION ALL
SELECT 'feed', log_id::text FROM (SELECT DISTINCT log_id FROM ledger.feed) AS f
WHERE log_id NOT IN (SELECT log_id FROM ledger.logs)
UNION ALL
SELECT 'payloads', tenant_id::text FROM (SELECT DISTINCT tenant_id FROM ledger.payloads) AS p
WHERE tenant_id NOT IN (SELECT log_id FROM ledger.logs)
UNION ALL
SELECT 'commands', tenant_id::text FROM (SELECT DISTINCT tenant_id FROM ledger.commands) AS c
WHERE tenant_id NOT IN (SELECT log_id FROM ledger.logs)
LIMIT 100;

-- name: feed
-- The feed after a position, up to one, in order.
SELECT position, log_id, first_index, count, first_notification_id FROM ledger.feed
WHERE position > %(after)s AND position <= %(last)s ORDER BY position LIMIT %(limit)s;

-- name: beyond_feed
-- Positions of the feed that were not given out: counter and they in one state.
SELECT position FROM ledger.feed, ledger.feed_counter WHERE position > last_position ORDER BY position LIMIT 10;

-- name: payloads
-- Payloads after a digest; the bytes only where they can be a payload.
SELECT digest, octet_length(sealed), CASE WHEN octet_length(sealed) <= %(most)s THEN sealed END
FROM ledger.payloads WHERE tenant_id = %(log_id)s AND digest > %(after)s ORDER BY digest LIMIT %(limit)s;

-- name: known_payloads
-- Which of these payloads are there, and how long they are.
SELECT digest, octet_length(sealed) FROM ledger.payloads
WHERE tenant_id = %(log_id)s AND digest = ANY(%(digests)b::bytea[]);

-- name: commands
-- Commands after one, in order of their names (which a key's page bounds); answers only as long as any is.
SELECT issuer, command_id, digest,
       CASE WHEN octet_length(answer) <= %(most)s THEN answer END
FROM ledger.commands
WHERE tenant_id = %(log_id)s AND (issuer, command_id) > (%(issuer)s, %(command_id)s)
ORDER BY issuer, command_id LIMIT %(limit)s;

-- name: anchored
-- What rounds after one commit a slot to, in order.
SELECT round, text FROM ledger.anchored_checkpoints
WHERE slot = %(slot)s AND round > %(after)s AND round < %(rounds)s ORDER BY round LIMIT %(limit)s;

-- name: rounds
-- Rounds from one on, in order.
SELECT round, CASE WHEN octet_length(entry) <= 65535 THEN entry END, substring(frontier FOR 4096)
FROM ledger.anchor_rounds WHERE round >= %(first)s AND round < %(last)s ORDER BY round;

-- name: early_views
-- Read models that claim to have come further than their log.
SELECT position.projection, position.position, head.tree_size
FROM ledger.view_positions AS position JOIN ledger.log_heads AS head USING (tenant_id)
WHERE tenant_id = %(log_id)s AND position.position > head.tree_size ORDER BY projection LIMIT 10;

-- name: early_sealed_views
-- The scheduler's views of entries that there are not, and their position where it lies beyond the feed.
SELECT view.leaf_index FROM ledger.log_heads AS head
CROSS JOIN LATERAL (
    SELECT leaf_index FROM ledger.sealed_views
    WHERE log_id = head.tenant_id AND leaf_index >= head.tree_size ORDER BY leaf_index LIMIT 10
) AS view
WHERE head.tenant_id = %(log_id)s;

-- name: early_position
SELECT position, last_position FROM ledger.sealed_views_position, ledger.feed_counter WHERE position > last_position;
