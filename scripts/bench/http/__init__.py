"""What nodes and auditors get of a served ledger over HTTP."""
