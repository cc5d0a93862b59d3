"""Evidence of hardware: recognised, verified against endorsements and roots, results signed."""
