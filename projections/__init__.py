"""Read side: pure folds of the ledger's events into rows that people and programs query."""
