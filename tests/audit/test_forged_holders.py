"""Keys that are enrolled with an acceptance of their own: a log verifies only if the key itself gave it, for this."""

from pathlib import Path
from typing import Any

import pytest

from domain.statements import GOVERNANCE
from domain.tenants.decisions import enrolment_claims
from domain.tenants.events import HolderEnrolled
from infrastructure.client.acts import principal
from infrastructure.client.signing import accepted
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from tests.audit.past import Past, refused


@pytest.fixture
def holder(tmp_path: Path) -> Wallet:
    return wallets.create(tmp_path / "hal.json", "hal", SystemEntropy())


def made(past: Past, wallet: Wallet, *, by: Wallet | None = None, origin: str = "", **said: Any) -> HolderEnrolled:
    """Return an enrolment with an acceptance (`by`: another wallet's, `said`: of something else), not signed yet."""
    plain = principal(wallet, Purpose.GOVERNANCE, "clerk", GOVERNANCE)
    accepting = accepted(
        plain.model_copy(update=said), by or wallet, origin or past.tenant.origin, now_ms=past.at_ms,
        entropy=SystemEntropy(),
    )  # fmt: skip
    return accepting.model_copy(update=plain.model_dump())


def signed(past: Past, enrolment: HolderEnrolled) -> HolderEnrolled:
    tokens = past.govern(enrolment_claims(enrolment), *past.admins)
    return enrolment.model_copy(update={"statements": tokens})


def test_a_key_that_accepted_its_enrolment_verifies(early: Past, tmp_path: Path, holder: Wallet) -> None:
    verdict = early.verdict(tmp_path / "good", early.then((early.streams()[0], signed(early, made(early, holder)))))
    assert verdict.ok, verdict.first_error


def test_an_acceptance_by_another_key_or_of_something_else_is_found(
    early: Past, tmp_path: Path, holder: Wallet
) -> None:
    own, eve = early.streams()[0], wallets.create(tmp_path / "eve.json", "eve", SystemEntropy())
    renamed = made(early, holder).model_copy(update={"kid": eve.thumbprint(Purpose.GOVERNANCE)})
    for number, forged in enumerate(
        (
            made(early, holder, by=eve), made(early, holder, role="admin"), made(early, holder, person="eve"),
            made(early, holder, origin="ledger.example/t/1"), renamed,
            made(early, holder).model_copy(update={"acceptance": "a.b.c"}),
        )
    ):  # fmt: skip
        verdict = early.verdict(tmp_path / f"forged{number}", early.then((own, signed(early, forged))))
        refused(verdict, entry=len(early.entries))


def test_an_acceptance_is_used_once(early: Past, tmp_path: Path, holder: Wallet) -> None:
    own, first = early.streams()[0], signed(early, made(early, holder))
    again = early.then((own, first), (own, first))
    refused(early.verdict(tmp_path / "again", again), entry=len(early.entries) + 1)
