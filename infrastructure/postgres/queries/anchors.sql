-- The anchor log's rounds. Of several processes one makes a round at a time: who holds the lock reads the last round,
-- and writes the next one in the same transaction.

-- name: lock
SELECT pg_advisory_xact_lock(%(lock)b);

-- name: newest
-- The last round.
SELECT round, entry, frontier, at_ms FROM ledger.anchor_rounds ORDER BY round DESC LIMIT 1;

-- name: traced
-- Up to which position of the feed the traces of all rounds reach.
SELECT coalesce(max(position), 0) AS position FROM ledger.anchor_traces;

-- name: traces
-- What the traces of rounds from first, without the one at end, cover.
SELECT round, position, decided, closing FROM ledger.anchor_traces WHERE round >= %(first)b AND round < %(end)b ORDER BY round;

-- name: traced_before
-- Up to which position the traces of all rounds before one reach.
SELECT coalesce(max(position), 0) FROM ledger.anchor_traces WHERE round < %(round)b;

-- name: add_trace
INSERT INTO ledger.anchor_traces (round, position, decided, closing)
VALUES (%(round)b, %(position)b, %(decided)b, %(closing)b);

-- name: one
SELECT round, entry, frontier, at_ms FROM ledger.anchor_rounds WHERE round = %(round)b;

-- name: rounds
-- Rounds from first, without the one at end.
SELECT round, entry, frontier, at_ms FROM ledger.anchor_rounds
WHERE round >= %(first)b AND round < %(end)b ORDER BY round;

-- name: texts
-- What each slot is committed to as of a round. A slot is some log's, so the logs are gone through, not the rounds.
SELECT log.slot, newest.text
FROM ledger.logs AS log
CROSS JOIN LATERAL (
    SELECT text FROM ledger.anchored_checkpoints AS anchored
    WHERE anchored.slot = log.slot AND anchored.round <= %(round)b
    ORDER BY anchored.round DESC LIMIT 1
) AS newest;

-- name: newest_text
-- What a slot is committed to now, and since which round.
SELECT round, text FROM ledger.anchored_checkpoints WHERE slot = %(slot)b ORDER BY round DESC LIMIT 1;

-- name: changes
-- What changed in rounds from first, without the one at end.
SELECT round, slot, text FROM ledger.anchored_checkpoints
WHERE round >= %(first)b AND round < %(end)b ORDER BY round, slot;

-- name: add_round
INSERT INTO ledger.anchor_rounds (round, entry, frontier, at_ms)
VALUES (%(round)b, %(entry)b, %(frontier)b, %(at_ms)b);

-- name: add_changes
INSERT INTO ledger.anchored_checkpoints (slot, round, text)
SELECT changed.slot, %(round)b, changed.text
FROM unnest(%(slots)b::bigint[], %(texts)b::bytea[]) AS changed (slot, text);

-- name: keep_checkpoint
INSERT INTO ledger.anchor_checkpoints (size, note, quorum, at_ms)
VALUES (%(size)b, %(note)b, %(quorum)b, %(at_ms)b) ON CONFLICT DO NOTHING;

-- name: newest_checkpoint
-- The newest cosigned checkpoint; one that met the quorum goes before all that did not.
SELECT size, note, quorum, at_ms FROM ledger.anchor_checkpoints ORDER BY quorum DESC, size DESC LIMIT 1;

-- name: keep_dispute
INSERT INTO ledger.anchor_disputes (witness, found, size, note, at_ms)
VALUES (%(witness)b, %(found)b, %(size)b, %(note)b, %(at_ms)b) ON CONFLICT DO NOTHING;

-- name: disputes
SELECT witness, found, size, note, at_ms FROM ledger.anchor_disputes ORDER BY at_ms, witness;

-- name: cosigned
INSERT INTO ledger.anchor_witnesses AS known (witness, size, at_ms, trouble)
VALUES (%(witness)b, %(size)b, %(at_ms)b, NULL)
ON CONFLICT (witness) DO UPDATE
SET size = greatest(known.size, excluded.size), at_ms = excluded.at_ms, trouble = NULL;

-- name: troubled
INSERT INTO ledger.anchor_witnesses AS known (witness, trouble) VALUES (%(witness)b, %(trouble)b)
ON CONFLICT (witness) DO UPDATE SET trouble = excluded.trouble;

-- name: witnesses
SELECT witness, size, at_ms, trouble FROM ledger.anchor_witnesses ORDER BY witness;
