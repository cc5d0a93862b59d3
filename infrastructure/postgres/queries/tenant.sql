-- Bound reads: a tenant's own rows, in a transaction that names the tenant. They name it again in each query, so that
-- either of row level security and query alone keeps others out. Nothing of the whole cell appears in them.

-- name: bind
-- For this transaction only. Whatever else the value is, it is one tenant or none.
SELECT set_config('ledger.tenant_id', %(log_id)s::uuid::text, true);

-- name: own_entries
-- Events from one leaf index up to, not including, another, in order.
SELECT leaf_index, stream_id, version, topic, state, leaf_hash FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND leaf_index >= %(first)s AND leaf_index < %(last)s ORDER BY leaf_index;

-- name: own_of_topic
-- Events of a topic from one leaf index up to, not including, another, in order; so many at most.
SELECT leaf_index, stream_id, version, topic, state, leaf_hash FROM ledger.stored_events
WHERE tenant_id = %(log_id)s AND leaf_index >= %(first)s AND leaf_index < %(last)s AND topic = %(topic)s
ORDER BY leaf_index LIMIT %(limit)s;
