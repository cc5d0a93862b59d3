"""Tokens that are bound to a key (DPoP, RFC 9449): who reads one on the way can do nothing with it."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from domain.canonical import canonical
from domain.errors import LedgerError, MalformedError, NotAuthorisedError
from infrastructure.api.proofs import WITHIN_S, Asked, Proofs
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys import base64url
from infrastructure.keys.thumbprint import jwk
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import dpop, jws
from tests.api.service import Answered, Service
from tests.api.test_access import SERIAL, claims

NOW = 1_700_000_000
URL = "https://ledger.example/v1/nodes"


def proof(service: Service, wallet: Wallet, asked: str, path: str, over: str | None, **changes: Any) -> str:
    """Return a good proof, changed."""
    issued_s = int(time.time()) - changes.pop("late_s", 0)
    said = {"url": service.url + path, "issued_s": issued_s, "jti": SERIAL.hex(), "method": asked, **changes}
    return dpop.make(wallet.key(Purpose.REPORT), **{"token": over, **said})


def ask_token(service: Service, wallet: Wallet, shown: str) -> Answered:
    assertion = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet))
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": assertion}).encode()
    return service.ask("POST", "/v1/token", form, Content_Type="application/x-www-form-urlencoded", DPoP=shown)


@pytest.fixture
def wallet(service: Service) -> Wallet:
    return service.wallet("node.json")


@pytest.fixture
def token(service: Service, wallet: Wallet) -> str:
    """A token of berlin-1 that is bound to its key."""
    answer = ask_token(service, wallet, proof(service, wallet, "POST", "/v1/token", None))
    assert (answer.status, answer.json["token_type"]) == (200, "DPoP")
    bound: str = answer.json["access_token"]
    return bound


def test_a_bound_token_is_good_with_a_proof_of_its_key_for_each_request_once(
    service: Service, wallet: Wallet, token: str
) -> None:
    shown = proof(service, wallet, "GET", "/v1/nodes", token)
    good = {"Authorization": f"DPoP {token}", "DPoP": shown}
    assert service.ask("GET", "/v1/nodes", None, None, **good).json["nodes"][0]["node"] == "berlin-1"
    again = service.ask("GET", "/v1/nodes", None, None, **good)
    assert (again.status, "used before" in again.json["detail"]) == (401, True)
    assert 'error="invalid_dpop_proof"' in again.headers["www-authenticate"]
    assert 'DPoP realm="https://ledger.example", algs="Ed25519 EdDSA"' in again.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "POST"}, "htm or htu"), ({"url": "http://elsewhere.example/v1/nodes"}, "htm or htu"),
        ({"url": "http://127.0.0.1/v1/nodes"}, "htm or htu"), ({"late_s": 120}, "not of now"),
        ({"late_s": -600}, "not of now"), ({"token": "x" * 43}, "not over this token"),
        ({"token": None}, "not over this token"),
    ],
)  # fmt: skip
def test_a_proof_of_another_request_time_or_token_is_refused(
    service: Service, wallet: Wallet, token: str, changes: dict[str, Any], says: str
) -> None:
    shown = proof(service, wallet, "GET", "/v1/nodes", token, **changes)
    answer = service.ask("GET", "/v1/nodes", Authorization=f"DPoP {token}", DPoP=shown)
    assert (answer.status, says in answer.json["detail"]) == (401, True), answer.body


def test_a_bound_token_without_a_good_proof_is_worth_nothing(service: Service, wallet: Wallet, token: str) -> None:
    other = service.wallet("two.json")
    fresh = proof(service, wallet, "GET", "/v1/nodes", token)
    for shown in (
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer {token}", "DPoP": fresh},
        {"Authorization": f"DPoP {token}"},
        {"Authorization": f"DPoP {token}", "DPoP": "x"},
        {"Authorization": f"DPoP {token}", "DPoP": fresh[:-8] + "AAAAAAAA"},
        {"Authorization": f"DPoP {token}", "DPoP": proof(service, other, "GET", "/v1/nodes", token)},
    ):
        assert service.ask("GET", "/v1/nodes", None, None, **shown).status == 401
    unbound = service.token("node.json")
    shown = {"Authorization": f"DPoP {unbound}", "DPoP": proof(service, wallet, "GET", "/v1/nodes", unbound)}
    assert service.ask("GET", "/v1/nodes", None, None, **shown).status == 401


def test_a_token_is_bound_to_the_nodes_own_key_only(service: Service, wallet: Wallet) -> None:
    other = service.wallet("two.json")
    answer = ask_token(service, wallet, proof(service, other, "POST", "/v1/token", None))
    assert (answer.status, "own key" in answer.json["detail"]) == (401, True)
    assert ask_token(service, wallet, "nonsense").status == 401


def told(wallet: Wallet, header: dict[str, Any], said: dict[str, Any], spell: Callable[[Any], bytes]) -> str:
    """Sign a proof of any shape."""
    signing_input = f"{base64url.encode(spell(header))}.{base64url.encode(spell(said))}"
    return f"{signing_input}.{base64url.encode(wallet.key(Purpose.REPORT).sign(signing_input.encode()))}"


def test_what_is_no_proof_is_refused_and_what_others_write_is_taken(service: Service, wallet: Wallet) -> None:
    key = jwk(wallet.public(Purpose.REPORT))
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {**key, "use": "sig", "kid": "mine"}}
    said = {"jti": "-BwC3ESc6acc2lTc", "htm": "GET", "htu": URL, "iat": NOW, "nonce": "x"}

    def spaced(value: Any) -> bytes:
        return json.dumps(value, indent=1).encode()

    read = dpop.read(told(wallet, header, said, spaced))
    assert (read.jkt, read.method, read.url, read.ath) == (wallet.thumbprint(Purpose.REPORT), "GET", URL, None)
    for spoiled in (
        {**header, "typ": "JWT"}, {**header, "alg": "none"}, {**header, "alg": "ES256"}, {**header, "crit": ["b64"]},
        {**header, "jwk": {**key, "d": "AA"}}, {**header, "jwk": {**key, "crv": "X25519"}}, {**header, "jwk": None},
        {**header, "jwk": {"kty": "oct", "k": "AA"}}, {"typ": "dpop+jwt", "alg": "EdDSA"},
    ):  # fmt: skip
        with pytest.raises(MalformedError):
            dpop.read(told(wallet, spoiled, said, canonical))
    for wrong in (
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 129},
        {"jti": "caf\u00e9"},
        {"iat": "1"},
        {"iat": True},
        {"htm": None},
        {"ath": 1},
    ):
        with pytest.raises(MalformedError):
            dpop.read(told(wallet, header, {**said, **wrong}, spaced))
    doubled = spaced(said).replace(b'"htm"', b'"htm": "GET", "htm"')
    with pytest.raises(MalformedError):
        dpop.read(told(wallet, header, said, lambda value: doubled if value is said else spaced(value)))
    good = told(wallet, header, said, spaced)
    other = jwk(service.wallet("two.json").public(Purpose.REPORT))
    with pytest.raises(NotAuthorisedError):
        dpop.read(f"{base64url.encode(canonical({**header, 'jwk': other}))}.{good.partition('.')[2]}")
    for text in ("", "..", good + "A", good.replace(".", "", 1), "é" + good, "A" * 5000):
        with pytest.raises(LedgerError):
            dpop.read(text)


@pytest.mark.parametrize("url", [URL, "HTTPS://Ledger.Example:443/v1/nodes", URL + "?page=2", URL + "#part"])
def test_a_url_is_compared_as_the_rfc_says(wallet: Wallet, url: str) -> None:
    proofs = Proofs(frozenset({"https://ledger.example"}), needed=True)
    shown = dpop.make(wallet.key(Purpose.REPORT), "GET", url, issued_s=NOW, jti="one")
    assert proofs.holder(Asked("dpop", shown, "GET", "/v1/nodes"), NOW, None) == wallet.thumbprint(Purpose.REPORT)


@pytest.mark.parametrize("url", ["", "https://[/v1/nodes", "https://ledger.example:x/v1/nodes", "/v1/nodes"])
def test_what_is_no_url_of_ours_is_refused(wallet: Wallet, url: str) -> None:
    proofs = Proofs(frozenset({"https://ledger.example"}), needed=True)
    shown = dpop.make(wallet.key(Purpose.REPORT), "GET", url, issued_s=NOW, jti="one")
    with pytest.raises(NotAuthorisedError):
        proofs.holder(Asked("dpop", shown, "GET", "/v1/nodes"), NOW, None)


def test_a_proof_counts_once_as_long_as_it_could_count_whatever_the_clock_does(wallet: Wallet) -> None:
    proofs = Proofs(frozenset({"https://ledger.example"}), needed=True)
    for begin in range(NOW, NOW + 2 * WITHIN_S, 7):
        shown = dpop.make(wallet.key(Purpose.REPORT), "GET", URL, issued_s=begin + WITHIN_S, jti=str(begin))
        asked = Asked("dpop", shown, "GET", "/v1/nodes")
        assert proofs.holder(asked, begin, None)
        for later in (0, 1, WITHIN_S, 2 * WITHIN_S):
            with pytest.raises(NotAuthorisedError):
                proofs.holder(asked, begin + later, None)
