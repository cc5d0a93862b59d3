"""Disputes: who may do what, in which order and when; every refusal, and histories drawn at random."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.canonical import canonical
from domain.disputes import decisions
from domain.disputes.deciding import Standing, cacs_digest, decide
from domain.disputes.decisions import NOTHING, Voice
from domain.disputes.events import (
    MAX_AFFECTED,
    MAX_EVIDENCE,
    MAX_OF_A_PARTY,
    MAX_OF_RESOLVERS,
    AboutCac,
    AboutNode,
    Affected,
    DisputeOpened,
    NamedEntry,
)
from domain.disputes.state import Dispute, evolve
from domain.disputes.statements import (
    AnswerSaid,
    DecideSaid,
    DocumentSaid,
    EntrySaid,
    OpenSaid,
    Said,
    WithdrawSaid,
    affected_digest,
    read_said,
)
from domain.errors import ConflictError, LedgerError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from domain.executions.notices import undelivered
from domain.identifiers import origin
from domain.message import Event
from domain.policies.kinds import DisputeResolution, Policy
from domain.statements import SUBMISSION, Signed
from domain.tenants.state import Tenant
from domain.time import DAY_MS
from domain.transparency.tiles import MAX_ENTRY_BYTES
from tests.domain import samples
from tests.domain.people import kid, principal, public, signed, tenant
from tests.domain.samples import CAC, DISPUTE, EXECUTION, HOST, NOW, ORIGIN, SCOPE, SLOT, hexed, payload

OTHER = origin(HOST, 8)
ANSWER_BY = NOW + 14 * DAY_MS
DECIDE_BY = NOW + 44 * DAY_MS
OPERATOR = "op-node-a"


def scope(**changes: Any) -> Tenant:
    """Return a scope with three resolvers, an operator's key and an admin."""
    people = [
        *(principal(name, "resolver") for name in ("rhea", "rex", "ruth")),
        principal(OPERATOR, "operator"), principal("ada"), principal("sub", "resolver", SUBMISSION),
    ]  # fmt: skip
    known = {one.kid: one for one in people}
    usual = {"log_id": "s", "dao": "", "jurisdiction": "INTL", "origin": SCOPE, "slot": 3, "did": "did:key:s"}
    return Tenant(**{**usual, "threshold": 1, "principals": known, **changes})


MEMBER = tenant("mia", "max", threshold=2)
TWO = Policy(rules=(DisputeResolution(kind="dispute_resolution", threshold=2),))


def affected(**changes: Any) -> Affected:
    """Return an affected execution."""
    usual = {"slot": SLOT, "execution_id": EXECUTION, "cac_id": CAC, "node": "node-a", "operator": OPERATOR}
    return Affected(**{**usual, **changes})


def by(said: Said, *names: str) -> tuple[Signed, ...]:
    """Return a statement as these people sign it."""
    return tuple(signed(name, said.claims()) for name in names)


def members() -> Voice:
    """Return the tenant's voice."""
    return decisions.members(MEMBER, by(WithdrawSaid(dispute=DISPUTE, role="tenant", party=ORIGIN, reason="x"), "mia"))


def opening(about: Any = None, *, listed: tuple[Affected, ...] = (), **changes: Any) -> OpenSaid:
    """Return what is said when a dispute is opened."""
    usual: dict[str, Any] = {
        "dispute": DISPUTE, "role": "tenant", "party": ORIGIN, "subject": about or AboutCac(kind="cac", cac_id=CAC),
        "grounds": "the river was low", "affected": affected_digest(listed or (affected(),)),
    }  # fmt: skip
    return OpenSaid(**{**usual, **changes})


RESOLVER: dict[str, Any] = {"role": "resolver", "party": SCOPE}
NODE = AboutNode(kind="node", node="node-a", from_ms=NOW - 10, to_ms=NOW)


def opened(said: OpenSaid | None = None, *names: str, of: Tenant | None = None, **options: Any) -> DisputeOpened:
    """Open a dispute."""
    said, of = said or opening(), of or scope()
    voice = members() if said.role == "tenant" else decisions.resolvers(of)
    options = {"affected": (affected(),), "now_ms": NOW, **options}
    return decisions.open_dispute(of, voice, said, by(said, *(names or ("mia", "max"))), **options)


