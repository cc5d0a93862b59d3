"""Benchmarks and maintenance, run as ``python -m scripts.<name>``."""
