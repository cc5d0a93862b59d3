import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.errors import MalformedError, RefusedError, UnavailableError, VerificationError
from domain.transparency.note import Note, NoteSignature
from infrastructure.clock import VirtualClock
from infrastructure.tlog.cosigning import Cosigner, cosignature_times, print_lines
from infrastructure.tlog.signing import LogSigner
from infrastructure.witness.client import WitnessAheadError, WitnessClient, WitnessDisagreesError
from infrastructure.witness.server import WitnessServer

AT = 1_700_000_000
SIZE = b"Content-Type: text/x.tlog.size\r\n"
Say = Callable[[socket.socket, bytes], None]


@pytest.fixture
def client(server: WitnessServer) -> WitnessClient:
    return WitnessClient(f"http://127.0.0.1:{server.server_port}/", server.witness.verifier_keys())


@contextmanager
def pretending(*says: Say) -> Iterator[tuple[str, list[bytes]]]:
    """Listen, and answer each connection as told; yields the URL and the requests that came."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for say in says:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(10)
                    asked.append(read(connection))
                    try:
                        say(connection, asked[-1])
                    except OSError:
                        continue

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def reply(status: int, body: bytes = b"", headers: bytes = b"") -> Say:
    def say(connection: socket.socket, _asked: bytes) -> None:
        head = b"HTTP/1.1 %d x\r\n%sContent-Length: %d\r\n\r\n" % (status, headers, len(body))
        connection.sendall(head + body)

    return say


def asking(url: str, cosigner: Cosigner, log: Any, *, size: int = 5, old: int = 0, timeout_s: float = 5) -> Any:
    client = WitnessClient(url, cosigner.verifier_keys(), timeout_s=timeout_s)
    return client.add_checkpoint(log.note(size), old, log.prove)


def test_a_growing_log_is_cosigned_and_the_lines_are_merged(
    client: WitnessClient, server: WitnessServer, log: Any
) -> None:
    old = 0
    keys = server.witness.verifier_keys()
    for size in (0, 3, 3, 200):
        note = log.note(size)
        found = client.add_checkpoint(note, old, log.prove)
        assert found.times == dict.fromkeys(keys, AT)
        assert found.note.signatures[:2] == note.signatures
        assert cosignature_times(found.note, log.checkpoint(size), keys) == found.times
        old = size
    assert client.name == "witness.example/w1"


def test_a_client_that_does_not_know_the_witness_state_learns_it_once(client: WitnessClient, log: Any) -> None:
    client.add_checkpoint(log.note(7), 0, log.prove)
    proofs: list[tuple[int, int]] = []

    def prove(old: int, new: int) -> Any:
        proofs.append((old, new))
        return log.prove(old, new)

    for thought in (0, 3, 30, 300):
        assert client.add_checkpoint(log.note(20), thought, prove).times
    assert proofs == [(7, 20), (3, 20)]


def test_lines_of_other_witnesses_stay_and_are_not_sent(client: WitnessClient, log: Any) -> None:
    other = Cosigner.from_seeds("other.example", b"o" * 32, b"O" * 32)
    note = log.note(5)
    note = Note(note.text, (*note.signatures, *other.cosign(note.text, AT)))
    found = client.add_checkpoint(note, 0, log.prove)
    assert found.note.signatures[:4] == note.signatures
    with pytest.raises(MalformedError, match="no signature of its log"):
        client.add_checkpoint(Note(note.text, note.signatures[2:]), 0, log.prove)


def test_a_log_that_was_rolled_back_learns_it_from_its_witness(client: WitnessClient, log: Any) -> None:
    client.add_checkpoint(log.note(9), 0, log.prove)
    for thought in (0, 4, 9):
        with pytest.raises(WitnessAheadError, match="knows size 9 of this log, which has 4: freeze") as caught:
            client.add_checkpoint(log.note(4), thought, log.prove)
        assert (caught.value.size, caught.value.our_size) == (9, 4)


def test_a_log_that_forked_learns_it_from_its_witness(client: WitnessClient, log: Any, forked: Any) -> None:
    client.add_checkpoint(log.note(9), 0, log.prove)
    for size in (9, 12):
        with pytest.raises(WitnessDisagreesError, match="does not extend the one it saw at size 9"):
            client.add_checkpoint(forked.note(size), 9, forked.prove)


def test_a_witness_that_was_rolled_back_is_brought_forward(
    client: WitnessClient, server: WitnessServer, log: Any, directory: Path
) -> None:
    client.add_checkpoint(log.note(3), 0, log.prove)
    kept = {path: path.read_bytes() for path in (directory / "checkpoints").iterdir()}
    client.add_checkpoint(log.note(9), 3, log.prove)
    for path, content in kept.items():
        path.write_bytes(content)
    assert client.add_checkpoint(log.note(12), 9, log.prove).times


def test_a_witness_that_does_not_know_the_log_or_its_key_is_a_matter_of_configuration(
    client: WitnessClient, log: Any
) -> None:
    stranger = type(log)(signer=LogSigner.from_seeds(log.origin, b"x" * 32, b"y" * 32))
    with pytest.raises(RefusedError, match=r"does not trust the log's key \(403\)"):
        client.add_checkpoint(stranger.note(5), 0, stranger.prove)
    other = type(log)(origin="other.example", signer=LogSigner.from_seeds("other.example", b"x" * 32, b"y" * 32))
    with pytest.raises(RefusedError, match=r"does not know the log \(404\)"):
        client.add_checkpoint(other.note(5), 0, other.prove)


def test_a_witness_that_is_down_is_unavailable(cosigner: Cosigner, log: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnavailableError, match="does not answer: ConnectionRefusedError"):
        asking(f"http://127.0.0.1:{port}", cosigner, log)


def slow(connection: socket.socket, _asked: bytes) -> None:
    """Send a header byte now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def slow_body(connection: socket.socket, _asked: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def silent(connection: socket.socket, _asked: bytes) -> None:
    connection.recv(1)


@pytest.mark.parametrize("say", [slow, slow_body, silent])
def test_a_witness_that_is_slow_is_given_up_at_the_deadline(cosigner: Cosigner, log: Any, say: Say) -> None:
    with pretending(say) as (url, _):
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="too slow"):
            asking(url, cosigner, log, timeout_s=0.3)
        assert time.monotonic() - begun < 5


