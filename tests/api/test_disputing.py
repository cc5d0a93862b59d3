"""Disputes over HTTP: each act by its statements; who sees what of them, and that it is recorded."""

import base64
import io
import tarfile
from collections.abc import Iterator
from typing import Any, Final

import pytest

from domain.disputes.events import AboutCac, AboutSpan, Affected, Subject
from domain.disputes.statements import (
    AnswerSaid,
    DecideSaid,
    DocumentSaid,
    OpenSaid,
    Said,
    WithdrawSaid,
    affected_digest,
)
from domain.hashing import sha256_hex
from domain.statements import GOVERNANCE
from infrastructure.client.signing import signed_by
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from infrastructure.statements.payload import payload
from tests.api.people import OTHER, token
from tests.api.service import Answered, Service
from tests.api.writing import written
from tests.cli.conftest import TENANT, Ended
from tests.database import TestServer

ROOT_KEY: Final = "data/root.key.json"
ABSENT: Final = "0198c0de-0000-7000-8000-00000000000d"
NOTHING: Final = "there is nothing here"
OPERATOR: Final = "Nordrechner"
TOKENS: dict[str, dict[str, str]] = {}
"""By server, then by name."""
TENANTS: Final = {"alice": (TENANT, "rita"), "bob": (OTHER, "flora")}


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("disputed")) as made:
        for name, role in (("judge", "resolver"), (OPERATOR, "operator"), ("Elsewhere", "operator")):
            made.ledger.done("key", "new", f"{name}.json", "--name", name)
            made.ledger.done(
                "tenant", "enrol-key", f"{name}.json", "--tenant", "root", "--role", role, "--purpose", "governance",
                "--key", ROOT_KEY,
            )  # fmt: skip
        for name, role in (("fritz", "resolver"), ("aude", "auditor")):
            made.ledger.done("key", "new", f"{name}.json", "--name", name)
            enrolled: Ended = made.ledger.done(
                "principal", "enrol", f"{name}.json", "--of", "root", "--role", role, "--key", ROOT_KEY,
                *(("--jurisdiction", "FRA") if name == "fritz" else ()),
            )  # fmt: skip
            assert enrolled.code == 0
        yield made


def given(service: Service, who: str) -> str:
    """Return a token: of the tenants' and scope's people, of a resolver that signs, of an operator."""
    known = TOKENS.setdefault(service.url, {})
    if who not in known and who in {"judge", OPERATOR, "Elsewhere"}:
        known[who] = service.token_of(f"{who}.json", "root", Purpose.GOVERNANCE)
    elif who not in known:
        known[who] = (
            service.token_of(f"{who}.json", "root") if who in {"fritz", "aude"} else token(service, who)
        )  # strangers may ask for so many in a while only
    return known[who]


def get(service: Service, path: str, who: str) -> Answered:
    return service.ask("GET", path, token=given(service, who))


def root(service: Service) -> Any:
    return service.ask("GET", "/v1/scopes", token=given(service, "judge")).json["scopes"][0]


def statements(service: Service, said: Said, who: str, **changed: Any) -> list[str]:
    """Return the statements of an act, in the voice that it says."""
    scope = root(service)
    iss = scope["did"]
    if said.role == "tenant":
        iss = get(service, "/v1/tenants", who).json["tenants"][0]["did"]
    elif said.role == "operator":
        iss = service.wallet(f"{who}.json").did(Purpose.GOVERNANCE)
    content = payload(
        iss=iss, aud=scope["origin"], claims=said.claims(), now_ms=SystemClock().now_ms(), entropy=SystemEntropy()
    )
    return list(signed_by([service.wallet(f"{who}.json")], GOVERNANCE, {**content, **changed}))


def voice(service: Service, who: str) -> dict[str, Any]:
    """Return as whom somebody speaks."""
    if who == "judge":
        return {"role": "resolver", "party": root(service)["origin"]}
    if who == OPERATOR:
        return {"role": "operator", "party": OPERATOR}
    return {"role": "tenant", "party": get(service, "/v1/tenants", who).json["tenants"][0]["origin"]}


def cac_of(service: Service, who: str) -> str:
    return str(get(service, "/v1/cacs", TENANTS[who][1]).json["cacs"][0]["cac"])


def opening(service: Service, who: str, subject: Subject, query: str) -> tuple[str, list[str]]:
    """Return what opens a dispute about what a query finds: its id, and the statements."""
    rows = service.ask("GET", f"/v1/involved?{query}", token=given(service, who)).json["involved"]
    affected = tuple(
        Affected(
            slot=row["slot"], execution_id=row["execution"], cac_id=None if row["overturned_by"] else row["cac"],
            node=row["node"], operator=row["operator"],
        )
        for row in rows
    )  # fmt: skip
    named = str(SystemIds().uuid(SystemClock().now_ms()))
    said = OpenSaid(
        dispute=named, subject=subject, grounds="wrong", affected=affected_digest(affected), **voice(service, who)
    )
    return named, statements(service, said, who)


