"""From where a request comes: a proxy's word counts where it is trusted, and no further than it saw itself."""

import resource
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, RefusedError
from infrastructure.api.limits import MOST_CONNECTIONS, Places, connections
from infrastructure.api.peers import MOST_PROXIES, Peers, networks
from infrastructure.api.serve import Outside, listen

ADDRESSES = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
TRUSTED = ("10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48")


def asked(peer: str | None, *said: str) -> dict[str, Any]:
    """Return a request's scope."""
    fields = [(b"x-forwarded-for", one.encode("latin-1")) for one in said]
    return {"client": None if peer is None else (peer, 1), "headers": [(b"host", b"x"), *fields]}


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1, 198.51.100.2"], "198.51.100.2"),
        ("10.1.2.3", ["198.51.100.1", "198.51.100.2 ,\t192.0.2.7"], "198.51.100.2"),
        ("10.1.2.3", ["198.51.100.1, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1, unknown, 192.0.2.7"], "192.0.2.7"),
        ("10.1.2.3", ["10.9.9.9, 192.0.2.7"], "10.9.9.9"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1\xb2"], "10.1.2.3"),
        ("10.1.2.3", ["[2001:db8:2::1]:4711"], "2001:db8:2::/64"),
        ("10.1.2.3", ["2001:db8:2:0:ffff::1"], "2001:db8:2::/64"),
        ("::ffff:10.1.2.3", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1::5", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:3::5", ["198.51.100.1"], "2001:db8:3::/64"),
        ("fe80::1%eth0", ["198.51.100.1"], "fe80::/64"),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_the_last_hop_that_is_not_trusted_is_the_client(peer: str | None, said: list[str], client: str) -> None:
    assert Peers(TRUSTED).client(asked(peer, *said)) == client


@given(peer=ADDRESSES, said=st.lists(ADDRESSES | st.text(st.characters(max_codepoint=255), max_size=20), max_size=5))
def test_without_a_trusted_proxy_no_word_changes_who_asks(peer: str, said: list[str]) -> None:
    assert Peers().client(asked(peer, *said)) == Peers().client(asked(peer))


@given(before=st.lists(ADDRESSES | st.text(st.characters(max_codepoint=255), max_size=20), max_size=40))
def test_what_a_client_writes_itself_does_not_change_who_it_is(before: list[str]) -> None:
    said = ", ".join([*before, "198.51.100.1"])
    assert Peers(TRUSTED).client(asked("10.0.0.1", said)) == "198.51.100.1"


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.0/255.0.0.0x", "ledger.example", "10.1"]
)
def test_what_is_no_address_of_a_proxy_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        networks([text])
    with pytest.raises(MalformedError):
        listen("127.0.0.1", 0, Outside(proxies=("192.0.2.7", text)))


def test_so_many_proxies_and_no_more_are_named() -> None:
    networks(["192.0.2.7"] * MOST_PROXIES)
    with pytest.raises(MalformedError, match="at most"):
        networks(["192.0.2.7"] * (MOST_PROXIES + 1))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=60))
def test_places_never_hold_more_than_there_are_nor_a_name_more_than_its_share(
    steps: list[tuple[str, int, bool]],
) -> None:
    places, held = Places(10, 4), dict.fromkeys("abc", 0)
    for name, count, enters in steps:
        if enters:
            fits = held[name] + count <= 4 and sum(held.values()) + count <= 10
            assert places.enter(name, count) == fits
            held[name] += count if fits else 0
        else:
            fewer = min(count, held[name])
            places.leave(name, fewer)
            held[name] -= fewer
        assert places.taken == sum(held.values())


