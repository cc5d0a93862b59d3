"""JSON Lines, read strictly: one object a line, every fault named with its file and line number.

Invariants:
- A line holds one JSON object with the members that its kind has: nothing unknown, doubled, missing or of another type.
- Blank lines (spaces and tabs only) are passed over and counted, so that numbers are those of an editor.
- A file is streamed: no more than one line of it is held here, and a line is at most MAX_LINE_BYTES long.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from domain.errors import LedgerError, MalformedError

MAX_LINE_BYTES = 65_536
MAX_LINES = 5_000_000
"""Lines of one file: what is simulated is held in memory."""

_Kind = TypeVar("_Kind", bound=BaseModel)


def read_lines(path: Path, kind: type[_Kind]) -> Iterator[tuple[int, _Kind]]:
    """Yield every line's number, from 1, and its object.

    Raises:
        MalformedError: for the first line that isn't one, named as `FILE:NUMBER`, or a file that can't be read.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise refusal(path, number, f"the line is longer than {MAX_LINE_BYTES} bytes")
                if number > MAX_LINES:
                    raise refusal(path, number, f"a file has at most {MAX_LINES} lines")
                if line.strip(b" \t\r\n"):
                    yield number, _object(path, number, line, kind)
    except OSError as error:
        raise MalformedError(f"cannot read {path}: {error.strerror}") from None


def refusal(path: Path, number: int, what: str) -> MalformedError:
    """Return the refusal of a line."""
    return MalformedError(f"{path}:{number}: {what}")


def parse_object(data: bytes) -> Any:
    """Decode JSON strictly.

    Raises:
        MalformedError: when it isn't JSON in UTF-8, or an object has a member twice.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise MalformedError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError):
        raise MalformedError("not JSON: a number too long, or nested too deeply") from None


def reason(error: ValidationError) -> str:
    """Say of pydantic's first finding which member it is about and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown field {where[:80]!a}"
    if first["type"] == "missing":
        return f"field {where!a} is missing"
    return f"field {where[:80]!a}: {first['msg']}" if where else str(first["msg"])


def _object(path: Path, number: int, line: bytes, kind: type[_Kind]) -> _Kind:
    try:
        members = parse_object(line)
        if not isinstance(members, dict):
            raise MalformedError("a line is one JSON object")
        return kind.model_validate(members)
    except ValidationError as error:
        raise refusal(path, number, reason(error)) from None
    except LedgerError as error:  # from a parser of the domain
        raise refusal(path, number, str(error)) from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise MalformedError(f"field {doubled[:80]!a} stands there twice")
    return members


def _no_number(name: str) -> Any:
    raise MalformedError(f"{name} is no number of JSON")
