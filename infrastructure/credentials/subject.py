"""How a credential's subject is read: by a frozen, strict model in which every value has one spelling.

Invariants:
- What a model reads, it prints back equal: a lower-case country or a number written as a string refuses.
- Integers from 2^53 on are decimal strings, smaller ones are numbers.
"""

from typing import Annotated, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

from domain.canonical import MAX_INTEGER
from domain.errors import MalformedError
from infrastructure.credentials.data_integrity import Document

_MAX_DIGITS = 20

Did = Annotated[str, Field(pattern=r"^did:[a-z0-9]{1,32}:[A-Za-z0-9._:%-]{1,256}$")]


def _read_integer(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.isascii() or not value.isdecimal() or len(value) > _MAX_DIGITS or int(value) <= MAX_INTEGER:
        raise ValueError("a string that is no integer of 2^53 or more")
    return int(value)


def _write_integer(value: int) -> int | str:
    return value if value <= MAX_INTEGER else str(value)


WideInteger = Annotated[
    int, BeforeValidator(_read_integer), PlainSerializer(_write_integer, when_used="json"), Field(ge=1, lt=2**64)
]


class Part(BaseModel):
    """An object inside a credentialSubject: Python names here, camelCase in the document."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


class Subject(Part):
    """A credentialSubject."""

    id: Did

    def document(self) -> Document:
        """Return the JSON object."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def read(cls, members: object) -> Self:
        """Read the JSON object.

        Raises:
            MalformedError: naming the first member that is wrong.
        """
        if not isinstance(members, dict):
            raise MalformedError("a credentialSubject is not one object")
        try:
            subject = cls.model_validate_json(orjson.dumps(members))
        except TypeError:
            raise MalformedError("a credentialSubject holds what JSON has not") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise MalformedError(f"credentialSubject.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if subject.document() != members:
            raise MalformedError("a value of credentialSubject is not in its one spelling")
        return subject
