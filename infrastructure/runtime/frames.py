"""Frames on a pipe: u32 big-endian length, then that many bytes.

Invariants:
- No frame is longer than MAX_FRAME_BYTES; a longer one is refused before it is read.
- `exchange` never waits beyond its time, whatever the other side does or leaves undone.
"""

import os
import select
import struct
import subprocess
import time
from typing import IO, Final

MAX_FRAME_BYTES: Final = 16_777_216
_HEADER: Final = struct.Struct(">I")
_CHUNK: Final = 1_048_576


class ProcessEndedError(Exception):
    """The other process ended, or no longer speaks in frames."""


def pack(body: bytes) -> bytes:
    """Return a frame."""
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame holds at most {MAX_FRAME_BYTES} bytes")
    return _HEADER.pack(len(body)) + body


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Read one frame, blocking; None at the end of the stream or after anything that is no frame."""
    header = stream.read(_HEADER.size)
    if len(header) != _HEADER.size:
        return None
    (length,) = _HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        return None
    body = stream.read(length)
    return body if len(body) == length else None


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Write one frame, blocking."""
    stream.write(pack(body))
    stream.flush()


def exchange(process: subprocess.Popen[bytes], body: bytes, *, within_ms: int) -> bytes:
    """Send one frame to a process (unbuffered pipes) and return its answer.

    Raises:
        TimeoutError: when it did not take and answer it within `within_ms` milliseconds.
        ProcessEndedError: when it ended, or answered with anything but a frame.
    """
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process needs pipes")
    due = time.monotonic() + within_ms / 1000
    _send(process.stdin.fileno(), pack(body), due)
    (length,) = _HEADER.unpack(_receive(process.stdout.fileno(), _HEADER.size, due))
    if length > MAX_FRAME_BYTES:
        raise ProcessEndedError("the answer is longer than a frame may be")
    return _receive(process.stdout.fileno(), length, due)


def _send(descriptor: int, data: bytes, due: float) -> None:
    os.set_blocking(descriptor, False)
    view = memoryview(data)
    while view:
        _await(descriptor, select.POLLOUT, due)
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            continue
        except OSError:
            raise ProcessEndedError("the process no longer reads") from None


def _receive(descriptor: int, length: int, due: float) -> bytes:
    os.set_blocking(descriptor, False)
    data = bytearray()
    while len(data) < length:
        _await(descriptor, select.POLLIN, due)
        try:
            part = os.read(descriptor, min(length - len(data), _CHUNK))
        except BlockingIOError:
            continue
        if not part:
            raise ProcessEndedError("the process ended")
        data += part
    return bytes(data)


def _await(descriptor: int, event: int, due: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    left_ms = max(0.0, due - time.monotonic()) * 1000
    if not poll.poll(left_ms):
        raise TimeoutError
