"""The closed registry: every topic that this program reads or writes."""

from domain.access import events as access
from domain.attestation import events as attestation
from domain.cacs import events as cacs
from domain.clauses import events as clauses
from domain.disputes import events as disputes
from domain.executions import events as executions
from domain.logs import events as logs
from domain.message import register
from domain.nodes import events as nodes
from domain.platform import events as platform
from domain.pools import events as pools
from domain.quotas import events as quotas
from domain.subscriptions import events as subscriptions
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
    tenants.HolderEnrolled,
    tenants.ReaderEnrolled,
    tenants.PrincipalRevoked,
    tenants.IssuerEnrolled,
    tenants.IssuerRevoked,
    tenants.TokenIssuerAdmitted,
    tenants.TokenIssuerRevoked,
    tenants.PolicyAdopted,
    tenants.MonitorAppointed,
    tenants.KeyDisclosed,
    tenants.DataKeyRotated,
    tenants.ErasureOrdered,
    tenants.ErasureWithdrawn,
)
register(access.AccessSummarised, access.PrincipalRecognised)
register(
    subscriptions.SubscriptionOpened,
    subscriptions.SubscriptionEnded,
    subscriptions.ResultDelivered,
    subscriptions.SubscriptionLapsed,
)
register(pools.OfferStood, pools.OfferWithdrawn)
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
    workloads.OverflowAcceptedV1,
    workloads.OverflowAccepted,
    workloads.OverflowClosed,
    workloads.WorkloadPlaced,
    workloads.WorkloadExpired,
    workloads.WorkloadCancelled,
)
register(
    executions.ExecutionReserved,
    executions.ExecutionChallenged,
    executions.SoftwareEvidenceAppraised,
    executions.EnclaveProvisioned,
    executions.ReleaseAwaited,
    executions.ReleaseRefused,
    executions.InputsReleased,
    executions.ReportsReceived,
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
register(
    attestation.NodeChallenged,
    attestation.NodeEvidenceAppraised,
    attestation.PlatformEvidenceAppraised,
    attestation.ResultKeyEnrolled,
    attestation.CollateralSeen,
)
register(
    cacs.CacIssued,
    cacs.CacRejected,
    cacs.CacOverturned,
    cacs.QuorumReached,
    cacs.QuorumFailed,
    cacs.UsageMetered,
)
register(
    disputes.DisputeOpened,
    disputes.DisputeAnswered,
    disputes.DisputeEvidenceAttached,
    disputes.DisputeUpheld,
    disputes.DisputeOverturned,
    disputes.DisputeWithdrawn,
    disputes.DisputeReferenced,
)
