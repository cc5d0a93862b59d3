"""Options of the commands about disputes. What they do is in infrastructure.cli.disputing."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Keys, Place, group, instant, placed

if TYPE_CHECKING:
    from infrastructure.cli.remoting_disputes import At

dispute_app = group("Disputes: find what is involved, open, answer, show evidence, decide, export what is disputed.")

Id = Annotated[str, typer.Argument(metavar="DISPUTE", help="The dispute's id.")]
Scope = Annotated[str, typer.Option("--scope", help="Scope whose resolvers decide: its name, or root.")]
ForTenant = Annotated[
    str | None, typer.Option("--tenant", help="Speak as this tenant (DAO/JUR or id), with its admins' wallets.")
]
ForOperator = Annotated[
    str | None, typer.Option("--operator", help="Speak as this operator, with the wallet that the scope enrolled.")
]
ServedTenant = Annotated[
    str | None, typer.Option("--tenant", help="At a server: as this tenant (or a scope, by name; default: root).")
]
Cac = Annotated[str | None, typer.Option("--cac", help="About this CAC.")]
Execution = Annotated[str | None, typer.Option("--execution", help="About this execution.")]
Clause = Annotated[str | None, typer.Option("--clause", help="About what ran of this clause.")]
Node = Annotated[str | None, typer.Option("--node", help="About what ran on this node.")]
Operator = Annotated[str | None, typer.Option("--of-operator", help="About what ran on any node of this operator.")]
Jurisdiction = Annotated[
    str | None, typer.Option("--jurisdiction", help="About what tenants of this jurisdiction ran.")
]
From = Annotated[str | None, typer.Option("--from", help="From this instant on: RFC 3339, or ms since 1970.")]
To = Annotated[str | None, typer.Option("--to", help="Up to this instant (default: now).")]


class Decision(StrEnum):
    """What resolvers decide."""

    UPHELD = "upheld"
    OVERTURNED = "overturned"


@dispute_app.command("find")
@placed
def dispute_find(
    cac: Cac = None,
    execution: Execution = None,
    clause: Clause = None,
    node: Node = None,
    of_operator: Operator = None,
    jurisdiction: Jurisdiction = None,
    from_: From = None,
    to: To = None,
    scope: Scope = "root",
    tenant: Annotated[str | None, typer.Option("--tenant", help="Look as this tenant: at its own.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Executions on a page.")] = 100,
    after: Annotated[str | None, typer.Option("--after", help="Where the page before ended (`after`).")] = None,
    proofs: Annotated[
        Path | None, typer.Option("--proofs", help="Directory for inclusion proofs (tlog-proof) of what is found.")
    ] = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Find every execution that is involved, below a scope: tenants by slot, with evidence and the entries that tell.

    With neither CAC nor execution --from is needed; with nothing else, everything in that time is meant.
    """
    from infrastructure.cli import involving
    from infrastructure.disputes.asking import Asked

    asked = Asked(cac, execution, clause, node, of_operator, jurisdiction, *_span(from_, to))
    served = _at(place, key, tenant or (None if scope == "root" else scope))
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.find(served, asked, limit=limit, after=after, as_json=place.as_json)
        return
    involving.find(place.data_dir, scope, tenant, asked, limit=limit, after=after, proofs=proofs, as_json=place.as_json)


