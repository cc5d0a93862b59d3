"""Synthetic vendors, made once: 2,048-bit roots are as good for tests as AMD's 4,096."""

import pytest

from infrastructure.attestation.synthetic.intel import IntelAuthority
from infrastructure.attestation.synthetic.snp import SnpAuthority
from tests.attestation.scene import BEGIN_S, Intel, Snp


@pytest.fixture(scope="session")
def snp() -> Snp:
    return Snp(SnpAuthority.create(BEGIN_S, bits=2048))


@pytest.fixture(scope="session")
def intel() -> Intel:
    return Intel(IntelAuthority.create(BEGIN_S))
