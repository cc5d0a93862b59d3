-- What several processes that answer requests share.

-- Since when the tables remember; no row where they have just been emptied.
-- name: born
SELECT at_ms FROM ledger.access_born;

-- name: bear
INSERT INTO ledger.access_born (at_ms) VALUES (%(at_ms)s) ON CONFLICT DO NOTHING RETURNING at_ms;

-- Takes names; gives those that were not taken yet, and since when the tables remember.
-- name: use_up
WITH made AS (
    INSERT INTO ledger.access_used (name, until_ms)
    SELECT * FROM unnest(%(names)b::bytea[], %(untils)b::bigint[]) ON CONFLICT DO NOTHING RETURNING name
)
SELECT name, (SELECT at_ms FROM ledger.access_born) FROM made;

-- name: put_token
INSERT INTO ledger.access_tokens (hash, kid, tenant, bound, until_ms)
VALUES (%(hash)s, %(kid)s, %(tenant)s, %(bound)s, %(until_ms)s) ON CONFLICT DO NOTHING RETURNING true;

-- name: token
SELECT kid, tenant, bound, until_ms FROM ledger.access_tokens WHERE hash = %(hash)s;

-- name: drop_old_names
DELETE FROM ledger.access_used WHERE name IN (
    SELECT name FROM ledger.access_used WHERE until_ms <= %(now_ms)s LIMIT 10000
) RETURNING true;

-- name: drop_old_tokens
DELETE FROM ledger.access_tokens WHERE hash IN (
    SELECT hash FROM ledger.access_tokens WHERE until_ms <= %(now_ms)s LIMIT 10000
) RETURNING true;
