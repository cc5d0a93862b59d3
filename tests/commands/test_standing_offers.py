"""Standing offers: who may make and withdraw them, what overflows by them, and what an auditor checks of them."""

from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.hashing import sha256_hex
from domain.identifiers import offer_stream
from domain.message import Pending
from domain.pools.decisions import MOST_MS, appointment_claims, offer_claims, withdrawal_claims
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.time import DAY_MS
from domain.workloads.events import OverflowAccepted, WorkloadPlaced
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts, offers
from infrastructure.commands import standing_offers as commands
from infrastructure.explaining import explain, explained
from infrastructure.keys.wallet import Purpose, Wallet
from tests.audit.past import refused
from tests.commands.cell import Cell, MakeCell

POOL, OPERATOR = "reserve", "Keeper"


def reserve(cell: Cell) -> Wallet:
    """Enrol a node of a reserve, and drain all others but one that a single workload fills."""
    cell.enrol("extra", operator=OPERATOR, pool=POOL)
    return cell.wallet(OPERATOR)


def stand(cell: Cell, keeper: Wallet, **changes: Any) -> None:
    """Let the reserve's operator make an offer."""
    usual: dict[str, Any] = {"pool": POOL, "operator": OPERATOR, "until_ms": cell.clock.now_ms() + DAY_MS}
    offers.stand(cell.ledger, [cell.root], keeper, **{**usual, **changes})


def verdict(cell: Cell, out: Path) -> Any:
    """Verify the platform log from a bundle with all keys."""
    export_bundle(cell.ledger, cell.ledger.platform().log_id, out, with_keys="all")
    return verify_bundle(out)


