"""What is answered from memory is what the route itself answers, to the byte; and nobody gets more by it."""

from typing import Final

import pytest

from infrastructure.api.rights import RIGHTS
from tests.api.people import service
from tests.api.service import Answered, Service, eventually
from tests.api.test_rights import OWN, ROLES, tokens

__all__ = ["service", "tokens"]

ODD: Final = (
    "entries/00", "entries/-1", "entries/+1", "entries/1e0", "entries/9007199254740992", "entries/99999999999999999",
    "entries/1/", "entries/", "entries/1?", "entries/1?x=1", "proofs/0?size=", "proofs/0?size=01",
    "proofs/0?size=2&size=2", "proofs/0?size=2&x=1", "proofs/0?Size=2", "proofs/5?size=3", "proofs/9007199254740991",
    "proofs/0?size=0", "proofs/0?size=9007199254740991", "entries/%30", "proofs/0?size=%32",
)  # fmt: skip


@pytest.fixture(scope="module")
def size(service: Service, tokens: dict[str, str]) -> int:
    """Wait until something is published, and bring it into memory; return its size."""

    def published() -> int:
        return service.ask("GET", "/v1/audit", token=tokens["rita"]).json["published"] or 0

    eventually(lambda: published() > 3)
    for path in ("entries/0", "proofs/0"):
        assert by_route(service, path, tokens["rita"])[0] == 200
    return published()


def plain(answer: Answered) -> tuple[int, dict[str, str], bytes]:
    return answer.status, {name: value for name, value in answer.headers.items() if name not in OWN}, answer.body


def by_route(service: Service, path: str, given: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask with a body of no length: that is not plain, so the route itself answers."""
    return plain(service.ask("GET", f"/v1/audit/{path}", b"", given, Content_Length="0", **headers))


def at_once(service: Service, path: str, given: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return plain(service.ask("GET", f"/v1/audit/{path}", None, given, **headers))


def test_every_entry_and_proof_is_as_the_route_gives_it(service: Service, tokens: dict[str, str], size: int) -> None:
    for index in range(size):
        for path in (f"entries/{index}", f"proofs/{index}?size={size}"):
            answer = at_once(service, path, tokens["rita"])
            assert answer == by_route(service, path, tokens["rita"])
            assert answer[0] == 200


def test_signed_proofs_tags_and_compression_are_the_routes(service: Service, tokens: dict[str, str], size: int) -> None:
    given = tokens["rita"]
    for path in ("entries/1", f"proofs/1?size={size}", "proofs/1"):
        answer = at_once(service, path, given)
        assert answer == by_route(service, path, given) == at_once(service, path, tokens["olga"])
        for headers in ({"If_None_Match": answer[1]["etag"]}, {"Accept_Encoding": "gzip"}, {"If_None_Match": '"x"'}):
            assert at_once(service, path, given, **headers) == by_route(service, path, given, **headers)
    assert at_once(service, "entries/1", given, If_None_Match="*")[0] == 304


@pytest.mark.parametrize("path", ODD)
def test_what_is_not_plain_is_left_to_the_route(service: Service, tokens: dict[str, str], size: int, path: str) -> None:
    assert size
    assert at_once(service, path, tokens["rita"]) == by_route(service, path, tokens["rita"])


def test_who_may_not_ask_gets_nothing_sooner_either(service: Service, tokens: dict[str, str], size: int) -> None:
    nowhere = plain(service.ask("GET", "/v1/nowhere", token=tokens["rita"]))
    for name, path in (("entries", "entries/0"), ("proofs", "proofs/0"), ("proofs", f"proofs/0?size={size}")):
        for who, role in ROLES.items():
            if role not in RIGHTS["GET", f"/v1/audit/{name}/{{index}}"]:
                assert at_once(service, path, tokens[who]) == nowhere, (who, path)
        assert service.ask("GET", f"/v1/audit/{path}", token="x" * 43).status == 401
        assert service.ask("GET", f"/v1/audit/{path}").status == 401
    own, other = (at_once(service, "entries/0", tokens[who]) for who in ("rita", "flora"))
    assert own[2] != other[2]
