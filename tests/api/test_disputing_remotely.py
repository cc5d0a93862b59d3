"""Disputes by the command line at a server: drafted there, held against what was meant, signed here."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from domain.errors import LedgerError, UnknownError, VerificationError
from infrastructure.exchange.blocking import Client
from infrastructure.keys.wallet import Purpose
from tests.api.service import Service
from tests.api.writing import remote, written
from tests.cli.conftest import TENANT
from tests.database import TestServer

ROOT_KEY: Final = "data/root.key.json"
OPERATOR: Final = "Nordrechner"
ALICE: Final = ("--tenant", TENANT, "--key", "alice.json")


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("remote")) as made:
        for name, role in (("judge", "resolver"), (OPERATOR, "operator")):
            made.ledger.done("key", "new", f"{name}.json", "--name", name)
            enrolled = made.ledger.inside(
                "principal", "enrol", f"{name}.json", "--of", "root", "--role", role, "--purpose", "governance",
                "--key", ROOT_KEY, "--server", made.url, "--json",
            )  # fmt: skip
            assert enrolled.json["role"] == role
        yield made


def asked(service: Service, *arguments: str) -> Any:
    """Run a command at the server."""
    ended = service.ledger.inside("dispute", *arguments, "--server", service.url, "--json")
    assert ended.code == 0, ended
    return ended.json


def cac(service: Service) -> str:
    with remote(service) as ledger:
        return str(ledger.pages("/v1/cacs", "cacs")[0]["cac"])


def test_a_dispute_runs_its_course_at_a_server(service: Service) -> None:
    named = cac(service)
    opened = asked(service, "open", "--cac", named, "--grounds", "the river was low", *ALICE)
    dispute = opened["dispute"]
    assert [one["cac_id"] for one in opened["affected"]] == [named]
    judge = ("--key", "judge.json")
    found = asked(service, "find", "--cac", named, *judge)
    assert [one["cac"] for one in found["involved"]] == [named]
    answered = asked(service, "answer", dispute, "--text", "right", "--operator", OPERATOR, "--key", f"{OPERATOR}.json")
    assert answered["status"] == "open"
    document = service.ledger.folder / "gauge.txt"
    document.write_text("1871,1\n")
    asked(service, "attach", dispute, "--title", "gauge", "--file", str(document), *ALICE)
    assert [row["dispute"] for row in asked(service, "list", "--status", "open", *judge)["disputes"]] == [dispute]
    decided = asked(service, "decide", dispute, "overturned", "--reason", "it was low", *judge)
    assert (decided["status"], decided["overturned"], decided["cacs"]) == ("overturned", [named], [named])
    shown = asked(service, "show", dispute, *judge)
    assert shown["entries"][0]["topic"] == "dispute.opened.v1"
    out = service.ledger.folder / "case"
    case = asked(service, "export", dispute, "--out", str(out), *judge)
    assert (case["ok"], case["dispute"], case["status"]) == (True, dispute, "overturned")
    assert (out / "evidence/0").read_bytes() == document.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: draft["claims"].update(grounds="another"),
        lambda draft: draft["claims"].update(affected="0" * 64),
        lambda draft: draft["claims"].update(more=1),
        lambda draft: draft["claims"].update(party="ledger.example/t/1"),
        lambda draft: draft.update(aud="elsewhere.example/t/9"),
        lambda draft: draft.update(iss="did:key:z6Mk"),
        lambda draft: draft["shown"].update(affected=[]),
        lambda draft: draft.pop("shown"),
        lambda draft: draft["shown"]["affected"][0].update(cac_id="cac-0x" + "1" * 32),
    ],
)
def test_nobody_signs_a_dispute_that_was_not_meant(
    service: Service, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any]
) -> None:
    real, subject = Client.post, {"kind": "cac", "cac_id": cac(service)}

    def other(self: Client, path: str, *rest: Any, **more: Any) -> Any:
        answer = real(self, path, *rest, **more)
        if path == "/v1/drafts":
            change(answer)
        assert path != "/v1/disputes", "signed and sent"
        return answer

    monkeypatch.setattr(Client, "post", other)
    meant = {
        "act": "open_dispute", "dispute": "0198c0de-0000-7000-8000-00000000000e", "subject": subject, "grounds": "x",
    }  # fmt: skip
    with remote(service) as ledger, pytest.raises(VerificationError):
        ledger.act_in_dispute("/v1/disputes", meant, [service.wallet("alice.json")])


def test_a_draft_is_for_who_may_hand_it_in(service: Service) -> None:
    named = cac(service)
    subject = {"kind": "cac", "cac_id": named}
    absent = "0198c0de-0000-7000-8000-00000000000d"
    opening = {"act": "open_dispute", "dispute": absent, "subject": subject, "grounds": "x"}
    deciding = {"act": "decide_dispute", "dispute": absent, "decision": "upheld", "reason": "x"}
    judge = service.token_of("judge.json", "root", Purpose.GOVERNANCE)
    operator = service.token_of(f"{OPERATOR}.json", "root", Purpose.GOVERNANCE)
    alice = service.token_of("alice.json", TENANT, Purpose.GOVERNANCE)
    bob = service.token_of("bob.json", "HealthDAO/FRA", Purpose.GOVERNANCE)
    policy = {"act": "enrol_issuer", "did": "did:key:z6Mk"}
    for token, claims in ((operator, opening), (alice, deciding), (bob, opening), (judge, deciding), (judge, policy)):
        answer = service.post("/v1/drafts", {"claims": claims}, token)
        assert (answer.status, answer.json["detail"]) == (404, "there is nothing here"), answer.body
    assert service.post("/v1/drafts", {"claims": {**opening, "grounds": 1}}, alice).status == 400
    with remote(service, "bob.json", "HealthDAO/FRA") as ledger, pytest.raises((UnknownError, LedgerError)):
        ledger.act_in_dispute("/v1/disputes", opening, [service.wallet("bob.json")])
