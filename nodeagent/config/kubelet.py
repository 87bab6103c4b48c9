"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1): every field, with its upstream default.

Field names are those of the file. Source: Kubernetes 1.36, docs/facts/node-resources.md 1.2.
"""

import msgspec
from lightkube.models.core_v1 import Taint

from nodeagent.config.values import Duration, FilePath, Quantity

API_VERSION = "kubelet.config.k8s.io/v1beta1"
KIND = "KubeletConfiguration"

DEFAULT_EVICTION_HARD = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}

# A node of its own has no cluster whose pods were tried without a limit (CIS 4.2.13): half of the smallest usual pid_max.
STANDALONE_POD_PIDS = 16384


class X509(msgspec.Struct):
    clientCAFile: FilePath = FilePath("")


class WebhookAuthentication(msgspec.Struct):
    enabled: bool = True
    cacheTTL: Duration = Duration("2m")


class Anonymous(msgspec.Struct):
    enabled: bool = False


class Authentication(msgspec.Struct):
    x509: X509 = msgspec.field(default_factory=X509)
    webhook: WebhookAuthentication = msgspec.field(default_factory=WebhookAuthentication)
    anonymous: Anonymous = msgspec.field(default_factory=Anonymous)


class WebhookAuthorization(msgspec.Struct):
    cacheAuthorizedTTL: Duration = Duration("5m")
    cacheUnauthorizedTTL: Duration = Duration("30s")


class Authorization(msgspec.Struct):
    mode: str = "Webhook"
    webhook: WebhookAuthorization = msgspec.field(default_factory=WebhookAuthorization)


class MemorySwap(msgspec.Struct):
    swapBehavior: str = ""


class MemoryReservation(msgspec.Struct):
    numaNode: int
    limits: dict[str, str]


class ShutdownByPriority(msgspec.Struct):
    priority: int
    shutdownGracePeriodSeconds: int


class CrashLoopBackOff(msgspec.Struct):
    maxContainerRestartPeriod: Duration = Duration("300s")


class UserNamespaces(msgspec.Struct):
    idsPerPod: int = 65536


class Tracing(msgspec.Struct):
    endpoint: str = ""
    samplingRatePerMillion: int = 0


class VModule(msgspec.Struct):
    filePattern: str
    verbosity: int


class LogStreams(msgspec.Struct):
    splitStream: bool = False
    infoBufferSize: Quantity = Quantity("0")


class LogOptions(msgspec.Struct):
    text: LogStreams = msgspec.field(default_factory=LogStreams)
    json: LogStreams = msgspec.field(default_factory=LogStreams)


class Logging(msgspec.Struct):
    format: str = "text"
    flushFrequency: str | int = "5s"
    verbosity: int = 0
    vmodule: list[VModule] = msgspec.field(default_factory=list)
    options: LogOptions = msgspec.field(default_factory=LogOptions)


class KubeletConfiguration(msgspec.Struct):
    """One KubeletConfiguration document. `evictionHard` None: the default thresholds."""

    apiVersion: str = API_VERSION
    kind: str = KIND
    authentication: Authentication = msgspec.field(default_factory=Authentication)
    authorization: Authorization = msgspec.field(default_factory=Authorization)
    memorySwap: MemorySwap = msgspec.field(default_factory=MemorySwap)
    reservedMemory: list[MemoryReservation] = msgspec.field(default_factory=list)
    shutdownGracePeriodByPodPriority: list[ShutdownByPriority] = msgspec.field(default_factory=list)
    crashLoopBackOff: CrashLoopBackOff = msgspec.field(default_factory=CrashLoopBackOff)
    userNamespaces: UserNamespaces = msgspec.field(default_factory=UserNamespaces)
    tracing: Tracing | None = None
    logging: Logging = msgspec.field(default_factory=Logging)
    enableServer: bool = True
    address: str = "0.0.0.0"
    port: int = 10250
    readOnlyPort: int = 0
    healthzPort: int = 10248
    healthzBindAddress: str = "127.0.0.1"
    tlsCertFile: FilePath = FilePath("")
    tlsPrivateKeyFile: FilePath = FilePath("")
    tlsCipherSuites: list[str] = msgspec.field(default_factory=list)
    tlsMinVersion: str = ""
    tlsCurvePreferences: list[int] = msgspec.field(default_factory=list)
    rotateCertificates: bool = False
    serverTLSBootstrap: bool = False
    enableDebuggingHandlers: bool = True
    enableContentionProfiling: bool = False
    enableProfilingHandler: bool = True
    enableDebugFlagsHandler: bool = True
    enableSystemLogHandler: bool = True
    enableSystemLogQuery: bool = False
    streamingConnectionIdleTimeout: Duration = Duration("4h")
    staticPodPath: FilePath = FilePath("")
    staticPodURL: str = ""
    staticPodURLHeader: dict[str, list[str]] = msgspec.field(default_factory=dict)
    fileCheckFrequency: Duration = Duration("20s")
    httpCheckFrequency: Duration = Duration("20s")
    syncFrequency: Duration = Duration("1m")
    podLogsDir: FilePath = FilePath("/var/log/pods")
    registerNode: bool = True
    registerWithTaints: list[Taint] = msgspec.field(default_factory=list)
    providerID: str = ""
    nodeStatusUpdateFrequency: Duration = Duration("10s")
    nodeStatusReportFrequency: Duration = Duration("5m")
    nodeLeaseDurationSeconds: int = 40
    nodeStatusMaxImages: int = 50
    kubeAPIQPS: int = 50
    kubeAPIBurst: int = 100
    contentType: str = "application/vnd.kubernetes.protobuf"
    eventRecordQPS: int = 50
    eventBurst: int = 100
    maxPods: int = 110
    podsPerCore: int = 0
    podCIDR: str = ""
    podPidsLimit: int = -1
    clusterDomain: str = ""
    clusterDNS: list[str] = msgspec.field(default_factory=list)
    resolvConf: FilePath = FilePath("/etc/resolv.conf")
    hairpinMode: str = "promiscuous-bridge"
    makeIPTablesUtilChains: bool = True
    iptablesMasqueradeBit: int = 14
    iptablesDropBit: int = 15
    containerRuntimeEndpoint: str = "unix:///run/containerd/containerd.sock"
    imageServiceEndpoint: str = ""
    runtimeRequestTimeout: Duration = Duration("2m")
    serializeImagePulls: bool = True
    maxParallelImagePulls: int | None = None
    registryPullQPS: int = 5
    registryBurst: int = 10
    imagePullCredentialsVerificationPolicy: str = "NeverVerifyPreloadedImages"
    preloadedImagesVerificationAllowlist: list[str] = msgspec.field(default_factory=list)
    imageMinimumGCAge: Duration = Duration("2m")
    imageMaximumGCAge: Duration = Duration("0s")
    imageGCHighThresholdPercent: int = 85
    imageGCLowThresholdPercent: int = 80
    volumeStatsAggPeriod: Duration = Duration("1m")
    cgroupsPerQOS: bool = True
    cgroupRoot: str = ""
    cgroupDriver: str = "cgroupfs"
    kubeletCgroups: str = ""
    systemCgroups: str = ""
    failCgroupV1: bool = False  # upstream: True; this node supports v1
    cpuCFSQuota: bool = True
    cpuCFSQuotaPeriod: Duration = Duration("100ms")
    singleProcessOOMKill: bool | None = None
    oomScoreAdj: int = -999
    maxOpenFiles: int = 1000000
    protectKernelDefaults: bool = False
    failSwapOn: bool = True
    memoryThrottlingFactor: float = 0.9
    memoryReservationPolicy: str = "None"
    qosReserved: dict[str, str] = msgspec.field(default_factory=dict)
    systemReserved: dict[str, str] = msgspec.field(default_factory=dict)
    kubeReserved: dict[str, str] = msgspec.field(default_factory=dict)
    reservedSystemCPUs: str = ""
    systemReservedCgroup: str = ""
    kubeReservedCgroup: str = ""
    enforceNodeAllocatable: list[str] = msgspec.field(default_factory=lambda: ["pods"])
    cpuManagerPolicy: str = "none"
    cpuManagerPolicyOptions: dict[str, str] = msgspec.field(default_factory=dict)
    cpuManagerReconcilePeriod: Duration = Duration("10s")
    memoryManagerPolicy: str = "None"
    topologyManagerPolicy: str = "none"
    topologyManagerScope: str = "container"
    topologyManagerPolicyOptions: dict[str, str] = msgspec.field(default_factory=dict)
    evictionHard: dict[str, str] | None = None
    evictionSoft: dict[str, str] = msgspec.field(default_factory=dict)
    evictionSoftGracePeriod: dict[str, str] = msgspec.field(default_factory=dict)
    evictionMinimumReclaim: dict[str, str] = msgspec.field(default_factory=dict)
    evictionPressureTransitionPeriod: Duration = Duration("5m")
    evictionMaxPodGracePeriod: int = 0
    mergeDefaultEvictionSettings: bool = False
    kernelMemcgNotification: bool = False
    localStorageCapacityIsolation: bool = True
    enableControllerAttachDetach: bool = True
    volumePluginDir: FilePath = FilePath("/usr/libexec/kubernetes/kubelet-plugins/volume/exec/")
    configMapAndSecretChangeDetectionStrategy: str = "Watch"
    containerLogMaxSize: Quantity = Quantity("10Mi")
    containerLogMaxFiles: int = 5
    containerLogMaxWorkers: int = 1
    containerLogMonitorInterval: Duration = Duration("10s")
    shutdownGracePeriod: Duration = Duration("0s")
    shutdownGracePeriodCriticalPods: Duration = Duration("0s")
    allowedUnsafeSysctls: list[str] = msgspec.field(default_factory=list)
    seccompDefault: bool = False
    featureGates: dict[str, bool] = msgspec.field(default_factory=dict)
    showHiddenMetricsForVersion: str = ""
    runOnce: bool = False
