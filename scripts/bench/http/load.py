"""The load generator: requests that were made before, sent over so many connections, each answer timed.

`python -m scripts.bench.http.load FILE` is a process of its own: it shares no interpreter with whom it measures. FILE
is JSON: host, port, connections, and `requests`, each method, path, body and token; with `seconds` they are sent again
and again for so long, else each once. It prints one JSON object.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_MS = 1000
_PERCENT = 100


class Load:
    """One run.

    Args:
        asked: what FILE holds.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        made = [_request(*one) for one in asked["requests"]]
        self._until_s = time.monotonic() + asked["seconds"] if "seconds" in asked else None
        self._left: Iterator[bytes] = iter(made) if self._until_s is None else cycle(made)
        self.took_s: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.refused: list[str] = []

    async def run(self) -> dict[str, Any]:
        """Send everything; return what came of it."""
        began_s = time.monotonic()
        await asyncio.gather(*(self._connection() for _ in range(self._asked["connections"])))
        seconds = time.monotonic() - began_s
        took = sorted(self.took_s)
        return {
            "requests": len(took), "seconds": seconds, "statuses": dict(self.statuses), "refused": self.refused[:3],
            "p50_ms": took[len(took) // 2] * _MS, "p99_ms": took[len(took) * 99 // _PERCENT] * _MS,
            "cpu_s": time.process_time(),
        }  # fmt: skip

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection(self._asked["host"], self._asked["port"], limit=1 << 22)
        for request in self._left:
            if self._until_s is not None and time.monotonic() >= self._until_s:
                break
            began_s = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            self.took_s.append(time.perf_counter() - began_s)
            status = int(head[9:12])
            self.statuses[status] += 1
            if status != 200 or b'"accepted":false' in body or b'"status":4' in body:  # noqa: PLR2004
                self.refused.append(body[:300].decode(errors="replace"))
        writer.close()


def _request(method: str, path: str, body: str, token: str) -> bytes:
    data = body.encode()
    length = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if data else ""
    return f"{method} {path} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {token}\r\n{length}\r\n".encode() + data


def main(path: str) -> None:
    """Run by a file."""
    asked = json.loads(Path(path).read_bytes())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(Load(asked).run())))


if __name__ == "__main__":
    main(sys.argv[1])
