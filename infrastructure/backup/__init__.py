"""Copies of a cell to come back from: the database with what belongs to it, and the keyring apart from it."""