def dispute(*events: Event, **changes: Any) -> Dispute:
    """Return a dispute after further events."""
    found = evolve(opened(), None)
    for event in events:
        found = evolve(event, found)
    return replace(found, **changes)


def answering(**changes: Any) -> AnswerSaid:
    """Return the operator's answer."""
    return AnswerSaid(**{"dispute": DISPUTE, "role": "operator", "party": OPERATOR, "text": "it was not", **changes})


def answered(on: Dispute, said: AnswerSaid | None = None, *names: str, now_ms: int = NOW + 1) -> Event:
    """Let the operator answer."""
    said = said or answering()
    return decisions.answer(
        on, decisions.operator(scope(), said.party), said, by(said, *(names or (OPERATOR,))), now_ms=now_ms
    )


def deciding(on: Dispute, **changes: Any) -> DecideSaid:
    """Return what resolvers say when they overturn."""
    usual: dict[str, Any] = {
        "dispute": DISPUTE, **RESOLVER, "decision": "overturned", "reason": "it was", "cacs": (CAC,),
        "events": on.version + 1,
    }  # fmt: skip
    return DecideSaid(**{**usual, **changes})


def decided(
    on: Dispute, said: DecideSaid | None = None, *names: str, of: Tenant | None = None, **options: Any
) -> Event:
    """Let resolvers decide, once the time to answer is over."""
    said, of = said or deciding(on), of or scope()
    options = {"parties": (), "standing": Standing((CAC,)), "now_ms": ANSWER_BY, **options}
    voice = decisions.resolvers(of, deciding=True)
    return decide(on, voice, said, by(said, *(names or ("rhea",))), **options)


def test_a_tenants_admins_dispute_a_cac_of_their_own() -> None:
    event = opened()
    assert (event.answer_by_ms, event.decide_by_ms) == (ANSWER_BY, DECIDE_BY)
    assert (event.party.role, event.party.name, event.party.keys) == ("tenant", ORIGIN, (public("mia"),))
    assert event.statements == ("token.of.mia", "token.of.max")
    assert evolve(event, None).concerned == {("operator", OPERATOR)}


def test_a_resolver_disputes_a_node_in_a_span_that_has_ended() -> None:
    listed = (affected(), affected(slot=8, execution_id="exec-0x" + "1" * 32, cac_id=None))
    event = opened(opening(NODE, listed=listed, **RESOLVER), "rex", affected=listed)
    assert evolve(event, None).concerned == {("operator", OPERATOR), ("tenant", ORIGIN), ("tenant", OTHER)}
    assert evolve(event, None).cacs == (CAC,)


def test_the_scopes_policy_says_how_long_and_how_many() -> None:
    rule = DisputeResolution(kind="dispute_resolution", roles=("admin",), threshold=1, answer_ms=1000, decide_ms=2000)
    of = scope(policy=Policy(rules=(rule,)))
    event = opened(of=of)
    assert (event.answer_by_ms, event.decide_by_ms) == (NOW + 1000, NOW + 3000)
    on = evolve(event, None)
    with pytest.raises(NotAuthorisedError, match="role resolver may not decide this"):
        decided(on, None, "rhea", of=of, now_ms=NOW + 1000)
    assert decided(on, None, "ada", of=of, now_ms=NOW + 1000).TOPIC == "dispute.overturned.v1"


@pytest.mark.parametrize(
    ("said", "names", "error", "text"),
    [
        (opening(), ("mia",), NotAuthorisedError, "1 of 2 signatures"),
        (opening(), ("mia", "mia"), NotAuthorisedError, "one person signed twice"),
        (opening(), ("mia", "eve"), NotAuthorisedError, "not enrolled"),
        (opening(party=OTHER), ("mia", "max"), NotAuthorisedError, "another party"),
        (opening(NODE), ("mia", "max"), NotAuthorisedError, "of its own"),
        (opening(NODE, **RESOLVER), ("ada",), NotAuthorisedError, "role admin"),
        (opening(NODE, **RESOLVER), ("sub",), NotAuthorisedError, "not enrolled for this"),
        (opening(affected=hexed(9)), ("mia", "max"), ConflictError, "other executions are affected"),
    ],
)
def test_others_open_nothing(said: OpenSaid, names: tuple[str, ...], error: type[LedgerError], text: str) -> None:
    with pytest.raises(error, match=text):
        opened(said, *names)


