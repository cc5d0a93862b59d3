"""What a client believes of a server: nothing that was changed on the way, and nobody else in its place."""

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConflictError, LedgerError, MalformedError, UnavailableError, UnknownError, VerificationError
from infrastructure.client.async_remote import AsyncRemote
from infrastructure.client.known import Head, Known, Memory
from infrastructure.client.profile import Profile, load_profile
from infrastructure.client.remote import Remote
from infrastructure.client.submission import read_submission_file
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange import http11
from infrastructure.exchange.asynchronous import AsyncClient
from infrastructure.exchange.blocking import Client
from infrastructure.ids import SystemIds
from infrastructure.keys.wallet import Purpose
from tests.api.people import OTHER
from tests.api.service import Service
from tests.api.writing import FLOOD, Awaited, either, remote, written
from tests.cli.conftest import TENANT
from tests.database import TestServer

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("believed")) as made:
        yield made


def changed(monkeypatch: pytest.MonkeyPatch, method: str, path: str, change: Change) -> None:
    """Change what a server answers, on its way."""
    real, awaited = getattr(Client, method), getattr(AsyncClient, method)

    def put(at: str, answer: Any) -> Any:
        if not at.startswith(path):
            return answer
        given = change(answer)
        return given if isinstance(answer, bytes) else answer

    def other(self: Client, at: str, *rest: Any, **more: Any) -> Any:
        return put(at, real(self, at, *rest, **more))

    async def later(self: AsyncClient, at: str, *rest: Any, **more: Any) -> Any:
        return put(at, await awaited(self, at, *rest, **more))

    monkeypatch.setattr(Client, method, other)
    monkeypatch.setattr(AsyncClient, method, later)


