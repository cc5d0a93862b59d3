"""CACs outside the ledger: exported in three forms, and verified offline in each."""