def test_an_answer_that_breaks_off_is_unavailable(cosigner: Cosigner, log: Any) -> None:
    def broken(connection: socket.socket, _asked: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")

    for say in (broken, lambda *_: None, lambda connection, _: connection.sendall(b"garbage\r\n\r\n")):
        with pretending(say) as (url, _), pytest.raises(UnavailableError):
            asking(url, cosigner, log)


def test_an_endless_answer_is_refused(cosigner: Cosigner, log: Any) -> None:
    def endless(connection: socket.socket, _asked: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with pretending(endless) as (url, _), pytest.raises(VerificationError, match="answers more than"):
        asking(url, cosigner, log)


@pytest.mark.parametrize("status", [100, 204, 301, 302, 307, 429, 500, 503])
def test_other_answers_are_unavailable_and_redirects_are_not_followed(
    cosigner: Cosigner, log: Any, status: int
) -> None:
    with pretending(reply(status, headers=b"Location: http://127.0.0.1:1/\r\n")) as (url, asked):
        with pytest.raises(UnavailableError):
            asking(url, cosigner, log)
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"5\n", b""),
        (b"5\n", b"Content-Type: text/plain\r\n"),
        (b"5", SIZE),
        (b"05\n", SIZE),
        (b"-1\n", SIZE),
        (b"\n", SIZE),
        (b"5\n\n", SIZE),
        (b"\xd9\xa1\n", SIZE),
        (b"", SIZE),
    ],
)
def test_a_conflict_without_a_size_is_no_witness_s_answer(
    cosigner: Cosigner, log: Any, body: bytes, headers: bytes
) -> None:
    with pretending(reply(409, body, headers)) as (url, _), pytest.raises(VerificationError, match="without a size"):
        asking(url, cosigner, log, size=9)


