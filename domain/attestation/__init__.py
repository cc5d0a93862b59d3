"""Attestation: what an execution's evidence is bound to."""
