"""What an input is bound to on its way from the submitter to the tenant's releaser."""

_RELEASE = b"ledger release v1\0"


def release_info(origin: str, index: int, commitment: bytes) -> bytes:
    """Return the HPKE info of an input sealed to the tenant's release key.

    It is label, origin, zero byte, u32 index and the submission's salted commitment. The plaintext is salt || input, as
    for the enclave.
    """
    return _RELEASE + origin.encode("ascii") + b"\0" + index.to_bytes(4, "big") + commitment
