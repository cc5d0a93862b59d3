"""Options of the commands about a tenant's results as they come. What they do is in infrastructure.cli.subscribing."""

from typing import Annotated

import typer

from infrastructure.cli.options import (
    DEFAULT_DATA_DIR,
    Ca,
    DataDir,
    Json,
    Keys,
    Profile,
    Server,
    Tenant,
    group,
)

cacs_app = group("Results as they come: pulled from a place on, or told to a webhook.")

Clause = Annotated[str | None, typer.Option("--clause", help="Only this clause's: with its version, or all versions.")]
ResourceClass = Annotated[str | None, typer.Option("--class", help="Only this resource class's.")]
Outcome = Annotated[str | None, typer.Option("--outcome", help="Only PASS, FAIL, TRIGGER or ESCALATE.")]


@cacs_app.command("subscribe")
def cacs_subscribe(
    tenant: Tenant,
    url: Annotated[str, typer.Option("--url", help="https address that takes a POST; it may hold a secret.")],
    clause: Clause = None,
    resource_class: ResourceClass = None,
    outcome: Outcome = None,
    after: Annotated[
        int | None, typer.Option("--after", min=-1, help="Leaf index after which to begin (default: from now on).")
    ] = None,
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    server: Server = None,
    profile: Profile = None,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """Let a tenant's results be told to a webhook, signed, in order, at least once; by its admins."""
    from infrastructure.cli import remoting, subscribing

    at = remoting.there(server, profile, ca)
    wanted = subscribing.wanted(clause, resource_class, outcome)
    if at is not None:
        subscribing.subscribe_at(at, tenant, url, wanted, after, key or [], as_json=as_json)
        return
    subscribing.subscribe(data_dir, tenant, url, wanted, after, key or [], as_json=as_json)


@cacs_app.command("unsubscribe")
def cacs_unsubscribe(
    subscription: Annotated[str, typer.Argument(metavar="ID", help="As `cacs subscriptions` lists it.")],
    tenant: Tenant,
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    server: Server = None,
    profile: Profile = None,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """Let nothing more be told there; by the tenant's admins."""
    from infrastructure.cli import remoting, subscribing

    at = remoting.there(server, profile, ca)
    if at is not None:
        claims = {"act": "unsubscribe_cacs", "subscription": subscription}
        lines, path = [f"{subscription}  ended"], "/v1/subscriptions/endings"
        remoting.act(at, path, claims, key or [], tenant, lines, as_json=as_json)
        return
    subscribing.unsubscribe(data_dir, tenant, subscription, key or [], as_json=as_json)


@cacs_app.command("subscriptions")
def cacs_subscriptions(
    tenant: Tenant,
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    server: Server = None,
    profile: Profile = None,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """List a tenant's subscriptions, how far each was told, and the key by which what is posted verifies."""
    from infrastructure.cli import remoting, subscribing

    at = remoting.there(server, profile, ca)
    if at is not None:
        subscribing.list_at(at, tenant, key or [], as_json=as_json)
        return
    subscribing.list_subscriptions(data_dir, tenant, as_json=as_json)


@cacs_app.command("feed")
def cacs_feed(
    tenant: Tenant,
    cursor: Annotated[str | None, typer.Option("--cursor", help="`next` of the page before.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="So many at most.")] = 100,
    clause: Clause = None,
    resource_class: ResourceClass = None,
    outcome: Outcome = None,
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    server: Server = None,
    profile: Profile = None,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """Pull a tenant's results in the order of its log, issued and overturned, from where the page before ended."""
    from infrastructure.cli import remoting, subscribing

    at = remoting.there(server, profile, ca)
    wanted = subscribing.wanted(clause, resource_class, outcome)
    if at is not None:
        subscribing.feed_at(at, tenant, wanted, cursor, limit, key or [], as_json=as_json)
        return
    subscribing.feed(data_dir, tenant, wanted, cursor, limit, as_json=as_json)


@cacs_app.command("deliver")
def cacs_deliver(
    for_s: Annotated[float, typer.Option("--for", min=0, help="Go on for so many seconds (0: try all once).")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Post to all webhooks what they were not told yet. `serve` does so by itself."""
    from infrastructure.cli import subscribing

    raise typer.Exit(subscribing.deliver(data_dir, None if follow else for_s, as_json=as_json))
