"""Merkle logs: RFC 9162 trees, signed notes, checkpoints and tiles. Pure mathematics and strict formats."""
