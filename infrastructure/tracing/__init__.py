"""Traces of the rounds: what they cover, their lines, and what a tenant takes along of them."""
