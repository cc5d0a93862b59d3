"""The keep: clauses (WebAssembly) run alone, bounded and deterministic, in a limited process per tenant."""
