"""A tenant's own custody on the command line: where its two public keys come from."""

from pathlib import Path

from domain.errors import MalformedError, UnknownError
from infrastructure.client.files import read_bounded
from infrastructure.commands.tenants import OwnCustody
from infrastructure.keys import hpke
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Wallet

_HEX_CHARACTERS = 2 * hpke.PUBLIC_KEY_BYTES


def own_custody(
    custody: str, release_key: str | None, output_key: str | None, admin: Wallet
) -> tuple[OwnCustody | None, Wallet | None]:
    """Return a tenant's own two public keys, and the wallet of its releaser where one was named.

    Args:
        custody: operator or tenant.
        release_key: hex, a file with hex, or a wallet that holds the private key; None: the admin's wallet.
        output_key: likewise.
        admin: the first admin's wallet.

    Raises:
        MalformedError: when it is none of these, or keys are named for another custody.
        UnknownError: when a wallet holds no such key.
    """
    if custody == "operator":
        if release_key or output_key:
            raise MalformedError("--release-key and --output-key go with --custody tenant")
        return None, None
    release, releaser = _public(release_key, admin, "release")
    output, _ = _public(output_key, admin, "output")
    return OwnCustody(release, output), releaser


def _public(named: str | None, admin: Wallet, which: str) -> tuple[bytes, Wallet | None]:
    """Return the public key that is meant, and the wallet that it comes from where one was named."""
    if named is None:
        return _half(admin, which), None
    if _is_hex(named):
        return bytes.fromhex(named), None
    path = Path(named)
    text = read_bounded(path, 1_048_576).strip()
    if _is_hex(text.decode("latin-1")):
        return bytes.fromhex(text.decode("ascii")), None
    wallet = wallets.load(path)
    return _half(wallet, which), wallet


def _half(wallet: Wallet, which: str) -> bytes:
    if not wallet.holds_custody:
        raise UnknownError(
            f"the wallet of {wallet.name} holds no release and output key: make one with `enclave-ledger key new FILE "
            f"--name NAME --custody`, and name it with --{which}-key"
        )
    held = wallet.custody()
    return held.release.public if which == "release" else held.output.public


def _is_hex(text: str) -> bool:
    return len(text) == _HEX_CHARACTERS and all(character in "0123456789abcdef" for character in text)