def test_a_statement_of_another_content_opens_nothing() -> None:
    said = opening()
    with pytest.raises(NotAuthorisedError, match="member 'grounds' differs"):
        decisions.open_dispute(
            scope(), members(), said, by(opening(grounds="other"), "mia", "max"), affected=(affected(),), now_ms=NOW
        )


@pytest.mark.parametrize("found", [(), (affected(slot=8),), (affected(), affected(slot=8))])
def test_what_is_not_there_and_what_is_anothers_is_told_alike(found: tuple[Affected, ...]) -> None:
    with pytest.raises(UnknownError) as caught:
        opened(opening(listed=found or (affected(),)), affected=found)
    assert str(caught.value) == NOTHING


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "text"),
    [(NOW, NOW, "ends before it begins"), (NOW, NOW - 1, "ends before"), (NOW, NOW + 1, "has not ended")],
)
def test_a_span_must_be_one_and_over(from_ms: int, to_ms: int, text: str) -> None:
    about = AboutNode(kind="node", node="node-a", from_ms=from_ms, to_ms=to_ms)
    with pytest.raises(RefusedError, match=text):
        opened(opening(about, **RESOLVER), "rex")


def test_one_dispute_is_about_so_many_executions() -> None:
    listed = tuple(affected(execution_id=f"exec-0x{at:032x}") for at in range(MAX_AFFECTED + 1))
    assert len(opened(opening(NODE, listed=listed[1:], **RESOLVER), "rex", affected=listed[1:]).affected) == 128
    with pytest.raises(RefusedError, match="choose shorter spans"):
        opened(opening(NODE, listed=listed, **RESOLVER), "rex", affected=listed)


def test_what_was_overturned_is_not_disputed_again() -> None:
    listed = (affected(cac_id=None),)
    with pytest.raises(ConflictError, match="overturned already"):
        opened(opening(listed=listed), affected=listed)


def test_an_operator_opens_none() -> None:
    said = opening(role="operator", party=OPERATOR)
    with pytest.raises(NotAuthorisedError, match="a tenant's admins or by a resolver"):
        decisions.open_dispute(
            scope(), decisions.operator(scope(), OPERATOR), said, by(said, OPERATOR), affected=(affected(),), now_ms=NOW
        )


def test_those_concerned_answer_once_and_in_time() -> None:
    on = dispute()
    assert not on.heard
    later = evolve(answered(on, now_ms=ANSWER_BY - 1), on)
    assert later.heard
    with pytest.raises(RefusedError, match="the time to answer was over at 2026-"):
        answered(on, now_ms=ANSWER_BY)
    with pytest.raises(ConflictError, match="answered already"):
        answered(later)
    with pytest.raises(UnknownError, match=NOTHING):
        answered(on, answering(party="op-other"), "op-other")
    with pytest.raises(NotAuthorisedError, match="not enrolled"):
        answered(on, None, "rhea")
    said = answering(role="tenant", party=ORIGIN)
    with pytest.raises(UnknownError, match=NOTHING):  # who opened it does not answer it
        decisions.answer(on, members(), said, by(said, "mia", "max"), now_ms=NOW)
    with pytest.raises(UnknownError, match=NOTHING):
        answered(on, answering(dispute=DISPUTE.replace("d", "e")))


def document(**changes: Any) -> DocumentSaid:
    """Return what a resolver says of a document."""
    return DocumentSaid(**{"dispute": DISPUTE, **RESOLVER, "title": "gauge", "digest": hexed(151), **changes})


def attached(on: Dispute, said: Any, voice: Voice, *names: str, shown: Any = None, now_ms: int = NOW) -> Event:
    """Attach evidence."""
    return decisions.attach(on, voice, said, by(said, *names), shown=shown or payload(51), now_ms=now_ms)


