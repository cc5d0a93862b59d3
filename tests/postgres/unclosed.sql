-- What PostgreSQL cannot keep from whoever runs SQL of his own on a bound connection. SECURITY.md says the same.

-- channel: the planner's estimate
EXPLAIN SELECT * FROM ledger.stored_events

-- channel: rows that a scan removed
SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT * FROM ledger.stored_events

-- channel: pages that a scan read
SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM ledger.stored_events

-- channel: another tenant's name
SET LOCAL ledger.tenant_id = '00000000-0000-0000-0000-00000000000b'; SELECT count(*) FROM ledger.stored_events
