"""Strategies for any event or value, read off the fields of its model."""

from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from domain.bounds import MEBIBYTE, SimulatedBounds
from domain.canonical import MAX_INTEGER
from domain.identifiers import ClauseName, DaoName, ResourceClass
from domain.jurisdictions import COUNTRIES, SUPRANATIONAL, Country, Jurisdiction
from domain.message import Event
from domain.policies.kinds import NoColocation, Validity
from domain.time import MAX_INSTANT_MS

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcz09_@", max_size=5), inner, max_size=3),
    max_leaves=6,
)

words = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,9}", fullmatch=True)
numbers = st.integers(0, 999_999)
clause_ids = st.builds(
    lambda a, b, c, x, y, z: f"{a}::{b}::{c}@{x}.{y}.{z}", words, words, words, numbers, numbers, numbers
)
resource_classes = st.builds(lambda a, b, n: f"{a}::{b}@v{n}", words, words, numbers)
countries = st.sampled_from(sorted(COUNTRIES))
jurisdictions = st.sampled_from(sorted(COUNTRIES | SUPRANATIONAL))


def _validator(named: Any) -> Any:
    return get_args(named)[1].func


_PARSED: dict[Any, SearchStrategy[Any]] = {
    _validator(DaoName): words,
    _validator(ResourceClass): resource_classes,
    _validator(ClauseName): clause_ids,
    _validator(Country): countries,
    _validator(Jurisdiction): jurisdictions,
}


def model(kind: type[BaseModel]) -> SearchStrategy[Any]:
    """Return values of a model, every field drawn from its own annotation."""
    if kind is Validity:
        return st.builds(
            lambda a, b: Validity(kind="validity", from_ms=min(a, b), until_ms=max(a, b) + 1),
            st.integers(0, MAX_INSTANT_MS - 1),
            st.integers(0, MAX_INSTANT_MS - 1),
        )
    fields = {name: _of(field.annotation, field.metadata) for name, field in kind.model_fields.items()}
    if kind is NoColocation:
        fields["exclusive"] = st.just(value=False)
    if kind is SimulatedBounds:  # what is within the bounds of submissions reads back as those
        fields["memory_bytes"] = st.integers(4096 * MEBIBYTE + 1, 2**48)
    return st.fixed_dictionaries(fields).map(lambda members: kind(**members))


def events(kind: type[Event]) -> SearchStrategy[Event]:
    """Return events of a kind."""
    return model(kind)


def _of(annotation: Any, extra: list[Any]) -> SearchStrategy[Any]:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _of(inner, [*extra, *metadata])
    flat = [part for item in extra for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return _constrained(annotation, flat)


def _constrained(annotation: Any, metadata: list[Any]) -> SearchStrategy[Any]:  # noqa: PLR0911 - one for each kind of annotation
    origin = get_origin(annotation)
    bounds = _bounds(metadata)
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        sizes = {"min_size": bounds.get("min_length", 0), "max_size": min(bounds.get("max_length", 2), 2)}
        return st.lists(_of(get_args(annotation)[0], []), **sizes).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text("abc@", max_size=4), json_values, max_size=3)
    if origin is not None:  # a union
        return st.one_of(*(_of(arm, []) for arm in get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return model(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return _scalar(annotation, bounds, metadata)


def _scalar(annotation: Any, bounds: dict[str, Any], metadata: list[Any]) -> SearchStrategy[Any]:
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        step = bounds.get("multiple_of", 1)
        least, most = bounds.get("ge", -MAX_INTEGER), bounds.get("le", MAX_INTEGER)
        return st.integers(-(-least // step), most // step).map(lambda number: number * step)
    for item in metadata:
        if isinstance(item, AfterValidator):
            return _PARSED[item.func]
    if "pattern" in bounds:
        return st.from_regex(bounds["pattern"], fullmatch=True)
    sizes = {"min_size": bounds.get("min_length", 0), "max_size": bounds.get("max_length", 20)}
    return st.text(st.characters(exclude_categories=["Cs"]), **sizes)


def _bounds(metadata: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in metadata:
        match item:
            case annotated_types.Ge(ge=value):
                found["ge"] = value
            case annotated_types.Le(le=value):
                found["le"] = value
            case annotated_types.MultipleOf(multiple_of=value):
                found["multiple_of"] = value
            case annotated_types.MinLen(min_length=value):
                found["min_length"] = value
            case annotated_types.MaxLen(max_length=value):
                found["max_length"] = value
            case _ if getattr(item, "pattern", None):
                found["pattern"] = item.pattern
    return found
