"""What lies behind a dispute: the entries that tell of what is involved, their proofs, and the bundle that shows it."""
