"""`demo --serve`, whole and once, as a person runs it: the story, what stands meanwhile, and that nothing is left."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infrastructure.audit.replay import replay_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.demo.cast import MEMBERS
from tests.cli.conftest import Installation
from tests.demo.test_demo import KINDS

WITHIN_S = 200.0


@dataclass
class Standing:
    """A demo that was played, and still stands: its process, result and words; and what `end` says of its end."""

    process: "subprocess.Popen[str]"
    result: dict[str, Any]
    folder: Path
    words: Path
    ended: tuple[int, list[str]] | None = None

    def end(self) -> tuple[int, list[str]]:
        """Tell it to end, once; return its exit code, and the processes of its run that are left."""
        if self.ended is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(60)
            self.ended = code, left(self.folder)
        return self.ended


def start(top: Path, *options: str) -> "subprocess.Popen[str]":
    """Start a demo whose parent ignores interrupts, as of many a job in the background."""
    environment = Installation(top, {}).environment()
    with (top / "words").open("w") as words:
        return subprocess.Popen(
            ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "infrastructure.cli", "demo", "--serve",
             "--data-dir", str(top / "demo"), *options],
            text=True, cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env=environment,
        )  # fmt: skip


def left(folder: Path) -> list[str]:
    """Return the commands of processes that still name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in words and int(entry.name) != os.getpid():
            found.append(words)
    return found


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    top = tmp_path_factory.mktemp("served")
    process = start(top, "--keep", "--json")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (top / "words").read_text()
        yield Standing(process, json.loads(line), top / "demo", top / "words")
    finally:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def test_the_served_demo_tells_the_whole_story_over_http_and_leaves_nothing(standing: Standing) -> None:
    result, words = standing.result, standing.words.read_text()
    assert result["verified"], words
    assert set(result["denied"]) == KINDS
    assert (result["faulted"], result["reauthorised"], result["overturned"]) == (3, 2, 1)
    assert result["cacs"] == result["executed"] - result["faulted"]
    assert result["bundles"].keys() == {member.name for member in MEMBERS}
    for said in (
        "NileBasin/EGY runs 1 slot(s) beyond its own", "quota_slots: have 2 used of 2, need 1",
        "bandwidth: have 0 tokens, need 1 tokens; at 2", "overflow: OceanWatch/PER is offered reykjavik-1",
        "quorum: 3 independent enclaves of NileBasin/EGY agree on", "amina alone may not let NileBasin/EGY's run go on",
        "re-authorised: NileBasin/EGY, attempt 2, by 2 signature(s)", "stands no more, by dispute",
        "credential gate, credential: expired",
    ):  # fmt: skip
        assert said in words, said
    rounds = [int(last) for last in re.findall(r"one history in rounds 0\.\.(\d+)", words)]
    assert len(rounds) == words.count("replay equals what was told over HTTP") == len(MEMBERS) + 1
    assert min(rounds) >= 2, "the anchor log's cadence is the demo's"
    for path in map(Path, result["bundles"].values()):
        verdict = verify_bundle(path)
        assert verdict.ok
        assert replay_bundle(path).size == verdict.size
    with closing(http.client.HTTPConnection(result["server"].partition("://")[2], timeout=20)) as connection:
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
    code, running = standing.end()
    assert code == 0, standing.words.read_text()
    assert running == []
    logs = [path.read_text() for path in (standing.folder / "run-0001/logs").glob("*.log")]
    assert len(logs) == 7
    assert "Traceback" not in "".join(logs)
    nodes = [json.loads(path.read_text()) for path in (standing.folder / "run-0001/logs").glob("node-*.out")]
    assert sum(one["executed"] for one in nodes) == result["executed"]
    assert all(one["lost"] == one["undelivered"] == 0 for one in nodes)


def test_a_demo_that_is_told_to_end_while_it_plays_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path)
    until = time.monotonic() + WITHIN_S
    while "serving on" not in (tmp_path / "words").read_text():
        assert process.poll() is None, (tmp_path / "words").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in (tmp_path / "words").read_text()
    assert left(tmp_path / "demo") == []


def test_options_that_go_with_serve_are_refused_without_it(tmp_path: Path) -> None:
    for options in (("--keep",), ("--port", "9")):
        ended = Installation(tmp_path, {}).inside("demo", *options)
        assert ended.code == 64
        assert "--serve" in ended.err
