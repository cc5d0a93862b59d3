"""The benchmark `evidence`."""