def test_overflow_waits_for_an_offer_and_names_it(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    keeper, member = reserve(cell), cell.join()
    for name in ("alpha", "beta", "gamma"):
        acts.drain_node(cell.ledger, [cell.root], name, "full")
    workload = cell.submit(member)
    cell.settle()
    assert cell.events(member, WorkloadPlaced) == []
    stand(cell, keeper, slots=1)
    cell.settle()
    (accepted,) = cell.events(member, OverflowAccepted)
    (stood,) = [
        item.event for item in cell.history(cell.ledger.platform().log_id) if isinstance(item.event, OfferStood)
    ]
    (standing,) = accepted.standing
    assert (standing.pool, standing.operator, standing.number) == (POOL, OPERATOR, 0)
    assert standing.statement == sha256_hex(stood.statement.encode())
    said = "\n".join(explained(explain(cell.ledger, workload)))
    assert f"standing offer 0 of {OPERATOR} for pool {POOL}" in said
    found = verdict(cell, tmp_path / "platform")
    assert found.ok, found.first_error
    cell.submit(member)
    cell.settle()
    assert len(cell.events(member, WorkloadPlaced)) == 1, "one slot was offered"


def test_an_offer_is_withdrawn_by_its_operator_or_by_the_roots_admins_once(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    keeper, stranger = reserve(cell), cell.wallet("stranger")
    with cell.nothing_written(), pytest.raises(UnknownError, match="no offer"):
        offers.withdraw(cell.ledger, POOL, OPERATOR, wallet=keeper)
    for wallet, root in ((keeper, []), (None, [cell.root])):
        stand(cell, keeper)
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            offers.withdraw(cell.ledger, POOL, OPERATOR, wallet=stranger)
        offers.withdraw(cell.ledger, POOL, OPERATOR, wallet=wallet, root_admins=root)
        with cell.nothing_written(), pytest.raises(UnknownError, match="no offer"):
            offers.withdraw(cell.ledger, POOL, OPERATOR, wallet=keeper)
    assert cell.decider.catch_up().offers == {}
    found = verdict(cell, tmp_path / "platform")
    assert found.ok, found.first_error


def test_terms_that_no_offer_can_have_are_refused(make_cell: MakeCell) -> None:
    cell = make_cell()
    keeper, now_ms = reserve(cell), cell.clock.now_ms()
    wrong: list[dict[str, Any]] = [{"pool": "primary"}, {"until_ms": now_ms}, {"until_ms": now_ms + MOST_MS + 60_000}]
    for changes in wrong:
        with cell.nothing_written(), pytest.raises(RefusedError):
            stand(cell, keeper, **changes)


def test_an_offer_takes_the_operators_own_statement_and_the_roots_word_on_its_key(make_cell: MakeCell) -> None:
    cell = make_cell()
    keeper, other = reserve(cell), cell.wallet("other")
    aud, until_ms = cell.ledger.platform().origin, cell.clock.now_ms() + DAY_MS
    did, root_did = keeper.did(Purpose.GOVERNANCE), acts.root_scope(cell.ledger).did
    public = keeper.public(Purpose.GOVERNANCE)
    terms = offer_claims(POOL, OPERATOR, 0, slots=1, memory_bytes=None, until_ms=until_ms)
    vouched = appointment_claims(POOL, OPERATOR, public.hex())

    used: list[tuple[str, ...]] = []

    def made(
        said: dict[str, Any], by: Wallet, iss: str, told: dict[str, Any], who: Wallet, key: bytes = public
    ) -> None:
        (statement,) = acts.governed(cell.ledger, [by], iss, aud, said)
        appointed = acts.governed(cell.ledger, [who], root_did, aud, told)
        used.append(appointed)
        commands.stand_offer(
            cell.ledger, pool=POOL, operator=OPERATOR, slots=1, memory_bytes=None, until_ms=until_ms, public_key=key,
            statement=statement, appointed=appointed,
        )  # fmt: skip

    theirs = other.public(Purpose.GOVERNANCE)
    wrong: list[tuple[Any, ...]] = [
        ({**terms, "slots": 2}, keeper, did, vouched, cell.root),
        ({**terms, "number": 1}, keeper, did, vouched, cell.root),
        (terms, other, did, vouched, cell.root),
        (terms, keeper, root_did, vouched, cell.root),
        (terms, keeper, did, vouched, keeper),
        (terms, keeper, did, {**vouched, "operator": "Another"}, cell.root),
        (terms, other, other.did(Purpose.GOVERNANCE), vouched, cell.root, theirs),
    ]  # fmt: skip
    for arguments in wrong:
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            made(*arguments)
    made(terms, keeper, did, vouched, cell.root)
    again = offer_claims(POOL, OPERATOR, 1, slots=1, memory_bytes=None, until_ms=until_ms)
    (statement,) = acts.governed(cell.ledger, [keeper], did, aud, again)
    with cell.nothing_written(), pytest.raises(ConflictError):
        commands.stand_offer(
            cell.ledger, pool=POOL, operator=OPERATOR, slots=1, memory_bytes=None, until_ms=until_ms,
            public_key=public, statement=statement, appointed=used[-1],
        )  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{"slots": 9}, {"until_ms": 1}, {"operator": "Another"}, {"appointed": ()}, {"kid": "k" * 43}]
)
def test_an_auditor_finds_an_offer_that_its_operator_did_not_sign(
    make_cell: MakeCell, tmp_path: Path, changes: dict[str, Any]
) -> None:
    cell = make_cell()
    stand(cell, reserve(cell))
    platform = cell.ledger.platform().log_id
    (stood,) = [item.event for item in cell.history(platform) if isinstance(item.event, OfferStood)]
    forged = stood.model_copy(update={"number": 1 if "operator" not in changes else 0, **changes})
    cell.ledger.append([Pending(platform, offer_stream(forged.pool, forged.operator), forged.number, forged)])
    refused(verdict(cell, tmp_path / "forged"))


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"pool": "primary"}, "without an offer"),
        ({"until_ms": "past"}, "over already"),
        ({"until_ms": "far"}, "at most"),
    ],
)
def test_an_auditor_finds_an_offer_on_terms_that_none_can_have(
    make_cell: MakeCell, tmp_path: Path, terms: dict[str, Any], says: str
) -> None:
    cell = make_cell()
    keeper, now_ms = reserve(cell), cell.clock.now_ms()
    instants: dict[Any, int] = {"past": now_ms - 120_000, "far": now_ms + MOST_MS + 1}
    told: dict[str, Any] = {
        "pool": terms.get("pool", POOL), "operator": OPERATOR, "slots": None, "memory_bytes": None,
        "until_ms": instants.get(terms.get("until_ms"), now_ms + DAY_MS),
    }  # fmt: skip
    public, aud = keeper.public(Purpose.GOVERNANCE), cell.ledger.platform().log_id
    claims = offer_claims(told["pool"], OPERATOR, 0, **{
        name: told[name] for name in ("slots", "memory_bytes", "until_ms")
    })  # fmt: skip
    origin = cell.ledger.platform().origin
    (statement,) = acts.governed(cell.ledger, [keeper], keeper.did(Purpose.GOVERNANCE), origin, claims)
    vouching = appointment_claims(told["pool"], OPERATOR, public.hex())
    vouched = acts.governed(cell.ledger, [cell.root], cell.root.did(Purpose.GOVERNANCE), origin, vouching)
    event = OfferStood(
        number=0, kid=keeper.thumbprint(Purpose.GOVERNANCE), public_key=public.hex(), statement=statement,
        appointed=tuple(vouched), **told,
    )  # fmt: skip
    cell.ledger.append([Pending(aud, offer_stream(told["pool"], OPERATOR), 0, event)])
    refused(verdict(cell, tmp_path / "forged"), says)


def test_an_auditor_verifies_a_withdrawal_by_the_operator_alone(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    keeper = reserve(cell)
    stand(cell, keeper)
    offers.withdraw(cell.ledger, POOL, OPERATOR, wallet=keeper)
    found = verdict(cell, tmp_path / "good")
    assert found.ok, found.first_error
    stand(cell, keeper)
    platform = cell.ledger.platform()
    claims = withdrawal_claims(POOL, OPERATOR, 2)
    (token,) = acts.governed(cell.ledger, [keeper], keeper.did(Purpose.GOVERNANCE), platform.origin, claims)
    head, body, signature = token.split(".")
    forged = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    event = OfferWithdrawn(number=2, pool=POOL, operator=OPERATOR, statements=(forged,))
    cell.ledger.append([Pending(platform.log_id, offer_stream(POOL, OPERATOR), 3, event)])
    refused(verdict(cell, tmp_path / "forged"), "signature")


def test_an_auditor_finds_a_withdrawal_of_what_does_not_stand(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    platform = cell.ledger.platform().log_id
    event = OfferWithdrawn(number=0, pool=POOL, operator=OPERATOR, statements=())
    cell.ledger.append([Pending(platform, offer_stream(POOL, OPERATOR), 0, event)])
    refused(verdict(cell, tmp_path / "forged"), "does not stand")
