"""The command line: ``enclave-ledger``."""

from infrastructure.cli.app import main

__all__ = ["main"]