def test_a_conflict_is_followed_once_and_never_into_a_loop(cosigner: Cosigner, log: Any) -> None:
    with pretending(reply(409, b"3\n", SIZE), reply(409, b"4\n", SIZE)) as (url, asked):
        with pytest.raises(UnavailableError, match="moved on meanwhile"):
            asking(url, cosigner, log)
        assert [body.partition(b"\n")[0] for body in asked] == [b"old 0", b"old 3"]
    with pretending(reply(409, b"0\n", SIZE)) as (url, _), pytest.raises(VerificationError, match="that it was given"):
        asking(url, cosigner, log)
    for size in (b"6\n", b"9999999999999999999\n"):
        says = reply(409, b"3\n", SIZE), reply(409, size, SIZE)
        with pretending(*says) as (url, _), pytest.raises(WitnessAheadError):
            asking(url, cosigner, log)


def test_a_witness_that_lies_is_never_believed(cosigner: Cosigner, log: Any, forked: Any) -> None:
    stranger = Cosigner.from_seeds(cosigner.name, b"x" * 32, b"X" * 32)
    right = cosigner.cosign(log.note(5).text, AT)
    for body, error in (
        (b"", "no cosignature of ours"),
        (b"nonsense\n", "no cosignature of ours"),
        (b"\n\n" + print_lines(right), "no cosignature of ours"),
        (forked.note(5).text + b"\n" + print_lines(right), "no cosignature of ours"),
        (print_lines(cosigner.cosign(forked.note(5).text, AT)), "is wrong"),
        (print_lines(cosigner.cosign(log.note(4).text, AT)), "is wrong"),
        (print_lines((right[0], cosigner.cosign(log.note(4).text, AT)[1])), "is wrong"),
        (print_lines(stranger.cosign(log.note(5).text, AT)), "without a line of its own keys"),
        (print_lines(log.note(5).signatures), "without a line of its own keys"),
    ):
        with pretending(reply(200, body)) as (url, _), pytest.raises(VerificationError, match=error):
            asking(url, cosigner, log)
    with pretending(reply(200, print_lines((*stranger.cosign(log.note(5).text, AT), right[1])))) as (url, _):
        assert asking(url, cosigner, log).times == {cosigner.verifier_keys()[1]: AT}


def test_a_cosignature_without_a_time_is_refused(cosigner: Cosigner, log: Any) -> None:
    key = cosigner.verifier_keys()[0]
    message = b"cosignature/v1\ntime 0\n" + log.note(5).text
    line = NoteSignature(key.name, key.key_id, bytes(8) + cosigner._ed25519.sign(message))
    with pretending(reply(200, print_lines((line,)))) as (url, _), pytest.raises(VerificationError, match="left out"):
        asking(url, cosigner, log)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "witness.example",
        "ftp://witness.example",
        "http://",
        "http://witness.example:99999",
        "http://witness.example:x",
        "http://user:secret@witness.example",
        "http://witness.example/?q",
        "http://witness.example/#f",
        "http://witness.example/\r\nX: y",
        "http://[::1",
        "http://w\u00efness.example",
    ],
)
def test_a_url_that_is_no_submission_prefix_is_refused(cosigner: Cosigner, url: str) -> None:
    with pytest.raises(MalformedError) as caught:
        WitnessClient(url, cosigner.verifier_keys())
    assert "secret" not in str(caught.value)


def test_a_witness_has_keys_of_a_cosignature_type(cosigner: Cosigner, log: Any) -> None:
    for keys in ((), log.signer.verifier_keys()):
        with pytest.raises(MalformedError, match="at least one key"):
            WitnessClient("https://witness.example/prefix", keys)


def test_a_prefix_is_kept_and_a_witness_of_another_time_is_told(cosigner: Cosigner, log: Any) -> None:
    paths: list[bytes] = []

    def say(connection: socket.socket, asked: bytes) -> None:
        paths.append(asked)
        reply(200, print_lines(cosigner.cosign(log.note(5).text, AT)))(connection, asked)

    with pretending(say) as (url, _):
        assert set(asking(f"{url}/some/prefix/", cosigner, log).times.values()) == {AT}
    assert WitnessClient("http://w/some/prefix/", cosigner.verifier_keys())._path == "/some/prefix/add-checkpoint"


def test_many_rounds_through_one_witness_stay_one_history(client: WitnessClient, log: Any, clock: VirtualClock) -> None:
    old = 0
    for size in range(1, 12):
        clock.advance_to((AT + size) * 1000)
        found = client.add_checkpoint(log.note(size), old, log.prove)
        assert set(found.times.values()) == {AT + size}
        old = size
