"""How long it takes to prove that an entry is in a large log, and to check that."""
