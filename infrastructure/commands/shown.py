"""How tenants and scopes are shown, by commands and by the API alike."""

from collections.abc import Sequence
from typing import Any

from domain.tenants.state import Tenant

Row = dict[str, Any]


def tenant_row(tenant: Tenant) -> Row:
    """Return what is shown of a tenant."""
    return {
        "tenant": tenant.log_id,
        "dao": tenant.dao,
        "jurisdiction": tenant.jurisdiction,
        "origin": tenant.origin,
        "endorsed": tenant.endorsed,
        "custody": tenant.custody,
    }


def scope_rows(scopes: Sequence[Tenant]) -> list[Row]:
    """Return what is shown of scopes, in their order. One above is named where it is among them."""
    names = {one.origin: one.name for one in scopes}
    return [
        {
            "scope": one.log_id,
            "name": one.name,
            "kind": one.kind,
            "origin": one.origin,
            "parent": names.get(one.parent),
            "threshold": one.threshold,
        }
        for one in scopes
    ]
