"""What a model says of input that is not of its form: one text, and every member at fault by its JSON pointer."""

from typing import Final

from pydantic import ValidationError

from domain.errors import MalformedError

MOST_FIELDS: Final = 32
_MOST_TEXT: Final = 200
_MOST_NAME: Final = 64


def malformed(what: str, error: ValidationError, under: str = "") -> MalformedError:
    """Return the refusal of input that a model did not take. It repeats names of members, and none of their values.

    Args:
        what: is malformed.
        error: what the model said.
        under: pointer of the model's own place in what was sent.
    """
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    first = faults[0]
    where = ".".join(_named(part) for part in first["loc"]) or "top"
    fields = [(under + _pointer(fault["loc"]), fault["msg"][:_MOST_TEXT]) for fault in faults[:MOST_FIELDS]]
    return MalformedError(f"{what} is malformed at {where[:_MOST_TEXT]}: {first['msg'][:_MOST_TEXT]}", fields)


def _pointer(parts: tuple[int | str, ...]) -> str:
    """Return a JSON pointer (RFC 6901 3)."""
    return "".join(f"/{_named(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _named(part: int | str) -> str:
    """Return a member's name as it may be repeated: printable ASCII, not long."""
    return ascii(str(part)[:_MOST_NAME])[1:-1]
