"""A small witness of our own, and the client that asks any witness (c2sp.org/tlog-witness)."""