def test_evidence_is_what_was_signed_for() -> None:
    on, bench = dispute(), decisions.resolvers(scope())
    assert attached(on, document(), bench, "rex", now_ms=DECIDE_BY - 1).payload()["number"] == 0
    entry = NamedEntry(origin=ORIGIN, leaf_index=3, leaf_hash=hexed(7))
    said = EntrySaid(dispute=DISPUTE, **RESOLVER, title="entry", entry=entry)
    assert attached(on, said, bench, "rex", shown=entry).payload()["entry"]["leaf_index"] == 3
    for wrong, shown in (
        (document(digest=hexed(2)), payload(51)), (document(), entry), (said, payload(51)),
        (said, NamedEntry(origin=ORIGIN, leaf_index=4, leaf_hash=hexed(7))),
    ):  # fmt: skip
        with pytest.raises(NotAuthorisedError, match="another document or entry"):
            attached(on, wrong, bench, "rex", shown=shown)


def test_evidence_comes_from_parties_and_resolvers_in_their_time() -> None:
    on, bench = dispute(), decisions.resolvers(scope())
    own = document(role="tenant", party=ORIGIN)
    one = decisions.members(MEMBER, by(own, "mia"), whole=False)
    assert attached(on, own, one, "mia", now_ms=ANSWER_BY - 1).TOPIC == "dispute.evidence_attached.v1"
    with pytest.raises(RefusedError, match="the time to answer was over"):
        attached(on, own, one, "mia", now_ms=ANSWER_BY)
    with pytest.raises(RefusedError, match="the time to decide was over"):
        attached(on, document(), bench, "rex", now_ms=DECIDE_BY)
    said = document(role="operator", party="op-other")
    with pytest.raises(UnknownError, match=NOTHING):
        attached(on, said, decisions.operator(scope(), "op-other"), "op-other")
    full = replace(on, shown=(("tenant", ORIGIN),) * MAX_OF_A_PARTY)
    with pytest.raises(RefusedError, match="at most 16"):
        attached(full, own, one, "mia")
    assert attached(full, document(), bench, "rex").payload()["number"] == MAX_OF_A_PARTY, (
        "others have room of their own"
    )
    for crowd in ((("resolver", SCOPE),) * MAX_OF_RESOLVERS, (("operator", OPERATOR),) * MAX_EVIDENCE):
        with pytest.raises(RefusedError, match="at most 64"):
            attached(replace(on, shown=crowd), document(), bench, "rex")


def test_a_dispute_is_upheld_or_overturned_once() -> None:
    on = dispute()
    overturned = decided(on)
    assert overturned.payload()["cacs"] == [CAC]
    upheld = decided(on, deciding(on, decision="upheld", cacs=()))
    for event in (overturned, upheld):
        over = evolve(event, on)
        for again in (decided, answered):
            with pytest.raises(ConflictError, match="the dispute is over"):
                again(over)


def test_nobody_is_judged_unheard_and_nothing_is_decided_too_late() -> None:
    on = dispute()
    with pytest.raises(RefusedError, match="decide afterwards"):
        decided(on, now_ms=ANSWER_BY - 1)
    heard = evolve(answered(on), on)
    assert decided(heard, now_ms=NOW + 2).TOPIC == "dispute.overturned.v1"
    with pytest.raises(RefusedError, match="the time to decide was over"):
        decided(on, now_ms=DECIDE_BY)
    assert decided(on, now_ms=DECIDE_BY - 1)


def test_it_takes_as_many_resolvers_as_the_scope_says() -> None:
    on = dispute()
    for of in (scope(threshold=2), scope(policy=TWO)):
        with pytest.raises(NotAuthorisedError, match="1 of 2 signatures"):
            decided(on, of=of)
        with pytest.raises(NotAuthorisedError, match="signed twice"):
            decided(on, None, "rhea", "rhea", of=of)
        assert decided(on, None, "rhea", "ruth", of=of)
        with pytest.raises(NotAuthorisedError, match="role operator"):
            decided(on, None, "rhea", OPERATOR, of=of)


