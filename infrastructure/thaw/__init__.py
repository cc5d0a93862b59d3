"""Brings back, byte for byte, what a restored database lost: from published directories, mirrors or bundles."""
