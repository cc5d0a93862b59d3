"""Readers that nobody enrolled, and accesses that can't have been: a log that holds them does not verify."""

from pathlib import Path
from typing import Any

import pytest

from domain.access.events import AccessSummarised, PrincipalRecognised
from domain.access.recognising import federated_kid
from domain.access.token_issuers import OkpKey, RoleRule, TokenIssuer
from domain.identifiers import access_stream
from domain.tenants.decisions import enrolment_claims
from domain.tenants.events import ReaderEnrolled, TokenIssuerAdmitted, TokenIssuerRevoked
from domain.tenants.token_issuers import admission_claims, revocation_claims
from domain.time import DAY_MS, MINUTE_MS
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from tests.audit.past import Past, refused


@pytest.fixture
def rita(tmp_path: Path) -> Wallet:
    return wallets.create(tmp_path / "rita.json", "rita", SystemEntropy())


def reader(wallet: Wallet, **changes: Any) -> ReaderEnrolled:
    """Return an enrolment that nobody has signed yet."""
    usual: dict[str, Any] = {
        "kid": wallet.thumbprint(Purpose.REPORT), "public_key": wallet.public(Purpose.REPORT).hex(), "person": "rita",
        "role": "auditor", "statement_type": "ledger-assertion+jwt", "jurisdictions": (), "from_ms": 0,
        "until_ms": None, "statements": (),
    }  # fmt: skip
    return ReaderEnrolled(**{**usual, **changes})


def signed(past: Past, enrolment: ReaderEnrolled, **changes: Any) -> ReaderEnrolled:
    """Return an enrolment with the admins' statements, and then changed."""
    tokens = past.govern(enrolment_claims(enrolment), *past.admins)
    return enrolment.model_copy(update={"statements": tokens, **changes})


def accessed(past: Past, kid: str, **changes: Any) -> AccessSummarised:
    """Return a summary of the past's last minute."""
    usual: dict[str, Any] = {
        "kid": kid, "role": "auditor", "route_class": "audit", "requests": 2, "refused": 1,
        "minute_ms": past.at_ms // MINUTE_MS * MINUTE_MS,
    }  # fmt: skip
    return AccessSummarised(**{**usual, **changes})


def test_a_reader_whom_the_admins_enrolled_reads_and_the_log_verifies(
    early: Past, tmp_path: Path, rita: Wallet
) -> None:
    own, enrolled = early.streams()[0], signed(early, reader(rita, until_ms=early.at_ms + DAY_MS))
    told = (access_stream(enrolled.kid), accessed(early, enrolled.kid))
    verdict = early.verdict(tmp_path / "good", early.then((own, enrolled), told, told))
    assert verdict.ok, verdict.first_error


@pytest.mark.parametrize(
    "changes",
    [{"role": "admin"}, {"until_ms": 2**40}, {"from_ms": 1}, {"person": "eve"}, {"jurisdictions": ("DEU",)},
     {"statements": ()}],
)  # fmt: skip
def test_an_enrolment_that_says_other_than_was_signed_is_found(
    early: Past, tmp_path: Path, rita: Wallet, changes: dict[str, Any]
) -> None:
    forged = signed(early, reader(rita), **changes)
    verdict = early.verdict(tmp_path / "forged", early.then((early.streams()[0], forged)))
    refused(verdict, entry=len(early.entries))


@pytest.mark.parametrize("changes", [{"jurisdictions": ("DEU",)}, {"from_ms": 9, "until_ms": 9}])
def test_an_enrolment_that_makes_no_sense_is_found_though_it_is_signed(
    early: Past, tmp_path: Path, rita: Wallet, changes: dict[str, Any]
) -> None:
    forged = signed(early, reader(rita, **changes))
    refused(early.verdict(tmp_path / "forged", early.then((early.streams()[0], forged))), entry=len(early.entries))