def test_who_is_a_party_does_not_decide() -> None:
    on = dispute()
    with pytest.raises(NotAuthorisedError, match="acts for a party"):
        decided(on, None, "rhea", parties={public("rhea")})
    assert decided(on, None, "rhea", parties={public("rex")})
    desk = principal("desk", "auditor", person="rhea")
    both = scope(principals={**scope().principals, desk.kid: desk})
    with pytest.raises(NotAuthorisedError, match="acts for a party"):  # by another of that person's keys
        decided(on, None, "rhea", parties={public("desk")}, of=both)
    spoke = opened().model_copy(update={"party": members().party.model_copy(update={"keys": (public("rhea"),)})})
    with pytest.raises(NotAuthorisedError, match="acts for a party"):  # spoke for it in this very dispute
        decided(evolve(spoke, None), None, "rhea")
    of = scope(principals={kid("rhea"): principal("rhea", "resolver", person=OPERATOR)})
    with pytest.raises(NotAuthorisedError, match="operator of the node concerned"):
        decided(on, of=of)
    said = deciding(on, role="tenant", party=ORIGIN)
    with pytest.raises(NotAuthorisedError, match="decided by the resolvers"):
        decide(on, members(), said, by(said, "mia", "max"), parties=(), now_ms=ANSWER_BY)


def test_a_decision_is_on_the_record_as_its_signatories_saw_it() -> None:
    on = dispute()
    said = deciding(on)
    more = evolve(answered(on), on)
    with pytest.raises(ConflictError, match="something was added"):
        decided(more, said)


def test_a_decision_names_cacs_that_stand_and_are_disputed() -> None:
    on = dispute()
    with pytest.raises(RefusedError, match="not about, or one twice"):
        decided(on, deciding(on, cacs=("cac-0x" + "1" * 32,)))
    with pytest.raises(RefusedError, match="one twice"):
        decided(on, deciding(on, cacs=(CAC, CAC)))
    with pytest.raises(RefusedError, match="name the CACs"):
        decided(on, deciding(on, cacs=()))
    with pytest.raises(ConflictError, match="by another dispute"):
        decided(on, standing=Standing(()))
    assert decided(on, deciding(on, cacs=()), standing=Standing(())).payload()["cacs"] == []
    assert decided(on, standing=None).payload()["cacs"] == [CAC], "an auditor can't tell"
    with pytest.raises(RefusedError, match="overturns no CAC"):
        decided(on, deciding(on, decision="upheld"))


LATER = "cac-0x" + "2" * 32


def by_digest(on: Dispute, cacs: tuple[str, ...], stands: tuple[str, ...], **changes: Any) -> DecideSaid:
    """Return what resolvers say who name CACs by digest."""
    digests = {"cacs_digest": cacs_digest(cacs), "standing_digest": cacs_digest(stands)}
    return deciding(on, **{"cacs": (), **digests, **changes})


def test_a_decision_names_cacs_by_digest_and_what_stood_when_it_was_signed() -> None:
    on = dispute()
    said = by_digest(on, (CAC,), (CAC,))
    assert "cacs" not in said.claims()
    assert read_said(by(said, "rhea")[0]) == said
    assert decided(on, said).payload()["cacs"] == [CAC], "all that stand"
    assert decided(on, said, named=(CAC,)).payload()["cacs"] == [CAC]
    assert decided(on, said, named=(CAC,), standing=None).payload()["cacs"] == [CAC], "an auditor can't tell"
    for named in ((), (LATER,), (CAC, CAC)):
        with pytest.raises(NotAuthorisedError, match="name other CACs"):
            decided(on, said, named=named)
    with pytest.raises(NotAuthorisedError, match="name other CACs"):
        decided(on, said.model_copy(update={"cacs": (CAC,)}))
    with pytest.raises(RefusedError, match="overturns no CAC"):
        decided(on, by_digest(on, (), (), decision="upheld"))
    with pytest.raises(ValidationError):
        deciding(on, cacs=(), cacs_digest=cacs_digest(()))


