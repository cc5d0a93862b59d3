"""Tenant's policy and clause's own rules together: the stricter of the two wins, because every rule must hold."""

from domain.policies.kinds import Policy, Rule


def effective_policy(tenant: Policy, clause_rules: tuple[Rule, ...]) -> Policy:
    """Return the policy that is evaluated, recorded and digested: the tenant's rules, then the clause's."""
    if not clause_rules:
        return tenant
    return Policy(rules=(*tenant.rules, *(rule for rule in clause_rules if rule not in tenant.rules)))