@pytest.fixture(params=["blocking", "asynchronous"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return which of the two clients is held to it."""
    found: str = request.param
    return found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda answer: answer.update(acknowledgements=[]), "did not acknowledge"),
        (lambda answer: answer.update(acknowledgements=answer["acknowledgements"][1:]), "did not acknowledge"),
        (lambda answer: answer.update(places=[], acknowledgements=[]), "did not acknowledge"),
        (lambda answer: answer["places"][0].update(leaf_index=10**6), "did not acknowledge"),
        (lambda answer: answer.update(jti="0" * 32), "another command"),
        (lambda answer: answer["acknowledgements"][0].update(ack="x"), "compact JWS"),
        (lambda answer: answer["acknowledgements"][0].update(path=[]), "proof"),
        (lambda answer: answer.pop("acknowledgements"), "no acknowledgements"),
    ],
)
def test_an_answer_without_good_acknowledgements_is_refused(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch, change: Change, says: str
) -> None:
    changed(monkeypatch, "post", "/v1/workloads", change)
    with either(service, kind) as asked, pytest.raises(LedgerError, match=says):
        asked.submit(*read_submission_file(FLOOD))


@pytest.mark.parametrize("name", ["release_key", "output_key", "origin", "registration"])
def test_a_release_key_that_the_tenants_admins_did_not_accept_is_refused_before_anything_is_sealed(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = service.rows("workload.submitted.v1")
    changed(monkeypatch, "get", "/v1/tenants", lambda answer: answer["tenants"][0].update({name: "00" * 32}))
    with either(service, kind) as asked, pytest.raises(VerificationError):
        asked.submit(*read_submission_file(FLOOD))
    assert service.rows("workload.submitted.v1") == before


def test_another_key_of_acknowledgements_than_before_is_refused(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with either(service, kind) as asked:
        asked.submit(*read_submission_file(FLOOD))
    told = {"acknowledgement_key": "11" * 32}
    changed(monkeypatch, "get", "/v1/tenants", lambda answer: answer["tenants"][0].update(told))
    with either(service, kind) as asked, pytest.raises(VerificationError, match="another acknowledgement_key before"):
        asked.submit(*read_submission_file(FLOOD))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda answer: answer["claims"].update(name="other"), "'name' differs"),
        (lambda answer: answer["claims"].update(kid="x"), "more than was meant"),
        (lambda answer: answer["claims"].update(act="revoke_principal"), "'act' differs"),
        (lambda answer: answer.pop("iss"), "not of its form"),
    ],
)
def test_nobody_signs_another_act_than_was_meant(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch, change: Change, says: str
) -> None:
    before = service.rows("tenant.monitor_appointed.v1")
    changed(monkeypatch, "post", "/v1/drafts", change)
    claims = {"act": "appoint_monitor", "name": "who", "kind": "treaty_monitor"}
    with either(service, kind) as asked, pytest.raises(VerificationError, match=says):
        asked.act("/v1/monitors", claims, [service.wallet("alice.json")])
    assert service.rows("tenant.monitor_appointed.v1") == before


def test_a_log_that_was_set_back_or_shows_another_tree_is_refused(service: Service, kind: str) -> None:
    with either(service, kind) as asked:
        seen = asked.look()
    if seen is None:
        pytest.skip("nothing is published yet")
    wallet = service.wallet("alice.json").thumbprint(Purpose.GOVERNANCE)
    memory = Memory(service.ledger.folder / "state/enclave-ledger", service.url, TENANT, wallet)
    for head, says in (
        (Head(seen.size + 5, seen.root), "set back"), (Head(seen.size, bytes(32)), "another tree"),
        (Head(seen.size - 1, bytes(32)), "does not prove"),
    ):  # fmt: skip
        with memory.changing() as held:
            held[0] = replace(held[0], head=head)
        with either(service, kind) as asked, pytest.raises(VerificationError, match=says):
            asked.get("/v1/policies")
    with memory.changing() as held:
        held[0] = replace(held[0], head=seen)


def test_a_profile_says_how_a_server_is_reached_and_what_is_known_of_it(service: Service) -> None:
    folder = service.ledger.folder
    trusted = folder / "climate.policy"
    service.ledger.done("trust", "export", "--tenant", TENANT, "--out", trusted)
    profiles = folder / "config/enclave-ledger"
    profiles.mkdir(parents=True)
    text = (
        f'[default]\nserver = "{service.url}"\ntenant = "{TENANT}"\nkey = "{folder}/alice.json"\ntrust = "{trusted}"\n'
    )
    (profiles / "profiles.toml").write_text(text)
    profile = load_profile(None, profiles / "profiles.toml")
    assert profile.acknowledgement_key is not None
    assert len(profile.log_keys) == 2
    given = ("--profile", "default", "--json")
    said = service.ledger.done("submit", FLOOD, *given).json
    assert said["acknowledgements"]
    assert service.ledger.done("why", said["workload"], *given).json["workload"] == said["workload"]
    other = replace(profile, acknowledgement_key=bytes(32), state=folder / "state/enclave-ledger")
    with (
        Remote(
            other, service.wallet("alice.json"), clock=SystemClock(), entropy=SystemEntropy(), ids=SystemIds()
        ) as ask,
        pytest.raises(VerificationError, match="profile's trust"),
    ):
        ask.submit(*read_submission_file(FLOOD))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", UnknownError), ("[other]\nserver = 'x'\n", UnknownError), ("[default]\n", MalformedError),
        ("[default]\nserver = 7\n", MalformedError), ("[default]\nserver = 'x'\nmore = 1\n", MalformedError),
        ("x", MalformedError), ("[default]\nserver = 'x'\nacknowledgement_key = 'zz'\n", MalformedError),
        ("[default]\nserver = 'x'\ntrust = 'none'\n", UnknownError),
    ],
)  # fmt: skip
def test_a_profile_that_is_none_is_refused(tmp_path: Path, text: str, kind: type[LedgerError]) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    with pytest.raises(kind):
        load_profile(None, file)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":"ledger-known/v2"}', Known().to_bytes() + b" "])
def test_what_is_remembered_reads_back_as_it_was_written_and_nothing_else_does(data: bytes) -> None:
    assert Known.parse(Known().to_bytes()) == Known()
    with pytest.raises(MalformedError):
        Known.parse(data)


QUOTA = {"act": "grant_quota", "to": OTHER, "slots": {"nominal": 4, "borrow": 0, "lend": 0}, "memory_bytes": None,
         "weight": 1}  # fmt: skip
ROOT = ("data/root.key.json", "root")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda answer: answer.pop("acknowledgement_key"), "does not say by which key"),
        (lambda answer: answer.update(acknowledgement_key="zz"), "does not say by which key"),
        (lambda answer: answer.update(acknowledgement_key="11" * 32), "told another key of acknowledgements of"),
    ],
)
def test_another_logs_key_is_told_before_anybody_signs_and_never_changes(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch, change: Change, says: str
) -> None:
    with either(service, kind, *ROOT) as asked:
        asked.act("/v1/quotas", QUOTA, [service.wallet(ROOT[0])])
    before = service.rows("quota.granted.v1")
    changed(monkeypatch, "post", "/v1/drafts", change)
    with either(service, kind, *ROOT) as asked, pytest.raises(VerificationError, match=says):
        asked.act("/v1/quotas", QUOTA, [service.wallet(ROOT[0])])
    assert service.rows("quota.granted.v1") == before


def test_what_lies_in_another_log_is_acknowledged_by_that_logs_key(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with either(service, kind) as asked:
        foreign = asked.submit(*read_submission_file(FLOOD)).acknowledgements[0].to_json()
    changed(monkeypatch, "post", "/v1/quotas", lambda answer: answer["acknowledgements"][0].update(ack=foreign["ack"]))
    with (
        either(service, kind, *ROOT) as asked,
        pytest.raises(LedgerError, match="another audience"),
    ):
        asked.act("/v1/quotas", QUOTA, [service.wallet(ROOT[0])])


def test_what_was_is_told_as_of_an_instant(service: Service, kind: str) -> None:
    with either(service, kind) as asked:
        handed_in = asked.submit(*read_submission_file(FLOOD)).members["workload"]
        assert asked.why(handed_in, at_ms=SystemClock().now_ms())["workload"] == handed_in
        with pytest.raises(UnknownError):
            asked.why(handed_in, at_ms=1)


def test_what_a_server_cannot_do_is_refused_by_the_command(service: Service, tmp_path: Path) -> None:
    at = ("--server", service.url, "--tenant", TENANT, "--key", "alice.json")
    for arguments, code, says in (
        (("audit", "export", "--out", tmp_path / "x", "--rounds", "0..1", *at), 64, "all rounds"),
        (("audit", "export", "--out", tmp_path / "x", "--with-keys", "a,b", *at), 64, "all or of public"),
        (("dispute", "attach", "0" * 32, "--title", "t", "--entry", "x#1", *at), 1, "--file is attached"),
        (("dispute", "show", "nonsense", *at), 1, "there is nothing here"),
        (("dispute", "show", "01a20bcf-b0f7-7f8b-9f8c-05a257816632", *at), 1, "there is nothing here"),
    ):
        ended = service.ledger.inside(*arguments)
        assert (ended.code, says in ended.err) == (code, True), ended
    assert not (tmp_path / "x").exists()


def test_another_logs_checkpoint_or_bundle_is_refused(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with either(service, kind) as asked:
        origin = asked.own()["origin"]
    with either(service, kind, "bob.json", OTHER) as asked:
        asked.bundle(tmp_path / "other")
    other = (tmp_path / "other/checkpoint").read_bytes()
    pinned = replace(_profile(service), origin=origin)
    changed(monkeypatch, "get_bytes", "/v1/audit/checkpoint", lambda _: other)
    with _held(service, kind, pinned) as asked, pytest.raises(VerificationError, match="is of the log"):
        asked.get("/v1/policies")
    monkeypatch.undo()
    changed(monkeypatch, "get_bytes", "/v1/audit/bundle", lambda _: archive(tmp_path / "other"))
    with _held(service, kind, pinned) as asked, pytest.raises(VerificationError, match="gave the bundle of"):
        asked.bundle(tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("checkpoint", b"x", "does not verify"), ("../checkpoint", b"x", "something else"),
        (None, b"x" * 600, "no archive"),
        ("/etc/x", b"x", "something else"), ("a\nb", b"x", "something else"), ("a" * 200, b"x", "something else"),
    ],
)  # fmt: skip
def test_an_archive_that_is_no_bundle_is_refused_and_writes_nothing_elsewhere(
    service: Service,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str | None,
    data: bytes,
    says: str,
) -> None:
    given = data if name is None else tarred({name: data})
    changed(monkeypatch, "get_bytes", "/v1/audit/bundle", lambda _: given)
    out = tmp_path / "within" / "out"
    with either(service, kind) as asked, pytest.raises(VerificationError, match=says):
        asked.bundle(out)
    assert {path.name for path in tmp_path.rglob("*")} <= {"within", "out", "checkpoint"}
    assert not (tmp_path / "within" / "checkpoint").exists()


def test_a_bundle_that_is_too_long_is_asked_for_once(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(http11, "MOST_BODY_BYTES", 20_000)
    before = service.rows("tenant.key_disclosed.v1")
    with either(service, kind) as asked, pytest.raises(UnavailableError, match="too long"):
        asked.bundle(tmp_path / "out")
    assert service.rows("tenant.key_disclosed.v1") == before + 1
    assert not (tmp_path / "out").exists()


def test_a_directory_that_holds_something_is_left_alone(service: Service, kind: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with either(service, kind) as asked, pytest.raises(ConflictError):
        asked.bundle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def tarred(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            opened.addfile(about, io.BytesIO(data))
    return made.getvalue()


def archive(root: Path) -> bytes:
    """Return a directory as a server would send it."""
    files = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return tarred(files)


def _profile(service: Service) -> Profile:
    return Profile(service.url, tenant=TENANT, state=service.ledger.folder / "state/pinned")


def _held(service: Service, kind: str, profile: Profile) -> Any:
    wallet, clock, entropy, ids = service.wallet("alice.json"), SystemClock(), SystemEntropy(), SystemIds()
    if kind == "blocking":
        return Remote(profile, wallet, clock=clock, entropy=entropy, ids=ids)
    return Awaited(AsyncRemote(profile, wallet, clock=clock, entropy=entropy, ids=ids))


def of_cac(service: Service) -> tuple[str, dict[str, Any]]:
    """Return a CAC's id, and the row that the server gives of it."""
    with remote(service) as asked:
        named = str(asked.pages("/v1/cacs", "cacs")[0]["cac"])
        return named, asked.cac(named)


def test_a_cac_is_shown_once_it_is_held_against_the_log(service: Service) -> None:
    named, found = of_cac(service)
    assert found["document"]["cac_id"] == named
    before = service.rows("tenant.key_disclosed.v1")
    assert before, "that the stream's key went out is in the log"
    with remote(service) as asked:
        again = asked.cac(named)
    assert again["proof"]["index"] == found["proof"]["index"]
    assert service.rows("tenant.key_disclosed.v1") == before, "once for each reader"
    shown = service.ledger.inside(
        "cac", "show", named, "--server", service.url, "--key", "alice.json", "--tenant", TENANT, "--json"
    )
    assert shown.json["cac"] == found["document"]


def test_a_cac_that_the_log_did_not_issue_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    named, found = of_cac(service)
    real_bytes, real = Client.get_bytes, Client.get
    with remote(service, "bob.json", "HealthDAO/FRA") as other_tenant:
        theirs = other_tenant.pages("/v1/cacs", "cacs")[0]["cac"]
        foreign = other_tenant.read(f"/v1/cacs/{theirs}/statement")
    with remote(service) as mine:
        first = mine.read("/v1/audit/proofs/0", "text/plain")
    statement, proof = f"/v1/cacs/{named}/statement", f"/v1/audit/proofs/{found['proof']['index']}"

    def refused(text: str, changes: dict[str, Callable[[bytes], bytes]], document: Any = None) -> None:
        def other(self: Client, path: str, **more: Any) -> bytes:
            data = real_bytes(self, path, **more)
            return changes[path](data) if path in changes else data

        def told(self: Client, path: str, **more: Any) -> Any:
            answer = real(self, path, **more)
            return {**answer, "document": document} if document and path == f"/v1/cacs/{named}" else answer

        monkeypatch.setattr(Client, "get_bytes", other)
        monkeypatch.setattr(Client, "get", told)
        with remote(service) as asked, pytest.raises(VerificationError, match=text):
            asked.cac(named)

    refused("does not verify", {}, document={**found["document"], "outcome": "FAIL"})
    refused("statement", {statement: lambda data: data[:-1]})
    refused("statement", {statement: lambda data: data.replace(b"ledger-entry", b"ledger-entrx")})
    refused("statement", {statement: lambda _: b"{}"})
    refused("statement", {statement: lambda _: foreign})
    at = f"index {found['proof']['index']}\n".encode()
    refused("proof|root|tree", {proof: lambda data: data.replace(at, b"index 0\n")})
    refused("another root", {proof: lambda _: first})
    refused("proof", {proof: lambda data: data + b"x"})