def test_accesses_by_a_stranger_elsewhere_or_before_their_minute_are_found(
    early: Past, tmp_path: Path, rita: Wallet
) -> None:
    kid = rita.thumbprint(Purpose.REPORT)
    stranger = early.then((access_stream(kid), accessed(early, kid)))
    refused(early.verdict(tmp_path / "stranger", stranger), "never enrolled")
    own, enrolled = early.streams()[0], signed(early, reader(rita))
    elsewhere = early.then((own, enrolled), (access_stream("x" * 43), accessed(early, kid)))
    refused(early.verdict(tmp_path / "elsewhere", elsewhere), "another stream")
    for number, changes in enumerate(({"refused": 3}, {"minute_ms": (early.at_ms // MINUTE_MS + 2) * MINUTE_MS})):
        wrong = early.then((own, enrolled), (access_stream(kid), accessed(early, kid, **changes)))
        refused(early.verdict(tmp_path / f"wrong{number}", wrong), "accesses are of a later minute")


ISSUER = "https://id.example"


def admission(past: Past, **changes: Any) -> TokenIssuerAdmitted:
    """Return an admission that the admins signed, and then changed."""
    known: dict[str, Any] = {"from_ms": changes.pop("from_ms", 0), "until_ms": changes.pop("until_ms", None)}
    key = OkpKey(kid="a", kty="OKP", crv="Ed25519", x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    admitted = TokenIssuer(
        issuer=ISSUER, audience="ledger", token_type="JWT", keys=(key,),
        rules=(RoleRule(claim=("groups",), value="auditors", role="auditor"),), **known,
    )  # fmt: skip
    tokens = past.govern(admission_claims(admitted), *past.admins)
    return TokenIssuerAdmitted(admitted=admitted.model_copy(update=changes), statements=tokens)


def recognised(admitted: TokenIssuerAdmitted, subject: str = "s1", **changes: Any) -> PrincipalRecognised:
    """Return who was shown, changed."""
    usual: dict[str, Any] = {
        "kid": federated_kid(ISSUER, subject), "issuer": ISSUER, "subject": subject, "role": "auditor",
        "admission": admitted.admitted.digest(),
    }  # fmt: skip
    return PrincipalRecognised(**{**usual, **changes})


def test_who_was_shown_by_an_admitted_issuer_reads_also_after_it_was_revoked(early: Past, tmp_path: Path) -> None:
    own, admitted = early.streams()[0], admission(early, until_ms=early.at_ms + DAY_MS)
    one = recognised(admitted)
    home = access_stream(one.kid)
    tokens = early.govern(revocation_claims(ISSUER, "left"), *early.admins)
    ended = TokenIssuerRevoked(issuer=ISSUER, reason="left", statements=tokens)
    events = early.then((own, admitted), (home, one), (home, accessed(early, one.kid)), (own, ended),
                        (home, accessed(early, one.kid)))  # fmt: skip
    verdict = early.verdict(tmp_path / "good", events)
    assert verdict.ok, verdict.first_error
    late = early.then((own, admitted), (own, ended), (home, one))
    refused(early.verdict(tmp_path / "late", late), "did not admit")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"subject": "s2"}, "another issuer and subject"),
        ({"issuer": "https://other.example"}, "another issuer"),
        ({"admission": "0" * 64}, "did not admit"),
        ({"role": "admin"}, "no rule gives"),
    ],
)
def test_a_pseudonym_that_nothing_admitted_gives_is_found(
    early: Past, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    admitted = admission(early)
    one = recognised(admitted).model_copy(update=changes)
    forged = early.then((early.streams()[0], admitted), (access_stream(one.kid), one))
    refused(early.verdict(tmp_path / "forged", forged), says)


def test_who_was_shown_by_nobody_or_outside_its_time_is_found(early: Past, tmp_path: Path) -> None:
    admitted = admission(early)
    one = recognised(admitted)
    home = access_stream(one.kid)
    refused(early.verdict(tmp_path / "nobody", early.then((home, one))), "did not admit")
    refused(early.verdict(tmp_path / "unsaid", early.then((home, accessed(early, one.kid)))), "never enrolled")
    elsewhere = early.then((early.streams()[0], admitted), (access_stream("x" * 43), one))
    refused(early.verdict(tmp_path / "elsewhere", elsewhere), "another stream")
    for number, times in enumerate(({"from_ms": early.at_ms + DAY_MS}, {"until_ms": early.at_ms - DAY_MS})):
        timed = admission(early, **times)
        forged = early.then((early.streams()[0], timed), (home, recognised(timed)))
        refused(early.verdict(tmp_path / f"timed{number}", forged), "outside the time")


@pytest.mark.parametrize("changes", [{"audience": "other"}, {"rules": ()}, {"keys": ()}, {"token_type": "at+jwt"}])
def test_an_admission_that_says_other_than_was_signed_is_found(
    early: Past, tmp_path: Path, changes: dict[str, Any]
) -> None:
    forged = early.then((early.streams()[0], admission(early, **changes)))
    refused(early.verdict(tmp_path / "forged", forged), entry=len(early.entries))
