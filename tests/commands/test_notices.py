"""Notices of faults: delivered at least once, recorded once, signed, in the failing tenant's log and nowhere else."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest

from domain.errors import MalformedError, UnavailableError, VerificationError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.hashing import sha256_hex
from domain.message import Recorded
from infrastructure.keys.addresses import cell_addresses
from infrastructure.keys.private_files import write_private
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Ledger
from infrastructure.notices import outbox as outboxes
from infrastructure.notices.delivering import Deliverer, fetch
from infrastructure.notices.journal import FILE
from infrastructure.notices.outbox import DIRECTORY, Outbox, Parcel
from infrastructure.notices.webhooks import Addresses, Webhook, lie_open
from infrastructure.posting import deliverer as posting
from infrastructure.statements import jws
from tests.commands.cell import Cell, MakeCell, Member
from tests.commands.driver import Driver

ROOT = Path(__file__).resolve().parents[2]


class Hook:
    """A webhook on this machine: keeps what it gets, and answers what it is told to."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.statuses: list[int] = []
        self.asked = threading.Event()
        self.released = threading.Event()
        self.released.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.asked.set()
                hook.released.wait(30)
                status = hook.statuses.pop(0) if hook.statuses else 204
                if status == 204:
                    hook.taken.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/told"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Return a webhook that takes everything."""
    made = Hook()
    yield made
    made.close()


def failing(cell: Cell, *recipients: str) -> tuple[Member, str]:
    """Return a tenant of whose fault these are to be told, and the execution."""
    member = cell.join()
    member.adopt({"kind": "notification", "recipients": list(recipients)})
    (execution,) = cell.place(member)
    Driver(cell, execution).fail()
    return member, execution


def outbox_of(cell: Cell, tmp_path: Path) -> Outbox:
    """Return an outbox of a test's own, which knows what other tests left as looked at."""
    return Outbox(cell.ledger, tmp_path / DIRECTORY)


def fetched(outbox: Outbox, recipient: str) -> list[tuple[Parcel, str]]:
    """Fetch a recipient's notices; return what was handed out."""
    got: list[tuple[Parcel, str]] = []
    fetch(outbox, recipient, got.extend)
    return got


def verified(member: Member, token: str) -> dict[str, object]:
    """Verify a notice as a recipient does that knows the tenant's attestation key from its registration."""
    public = bytes.fromhex(member.tenant.attestation_key)
    now_s = member.cell.clock.now_ms() // 1000
    return jws.verify(
        token, typ=jws.ENDORSEMENT, keys={thumbprint(public): public}, aud=member.tenant.origin, now_s=now_s
    )


def test_who_fetches_gets_a_signed_notice_once_and_the_failing_tenants_log_says_so(cell: Cell, tmp_path: Path) -> None:
    member, execution = failing(cell, "Parent1")
    outbox = outbox_of(cell, tmp_path)
    with cell.only_written_to(member):
        ((parcel, token),) = fetched(outbox, "Parent1")
    assert parcel.notice.execution_id == execution
    (event,) = cell.events(member, NoticeDelivered)
    assert event == NoticeDelivered(execution_id=execution, recipient="Parent1", kind="trap", how="fetched", tries=1)
    assert fetched(outbox, "Parent1") == []
    assert fetched(outbox_of(cell, tmp_path / "another"), "Parent1") == []
    said = verified(member, token)
    assert {name: said[name] for name in ("act", "execution", "kind", "recipient")} == {
        "act": "notify_fault", "execution": execution, "kind": "trap", "recipient": "Parent1",
    }  # fmt: skip
    registered = {"iss", "aud", "jti", "iat", "exp"}
    assert set(said) - registered == {"act", "execution", "kind", "recipient", "requested_at_ms"}, "no content"


def test_each_recipient_is_told_for_itself(cell: Cell, tmp_path: Path) -> None:
    member, _ = failing(cell, "Parent2", "Monitor2")
    outbox = outbox_of(cell, tmp_path)
    assert len(fetched(outbox, "Parent2")) == 1
    assert [event.recipient for event in cell.events(member, NoticeDelivered)] == ["Parent2"]
    assert len(fetched(outbox, "Monitor2")) == 1
    assert len(cell.events(member, NoticeDelivered)) == len(cell.events(member, NoticeRequested)) == 2


def test_what_could_not_be_handed_out_stays_open(cell: Cell, tmp_path: Path) -> None:
    member, _ = failing(cell, "Parent3")
    outbox = outbox_of(cell, tmp_path)

    def breaks(_: Sequence[tuple[Parcel, str]]) -> None:
        raise OSError

    with pytest.raises(OSError):
        fetch(outbox, "Parent3", breaks)
    assert cell.events(member, NoticeDelivered) == []
    assert len(fetched(outbox, "Parent3")) == 1


