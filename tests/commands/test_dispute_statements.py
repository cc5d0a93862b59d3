"""What is signed about disputes, on a real cell: who is refused, how alike, and what a repeat is told."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from domain.disputes.decisions import NOTHING
from domain.disputes.events import AboutCac, AboutExecution, NamedEntry
from domain.disputes.statements import AnswerSaid, DocumentSaid, OpenSaid, affected_digest
from domain.errors import ConflictError, LedgerError, MalformedError, NotAuthorisedError, UnknownError
from domain.hashing import sha256_hex
from domain.identifiers import stream_of
from domain.statements import GOVERNANCE
from infrastructure.client import disputes
from infrastructure.client.signing import signed_by
from infrastructure.commands import disputes as commands
from infrastructure.commands.involved import every
from infrastructure.commands.voices import addressed
from infrastructure.statements import jws
from infrastructure.statements.payload import payload
from tests.commands.cell import ENTROPY, NOW, Cell, Member
from tests.commands.court import Court, about, court, executed, verified


@pytest.fixture(scope="module")
def there(cell: Cell) -> Court:
    """Resolvers of the root of a cell that the tests of this module share."""
    return court(cell)


def test_another_tenants_cac_and_one_that_is_not_there_are_told_alike(there: Court, cell: Cell) -> None:
    mine, other = cell.join(), cell.join()
    execution, cac = executed(cell, other)
    texts = set()
    absent = ("cac-0x" + "0" * 32, "exec-0x" + "0" * 32)
    for subject in (
        about(cac), about(absent[0]), AboutExecution(kind="execution", execution_id=execution),
        AboutExecution(kind="execution", execution_id=absent[1]),
        AboutCac(kind="cac", cac_id="cac-0x" + stream_of(execution).hex),
    ):  # fmt: skip
        said = OpenSaid(
            dispute=str(cell.ledger.ids.uuid(NOW)), role="tenant", party=mine.tenant.origin, subject=subject,
            grounds="x", affected="0" * 64,
        )  # fmt: skip
        with cell.nothing_written(), pytest.raises(UnknownError) as caught:
            commands.open_dispute(cell.ledger, there.scope, there.tenant(mine).sign(said))
        texts.add(str(caught.value))
    assert texts == {NOTHING}


def test_a_tenant_that_is_not_there_is_told_of_like_a_strangers_key(there: Court, cell: Cell) -> None:
    mine, other = cell.join(), cell.join()
    texts = set()
    for party in (other.tenant.origin, "ledger.example/t/987654321", cell.ledger.platform().origin):
        said = AnswerSaid(dispute=str(cell.ledger.ids.uuid(NOW)), role="tenant", party=party, text="x")
        with cell.nothing_written(), pytest.raises(LedgerError) as caught:
            commands.answer_dispute(cell.ledger, there.scope, there.tenant(mine).sign(said))
        texts.add((type(caught.value), str(caught.value)))
    assert len(texts) == 1, texts


def test_statements_of_others_open_and_decide_nothing(there: Court, cell: Cell) -> None:
    member = cell.join(admins=2, threshold=2)
    _, cac = executed(cell, member)
    by = there.tenant(member)
    said = OpenSaid(
        dispute=str(cell.ledger.ids.uuid(NOW)), role="tenant", party=member.tenant.origin, subject=about(cac),
        grounds="x", affected="0" * 64,
    )  # fmt: skip
    good = by.sign(said)

    def signed(wallets: Iterable[Any], **changed: Any) -> tuple[str, ...]:
        usual = {"iss": member.tenant.did, "aud": there.scope.origin, "claims": said.claims()}
        content = payload(now_ms=cell.clock.now_ms(), entropy=ENTROPY, **{**usual, **changed})
        return signed_by(list(wallets), GOVERNANCE, content)

    for tokens in (
        (), good[:1], (good[0], good[0]), signed(there.judges[:2]), signed(member.admins, aud=member.tenant.origin),
        signed(member.admins, iss="did:key:z6Mk"), signed(member.admins, claims={**said.claims(), "more": 1}),
        signed(member.admins, claims={"act": "endorse"}), (good[0], by.sign(said)[1]),
    ):  # fmt: skip
        with cell.nothing_written(), pytest.raises((NotAuthorisedError, MalformedError)):
            commands.open_dispute(cell.ledger, there.scope, tokens)
    with cell.nothing_written(), pytest.raises(MalformedError, match="of another act"):
        commands.withdraw_dispute(cell.ledger, there.scope, good)
    with cell.nothing_written(), pytest.raises(UnknownError, match=NOTHING):
        commands.open_dispute(cell.ledger, member.tenant, good)
    cell.clock.advance_to(cell.clock.now_ms() + 2 * 3_600_000)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="expired"):
        commands.open_dispute(cell.ledger, there.scope, good)


def test_a_repeat_gets_the_first_answer_and_another_body_under_its_id_a_refusal(there: Court, cell: Cell) -> None:
    member = cell.join()
    _, cac = executed(cell, member)
    by = there.tenant(member)
    listed = tuple(one.affected() for one in every(cell.ledger, there.scope, about(cac), most=1))
    said = OpenSaid(
        dispute=str(cell.ledger.ids.uuid(NOW)), role="tenant", party=member.tenant.origin, subject=about(cac),
        grounds="x", affected=affected_digest(listed),
    )  # fmt: skip
    tokens = by.sign(said)
    first = commands.open_dispute(cell.ledger, there.scope, tokens)
    (own,) = first.acknowledgements
    assert len({one.log_id for one in first.recorded}) > 1
    assert jws.peek(own.token)[1]["aud"] == there.scope.origin, "what other logs got is not told"
    with cell.nothing_written():
        again = commands.open_dispute(cell.ledger, addressed(cell.ledger, tokens), tokens)
    assert (again.answer, again.recorded) == (first.answer, ())
    jti = jws.peek(tokens[0])[1]["jti"]
    other = payload(
        iss=member.tenant.did, aud=there.scope.origin, claims={**said.claims(), "grounds": "y"},
        now_ms=cell.clock.now_ms(), entropy=ENTROPY, jti=jti,
    )  # fmt: skip
    with cell.nothing_written(), pytest.raises(ConflictError, match="another body"):
        commands.open_dispute(cell.ledger, there.scope, signed_by(member.admins, GOVERNANCE, other))
    with cell.nothing_written(), pytest.raises(LedgerError):  # the same dispute under a new statement
        commands.open_dispute(cell.ledger, there.scope, by.sign(said))


def test_evidence_is_a_document_in_full_or_an_entry_that_is_there(there: Court, cell: Cell, tmp_path: Path) -> None:
    member, other = cell.join(), cell.join()
    execution, cac = executed(cell, member)
    executed(cell, other)
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    mine, theirs = cell.history(member)[3], cell.history(other)[3]

    def entry(log: Member, recorded: Any, **changed: Any) -> NamedEntry:
        named = NamedEntry(origin=log.tenant.origin, leaf_index=recorded.leaf_index, leaf_hash=recorded.leaf_hash.hex())
        return named.model_copy(update=changed)

    disputes.attach_entry(there.tenant(member), dispute, "mine", entry(member, mine))
    texts = set()
    for wrong in (
        entry(other, theirs), entry(member, mine, leaf_hash="0" * 64), entry(member, mine, leaf_index=10**9),
        entry(member, mine, origin="ledger.example/t/99999"),
    ):  # fmt: skip
        with cell.nothing_written(), pytest.raises(UnknownError) as caught:
            disputes.attach_entry(there.tenant(member), dispute, "x", wrong)
        texts.add(str(caught.value))
    assert texts == {NOTHING}
    with cell.nothing_written(), pytest.raises(UnknownError, match=NOTHING):
        disputes.attach(there.tenant(other), dispute, "not mine", b"x")
    with cell.nothing_written(), pytest.raises(MalformedError, match="comes along"):
        disputes.attach(there.bench(), dispute, "empty", b"")
    by = there.bench()
    said = DocumentSaid(dispute=dispute, role=by.role, party=by.party, title="x", digest=sha256_hex(b"one"))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="another document"):
        commands.attach_evidence(cell.ledger, there.scope, by.sign(said), b"two")
    with cell.nothing_written(), pytest.raises(MalformedError, match="comes along"):
        commands.attach_evidence(cell.ledger, there.scope, by.sign(said))
    disputes.attach(by, dispute, "large", b"x" * 100_000)
    verified(cell, there.scope.log_id, tmp_path / "scope")
    assert execution
