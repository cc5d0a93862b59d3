"""What a decision rests on and does not write: it must not have moved on when the decision is stored."""

from uuid import UUID

from domain.tenants.state import Tenant
from infrastructure.postgres.records import Guard


def guard_of(tenant: Tenant) -> Guard:
    """Guard a tenant's or scope's keys, credential and policy."""
    log_id = UUID(tenant.log_id)
    return Guard(log_id, log_id, tenant.version)