@dispute_app.command("open")
@placed
def dispute_open(
    grounds: Annotated[str, typer.Option("--grounds", help="Why, in a few sentences.")],
    cac: Cac = None,
    execution: Execution = None,
    clause: Clause = None,
    node: Node = None,
    of_operator: Operator = None,
    jurisdiction: Jurisdiction = None,
    from_: From = None,
    to: To = None,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Whose resolvers decide (default: the tenant's scope, else root).")
    ] = None,
    tenant: ForTenant = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Open a dispute: a tenant about its own CAC or execution, a resolver about anything below the scope.

    Everybody concerned is told, and has time to answer; a scope's policy says how much (`dispute_resolution`).
    """
    from infrastructure.cli import disputing
    from infrastructure.disputes.asking import Asked

    asked = Asked(cac, execution, clause, node, of_operator, jurisdiction, *_span(from_, to))
    served = _at(place, key, tenant or scope)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.open_dispute(served, asked, grounds, as_json=place.as_json)
        return
    disputing.open_dispute(place.data_dir, scope, tenant, asked, grounds, key or [], as_json=place.as_json)


@dispute_app.command("answer")
@placed
def dispute_answer(
    dispute: Id,
    text: Annotated[str, typer.Option("--text", help="The answer; documents are attached.")],
    tenant: ForTenant = None,
    operator: ForOperator = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Answer a dispute, as an affected tenant or as the operator of a node concerned; once, and in time."""
    from infrastructure.cli import disputing

    served = _at(place, key, tenant, operator)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.answer(served, dispute, text, as_json=place.as_json)
        return
    disputing.answer(place.data_dir, dispute, text, _one_of(tenant, operator), key or [], as_json=place.as_json)


@dispute_app.command("attach")
@placed
def dispute_attach(
    dispute: Id,
    title: Annotated[str, typer.Option("--title", help="What it shows.")],
    file: Annotated[Path | None, typer.Option("--file", help="A document; it is sealed and kept whole.")] = None,
    entry: Annotated[str | None, typer.Option("--entry", help="Instead an entry of a log: ORIGIN#LEAF_INDEX.")] = None,
    tenant: ForTenant = None,
    operator: ForOperator = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Show the resolvers a document or an entry: as a party with --tenant or --operator, else as a resolver."""
    from infrastructure.cli import disputing

    if (file is None) == (entry is None):
        raise typer.BadParameter("name a document with --file, or an entry with --entry")
    who = _one_of(tenant, operator)
    served = _at(place, key, tenant, operator)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.attach(served, dispute, title, file, as_json=place.as_json)
        return
    disputing.attach(place.data_dir, dispute, title, file, entry, who, key or [], as_json=place.as_json)


@dispute_app.command("decide")
@placed
def dispute_decide(
    dispute: Id,
    decision: Annotated[Decision, typer.Argument(help="upheld: what is disputed stands; overturned: it does not.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in a few sentences.")],
    cac: Annotated[
        list[str] | None, typer.Option("--cac", help="Only this CAC is overturned; repeat it (default: all).")
    ] = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Decide a dispute, signed by as many resolvers as the scope asks for; once those concerned were heard.

    What is overturned stands no more in its own log either: `cac verify` refuses it. Nothing is deleted.
    """
    from infrastructure.cli import disputing

    served = _at(place, key, None, of_scope=True)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.decide(served, dispute, decision.value, reason, cac, as_json=place.as_json)
        return
    disputing.decide(place.data_dir, dispute, decision.value, reason, cac, key or [], as_json=place.as_json)


@dispute_app.command("withdraw")
@placed
def dispute_withdraw(
    dispute: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a few sentences.")],
    tenant: ForTenant = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Take a dispute back before it is decided, by who opened it."""
    from infrastructure.cli import disputing

    served = _at(place, key, tenant)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.withdraw(served, dispute, reason, as_json=place.as_json)
        return
    disputing.withdraw(place.data_dir, dispute, reason, tenant, key or [], as_json=place.as_json)


@dispute_app.command("show")
@placed
def dispute_show(
    dispute: Id,
    tenant: ServedTenant = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Show a dispute: what it is about, who answered, until when, what was decided, and its entries."""
    from infrastructure.cli import disputing

    served = _at(place, key, tenant)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.show(served, dispute, as_json=place.as_json)
        return
    disputing.show(place.data_dir, dispute, as_json=place.as_json)


@dispute_app.command("list")
@placed
def dispute_list(
    scope: Annotated[str | None, typer.Option("--scope", help="Only this scope's.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only those: open, upheld, overturned or withdrawn.")
    ] = None,
    tenant: ServedTenant = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """List disputes."""
    from infrastructure.cli import disputing

    served = _at(place, key, tenant or scope)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.list_disputes(served, status, as_json=place.as_json)
        return
    disputing.list_disputes(place.data_dir, scope, status, as_json=place.as_json)


@dispute_app.command("export")
@placed
def dispute_export(
    dispute: Id,
    out: Annotated[Path, typer.Option("--out", help="Directory that is missing or empty.")],
    recipient: Annotated[str, typer.Option("--recipient", help="Who gets it; it is recorded.")] = "",
    tenant: ServedTenant = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Export what a dispute is about: every log concerned, with the keys of the streams concerned and no others.

    Each directory below OUT verifies offline (`audit verify OUT/scope`). What is disclosed is recorded first.
    """
    from infrastructure.cli import disputing

    served = _at(place, key, tenant, of_scope=True)
    if served is not None:
        from infrastructure.cli import remoting_disputes

        remoting_disputes.export(served, dispute, out, as_json=place.as_json)
        return
    disputing.export(place.data_dir, dispute, out, recipient, as_json=place.as_json)


@dispute_app.command("verify")
def dispute_verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What `dispute export` wrote.")],
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key of a log in it from outside, or a file.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify an exported dispute offline: each log, proof and document, and what the logs say of each other."""
    from infrastructure.cli import disputing

    raise typer.Exit(disputing.verify(directory, log_key or [], as_json=as_json))


def _at(
    place: Place,
    keys: list[Path] | None,
    of: str | None,
    operator: str | None = None,
    *,
    of_scope: bool = False,
) -> "At | None":
    """Return which server is asked, by whom; None: a data directory. An operator speaks by its wallet's name.

    `of_scope`: only keys that a scope enrolled may; then no other profile than the one that was named says of which.
    """
    from infrastructure.cli import remoting_disputes

    there = place.there()
    if there is None:
        return None
    whose = of or ("root" if (of_scope or operator is not None) and place.profile is None else None)
    return remoting_disputes.At(there, keys or [], whose, operator is not None)


def _span(from_: str | None, to: str | None) -> tuple[int | None, int | None]:
    return None if from_ is None else instant(from_), None if to is None else instant(to)


def _one_of(tenant: str | None, operator: str | None) -> tuple[str | None, str | None]:
    if tenant is not None and operator is not None:
        raise typer.BadParameter("speak as a tenant or as an operator, not as both")
    return tenant, operator
