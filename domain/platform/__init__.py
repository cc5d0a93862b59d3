"""The operator's own log: genesis, priority levels, ticks."""
