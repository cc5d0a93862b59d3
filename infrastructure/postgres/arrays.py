"""Columns as PostgreSQL arrays in the binary format of the wire.

A bulk statement takes whole columns. psycopg's own list adapter inspects every element and sends integers in the
narrowest type that fits, which makes a new prepared statement for each width; here the type is fixed and an element
costs one `pack`.

Invariants:
- One dimension, lower bound 1, no nulls (`array_send` in PostgreSQL's source, src/backend/utils/adt/arrayfuncs.c).
"""

import struct
from collections.abc import Iterable, Sequence
from uuid import UUID

from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_BYTEA, _BIGINT, _TEXT, _UUID = 17, 20, 25, 2950
_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i").pack
_BIGINT_ITEM = struct.Struct("!iq").pack
_UUID_LENGTH = _LENGTH(16)
_UUID_ITEM_BYTES = len(_UUID_LENGTH) + 16


class Array(bytes):
    """An array's bytes on the wire."""

    __slots__ = ()


class ByteaArray(Array):
    """`bytea[]`."""


class BigintArray(Array):
    """`bigint[]`."""


class TextArray(Array):
    """`text[]`."""


class UuidArray(Array):
    """`uuid[]`."""


def byteas(values: Sequence[bytes]) -> ByteaArray:
    """Return a column of byte strings."""
    return ByteaArray(_header(_BYTEA, values) + b"".join([_LENGTH(len(value)) + value for value in values]))


def bigints(values: Sequence[int]) -> BigintArray:
    """Return a column of 64-bit integers."""
    return BigintArray(_header(_BIGINT, values) + b"".join([_BIGINT_ITEM(8, value) for value in values]))


def texts(values: Iterable[str]) -> TextArray:
    """Return a column of strings (without NUL, which PostgreSQL refuses)."""
    encoded = [value.encode() for value in values]
    return TextArray(_header(_TEXT, encoded) + b"".join([_LENGTH(len(value)) + value for value in encoded]))


def uuids(values: Sequence[UUID]) -> UuidArray:
    """Return a column of UUIDs."""
    return UuidArray(_header(_UUID, values) + b"".join([_UUID_LENGTH + value.int.to_bytes(16) for value in values]))


def runs(values: Iterable[tuple[UUID, int]]) -> UuidArray:
    """Return a column of UUIDs in which each stands so many times in a row."""
    items = b"".join([(_UUID_LENGTH + value.int.to_bytes(16)) * count for value, count in values])
    return UuidArray(_HEADER.pack(1, 0, _UUID, len(items) // _UUID_ITEM_BYTES, 1) + items)


def _header(oid: int, values: Sequence[object]) -> bytes:
    return _HEADER.pack(1, 0, oid, len(values), 1)


class _ArrayDumper(Dumper):
    """Sends the bytes as they are."""

    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer | None:
        return obj


class _ByteaArrayDumper(_ArrayDumper):
    oid = 1001


class _BigintArrayDumper(_ArrayDumper):
    oid = 1016


class _TextArrayDumper(_ArrayDumper):
    oid = 1009


class _UuidArrayDumper(_ArrayDumper):
    oid = 2951


def register(adapters: AdaptersMap) -> None:
    """Teach a connection to send these columns."""
    adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
    adapters.register_dumper(BigintArray, _BigintArrayDumper)
    adapters.register_dumper(TextArray, _TextArrayDumper)
    adapters.register_dumper(UuidArray, _UuidArrayDumper)
