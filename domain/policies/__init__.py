"""Governance policies: typed rules and the one function that evaluates them at every gate."""