@pytest.mark.parametrize(
    ("files", "most", "fit"),
    [
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, MOST_CONNECTIONS), (1_024, 1_024, 768), (10, 10, 64),
        (1_024, 1 << 20, MOST_CONNECTIONS), (1_024, resource.RLIM_INFINITY, MOST_CONNECTIONS), (1_024, 2_048, 1_792),
    ],
)  # fmt: skip
def test_there_are_fewer_connections_than_files(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int, fit: int
) -> None:
    now = [(files, most)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: now.__setitem__(0, wanted))
    places = connections()
    assert (places.most, places.share) == (fit, fit // 2)


def test_where_no_more_files_are_allowed_there_are_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 1 << 20))
    monkeypatch.setattr(resource, "setrlimit", forbidden)
    assert connections().most == 768


@pytest.mark.parametrize(
    ("peer", "fields", "client"),
    [
        ("203.0.113.9", ["for=198.51.100.1"], "203.0.113.9"),
        ("10.1.2.3", ["for=198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ['For="198.51.100.1:4711";proto=https;by=10.1.2.3'], "198.51.100.1"),
        ("10.1.2.3", ['for="[2001:db8:2::1]:4711"'], "2001:db8:2::/64"),
        ("10.1.2.3", ['for="[2001:db8:2::1]"', "for=192.0.2.7"], "2001:db8:2::/64"),
        ("10.1.2.3", ["for=198.51.100.1, for=198.51.100.2"], "198.51.100.2"),
        ("10.1.2.3", ["for=198.51.100.1,for=unknown"], "10.1.2.3"),
        ("10.1.2.3", ["for=198.51.100.1, for=_hidden, for=192.0.2.7"], "192.0.2.7"),
        ("10.1.2.3", ["proto=https"], "10.1.2.3"),
        ("10.1.2.3", ["for=198.51.100.1;for=198.51.100.2"], "10.1.2.3"),
        ("10.1.2.3", ["for=198.51.100.1; proto=https"], "198.51.100.1"),
        ("10.1.2.3", [",".join(["for=198.51.100.7"] * 200)], "10.1.2.3"),
        ("10.1.2.3", ['for="198.51.100.1, for=198.51.100.2'], "10.1.2.3"),
        ("10.1.2.3", ['secret="a, b";for=198.51.100.2'], "198.51.100.2"),
        ("10.1.2.3", ["for=198.51.100.1:4711"], "10.1.2.3"),
        ("10.1.2.3", ['for="2001:db8:2::1"'], "10.1.2.3"),
        ("10.1.2.3", ["for = 198.51.100.1"], "10.1.2.3"),
        ("10.1.2.3", ["for=198.51.100.1,"], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ['for="198.51.100\\.1"'], "10.1.2.3"),
    ],
)
def test_forwarded_counts_from_trusted_proxies_as_the_rfc_writes_it(peer: str, fields: list[str], client: str) -> None:
    scope = {"client": (peer, 1), "headers": [(b"forwarded", one.encode("latin-1")) for one in fields]}
    assert Peers(TRUSTED).client(scope) == client


@given(st.text(st.characters(max_codepoint=255), max_size=60), ADDRESSES)
def test_what_a_client_writes_before_a_proxys_element_names_nobody_else(before: str, client: str) -> None:
    node = f'"[{client}]"' if ":" in client else client
    said = f"{before}, for={node}".encode("latin-1")
    found = Peers(("10.0.0.0/8",)).client({"client": ("10.1.2.3", 1), "headers": [(b"forwarded", said)]})
    assert found in {Peers().client({"client": (client, 1), "headers": []}), "10.1.2.3"}


def test_two_fields_that_name_different_clients_name_none() -> None:
    for forwarded, client in ((b"for=198.51.100.1", "198.51.100.1"), (b"for=198.51.100.2", "10.1.2.3")):
        headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"forwarded", forwarded)]
        assert Peers(TRUSTED).client({"client": ("10.1.2.3", 1), "headers": headers}) == client


def test_who_answers_nothing_but_numbers_may_listen_for_whoever_gathers_them() -> None:
    with pytest.raises(RefusedError):
        listen("0.0.0.0", 0)  # noqa: S104 - that is what is refused
    with listen("0.0.0.0", 0, public=True) as bound:  # noqa: S104 - on every address
        assert bound.getsockname()[1] > 0
