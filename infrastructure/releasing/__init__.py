"""The tenant's releaser: judges by itself what the ledger says of an enclave, and re-encrypts inputs to its key."""