def about(service: Service, who: str) -> tuple[str, list[str]]:
    """Return what opens a dispute about a tenant's CAC."""
    cac = cac_of(service, who)
    return opening(service, who, AboutCac(kind="cac", cac_id=cac), f"cac={cac}")


def post(service: Service, who: str, path: str, tokens: list[str], **more: Any) -> Answered:
    return service.post(f"/v1/disputes{path}", {"statements": tokens, **more}, given(service, who))


@pytest.fixture
def opened(service: Service) -> Iterator[str]:
    """A dispute about the tenant's CAC, taken back at the end."""
    named, tokens = about(service, "alice")
    assert post(service, "alice", "", tokens).status == 201
    yield named
    said = WithdrawSaid(dispute=named, reason="settled", **voice(service, "alice"))
    assert post(service, "alice", f"/{named}/withdrawals", statements(service, said, "alice")).status in {201, 409}


def nothing(answer: Answered) -> None:
    assert (answer.status, answer.json["detail"]) == (404, NOTHING), answer.body


def seen(service: Service, who: str, dispute: str) -> Answered:
    return service.ask("GET", f"/v1/disputes/{dispute}", token=given(service, who))


def reads(service: Service, who: str) -> int:
    """Count what a log says of its readers of disputes."""
    asked, first = 0, 0
    while entries := get(service, f"/v1/audit/history?limit=256&first={first}", who).json["entries"]:
        found = [one["event"] for one in entries if one["topic"] == "access.summarised.v1"]
        asked += sum(one["requests"] for one in found if one["route_class"] == "disputes")
        first += len(entries)
    return asked


def test_a_dispute_is_opened_answered_shown_evidence_for_and_decided(service: Service) -> None:
    before = service.rows("dispute.opened.v1")
    named, tokens = about(service, "bob")
    cac = cac_of(service, "bob")
    jti = jws.peek(tokens[0])[1]["jti"]
    first = service.ask(
        "POST", "/v1/disputes", f'{{"statements": ["{tokens[0]}"]}}'.encode(), given(service, "bob"),
        Idempotency_Key=jti,
    )  # fmt: skip
    assert (first.status, first.json["dispute"]) == (201, named), first.body
    assert [one["topic"] for one in first.json["places"]] == ["dispute.opened.v1"]
    assert len(first.json["acknowledgements"]) == 1
    again = post(service, "bob", "", tokens)
    assert (again.status, again.json["places"]) == (201, first.json["places"])
    assert service.rows("dispute.opened.v1") == before + 1
    assert [one["object"] for one in again.json["acknowledgements"]] == [
        one["object"] for one in first.json["acknowledgements"]
    ]
    document = b"1871,1\n"
    said: list[tuple[str, str, Said, dict[str, Any]]] = [
        (OPERATOR, "answers", AnswerSaid(dispute=named, text="right", **voice(service, OPERATOR)), {}),
        ("bob", "evidence", DocumentSaid(
            dispute=named, title="gauge", digest=sha256_hex(document), **voice(service, "bob")
        ), {"document": base64.b64encode(document).decode()}),
        ("judge", "decisions", DecideSaid(
            dispute=named, decision="overturned", reason="wrong", cacs=(cac,), events=3, **voice(service, "judge")
        ), {}),
    ]  # fmt: skip
    for who, path, one, more in said:
        answer = post(service, who, f"/{named}/{path}", statements(service, one, who), **more)
        assert answer.status == 201, answer.body
    whole, own = seen(service, "judge", named).json, seen(service, "flora", named).json
    assert (whole["status"], whole["overturned"], own["overturned"]) == ("overturned", [cac], [cac])
    assert whole["entries"][0]["topic"] == "dispute.opened.v1"
    assert not own.keys() & {"entries", "evidence", "leaf_index"}
    archive = service.ask("GET", f"/v1/disputes/{named}/bundle", token=given(service, "judge"))
    assert archive.status == 200
    case = service.ledger.folder / "case"
    with tarfile.open(fileobj=io.BytesIO(archive.body)) as tar:
        tar.extractall(case, filter="data")
    assert service.ledger.done("dispute", "verify", case, "--json").json["ok"]


