"""Clause-Attested Compute: the signed result of one execution and the gate it passes."""
