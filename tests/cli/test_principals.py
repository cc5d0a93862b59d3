"""`principal enrol|list|revoke`: who may read, of which log, signed by its admins."""

import pytest

from tests.cli.conftest import TENANT, Installation, ledger, postgres

__all__ = ["ledger", "postgres"]


def test_a_reader_is_enrolled_listed_and_revoked(ledger: Installation) -> None:
    ledger.done("key", "new", "rita.json", "--name", "rita")
    enrol = ("principal", "enrol", "rita.json", "--of", TENANT, "--role", "auditor", "--key", "alice.json")
    made = ledger.done(*enrol, "--until", "2099-01-01T00:00:00Z", "--json").json
    assert (made["role"], made["until_ms"]) == ("auditor", 4_070_908_800_000)
    ledger.refused(*enrol, says="enrolled already")
    listed = ledger.done("principal", "list", "--of", TENANT, "--json").json["principals"]
    assert made["kid"] in {row["kid"] for row in listed}
    revoke = ("principal", "revoke", made["kid"], "--of", TENANT, "--reason", "left", "--key", "alice.json")
    ledger.done(*revoke)
    listed = ledger.done("principal", "list", "--of", TENANT, "--json").json["principals"]
    assert made["kid"] not in {row["kid"] for row in listed}
    ledger.refused(*enrol, says="enrolled already")


def test_who_signs_is_enrolled_with_the_key_that_signs(ledger: Installation) -> None:
    ledger.done("key", "new", "sue.json", "--name", "sue")
    for role, kind in (("submitter", "submission"), ("admin", "governance"), ("releaser", "endorsement")):
        made = ledger.done(
            "principal", "enrol", "sue.json", "--of", TENANT, "--role", role, "--key", "alice.json", "--json"
        ).json
        assert made["type"] == f"ledger-{kind}+jwt"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--role", "submitter", "--until", "2099-01-01T00:00:00Z"), "only read"),
        (("--role", "auditor", "--jurisdiction", "deu"), "one jurisdiction"),
        (("--role", "auditor", "--jurisdiction", "nowhere"), "jurisdiction"),
        (("--role", "auditor", "--until", "5"), "before it begins"),
        (("--role", "an auditor"), "role is malformed"),
        (("--role", "auditor", "--purpose", "report"), "--purpose is"),
    ],
)
def test_what_can_not_be_enrolled_is_refused(ledger: Installation, more: tuple[str, ...], says: str) -> None:
    key = ledger.folder / "una.json"
    if not key.exists():
        ledger.done("key", "new", key, "--name", "una")
    ledger.refused("principal", "enrol", key, "--of", TENANT, "--key", "alice.json", *more, says=says)


def test_a_scopes_reader_is_limited_to_jurisdictions(ledger: Installation) -> None:
    ledger.done("key", "new", "mona.json", "--name", "mona")
    made = ledger.done(
        "principal", "enrol", "mona.json", "--of", "root", "--role", "monitor", "--jurisdiction", "deu",
        "--jurisdiction", "fra", "--key", "data/root.key.json", "--json",
    ).json  # fmt: skip
    assert made["jurisdictions"] == ["DEU", "FRA"]
