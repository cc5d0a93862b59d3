"""The synthetic vendors and machines of one data directory, with their keys.

Invariants:
- Made where a ledger lives, at its first use, and never shipped: nothing of another directory verifies under its root.
- `root.pem` is what `--trust-root` and a policy name. Keys are in private files, written once, never replaced.
- A machine has a name here, and as its platform id a value that follows from name and root: two roots share none.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from domain.errors import MalformedError
from infrastructure.attestation.certificates import spki
from infrastructure.attestation.roots import Roots, named_roots
from infrastructure.attestation.synthetic.authority import Issuer, PrivateKey
from infrastructure.attestation.synthetic.intel import IntelAuthority, IntelMachine
from infrastructure.attestation.synthetic.snp import ARK_BITS, TCB, SnpAuthority, SnpMachine
from infrastructure.keys.private_files import locked, make_private_directory, read_private, write_private
from infrastructure.publish.files import replace_file

DIRECTORY = "synthetic"
"""Below a data directory."""
ROOT = "root.pem"
"""Below it: both root certificates."""
Kind = Literal["sgx", "tdx", "snp"]

_VENDORS, _LOCK = "vendors.json", "lock"
_CHIP_BYTES, _PPID_BYTES = 64, 16
_LIST_LIFE_S = 30 * 86_400
Kept = TypeVar("Kept")


class SyntheticPlatform:
    """Vendors and machines below a directory, made at the first use.

    Args:
        root: the directory.
        begin_s: from when on new certificates are valid, seconds since 1970.
        bits: of new RSA keys; AMD's have 4,096.
    """

    def __init__(self, root: Path, begin_s: int, *, bits: int = ARK_BITS) -> None:
        self._root, self._begin_s = root, begin_s
        make_private_directory(root)
        with locked(root / _LOCK):
            if not (root / _VENDORS).exists():
                self._make_vendors(bits)
        kept = json.loads(read_private(root / _VENDORS))
        begin = int(kept["begin_s"])
        self.snp = SnpAuthority(
            _issuer(kept["ark"]), _issuer(kept["ask"]), _issuer(kept["vlek_ask"]), kept["product"], begin
        )
        self.intel = IntelAuthority(_issuer(kept["root"]), _issuer(kept["pck_ca"]), _issuer(kept["signer"]), begin)
        if not self.root_path.exists():
            replace_file(self.root_path, self.root_pem)

    @property
    def root_pem(self) -> bytes:
        """Both root certificates: the content of a `--trust-root` file."""
        return self.snp.ark.pem + self.intel.root.pem

    @property
    def root_path(self) -> Path:
        """Where they lie."""
        return self._root / ROOT

    @property
    def roots(self) -> Roots:
        """Both roots, for a verification."""
        return named_roots(self.root_pem)

    def snp_machine(self, name: str) -> SnpMachine:
        """Return a SEV-SNP machine, the same for the same name."""
        chip_id = self._identity(name)[:_CHIP_BYTES]

        def make() -> dict[str, str]:
            machine = self.snp.machine(chip_id)
            return {"vek": _pem(machine.vek)}

        def read(kept: dict[str, str]) -> SnpMachine:
            vek = _issuer(kept["vek"])
            return SnpMachine(cast("ec.EllipticCurvePrivateKey", vek.key), vek, "VCEK", self.snp.product, chip_id, TCB)

        return self._kept(f"snp-{name}", make, read)

    def intel_machine(self, name: str) -> IntelMachine:
        """Return a machine for SGX and TDX, the same for the same name."""
        identity = self._identity(name)
        ppid, instance = identity[:_PPID_BYTES], identity[_PPID_BYTES : 2 * _PPID_BYTES]

        def make() -> dict[str, str]:
            machine = self.intel.machine(ppid, instance=instance)
            quoting = Issuer(machine.attestation_key, machine.pck.certificate)
            return {"pck": _pem(machine.pck), "attestation": _pem(quoting)}

        def read(kept: dict[str, str]) -> IntelMachine:
            pck, quoting = _issuer(kept["pck"]), _issuer(kept["attestation"])
            chain = pck.pem + self.intel.pck_ca.pem + self.intel.root.pem
            return IntelMachine(pck, chain, cast("ec.EllipticCurvePrivateKey", quoting.key))

        return self._kept(f"intel-{name}", make, read)

    def quote(self, kind: Kind, name: str, report_data: bytes, measurement: bytes) -> bytes:
        """Return evidence of a machine over 64 bytes, for code of a measurement (32 bytes for SGX, 48 else)."""
        if kind == "snp":
            return self.snp_machine(name).report(report_data, measurement=measurement)
        machine = self.intel_machine(name)
        if kind == "sgx":
            return machine.sgx_quote(report_data, mr_enclave=measurement)
        return machine.tdx_quote(report_data, mr_td=measurement)

    def endorsements(self, kind: Kind, name: str, issued_s: int) -> list[bytes]:
        """Return what comes with evidence of a machine: contents of files, issued at an instant."""
        if kind == "snp":
            listed = self.snp.revocation_list(issued_s, issued_s + _LIST_LIFE_S, number=issued_s)
            return [self.snp.endorsements(self.snp_machine(name)), listed]
        tee: Literal["SGX", "TDX"] = "SGX" if kind == "sgx" else "TDX"
        return [self.intel.collateral(tee, issued_s, crl_number=issued_s).encode()]

    def _identity(self, name: str) -> bytes:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise MalformedError("a synthetic machine's name is letters, digits, - and _")
        return hashlib.sha512(b"synthetic machine\0" + spki(self.snp.ark.key.public_key()) + name.encode()).digest()

    def _kept(self, name: str, make: Callable[[], dict[str, str]], read: Callable[[dict[str, str]], Kept]) -> Kept:
        path = self._root / f"{name}.json"
        with locked(self._root / _LOCK):
            if not path.exists():
                write_private(path, json.dumps(make()).encode(), new=True)
        return read(json.loads(read_private(path)))

    def _make_vendors(self, bits: int) -> None:
        snp, intel = SnpAuthority.create(self._begin_s, bits=bits), IntelAuthority.create(self._begin_s)
        kept: dict[str, Any] = {
            "ark": _pem(snp.ark),
            "ask": _pem(snp.ask),
            "vlek_ask": _pem(snp.vlek_ask),
            "product": snp.product,
            "root": _pem(intel.root),
            "pck_ca": _pem(intel.pck_ca),
            "signer": _pem(intel.signer),
            "begin_s": self._begin_s,
        }
        write_private(self._root / _VENDORS, json.dumps(kept).encode(), new=True)


def _pem(issuer: Issuer) -> str:
    key = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (key + issuer.pem).decode("ascii")


def _issuer(text: str) -> Issuer:
    key = load_pem_private_key(text.encode("ascii"), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise MalformedError("a synthetic vendor's key is neither RSA nor one of an elliptic curve")
    usable: PrivateKey = key
    return Issuer(usable, x509.load_pem_x509_certificate(text[text.index("-----BEGIN CERT") :].encode("ascii")))
