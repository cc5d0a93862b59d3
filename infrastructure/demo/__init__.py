"""The demonstration: real observations, clauses over them, and the scenario that runs them."""
