"""The one benchmark harness: `python -m scripts.bench NAME [options] [--quick] [--json] [--check]`."""
