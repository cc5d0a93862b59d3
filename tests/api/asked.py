"""Hooks of schemathesis (SCHEMATHESIS_HOOKS=tests.api.asked): who asks, signed statements, ids that exist, a check.

The file that LEDGER_ASKED names holds tokens by role, wallets, origins and ids; it is read again when it was replaced.
"""

import json
import os
import random
import re
import secrets
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st

from infrastructure.api.rights import BY_STATEMENT, EVERYBODY
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import jws

_ACTS: Final = (
    "adopt_policy", "enrol_principal", "revoke_principal", "appoint_monitor", "order_erasure", "withdraw_erasure",
    "authorize_retry", "refuse_retry", "grant_quota", "grant_tokens", "endorse", "enrol_issuer", "revoke_issuer",
    "adopt_levels", "drain_node", "return_node", "register_clause", "deprecate_clause", "open_dispute",
    "answer_dispute", "attach_document", "attach_entry", "decide_dispute", "withdraw_dispute", "notify_fault",
)  # fmt: skip
_TYPES: Final = {
    Purpose.SUBMISSION: jws.SUBMISSION, Purpose.REPORT: jws.REPORT, Purpose.GOVERNANCE: jws.GOVERNANCE,
    Purpose.ENDORSEMENT: jws.ENDORSEMENT,
}  # fmt: skip
_NAMES: Final = (
    "act", "execution", "workload", "kind", "node", "seq", "prev", "to", "tenant", "slots", "memory_bytes", "dispute",
    "policy_digest", "kid", "reason", "role", "bounds", "clause_id", "name", "did", "domains", "party", "subject",
)  # fmt: skip
_MEANT: Final = re.compile(
    "the cursor is none that this gave|of size [0-9]+ precedes|only the platform log has|there is nothing at|"
    "ask about one thing|this is needed but|has no span|the span ends|is not Namespace::|begins in the future|"
    "Idempotency-Key|not an? (?:ISO|jurisdiction)|jurisdiction|too long to be folded|"
    "is not Domain::|a period is of whole days|a period begins before|only a tenant's log meters"
)
"""What a query can be refused for that no schema can say."""


@lru_cache(maxsize=1)
def _read(path: str, mark: int) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text()), mark=mark)


def _known() -> dict[str, Any]:
    path = os.environ["LEDGER_ASKED"]
    return _read(path, Path(path).stat().st_mtime_ns)


@lru_cache
def _wallet(path: str) -> Wallet:
    return wallets.load(Path(path))


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**54), 2**54), st.text(max_size=30),
    st.sampled_from(["0" * 64, "0" * 32, "node", "evidence", "telemetry", "completed", "faulted", "auditor"]),
    st.builds(lambda: random.choice(_known()["ids"])),
)  # fmt: skip
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Return a statement that is really signed by somebody who is enrolled, over claims that mean little or nothing."""
    known, purpose = _known(), draw(st.sampled_from(list(_TYPES)))
    wallet = _wallet(draw(st.sampled_from(known["wallets"])))
    claims = draw(st.dictionaries(st.sampled_from(_NAMES), _values, max_size=6))
    if draw(st.booleans()):
        claims["act"] = draw(st.sampled_from(_ACTS))
    now_s = int(time.time())
    claims |= {
        "iss": wallet.did(purpose), "aud": draw(st.sampled_from(known["origins"])), "jti": secrets.token_hex(16),
        "iat": now_s, "exp": now_s + draw(st.sampled_from([60, 600, -1])),
    }  # fmt: skip
    try:
        return jws.sign(draw(st.sampled_from(list(_TYPES.values()))), wallet.key(purpose), claims)
    except Exception:  # noqa: BLE001 - what can't be signed is no statement: something else then
        return draw(st.from_regex(r"[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,90}", fullmatch=True))


schemathesis.openapi.format("jws", statements())


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Ask in somebody's name: mostly one who may, sometimes any, or nobody; of what exists, every other time."""
    chance, known = random.Random(case.id), _known()
    roles: dict[str, list[str]] = known["roles"]
    may = case.operation.definition.raw.get("x-roles", list(roles))
    drawn = chance.random()
    if drawn < 0.8:
        case.headers["Authorization"] = "Bearer " + chance.choice(roles[chance.choice(may)])
    elif drawn < 0.9:
        case.headers["Authorization"] = "Bearer " + chance.choice(roles[chance.choice(list(roles))])
    elif drawn < 0.95:
        case.headers["Authorization"] = "Bearer " + "x" * 43
    else:
        case.headers.pop("Authorization", None)
    if isinstance(case.body, dict) and isinstance(case.body.get("wait_ms"), int):
        case.body["wait_ms"] = min(case.body["wait_ms"], 20)
    if case.meta is None or not case.meta.generation.mode.is_positive or chance.random() < 0.5:
        return
    for name in case.path_parameters:
        there = known["paths"].get(name)
        if there:
            case.path_parameters[name] = chance.choice(there)


@schemathesis.check
def nobody_hears_anything(_: Any, response: Any, case: Any) -> None:
    """Hold that without a good token the answer is 401, whatever was asked for."""
    route = (response.request.method, case.path.replace("tile/{path}", "tile/{path:path}"))
    given = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    tokens = [one for group in _known()["roles"].values() for one in group] + _known()["before"]
    if given in tokens or route in EVERYBODY | BY_STATEMENT:
        return
    if case.path in {path for _, path in EVERYBODY}:
        return
    assert response.status_code in {401, 429, 503}, (route, response.status_code)
    if response.status_code == 401:
        assert "www-authenticate" in {name.lower() for name in response.headers}, route


@schemathesis.hook
def filter_failure(_: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep what is a fault: that a query is refused whose form was good is none where a schema can't say why."""
    kind = type(failure).__name__
    if kind in {"UnsupportedMethodResponse", "AllowHeaderMismatch"}:
        return bool(response.status_code != 401)  # what there is, nobody learns without a token
    if kind != "RejectedPositiveData":
        return True
    return bool(case.method.upper() == "GET" and not _MEANT.search(response.text))