def test_no_cac_escapes_a_decision_that_comes_before_it() -> None:
    listed = (affected(cac_id=None),)
    on = evolve(opened(opening(NODE, listed=listed, **RESOLVER), "rhea", affected=listed), None)
    none, pending = Standing(()), Standing((), pending=(EXECUTION,))
    with pytest.raises(RefusedError, match=f"{EXECUTION} has not ended"):
        decided(on, by_digest(on, (), ()), standing=pending)
    assert decided(on, deciding(on, decision="upheld", cacs=()), standing=pending), "nothing to name"
    assert decided(on, by_digest(on, (), ()), standing=none).payload()["cacs"] == []
    issued = Standing((LATER,))
    with pytest.raises(ConflictError, match="issued or overturned since"):
        decided(on, by_digest(on, (), ()), standing=issued, named=())
    with pytest.raises(ConflictError, match="issued since the dispute was opened"):
        decided(on, deciding(on, cacs=()), standing=issued)
    both = Standing((CAC, LATER))
    with pytest.raises(ConflictError, match="issued since the dispute was opened"):
        decided(dispute(), deciding(dispute()), standing=both)
    for said in (by_digest(on, (LATER,), (LATER,)), deciding(on, cacs=(LATER,))):
        assert decided(on, said, standing=issued).payload()["cacs"] == [LATER]
        assert decided(on, said, standing=None, named=(LATER,)).payload()["cacs"] == [LATER], "as an auditor sees it"
    with pytest.raises(RefusedError, match="not about"):  # more than the dispute has executions without one
        decided(on, by_digest(on, (CAC, LATER), ()), standing=None, named=(CAC, LATER))


def test_who_knew_of_a_later_cac_may_let_it_stand() -> None:
    on = dispute()
    said = by_digest(on, (CAC,), (CAC, LATER))
    assert decided(on, said, standing=Standing((CAC, LATER)), named=(CAC,)).payload()["cacs"] == [CAC]


def test_whatever_was_opened_can_be_decided_in_one_entry() -> None:
    listed = tuple(
        affected(execution_id=f"exec-0x{number:032x}", cac_id=f"cac-0x{number:032x}") for number in range(MAX_AFFECTED)
    )
    on = evolve(opened(opening(NODE, listed=listed, **RESOLVER), "rhea", affected=listed), None)
    cacs = tuple(str(one.cac_id) for one in listed)
    said = by_digest(on, cacs, cacs, reason="x" * 1000)
    payload = {**said.claims(), "iss": "did:key:z" + "6" * 47, "aud": HOST + "/t/" + "9" * 15, "jti": "0" * 32}
    size = 200 + len(canonical({**payload, "iat": NOW, "exp": NOW})) * 4 // 3  # header and signature; base64url
    event = decided(on, said, standing=Standing(cacs))
    whole = event.model_copy(update={"statements": ("x" * size,) * 16})
    assert len(canonical(whole.payload())) < MAX_ENTRY_BYTES - 1000


def test_who_opened_it_takes_it_back() -> None:
    on = dispute()
    said = WithdrawSaid(dispute=DISPUTE, role="tenant", party=ORIGIN, reason="settled")
    event = decisions.withdraw(on, members(), said, by(said, "mia", "max"), openers=frozenset())
    assert evolve(event, on).status == "withdrawn"
    with pytest.raises(NotAuthorisedError, match="1 of 2"):
        decisions.withdraw(on, members(), said, by(said, "mia"), openers=frozenset())
    other = WithdrawSaid(dispute=DISPUTE, **RESOLVER, reason="x")
    with pytest.raises(UnknownError, match=NOTHING):
        decisions.withdraw(on, decisions.resolvers(scope()), other, by(other, "rex"), openers=frozenset())
    with pytest.raises(ConflictError, match="is over"):
        decisions.withdraw(evolve(event, on), members(), said, by(said, "mia", "max"), openers=frozenset())


def test_of_resolvers_the_very_one_who_opened_it_takes_it_back() -> None:
    on = evolve(opened(opening(NODE, listed=(affected(),), **RESOLVER), "rhea", affected=(affected(),)), None)
    said = WithdrawSaid(dispute=DISPUTE, **RESOLVER, reason="settled")
    (rhea,), rex = by(said, "rhea"), by(said, "rex")
    with pytest.raises(NotAuthorisedError, match="by who opened it"):
        decisions.withdraw(on, decisions.resolvers(scope()), said, rex, openers={rhea.kid})
    event = decisions.withdraw(on, decisions.resolvers(scope()), said, (rhea,), openers={rhea.kid})
    assert evolve(event, on).status == "withdrawn"


@pytest.mark.parametrize(
    "changes",
    [
        {"act": "open_case"},
        {"more": 1},
        {"dispute": "1"},
        {"text": ""},
        {"text": "x" * 1001},
        {"text": 1},
        {"role": "x"},
    ],
)
def test_a_statement_of_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError, match="the statement is malformed at"):
        read_said(signed("x", {**answering().claims(), **changes}))


