"""Governed programs: metadata, module digest, who may run them."""
