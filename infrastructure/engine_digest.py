"""The digest of the decision engine: what every decision names, so that it can be recomputed by the same code."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

_PACKAGES = ("domain.policies", "domain.scheduling")


@cache
def engine_digest() -> str:
    """Return H over name and bytes of every module that decides, as 64 hex digits."""
    digest = sha256(b"ledger engine v1\0")
    for package in _PACKAGES:
        for module in sorted(files(package).iterdir(), key=lambda item: item.name):
            if module.name.endswith(".py"):
                content = module.read_bytes()
                digest.update(f"{package}/{module.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