@pytest.mark.parametrize("said", [opening(), answering(), document(), deciding(dispute())])
def test_statements_read_back_as_they_were_said(said: Said) -> None:
    assert read_said(signed("x", said.claims())) == said
    assert canonical(said.claims()) == canonical(read_said(signed("x", said.claims())).claims())


def test_a_stream_begins_with_its_opening_and_has_one() -> None:
    with pytest.raises(RefusedError, match="opened once"):
        evolve(opened(), dispute())
    for event in (samples.SAMPLES_BY_TOPIC["dispute.answered.v1"], samples.SAMPLES_BY_TOPIC["dispute.upheld.v1"]):
        with pytest.raises(RefusedError, match="begins with its opening"):
            evolve(event, None)
    moved = evolve(samples.SAMPLES_BY_TOPIC["time.ticked.v1"], dispute())
    assert (moved.status, moved.version) == ("open", 1)


def test_a_notice_of_a_dispute_says_which_one_and_what_became_of_it() -> None:
    requested = samples.SAMPLES_BY_TOPIC["notice.requested.v1"].model_copy(
        update={"dispute": DISPUTE, "kind": "dispute_opened"}
    )
    decided_later = requested.model_copy(update={"kind": "dispute_upheld"})
    stream = [samples.recorded(event, at) for at, event in enumerate((requested, decided_later))]
    first, second = undelivered(stream)
    said = [one.statement(iss="did:key:z", origin=ORIGIN) for one in (first, second)]
    assert [(one["act"], one["dispute"], one["kind"]) for one in said] == [
        ("notify_dispute", DISPUTE, "dispute_opened"), ("notify_dispute", DISPUTE, "dispute_upheld"),
    ]  # fmt: skip
    assert said[0]["jti"] != said[1]["jti"]
    delivered = samples.recorded(first.delivered("fetched", 1), 2)
    assert undelivered([*stream, delivered]) == (second,)
    assert requested.payload().keys() - samples.SAMPLES_BY_TOPIC["notice.requested.v1"].payload().keys() == {"dispute"}


ACTS = st.lists(
    st.tuples(st.sampled_from(["answer", "attach", "uphold", "overturn", "withdraw"]), st.integers(1, 20 * DAY_MS)),
    max_size=8,
)


@given(ACTS)
def test_whatever_is_tried_only_legal_orders_come_about(acts: list[tuple[str, int]]) -> None:
    """A model of the rules, and the decisions beside it: they agree on every act, and a dispute ends at most once."""
    on, now_ms, ended, heard = dispute(), NOW, False, False
    for act, wait_ms in acts:
        now_ms += wait_ms
        legal = (
            not ended
            and {
                "answer": not heard and now_ms < ANSWER_BY,
                "attach": now_ms < DECIDE_BY,
                "uphold": (heard or now_ms >= ANSWER_BY) and now_ms < DECIDE_BY,
                "overturn": (heard or now_ms >= ANSWER_BY) and now_ms < DECIDE_BY,
                "withdraw": True,
            }[act]
        )
        try:
            event = _tried(act, on, now_ms)
        except LedgerError:
            assert not legal, (act, now_ms - NOW)
            continue
        assert legal, (act, now_ms - NOW)
        on = evolve(event, on)
        heard = heard or act == "answer"
        ended = ended or act in {"uphold", "overturn", "withdraw"}
    assert (on.status != "open") == ended
    assert on.heard == heard


def _tried(act: str, on: Dispute, now_ms: int) -> Event:
    if act == "answer":
        return answered(on, now_ms=now_ms)
    if act == "attach":
        return attached(on, document(), decisions.resolvers(scope()), "rex", now_ms=now_ms)
    if act == "withdraw":
        said = WithdrawSaid(dispute=DISPUTE, role="tenant", party=ORIGIN, reason="settled")
        return decisions.withdraw(on, members(), said, by(said, "mia", "max"), openers=frozenset())
    changes = {"decision": "upheld", "cacs": ()} if act == "uphold" else {}
    return decided(on, deciding(on, **changes), now_ms=now_ms)
