"""Reads the SQL of `queries/*.sql`: each query has a line `-- name: NAME`, its description in comments, and its text.

Invariants:
- SQL that runs is in files; no statement is put together from pieces at run time.
- Comments are not sent.
"""

from pathlib import Path

_FOLDER = Path(__file__).with_name("queries")
_NAME = "-- name: "


def load(file: str) -> dict[str, bytes]:
    """Return the queries of one file, by name, as psycopg takes them (placeholders `%(name)s`, `%(name)b`)."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []  # what stands before the first name describes the file
    for line in (_FOLDER / file).read_text(encoding="utf-8").splitlines():
        if line.startswith(_NAME):
            lines = found.setdefault(line.removeprefix(_NAME).strip(), [])
        elif not line.lstrip().startswith("--"):
            lines.append(line)
    return {name: "\n".join(text).strip().rstrip(";").encode() for name, text in found.items()}
