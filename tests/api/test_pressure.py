"""Writes under pressure: a stalled database, a server killed before it answers. Nothing is lost, nothing twice."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest

from infrastructure.api.writes.taking import AT_ONCE, MOST_WAITING
from infrastructure.client.submission import Submission, read_submission_file
from tests.api.service import Service, served
from tests.api.writing import FLOOD, body, built, remote, sam
from tests.database import TestServer, as_role

AHEAD: Final = 24
"""How many more ask than may wait."""


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(postgres, tmp_path_factory.mktemp("pressed")) as made:
        yield made


def many(service: Service, count: int) -> list[Submission]:
    """Return submissions that nobody has handed in yet."""
    return [built(service) for _ in range(count)]


def test_a_server_killed_before_it_answered_gives_the_same_answer_when_it_is_back(service: Service) -> None:
    for made in many(service, 3):
        before = service.rows("workload.submitted.v1")
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
        given = {"Authorization": f"Bearer {sam(service)}", "Content-Type": "application/json"}
        sent = threading.Thread(target=_send, args=(connection, json.dumps(body(made)), given))
        sent.start()
        while service.rows("workload.submitted.v1") == before:
            time.sleep(0.001)
        assert service.process is not None
        service.process.send_signal(signal.SIGKILL)
        service.process.communicate()
        sent.join()
        connection.close()
        service.start()
        answer = service.post("/v1/workloads", body(made), sam(service))
        assert answer.status == 201, answer.body
        assert answer.json["workload"] == made.workload
        assert len(answer.json["places"]) == len(answer.json["acknowledgements"]) == 4
        again = service.post("/v1/workloads", body(made), sam(service))
        assert {**again.json, "acknowledgements": 0} == {**answer.json, "acknowledgements": 0}
        assert service.rows("workload.submitted.v1") == before + 1


def _send(connection: http.client.HTTPConnection, text: str, headers: dict[str, str]) -> None:
    """Send a request, and read no answer."""
    connection.request("POST", "/v1/workloads", text, headers)


def test_more_than_may_wait_is_told_to_try_again_and_everything_that_was_taken_in_is_stored(service: Service) -> None:
    made, token = many(service, 3), sam(service)
    before = service.rows("workload.submitted.v1")
    asked = AT_ONCE + MOST_WAITING + AHEAD
    conninfo = as_role(service.ledger.environ["LEDGER_DATABASE_URL"])
    with ThreadPoolExecutor(asked) as threads, psycopg.connect(conninfo) as stalled:
        stalled.execute("LOCK TABLE ledger.log_heads IN EXCLUSIVE MODE")  # who reads goes on, who appends waits
        sent = [threads.submit(service.post, "/v1/workloads", body(made[at % 3]), token) for at in range(asked)]
        until_s = time.monotonic() + 20
        while sum(one.done() for one in sent) < AHEAD and time.monotonic() < until_s:
            time.sleep(0.05)
        refused = [one.result() for one in sent if one.done()]
        assert service.rows("workload.submitted.v1") == before
        stalled.rollback()
    answers = [one.result() for one in sent]
    assert len(refused) >= AHEAD
    for one in refused:
        assert one.status == 503, one.body
        assert int(one.headers["retry-after"]) >= 1
        assert one.headers["content-type"] == "application/problem+json"
    assert {one.status for one in answers} == {201, 503}, {one.body for one in answers if one.status not in {201, 503}}
    taken = [one for one in answers if one.status == 201]
    assert {one.json["workload"] for one in taken} == {one.workload for one in made}
    assert all(one.json["acknowledgements"] for one in taken)
    assert service.rows("workload.submitted.v1") == before + len(made)


def test_the_client_sends_again_until_it_is_answered(service: Service) -> None:
    before = service.rows("workload.submitted.v1")
    assert service.process is not None
    service.process.send_signal(signal.SIGKILL)
    service.process.communicate()
    started = threading.Timer(1.0, service.start)
    started.start()
    try:
        made = _submit_through(service)
    finally:
        started.join()
    assert made["denied"] is None
    assert service.rows("workload.submitted.v1") == before + 1


def _submit_through(service: Service) -> dict[str, Any]:
    with remote(service) as asked:
        return dict(asked.submit(*read_submission_file(FLOOD)).members)
