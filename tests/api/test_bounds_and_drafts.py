"""Bounds on items of bodies, and drafts that are another's: refused before anything is made or signed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from domain.errors import MalformedError, VerificationError
from infrastructure.api.bodies import MOST_ITEMS, Body, parse_body
from infrastructure.api.writes.acts import unchanged
from infrastructure.api.writes.asked import Asked
from infrastructure.client.drafts import checked_draft

OWN = "ledger.example/t/1"
MEANT = {"act": "order_erasure", "cooling_off_ms": 5}
DRAFT = {"iss": "did:web:own", "aud": OWN, "claims": {**MEANT, "tenant": "own"}}


class _Any(Body):
    items: list[Any]


@pytest.mark.parametrize("item", [b"{}", b"[]", b"0"])
def test_a_body_of_too_many_items_is_refused_unread(item: bytes) -> None:
    with pytest.raises(MalformedError, match="members and items"):
        parse_body(b'{"items":[' + b",".join([item] * (MOST_ITEMS + 1)) + b"]}", _Any)
    assert len(parse_body(b'{"items":[' + b",".join([item] * 9) + b"]}", _Any).items) == 9


@pytest.mark.parametrize("value", [1.5, 2**53, {"\u00e9": 1}, "\ud800", [[1e400]]])
def test_claims_that_nobody_could_sign_are_refused_before_a_draft_is_made(value: Any) -> None:
    with pytest.raises(MalformedError):
        unchanged(cast("Asked", SimpleNamespace(claims={"act": "x", "value": value})))


def test_a_draft_for_oneself_is_taken() -> None:
    found = checked_draft(DRAFT, MEANT, origin=OWN, did="did:web:own", own_id="own")
    assert found == ("did:web:own", OWN, DRAFT["claims"])


@pytest.mark.parametrize(
    "changed",
    [{"iss": "did:web:other"}, {"aud": "ledger.example/t/2"}, {"claims": {**MEANT, "tenant": "other"}}],
)
def test_a_draft_of_anothers_erasure_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(VerificationError, match="another"):
        checked_draft({**DRAFT, **changed}, MEANT, origin=OWN, did="did:web:own", own_id="own")
