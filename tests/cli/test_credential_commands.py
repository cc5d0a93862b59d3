"""Credentials from the command line: issued, verified, suspended, revoked; what a machine and a person see."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TENANT, Ended, Installation

SUBJECT = {
    "dao": "ClimateDAO", "jurisdiction": "DEU", "clauseFamilies": ["UNDRR::Disaster::Flood"],
    "resourceClasses": ["Disaster::Flood@v1"], "maximumMemoryBytes": 268_435_456,
}  # fmt: skip
MEMBERS = {"status", "kind", "issuer", "subject", "reason", "checks", "not_checked"}


@pytest.fixture
def folder(tmp_path: Path) -> Installation:
    """A folder with two wallets and no ledger."""
    made = Installation(tmp_path, {})
    for name in ("root", "body"):
        made.done("key", "new", f"{name}.json", "--name", name)
    return made


def did(folder: Installation, wallet: str) -> str:
    said = folder.done("credential", "did", "--key", wallet, "--json").json["did"]
    assert isinstance(said, str)
    return said


def write(folder: Installation, name: str, content: Any) -> str:
    (folder.folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return name


def verify(folder: Installation, file: str, *options: str, code: int = 0) -> dict[str, Any]:
    ended = folder.inside("credential", "verify", file, *options, "--json")
    assert ended.code == code, ended
    assert ended.out.count("\n") == 1
    assert ended.json.keys() >= MEMBERS
    return ended.json


def test_the_life_of_a_credential_and_of_its_child(folder: Installation) -> None:
    root, body = did(folder, "root.json"), did(folder, "body.json")
    for name in ("root", "body"):
        folder.done(
            "credential", "publish", f"status/{name}", "--key", f"{name}.json", "--url", f"https://{name}.example"
        )
    parent = write(folder, "p.json", {"id": body, **SUBJECT, "delegation": {"issuer": body, "depth": 1}})
    child = write(folder, "c.json", {"id": "did:example:unit", **SUBJECT, "maximumMemoryBytes": 1024})
    issue = ("credential", "issue", "executor")
    folder.done(*issue, parent, "--key", "root.json", "--status", "status/root", "--out", "parent.vc")
    how = ("--key", "body.json", "--status", "status/body", "--days", "100")
    folder.done(*issue, child, *how, "--parent", "parent.vc", "--out", "child.vc")
    trust = ("--issuer", root, "--status", "status")
    good = verify(folder, "child.vc", *trust)
    assert (good["status"], good["kind"], good["issuer"], good["not_checked"]) == ("valid", "TEEExecutorVC", body, [])
    assert good["subject"] == "did:example:unit"
    assert verify(folder, "child.vc", code=1)["reason"] == "status_unreachable"
    assert verify(folder, "child.vc", "--status", "nowhere", code=1)["reason"] == "status_unreachable"
    assert verify(folder, "child.vc", "--issuer", body, "--status", "status", code=1)["reason"] == "issuer_not_trusted"
    assert verify(folder, "child.vc", *trust, "--at", "2020-01-01T00:00:00Z", code=1)["reason"] == "not_yet_valid"
    assert verify(folder, "child.vc", *trust, "--at", "2199-01-01T00:00:00Z", code=1)["reason"] == "expired"
    change = ("parent.vc", "--status", "status/root", "--key", "root.json")
    folder.done("credential", "suspend", *change, "--reason", "looked at")
    assert verify(folder, "child.vc", *trust, code=1)["reason"] == "suspended"
    folder.done("credential", "reinstate", *change)
    assert verify(folder, "child.vc", *trust)["status"] == "valid"
    folder.done("credential", "revoke", *change)
    assert verify(folder, "child.vc", *trust, code=1)["reason"] == "revoked"
    folder.refused("credential", "reinstate", *change, says="for ever")
    folder.refused(
        "credential", "revoke", "urn:nobody", "--status", "status/root", "--key", "root.json", says="no cred"
    )
    folder.refused("credential", "revoke", *change[:-1], "body.json", says="")


def test_wider_children_are_not_issued(folder: Installation) -> None:
    body = did(folder, "body.json")
    parent = write(folder, "p.json", {"id": body, **SUBJECT, "delegation": {"issuer": body, "depth": 1}})
    folder.done("credential", "issue", "executor", parent, "--key", "root.json", "--out", "parent.vc")
    wide = write(folder, "w.json", {"id": body, **SUBJECT, "maximumMemoryBytes": 2**40})
    how = ("--key", "body.json", "--parent", "parent.vc", "--out", "child.vc", "--days", "100")
    folder.refused("credential", "issue", "executor", wide, *how, says="wider than its parent: memory")
    assert not (folder.folder / "child.vc").exists()


def test_nodes_and_roles_are_issued_to_stdout(folder: Installation) -> None:
    node: dict[str, Any] = {
        "id": "did:example:n",
        "operator": "Op",
        "countryOfOperation": "DEU",
        "vendor": "amd",
        "platformIds": [],
    }
    node |= {"attributes": [], "admits": None}
    role = {"id": "did:example:r", "role": "auditor", "jurisdiction": "DEU", "daos": None}
    for kind, subject, name in (("node", node, "NodeCredential"), ("role", role, "LedgerRoleCredential")):
        file = write(folder, "subject.json", subject)
        ended = folder.done("credential", "issue", kind, file, "--key", "root.json")
        write(folder, "some.vc", ended.out)
        assert verify(folder, "some.vc")["kind"] == name
    folder.refused("credential", "issue", "other", "subject.json", "--key", "root.json", says="KIND")
    folder.refused("credential", "issue", "node", "subject.json", "--key", "root.json", says="credentialSubject")


def test_an_issuer_of_the_web(folder: Installation) -> None:
    web = "did:web:who.example:a"
    place = folder.folder / "dids" / "who.example" / "a"
    place.mkdir(parents=True)
    told = folder.done("credential", "did", web, "--key", "root.json", "--out", place / "did.json", "--json").json
    assert told["url"] == "https://who.example/a/did.json"
    subject = write(folder, "s.json", {"id": "did:example:x", **SUBJECT})
    how = ("--method", told["method"], "--out", "web.vc")
    folder.done("credential", "issue", "executor", subject, "--key", "root.json", *how)
    assert verify(folder, "web.vc", "--did", "dids", "--issuer", web)["issuer"] == web
    assert verify(folder, "web.vc", code=1)["reason"] == "key_unreachable"
    assert verify(folder, "web.vc", "--did", "nowhere", code=1)["reason"] == "key_unreachable"


def test_what_is_wrong_is_told_in_one_object_and_in_words(folder: Installation) -> None:
    for content in ("", "[]", "{", '{"a":1,"a":2}', "{}"):
        found = verify(folder, write(folder, "bad.vc", content), code=1)
        assert (found["status"], found["reason"], found["issuer"]) == ("refused", "malformed", None)
    ended: Ended = folder.inside("credential", "verify", "bad.vc")
    assert (ended.code, ended.out.splitlines()[0][:8]) == (1, "refused:")
    folder.refused("credential", "verify", "none.vc", says="cannot read")
    assert folder.inside("credential", "verify").code == 64
    folder.refused("credential", "publish", "status", "--key", "root.json", says="--url")
    folder.done("credential", "publish", "status", "--key", "root.json", "--url", "https://a.example")
    folder.refused("credential", "publish", "status", "--key", "body.json", says="another issuer")
    folder.refused(
        "credential", "publish", "status", "--key", "root.json", "--url", "https://b.example", says="another"
    )


def test_the_vector_from_elsewhere(folder: Installation, vectors: Path) -> None:
    file = str(vectors / "credentials" / "eddsa-jcs-2022" / "signedJCS.json")
    assert verify(folder, file)["kind"] == "AlumniCredential"
    bent = write(folder, "bent.vc", Path(file).read_text().replace("School", "school"))
    assert verify(folder, bent, code=1)["reason"] == "signature"


def test_a_ledger_takes_credentials_that_were_issued_elsewhere(ledger: Installation) -> None:
    store = ledger.data / "credentials" / "status" / "root"
    root = ledger.data / "root.key.json"
    ledger.done("credential", "publish", store, "--key", root, "--url", "https://root.example")
    people = ledger.done("key", "new", "bob.json", "--name", "bob", "--json").json
    subject = write(ledger, "bob-subject.json", {"id": people["did"], **SUBJECT, "dao": "BobDAO"})
    how = ("--key", root, "--status", store, "--out", "bob.vc")
    ledger.done("credential", "issue", "executor", subject, *how)
    register = ("tenant", "register", "--dao", "BobDAO", "--jurisdiction", "DEU", "--key", "bob.json")
    ledger.refused(*register, says="--clause")
    ledger.done(*register, "--credential", "bob.vc")
    ledger.refused("tenant", "renew", "--tenant", TENANT, "--credential", "bob.vc", says="another tenant")
    ledger.done("credential", "revoke", "bob.vc", "--status", store, "--key", root)
    ledger.refused("tenant", "renew", "--tenant", "BobDAO/DEU", "--credential", "bob.vc", says="revoked")
    wallet = ledger.done("key", "new", "munich.json", "--name", "munich-1", "--json").json
    node = {
        "id": wallet["dids"]["report"], "operator": "Suedrechner", "countryOfOperation": "DEU", "vendor": "none",
        "platformIds": [f"software:{wallet['keys']['report']}"], "attributes": [], "admits": None,
    }  # fmt: skip
    ledger.done("credential", "issue", "node", write(ledger, "n.json", node), "--key", root, "--out", "munich.vc")
    enrol = ("node", "enrol", "--name", "munich-1", "--country", "DEU", "--key", "munich.json")
    ledger.refused(*enrol, "--operator", "Other", "--credential", "munich.vc", says="not what the credential says")
    ledger.done(*enrol, "--operator", "Suedrechner", "--credential", "munich.vc")


def test_issuers_rotate_and_an_auditor_follows_it(ledger: Installation) -> None:
    ledger.done("key", "new", "next.json", "--name", "next-issuer")
    issuer = did(ledger, "next.json")
    ledger.done("scope", "enrol-issuer", issuer)
    ledger.refused("scope", "enrol-issuer", issuer, says="already")
    ledger.refused("scope", "enrol-issuer", "not-a-did", says="did")
    ledger.done("scope", "revoke-issuer", issuer, "--reason", "stolen")
    ledger.refused("scope", "enrol-issuer", issuer, says="never returns")
    ledger.done("audit", "export", "--tenant", "root", "--out", "root.bundle", "--with-keys", "all")
    key = (ledger.folder / "root.bundle" / "log.vkey").read_text().splitlines()
    verdict = ledger.done("audit", "verify", "root.bundle", *(f"--log-key={one}" for one in key), "--json").json
    assert verdict["ok"] is True
