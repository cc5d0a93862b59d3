"""An OpenID provider of the tests: its keys, its key set and the tokens that it signs, by another implementation."""

import base64
import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, hmac
from joserfc import jws
from joserfc.jwk import ECKey, KeyParameters, OKPKey, RSAKey

from tests.api.service import Answered, Service
from tests.cli.conftest import TENANT

ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ISSUER = "https://id.example/realms/climate"
AUDIENCE = "https://ledger.example"

AnyKey = ECKey | OKPKey | RSAKey


def new_key(kind: str, kid: str | None) -> AnyKey:
    """Return a key pair of a kind: EC, OKP or RSA."""
    named: KeyParameters = {} if kid is None else {"kid": kid}
    if kind == "EC":
        return ECKey.generate_key("P-256", named)
    return OKPKey.generate_key("Ed25519", named) if kind == "OKP" else RSAKey.generate_key(2048, named)


ALGORITHM = {"EC": "ES256", "OKP": "EdDSA", "RSA": "RS256"}


@dataclass
class Provider:
    """Signs whatever it is told to."""

    issuer: str = ISSUER
    keys: dict[str, AnyKey] = field(default_factory=lambda: {"EC": new_key("EC", "ec-1")})

    def jwks(self, path: Path) -> Path:
        """Write its key set, with what such sets also hold."""
        keys = [{**public(key), "use": "sig"} for key in self.keys.values()]
        keys.append({**public(new_key("RSA", "enc-1")), "use": "enc"})
        path.write_text(json.dumps({"keys": keys}))
        return path

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims, changed; None leaves one out."""
        now = int(time.time())
        good = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": "248289761001", "iat": now, "exp": now + 300,
            "groups": ["people", "ledger-auditors"],
        }  # fmt: skip
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, kind: str = "EC", *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Return a token."""
        key = self.keys[kind]
        given = {"alg": ALGORITHM[kind], "typ": "JWT", "kid": key.kid, **(header or {})}
        protected = {name: value for name, value in given.items() if value is not None}
        payload = json.dumps(self.claims(**changes)).encode()
        registry = jws.JWSRegistry(algorithms=[*ALGORITHM.values()], strict_check_header=False)
        with warnings.catch_warnings(action="ignore"):  # EdDSA has a newer name; providers use the old one
            return jws.serialize_compact(protected, payload, key, registry=registry)


def public(key: AnyKey) -> dict[str, Any]:
    """Return the public half of a key as JWK."""
    return dict(key.as_dict(private=False))


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def by_hand(header: str, payload: str, signature: bytes = b"") -> str:
    """Return a compact JWS of any texts."""
    return f"{b64(header.encode())}.{b64(payload.encode())}.{b64(signature)}"


def mac(secret: bytes, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token whose signature is an HMAC under a secret."""
    made = hmac.HMAC(secret, hashes.SHA256())
    signing_input = by_hand(json.dumps(header), json.dumps(claims)).rpartition(".")[0]
    made.update(signing_input.encode())
    return f"{signing_input}.{b64(made.finalize())}"


def admit(
    service: Service, provider: Provider, *rules: str, of: str = TENANT, key: str = "alice.json",
    more: tuple[str, ...] = (), local: bool = False, audience: str = AUDIENCE,
) -> dict[str, Any]:  # fmt: skip
    """Admit a provider by the command: at the server, or beside it."""
    file = provider.jwks(service.ledger.folder / "jwks.json")
    given = [part for rule in rules for part in ("--role", rule)]
    return service.ledger.done(
        "principal", "admit-issuer", provider.issuer, "--of", of, "--audience", audience, "--jwks", file, *given,
        *more, "--key", key, *(() if local else ("--server", service.url)), "--json",
    ).json  # fmt: skip


def exchange(service: Service, token: str, log: str = TENANT, kind: str = ID_TOKEN, **more: str) -> Answered:
    """Ask for a token of ours for another's."""
    fields = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": kind, "audience": log}
    proof = more.pop("proof", None)
    headers = {"Content_Type": "application/x-www-form-urlencoded"} | ({} if proof is None else {"DPoP": proof})
    return service.ask("POST", "/v1/token", urlencode({**fields, **more}).encode(), **headers)


def shown(service: Service, token: str, log: str = TENANT, **more: str) -> str:
    """Return a token that was given for another's."""
    answer = exchange(service, token, log, **more)
    assert answer.status == 200, answer.body
    given: str = answer.json["access_token"]
    return given
