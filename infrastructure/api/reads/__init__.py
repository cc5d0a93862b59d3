"""GET routes: what a principal may read of its token's own log, and what everybody enrolled may know."""
