"""JSON of others, read strictly (RFC 8259, RFC 7493 2.3): what it says, it says once."""

import json
from typing import Any, NoReturn


def parse_strict(data: bytes | str) -> Any:
    """Return the value of a JSON text in UTF-8, without a doubled member at any depth, and without NaN or Infinity.

    Raises:
        ValueError: when it is none; also for one that is nested too deeply.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is doubled")
    return members


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
