"""The closed registry: every topic that this program reads or writes."""

from domain.cacs import events as cacs
from domain.clauses import events as clauses
from domain.executions import events as executions
from domain.message import register
from domain.nodes import events as nodes
from domain.platform import events as platform
from domain.tenants import events as tenants
from domain.workloads import events as workloads

register(platform.Genesis, platform.LevelsAdopted, platform.Ticked, platform.KeyDestroyed)
register(
    tenants.ScopeRegistered,
    tenants.TenantRegistered,
    tenants.TenantEndorsed,
    tenants.PrincipalEnrolled,
    tenants.PrincipalRevoked,
    tenants.PolicyAdopted,
    tenants.KeyDisclosed,
    tenants.DataKeyRotated,
    tenants.ErasureOrdered,
    tenants.ErasureWithdrawn,
)
register(clauses.ClauseRegistered, clauses.ClauseDeprecated, nodes.NodeEnrolled, nodes.NodeDrained)
register(
    workloads.WorkloadSubmitted,
    workloads.CredentialChecked,
    workloads.ClauseVerified,
    workloads.WorkloadQueued,
    workloads.WorkloadDenied,
    workloads.WorkloadDeferred,
    workloads.WorkloadPlaced,
    workloads.WorkloadExpired,
    workloads.WorkloadCancelled,
)
register(
    executions.ExecutionReserved,
    executions.ExecutionChallenged,
    executions.EvidenceAppraised,
    executions.EnclaveProvisioned,
    executions.InputsReleased,
    executions.EnclaveStarted,
    executions.ExecutionCompleted,
    executions.ExecutionFaulted,
    executions.RuntimeReset,
    executions.ExecutionAbandoned,
    executions.ReportRefused,
    executions.NoticeRequested,
    executions.RetryAuthorized,
    executions.RetryRefused,
)
register(cacs.CacIssued, cacs.CacRejected, cacs.QuorumReached, cacs.QuorumFailed, cacs.UsageMetered)
