"""The closed registry: every topic that this program reads or writes."""

from domain.cacs import events as cacs
from domain.clauses import events as clauses
from domain.executions import events as executions
from domain.logs import events as logs
from domain.message import register
from domain.nodes import events as nodes
from domain.platform import events as platform
from domain.quotas import events as quotas
from domain.tenants import events as tenants
from domain.workloads import events as workloads

register(logs.KeyRotated)
register(platform.Genesis, platform.LevelsAdopted, platform.DecisionsMade, platform.Ticked, platform.KeyDestroyed)
register(
    tenants.ScopeRegistered,
    tenants.ScopeRegisteredBelow,
    tenants.TenantRegistered,
    tenants.TenantEndorsed,
    tenants.PrincipalEnrolled,
    tenants.PrincipalRevoked,
    tenants.PolicyAdopted,
    tenants.MonitorAppointed,
    tenants.KeyDisclosed,
    tenants.DataKeyRotated,
    tenants.ErasureOrdered,
    tenants.ErasureWithdrawn,
)
register(quotas.QuotaGranted, quotas.BandwidthGranted, quotas.QuotaBorrowed, quotas.QuotaLent)
register(clauses.ClauseRegistered, clauses.ClauseDeprecated)
register(
    nodes.NodeEnrolled,
    nodes.NodeDrained,
    nodes.TelemetryReported,
    nodes.NodeSuspected,
    nodes.NodeLost,
    nodes.NodeReturned,
)
register(
    workloads.WorkloadSubmitted,
    workloads.CredentialChecked,
    workloads.ClauseVerified,
    workloads.WorkloadQueued,
    workloads.WorkloadDenied,
    workloads.WorkloadDeferredV1,
    workloads.WorkloadDeferred,
    workloads.OverflowOffered,
    workloads.OverflowAccepted,
    workloads.OverflowClosed,
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
    executions.NoticeDelivered,
    executions.RetryAuthorized,
    executions.RetryRefused,
)
register(cacs.CacIssued, cacs.CacRejected, cacs.QuorumReached, cacs.QuorumFailed, cacs.UsageMetered)