def test_what_concerns_another_is_as_what_there_is_not(service: Service, opened: str) -> None:
    for who in ("flora", "bob", "ben", "root", "pia", "mona", "otto", "fritz", "rene", "sid"):
        nothing(seen(service, who, opened))
        nothing(seen(service, who, ABSENT))
        nothing(seen(service, who, "case-7"))
        if who not in {"mona", "otto", "rene"}:
            rows = service.ask("GET", "/v1/disputes", token=given(service, who)).json["disputes"]
            assert opened not in [row["dispute"] for row in rows], who
    for who in ("alice", "sam", "rita", "judge", "resi", "aude"):
        assert seen(service, who, opened).json["dispute"] == opened, who
        rows = service.ask("GET", "/v1/disputes?status=open", token=given(service, who)).json["disputes"]
        assert [row["dispute"] for row in rows] == [opened], who
    for who in ("rita", "aude", "bob", "fritz"):
        nothing(service.ask("GET", f"/v1/disputes/{opened}/bundle", token=given(service, who)))
    foreign = cac_of(service, "alice")
    for who in ("flora", "root", "pia", "fritz"):
        for cac in (foreign, f"cac-0x{'0' * 32}"):
            nothing(service.ask("GET", f"/v1/involved?cac={cac}", token=given(service, who)))


def test_an_operator_concerned_sees_what_it_answers(service: Service, opened: str) -> None:
    nothing(seen(service, "Elsewhere", opened))
    assert get(service, "/v1/disputes", "Elsewhere").json == {"disputes": [], "next": None}
    before = seen(service, OPERATOR, opened).json
    assert (before["dispute"], before["status"], before["grounds"]) == (opened, "open", "wrong")
    assert before["concerned"] == [{"role": "operator", "name": OPERATOR, "answered": False}]
    assert not before.keys() & {"entries", "evidence", "leaf_index"}
    assert {one["operator"] for one in before["affected"]} == {OPERATOR}
    said = AnswerSaid(dispute=opened, text="right", **voice(service, OPERATOR))
    assert post(service, OPERATOR, f"/{opened}/answers", statements(service, said, OPERATOR)).status == 201
    after = seen(service, OPERATOR, opened).json
    assert [(one["by"]["name"], one["text"]) for one in after["answers"]] == [(OPERATOR, "right")]
    rows = get(service, "/v1/disputes?status=open", OPERATOR).json["disputes"]
    assert [row["dispute"] for row in rows] == [opened]
    for path in (f"/v1/disputes/{opened}/bundle", "/v1/involved?from=0"):
        nothing(get(service, path, OPERATOR))


def test_a_stranger_and_a_wrong_role_add_nothing(service: Service, opened: str) -> None:
    before = seen(service, "judge", opened).json["entries"]
    by_bob = voice(service, "bob")
    for dispute in (opened, ABSENT):
        said: list[tuple[str, Said]] = [
            ("answers", AnswerSaid(dispute=dispute, text="x", **by_bob)),
            ("evidence", DocumentSaid(dispute=dispute, title="x", digest=sha256_hex(b"x"), **by_bob)),
            ("withdrawals", WithdrawSaid(dispute=dispute, reason="x", **by_bob)),
            ("decisions", DecideSaid(dispute=dispute, decision="upheld", reason="x", events=1, **by_bob)),
        ]
        for path, one in said:
            more = {"document": "eA=="} if path == "evidence" else {}
            nothing(post(service, "bob", f"/{dispute}/{path}", statements(service, one, "bob"), **more))
            nothing(post(service, "ben", f"/{dispute}/{path}", statements(service, one, "bob"), **more))
        decided = DecideSaid(dispute=dispute, decision="upheld", reason="x", events=1, **voice(service, "judge"))
        for who in ("fritz", "alice", "root"):
            nothing(post(service, who, f"/{dispute}/decisions", statements(service, decided, "judge")))
    as_alice = AnswerSaid(dispute=opened, text="x", **voice(service, "alice"))
    nothing(post(service, "bob", f"/{opened}/answers", statements(service, as_alice, "alice")))
    forged = statements(service, as_alice, "alice")[0][:-4] + "AAAA"
    assert post(service, "alice", f"/{opened}/answers", [forged]).status == 403
    early = DecideSaid(dispute=opened, decision="upheld", reason="x", events=1, **voice(service, "judge"))
    assert post(service, "judge", f"/{opened}/decisions", statements(service, early, "judge")).status == 422
    elsewhere = statements(service, as_alice, "alice", aud="elsewhere.example/t/9")
    nothing(post(service, "alice", f"/{opened}/answers", elsewhere))
    assert seen(service, "judge", opened).json["entries"] == before