def test_a_webhook_gets_the_signed_notice_and_is_tried_again_with_pauses_until_it_takes_it(
    cell: Cell, tmp_path: Path, hook: Hook
) -> None:
    member, execution = failing(cell, "Parent4")
    hook.statuses = [500, 302]
    told: list[str] = []
    deliverer = Deliverer(
        outbox_of(cell, tmp_path), {"Parent4": Webhook(hook.url)}, cell.clock.now_ms, trouble=told.append
    )
    assert deliverer.step() == 0
    assert deliverer.step() == 0, "it is left alone for a while"
    assert len(told) == 1
    assert deliverer.due_ms() == cell.clock.now_ms() + 1000
    cell.clock.advance_to(cell.clock.now_ms() + 1000)
    assert deliverer.step() == 0
    assert deliverer.due_ms() == cell.clock.now_ms() + 2000
    cell.clock.advance_to(cell.clock.now_ms() + 2000)
    assert deliverer.step() == 1
    assert ["answered 500" in told[0], "answered 302" in told[1], len(told)] == [True, True, 2]
    (body,) = hook.taken
    assert verified(member, body.decode())["execution"] == execution
    (event,) = cell.events(member, NoticeDelivered)
    assert (event.how, event.tries) == ("webhook", 3)
    assert deliverer.step() == 0
    assert not deliverer.waits()


def test_a_webhook_that_fails_does_not_hold_another_up(cell: Cell, tmp_path: Path, hook: Hook) -> None:
    member, _ = failing(cell, "Dead5", "Alive5")
    nobody = Webhook("http://127.0.0.1:9/", timeout_s=1)
    webhooks = {"Dead5": nobody, "Alive5": Webhook(hook.url)}
    assert Deliverer(outbox_of(cell, tmp_path), webhooks, cell.clock.now_ms).step() == 1
    assert [event.recipient for event in cell.events(member, NoticeDelivered)] == ["Alive5"]


def test_a_webhook_that_takes_its_time_is_cut_off(hook: Hook) -> None:
    hook.released.clear()
    with pytest.raises(UnavailableError, match="too slow"):
        Webhook(hook.url, timeout_s=0.2).post("a.b.c")
    hook.released.set()


def test_the_same_bytes_come_at_every_try(cell: Cell, tmp_path: Path) -> None:
    failing(cell, "Parent6")
    outbox = outbox_of(cell, tmp_path)
    outbox.catch_up()
    (parcel,) = (one for one in outbox.parcels() if one.notice.recipient == "Parent6")
    first = outbox.statement(parcel)
    cell.clock.advance_to(cell.clock.now_ms() + 60_000)
    assert outbox_of(cell, tmp_path / "another").statement(parcel) == first


def test_tries_are_kept_over_a_restart(cell: Cell, tmp_path: Path, hook: Hook) -> None:
    member, _ = failing(cell, "Parent7")
    hook.statuses = [503]
    Deliverer(outbox_of(cell, tmp_path), {"Parent7": Webhook(hook.url)}, cell.clock.now_ms).step()
    assert Deliverer(outbox_of(cell, tmp_path), {"Parent7": Webhook(hook.url)}, cell.clock.now_ms).step() == 1
    assert [event.tries for event in cell.events(member, NoticeDelivered)] == [2]


def test_a_lost_or_older_outbox_only_looks_again(cell: Cell, tmp_path: Path) -> None:
    outbox = outbox_of(cell, tmp_path)
    outbox.catch_up()
    kept = (tmp_path / DIRECTORY / FILE).read_bytes()
    member, _ = failing(cell, "Parent8")
    assert len(fetched(outbox, "Parent8")) == 1
    (tmp_path / DIRECTORY / FILE).write_bytes(kept)
    assert fetched(outbox_of(cell, tmp_path), "Parent8") == []
    (tmp_path / DIRECTORY / FILE).unlink()
    assert fetched(outbox_of(cell, tmp_path), "Parent8") == []
    assert len(cell.events(member, NoticeDelivered)) == 1


def test_an_outbox_of_another_history_is_derived_anew(cell: Cell, tmp_path: Path) -> None:
    failing(cell, "Parent9")
    outbox = outbox_of(cell, tmp_path)
    outbox.catch_up()
    path = tmp_path / DIRECTORY / FILE
    last = json.loads(path.read_bytes().splitlines()[-1])
    path.write_text(json.dumps({**last, "mark": sha256_hex(b"another")}) + "\n")
    assert len(fetched(outbox_of(cell, tmp_path), "Parent9")) == 1
    path.write_text("{}\n")
    with pytest.raises(MalformedError, match="derived from the start"):
        outbox_of(cell, tmp_path)


