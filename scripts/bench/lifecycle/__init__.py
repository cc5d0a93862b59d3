"""The benchmark `lifecycle`: from a submission to its CAC, over a served ledger and a node of its own."""