def test_bodies_and_queries_that_are_none_are_named(service: Service, opened: str) -> None:
    bob = statements(service, AnswerSaid(dispute=ABSENT, text="x", **voice(service, "alice")), "alice")
    path = f"/{opened}/answers"
    for tokens, pointer in (([], "#/statements"), (bob, "#/statements/0/dispute")):
        answer = post(service, "alice", path, tokens)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, pointer), answer.body
    wrong = post(service, "alice", f"/{ABSENT}/withdrawals", bob)
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (400, "#/statements/0/act")
    assert post(service, "alice", path, bob, document="eA==").status == 400
    assert post(service, "alice", path, ["x"]).status == 400
    lone = DocumentSaid(dispute=opened, title="x", digest=sha256_hex(b"x"), **voice(service, "alice"))
    assert post(service, "alice", f"/{opened}/evidence", statements(service, lone, "alice")).status == 400
    keyed = service.ask(
        "POST", "/v1/disputes", f'{{"statements": ["{bob[0]}"]}}'.encode(), given(service, "alice"),
        Idempotency_Key="0" * 32,
    )  # fmt: skip
    assert keyed.status == 400
    cac = cac_of(service, "alice")
    for query in (
        "", "?node=berlin-1", f"?cac={cac}&from=0", f"?cac={cac}&node=berlin-1", "?cac=x", "?from=5&to=5", "?from=x",
        "?jurisdiction=ZZZ&from=0", "?clause=x&from=0", "?from=0&cursor=x", "?from_ms=0", "?from=0&limit=101",
    ):  # fmt: skip
        answer = service.ask("GET", f"/v1/involved{query}", token=given(service, "resi"))
        assert answer.status == 400, (query, answer.body)
    for query in ("?status=lost", "?cursor=x", "?limit=0"):
        assert service.ask("GET", f"/v1/disputes{query}", token=given(service, "resi")).status == 400, query


def test_from_a_thing_to_all_that_it_touched_within_what_one_sees(service: Service) -> None:
    def found(who: str, query: str) -> list[Any]:
        rows: list[Any] = []
        cursor = ""
        while True:
            answer = service.ask("GET", f"/v1/involved?{query}&limit=1{cursor}", token=given(service, who)).json
            rows += answer["involved"]
            if answer["next"] is None:
                return rows
            cursor = f"&cursor={answer['next']}"

    everything = found("resi", "from=0")
    assert sorted(row["jurisdiction"] for row in everything) == ["DEU", "FRA"]
    assert all(row["evidence"] and row["entries"] for row in everything)
    (german,) = [row for row in everything if row["jurisdiction"] == "DEU"]
    for name, member in (("node", "node"), ("operator", "operator"), ("clause", "clause_id")):
        assert german in found("aude", f"{name}={german[member]}&from=0"), name
    for query in ("jurisdiction=deu&from=0", f"execution={german['execution']}", f"cac={german['cac']}"):
        assert found("resi", query) == [german], query
    for who in ("alice", "sam", "rita"):
        assert found(who, "from=0") == [german], who
    assert [row["jurisdiction"] for row in found("fritz", "from=0")] == ["FRA"]
    assert found("fritz", "jurisdiction=DEU&from=0") == found("root", "from=0") == found("pia", "from=0") == []


def test_reads_of_disputes_are_recorded_singly_before_the_answer(service: Service, opened: str) -> None:
    for who in ("rita", "resi"):
        before = reads(service, who)
        for path in (f"/v1/disputes/{opened}", "/v1/disputes", f"/v1/involved?cac={cac_of(service, 'alice')}"):
            assert service.ask("GET", path, token=given(service, who)).status == 200
        assert reads(service, who) == before + 3


def test_a_resolver_disputes_a_span_and_pages_follow_each_other(service: Service, opened: str) -> None:
    to_ms = SystemClock().now_ms()
    span = AboutSpan(kind="span", from_ms=0, to_ms=to_ms)
    named, tokens = opening(service, "judge", span, f"from=0&to={to_ms}")
    assert post(service, "judge", "", tokens).status == 201
    rows: list[str] = []
    cursor = ""
    while True:
        page = service.ask("GET", f"/v1/disputes?limit=1{cursor}", token=given(service, "judge")).json
        rows += [row["dispute"] for row in page["disputes"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert rows[-2:] == [opened, named]
    assert len(rows) == len(set(rows)) == service.rows("dispute.opened.v1")
    slots = {who: {one["slot"] for one in seen(service, who, named).json["affected"]} for who in ("rita", "flora")}
    assert all(len(one) == 1 for one in slots.values())
    assert slots["rita"] != slots["flora"]
    assert {one["slot"] for one in seen(service, "fritz", named).json["affected"]} == slots["flora"]
    said = WithdrawSaid(dispute=named, reason="settled", **voice(service, "judge"))
    assert post(service, "judge", f"/{named}/withdrawals", statements(service, said, "judge")).status == 201