def reading(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Return the streams that are read from now on."""
    read: list[UUID] = []
    real = ledger.stream

    def counted(log_id: UUID, stream_id: UUID) -> tuple[Recorded, ...]:
        read.append(stream_id)
        return real(log_id, stream_id)

    monkeypatch.setattr(ledger, "stream", counted)
    return read


def test_a_poll_with_nothing_new_reads_no_stream_however_much_is_open(
    cell: Cell, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        failing(cell, "Silent14", "Deaf14")
    webhooks = {"Deaf14": Webhook("http://127.0.0.1:9/", timeout_s=1), "Nobody14": Webhook(hook.url)}
    outbox = outbox_of(cell, tmp_path)
    outbox.catch_up()
    deliverer = Deliverer(outbox, webhooks, cell.clock.now_ms)
    read = reading(cell.ledger, monkeypatch)
    assert deliverer.step() == 0
    assert len(read) == 2, "who does not answer is tried once: its notice, and whose it is"
    read.clear()
    assert deliverer.step() == 0
    assert deliverer.waits()
    assert read == []
    assert Deliverer(outbox_of(cell, tmp_path), webhooks, cell.clock.now_ms).waits()
    assert read == [], "nor does a restart"


def test_a_step_tries_so_many_and_serves_everybody(
    cell: Cell, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "MOST_TRIES", 2)
    members = [failing(cell, "Busy15", "Calm15")[0] for _ in range(3)]
    webhooks = {"Busy15": Webhook(hook.url), "Calm15": Webhook(hook.url)}
    outbox = outbox_of(cell, tmp_path)
    outbox.catch_up()
    deliverer = Deliverer(outbox, webhooks, cell.clock.now_ms)
    assert (deliverer.step(), deliverer.more) == (2, True)
    told = [event.recipient for member in members for event in cell.events(member, NoticeDelivered)]
    assert sorted(told) == ["Busy15", "Calm15"]
    assert [deliverer.step() for _ in range(3)] == [2, 2, 0]
    assert not deliverer.more


def test_a_look_at_the_feed_is_bounded_and_a_restart_goes_on_where_it_was(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox_of(cell, tmp_path).catch_up()
    members = [failing(cell, "Parent16")[0] for _ in range(3)]
    monkeypatch.setattr(outboxes, "PAGE", 2)
    monkeypatch.setattr(outboxes, "WINDOW", 10)
    looks = 0
    while outbox_of(cell, tmp_path).look():
        looks += 1
    assert looks > 3
    assert len(fetched(outbox_of(cell, tmp_path), "Parent16")) == len(members)


def test_what_another_outbox_delivered_is_let_go_without_a_try(cell: Cell, tmp_path: Path) -> None:
    failing(cell, "Parent17")
    first = outbox_of(cell, tmp_path / "first")
    first.catch_up()
    assert len(fetched(outbox_of(cell, tmp_path / "second"), "Parent17")) == 1
    assert first.waits(["Parent17"])
    first.catch_up()
    assert not first.waits(["Parent17"])


def test_two_deliverers_at_once_record_it_once(cell: Cell, tmp_path: Path, hook: Hook) -> None:
    member, _ = failing(cell, "Parent10")
    hook.released.clear()
    deliverers = [
        Deliverer(outbox_of(cell, tmp_path / str(n)), {"Parent10": Webhook(hook.url)}, cell.clock.now_ms)
        for n in range(2)
    ]
    done: list[int] = []
    threads = [threading.Thread(target=lambda one=one: done.append(one.step())) for one in deliverers]
    for thread in threads:
        thread.start()
    hook.asked.wait(30)
    hook.released.set()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1], "handed out twice perhaps, recorded once"
    assert len(cell.events(member, NoticeDelivered)) == 1


def test_an_execution_that_moves_on_meanwhile_delays_nothing(cell: Cell, tmp_path: Path) -> None:
    member = cell.join()
    member.adopt({"kind": "notification", "recipients": ["Parent11"]})
    (execution,) = cell.place(member)
    driver = Driver(cell, execution)
    driver.evidence()
    driver.started()
    driver.faulted()
    assert len(fetched(outbox_of(cell, tmp_path), "Parent11")) == 1
    assert driver.reset().answer["accepted"]
    cell.settle()
    assert cell.decider.catch_up().live.get(execution) is None


# Delivers to a webhook; the process is killed while the webhook has the notice in hand.
DELIVERER = """
import os, sys
from pathlib import Path
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import open_ledger
from infrastructure.ledger import Ledger
from infrastructure.notices import outbox as outboxes
from infrastructure.notices.delivering import Deliverer
from infrastructure.notices.journal import FILE
from infrastructure.notices.outbox import Outbox
from infrastructure.notices.webhooks import Webhook

data, directory, recipient, url = sys.argv[1:]
with open_ledger(Path(data), os.environ, clock=SystemClock(), ids=SystemIds(), entropy=SystemEntropy()) as ledger:
    Deliverer(Outbox(ledger, Path(directory)), {recipient: Webhook(url)}, ledger.clock.now_ms).step()
print("done", flush=True)
"""


def test_a_deliverer_killed_with_the_notice_in_hand_hands_it_out_again_and_it_is_recorded_once(
    make_cell: MakeCell, tmp_path: Path, hook: Hook
) -> None:
    cell = make_cell()
    member, _ = failing(cell, "Parent12")
    hook.released.clear()
    arguments = [str(cell.folder / "data"), str(tmp_path / DIRECTORY), "Parent12", hook.url]
    worker = subprocess.Popen(
        [sys.executable, "-c", DELIVERER, *arguments], stdout=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, **cell.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert hook.asked.wait(60)
    worker.kill()
    assert worker.communicate()[0] == b""
    hook.released.set()
    assert cell.events(member, NoticeDelivered) == []
    deliverer = Deliverer(outbox_of(cell, tmp_path), {"Parent12": Webhook(hook.url)}, cell.clock.now_ms)
    assert deliverer.step() == 1
    assert deliverer.step() == 0
    assert len(cell.events(member, NoticeDelivered)) == 1
    assert len(set(hook.taken)) == 1, "whoever got it twice sees that it is the same"


def test_a_tenants_log_is_the_same_with_and_without_anothers_fault_and_notices(
    make_cell: MakeCell, tmp_path: Path
) -> None:
    def life_of_a(*, trouble: bool) -> list[tuple[str, object]]:
        cell = make_cell()
        quiet, loud = cell.join("QuietDao"), cell.join("LoudDao", jurisdiction="KEN")
        loud.adopt({"kind": "notification", "recipients": ["Parent13"]}, {"kind": "nodes", "allowed": ["beta"]})
        quiet.adopt({"kind": "nodes", "allowed": ["alpha"]})
        (execution,) = cell.place(quiet)
        if trouble:
            with cell.only_written_to(loud):
                (theirs,) = cell.place(loud)
                Driver(cell, theirs).fail()
                assert len(fetched(outbox_of(cell, tmp_path / "a"), "Parent13")) == 1
            assert len(cell.events(loud, NoticeDelivered)) == 1
        Driver(cell, execution).whole()
        cell.settle()
        return [(one.event.TOPIC, one.version) for one in cell.history(quiet)]

    assert life_of_a(trouble=False) == life_of_a(trouble=True)


def test_webhooks_are_set_and_taken_away_and_lie_sealed(cell: Cell, tmp_path: Path) -> None:
    ledger = cell.ledger
    addresses = Addresses(tmp_path / "n", cell_addresses(ledger.keyring, ledger.entropy))
    assert addresses.read() == {}
    url = "https://parent.example/hook?token=1"
    addresses.set("Parent", url)
    addresses.set("Other", "https://other.example/")
    assert addresses.read() == {"Other": "https://other.example/", "Parent": url}
    kept = (tmp_path / "n/webhooks.json").read_text()
    assert "example" not in kept
    assert "token" not in kept
    (tmp_path / "n/webhooks.json").write_text(kept.replace("Other", "x").replace("Parent", "Other"))
    with pytest.raises(VerificationError):  # of one recipient, under another's name
        addresses.read()
    (tmp_path / "n/webhooks.json").write_text(kept)
    addresses.set("Other", None)
    addresses.set("Parent", None)
    assert addresses.read() == {}
    for wrong in ("ftp://x/", "http:///x", "https://user:secret@x/", "https://x/ y", "https://x:99999/", "x"):
        with pytest.raises(MalformedError):
            addresses.set("Parent", wrong)


def test_webhooks_that_an_older_release_kept_open_are_sealed_when_they_are_read(cell: Cell, tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, cell_addresses(cell.ledger.keyring, cell.ledger.entropy))
    known = {"Parent": "https://parent.example/hook?token=1"}
    write_private(tmp_path / "webhooks.json", json.dumps(known).encode())
    assert lie_open(tmp_path)
    assert addresses.read() == known
    assert not lie_open(tmp_path)
    assert "token" not in (tmp_path / "webhooks.json").read_text()
    assert addresses.read() == known
