"""The feature gates of Kubernetes 1.36 (those that a kubelet registers), and what a kubelet says of the ones it is given.

Stages and defaults are those of 1.36.0; gates of client-go are among them, as every component of Kubernetes registers those.
Source: kube_features.go, Kubernetes' list of gates by release and what kube-scheduler 1.36 lists for --feature-gates;
docs/facts/node-resources.md 1.6 and docs/facts/pod-lifecycle.md 0.2, which win where the others differ. Gates that 1.36 has
dropped since they were locked stay known: files name them still.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.kubelet import KubeletConfiguration

ALL_ALPHA, ALL_BETA = "AllAlpha", "AllBeta"


class Stage(StrEnum):
    ALPHA = "ALPHA"
    BETA = "BETA"
    GA = ""
    DEPRECATED = "DEPRECATED"


@dataclass(frozen=True, slots=True)
class Gate:
    """`locked`: what it is by default is what it must be."""

    stage: Stage
    default: bool
    locked: bool = False


_TABLE: tuple[tuple[Gate, str], ...] = (
    (
        Gate(Stage.GA, True, locked=True),
        """
        APIServerTracing AnonymousAuthConfigurableEndpoints AnyVolumeDataSource AuthorizeNodeWithSelectors
        AuthorizeWithSelectors BtreeWatchCache CPUManagerPolicyOptions CRDValidationRatcheting CSIMigrationPortworx
        CSIServiceAccountTokenSecrets ComponentSLIs ConsistentListFromCache CustomCPUCFSQuotaPeriod CustomResourceFieldSelectors
        DRAAdminAccess DeclarativeValidation DisableAllocatorDualWrite DynamicResourceAllocation ExecProbeTimeout
        ExternalServiceAccountTokenSigner HonorPVReclaimPolicy ImageMaximumGCAge ImageVolume InPlacePodVerticalScaling
        JobBackoffLimitPerIndex JobManagedBy JobPodReplacementPolicy JobSuccessPolicy KubeletCgroupDriverFromCRI
        KubeletFineGrainedAuthz KubeletPSI KubeletPodResourcesDynamicResources KubeletPodResourcesGet KubeletTracing
        LogarithmicScaleDown MatchLabelKeysInPodAffinity MemoryManager MultiCIDRServiceAllocator MutableCSINodeAllocatableCount
        MutatingAdmissionPolicy NFTablesProxyMode NodeInclusionPolicyInPodTopologySpread NodeLogQuery NodeSwap
        OrderedNamespaceDeletion PodLifecycleSleepAction PodLifecycleSleepActionAllowZero PodObservedGenerationTracking
        PodSchedulingReadiness PreferSameTrafficDistribution ProcMountType RecoverVolumeExpansionFailure RecursiveReadOnlyMounts
        RelaxedDNSSearchValidation RelaxedEnvironmentVariableValidation ResilientWatchCacheInitialization RetryGenerateName
        SELinuxChangePolicy SELinuxMountReadWriteOncePod SchedulerQueueingHints SeparateTaintEvictionController
        ServiceAccountTokenJTI ServiceAccountTokenNodeBinding ServiceAccountTokenNodeBindingValidation
        ServiceAccountTokenPodNodeInfo ServiceTrafficDistribution SidecarContainers StreamingCollectionEncodingToJSON
        StreamingCollectionEncodingToProtobuf StructuredAuthenticationConfiguration StructuredAuthorizationConfiguration
        SupplementalGroupsPolicy SystemdWatchdog TopologyAwareHints TopologyManagerPolicyOptions UserNamespacesSupport
        VolumeAttributesClass WinDSR WinOverlay
        """,
    ),
    (
        Gate(Stage.GA, True),
        "DRAPrioritizedList InOrderInformers InformerResourceVersion",
    ),
    (
        Gate(Stage.BETA, True),
        """
        APIResponseCompression APIServerIdentity AllowParsingUserUIDFromCertAuth AtomicFIFO
        AuthorizePodWebsocketUpgradeCreatePermission CPUManagerPolicyBetaOptions CRDObservedGenerationTracking
        ClearingNominatedNodeNameAfterBinding ClientsAllowCARotation ClientsAllowTLSCacheGC ComponentFlagz ComponentStatusz
        ConstrainedImpersonation ContainerCheckpoint ContainerRestartRules ContextualLogging DRAConsumableCapacity
        DRADeviceBindingConditions DRADeviceTaints DRAExtendedResource DRAPartitionableDevices DRAResourceClaimDeviceStatus
        DRAResourceClaimGranularStatusAuthorization DRASchedulerFilterTimeout DeclarativeValidationBeta
        DeploymentReplicaSetTerminatingReplicas DetectCacheInconsistency DisableCPUQuotaWithExclusiveCPUs EnvFiles
        ExtendWebSocketsToKubelet GracefulNodeShutdown GracefulNodeShutdownBasedOnPodPriority HPAConfigurableTolerance
        HostnameOverride InOrderInformersBatchProcess InPlacePodLevelResourcesVerticalScaling
        InPlacePodVerticalScalingInitContainers KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages KubeletSeparateDiskGC
        KubeletServiceAccountTokenForCredentialProviders ListFromCacheSnapshot LoggingBetaOptions
        MatchLabelKeysInPodTopologySpread MatchLabelKeysInPodTopologySpreadSelectorMerge MutablePodResourcesForSuspendedJobs
        MutableSchedulingDirectivesForSuspendedJobs NodeDeclaredFeatures NominatedNodeNameForExpectation OpenAPIEnums
        OpportunisticBatching PLEGOnDemandRelist PodDeletionCost PodLevelResources PodReadyToStartContainersCondition
        PodTopologyLabelsAdmission PortForwardWebsockets PreventStaticPodAPIReferences RelaxedServiceNameValidation
        ReloadKubeletClientCAFile ReloadKubeletServerCertificateFile RemoteRequestHeaderUID ResourceHealthStatus
        ResourceHealthStatusMessage RestartAllContainersOnContainerExits RotateKubeletServerCertificate SchedulerAsyncPreemption
        SchedulerPopFromBackoffQ ServiceAccountNodeAudienceRestriction SizeBasedListCostEstimate
        StaleControllerConsistencyDaemonSet StaleControllerConsistencyJob StaleControllerConsistencyReplicaSet
        StaleControllerConsistencyStatefulSet StatefulSetSemanticRevisionComparison StorageVersionHash StrictIPCIDRValidation
        StructuredAuthenticationConfigurationEgressSelector StructuredAuthenticationConfigurationJWKSMetrics
        TokenRequestServiceAccountUIDValidation TopologyManagerPolicyBetaOptions TranslateStreamCloseWebsocketRequests
        UnauthenticatedHTTP2DOSMitigation UnknownVersionInteroperabilityProxy UnlockWhileProcessingFIFO
        WatchCacheInitializationPostStartHook WatchList WatchListClient WindowsGracefulNodeShutdown
        """,
    ),
    (
        Gate(Stage.BETA, False),
        """
        ClusterTrustBundle ClusterTrustBundleProjection ConcurrentWatchObjectDecode CoordinatedLeaderElection
        DRADeviceTaintRules LocalStorageCapacityIsolationFSQuotaMonitoring MaxUnavailableStatefulSet PodCertificateRequest
        SELinuxMount SchedulerAsyncAPICalls StorageVersionMigrator
        """,
    ),
    (
        Gate(Stage.ALPHA, False),
        """
        APIServingWithRoutine AllowUnsafeMalformedObjectDeletion CBORServingAndStorage CPUManagerPolicyAlphaOptions
        CRIListStreaming CSIVolumeHealth ClientsAllowCBOR ClientsPreferCBOR CloudControllerManagerWatchBasedRoutesReconciliation
        CloudControllerManagerWebhook ContainerStopSignals ControllerManagerReleaseLeaderElectionLockOnExit
        CrossNamespaceVolumeDataSource DRAListTypeAttributes DRANodeAllocatableResources DRAResourcePoolStatus
        DRAWorkloadResourceClaims EventedPLEG GangScheduling GenericWorkload HPAScaleToZero ImageVolumeWithDigest
        InPlacePodVerticalScalingExclusiveCPUs InPlacePodVerticalScalingExclusiveMemory InTreePluginPortworxUnregister
        KubeletInUserNamespace LoggingAlphaOptions ManifestBasedAdmissionControlConfig MemoryQoS MutablePVNodeAffinity
        NativeHistograms PersistentVolumeClaimUnusedSinceTime PodAndContainerStatsFromCRI PodLevelResourceManagers
        PodLogsQuerySplitStreams PodsAPI QOSReserved ReduceDefaultCrashLoopBackOffDecay RuntimeClassInImageCriApi
        ShardedListAndWatch StorageCapacityScoring StorageVersionAPI TaintTolerationComparisonOperators
        TopologyAwareWorkloadScheduling TopologyManagerPolicyAlphaOptions UserNamespacesHostNetworkSupport VolumeLimitScaling
        WindowsCPUAndMemoryAffinity WorkloadAwarePreemption WorkloadWithJob
        """,
    ),
    (
        Gate(Stage.DEPRECATED, False),
        """
        AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests AllowOverwriteTerminationGracePeriodSeconds
        ChangeContainerStatusOnKubeletRestart DeclarativeValidationTakeover GitRepoVolumeDriver
        InPlacePodVerticalScalingAllocatedStatus KMSv1 KubeletRegistrationGetOnExistsOnly SeparateCacheWatchRPC
        WindowsHostNetwork
        """,
    ),
    (
        Gate(Stage.DEPRECATED, True),
        "KubeletPodResourcesListUseActivePods StorageNamespaceIndex",
    ),
    (
        Gate(Stage.DEPRECATED, True, locked=True),
        "AggregatedDiscoveryRemoveBetaType DisableNodeKubeProxyVersion",
    ),
    (
        Gate(Stage.DEPRECATED, False, locked=True),
        "WatchFromStorageWithoutResourceVersion",
    ),
)

GATES: Mapping[str, Gate] = {name: gate for gate, names in _TABLE for name in names.split()}
GROUPS: Mapping[str, Stage] = {ALL_ALPHA: Stage.ALPHA, ALL_BETA: Stage.BETA}


def refusals(given: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    """(name, reason) of every gate that a kubelet does not let be set so."""
    for name, value in given.items():
        gate = GATES.get(name)
        if gate is None:
            if name not in GROUPS:
                yield name, f"unrecognized feature gate: {name}"
        elif gate.locked and value is not gate.default:
            yield (
                name,
                f"cannot set feature gate {name} to {_go(value)}, feature is locked to {_go(gate.default)}",
            )


def remarks(given: Mapping[str, bool]) -> Iterator[str]:
    """What to warn of: gates that are alpha and on, that are deprecated, or that will be no more."""
    for name, value in given.items():
        gate = GATES.get(name)
        if gate is None:
            continue
        if gate.stage is Stage.DEPRECATED or gate.stage is Stage.GA:
            stage = "deprecated" if gate.stage is Stage.DEPRECATED else "GA"
            yield f"Setting {stage} feature gate {name}={_go(value)}. It will be removed in a future release."
        elif gate.stage is Stage.ALPHA and value:
            yield f"feature gate {name}=true is alpha"


def effective(given: Mapping[str, bool]) -> dict[str, bool]:
    """The gates that are set, AllAlpha and AllBeta written out; what is set by name wins."""
    found: dict[str, bool] = {}
    for group, stage in GROUPS.items():
        if group in given:
            found |= {name: given[group] for name, gate in GATES.items() if gate.stage is stage}
    return found | dict(given)


def acted_on(document: KubeletConfiguration) -> list[tuple[str, str, bool]]:
    """Name, stage, and whether it is open, of each gate that this agent's code reads."""
    prefix = "featureGates."
    names = sorted(field.removeprefix(prefix) for field in ACTED_ON if field.startswith(prefix))
    return [(name, GATES[name].stage, document.featureGates.get(name, GATES[name].default)) for name in names]


def known() -> list[str]:
    """One line each, as `kubelet --help` lists those that can be set: neither GA nor deprecated."""
    groups = [f"{name}=true|false ({stage} - default=false)" for name, stage in GROUPS.items()]
    return groups + [
        f"{name}=true|false ({gate.stage} - default={_go(gate.default)})"
        for name, gate in sorted(GATES.items())
        if gate.stage in (Stage.ALPHA, Stage.BETA)
    ]


def _go(value: bool) -> str:
    return "true" if value else "false"
