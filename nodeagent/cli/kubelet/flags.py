"""The flags of kubelet 1.36, and what each does here: one table, from which the parser, `--help` and the documentation come.

Source: cmd/kubelet/app/options of Kubernetes 1.36 (names, kinds, deprecations), docs/facts/node-resources.md 1.2, 1.3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nodeagent.cli.kubelet.values import Kind

IN_FILE = (
    "This parameter should be set via the config file specified by the Kubelet's --config flag. See "
    "https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for more information."
)
_CADVISOR = (
    "This is a cadvisor flag that was mistakenly registered with the Kubelet. Due to legacy concerns, it will follow the "
    "standard CLI deprecation timeline before being removed."
)
_EVICTION = "Use --eviction-hard or --eviction-soft instead. Will be removed in a future version."
_NONE_LEFT = "This flag has no effect and will be removed in a future version."


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One of `field` (of a KubeletConfiguration, dotted), `option` (of this program) and `idle` (why it has no effect) is set."""

    name: str
    kind: Kind
    field: str = ""
    option: str = ""
    idle: str = ""
    help: str = ""
    default: str = ""
    deprecated: str = ""
    shorthand: str = ""


def _fields(kind: Kind, names: str) -> Iterator[Flag]:
    """`flag=field` each; a name alone is that of the field, too, in camel case."""
    for part in names.split():
        name, _, field = part.partition("=")
        words = name.split("-")
        yield Flag(
            name=name,
            kind=kind,
            field=field or words[0] + "".join(word.capitalize() for word in words[1:]),
            deprecated=IN_FILE,
        )


def _kept(kind: Kind, name: str, field: str, shorthand: str = "", deprecated: str = "") -> Flag:
    """A flag of a field that is not deprecated, or in words of its own."""
    return Flag(name=name, kind=kind, field=field, shorthand=shorthand, deprecated=deprecated)


def _option(kind: Kind, name: str, help: str, default: str = "", deprecated: str = "", shorthand: str = "") -> Flag:
    return Flag(
        name=name, kind=kind, option=name, help=help, default=default, deprecated=deprecated, shorthand=shorthand
    )


def _idle(kind: Kind, names: str, why: str, deprecated: str = "") -> Iterator[Flag]:
    for name in names.split():
        yield Flag(name=name, kind=kind, idle=why, deprecated=deprecated)


_OF_FIELDS = (
    *_fields(
        Kind.BOOL,
        """
        anonymous-auth=authentication.anonymous.enabled authentication-token-webhook=authentication.webhook.enabled
        cgroups-per-qos=cgroupsPerQOS contention-profiling=enableContentionProfiling cpu-cfs-quota=cpuCFSQuota
        enable-controller-attach-detach enable-debugging-handlers enable-server fail-cgroupv1=failCgroupV1 fail-swap-on
        kernel-memcg-notification local-storage-capacity-isolation make-iptables-util-chains=makeIPTablesUtilChains
        protect-kernel-defaults register-node rotate-certificates rotate-server-certificates=serverTLSBootstrap runonce=runOnce
        serialize-image-pulls log-text-split-stream=logging.options.text.splitStream
        log-json-split-stream=logging.options.json.splitStream
        """,
    ),
    *_fields(
        Kind.INT32,
        """
        container-log-max-files event-burst event-qps=eventRecordQPS eviction-max-pod-grace-period healthz-port
        image-gc-high-threshold=imageGCHighThresholdPercent image-gc-low-threshold=imageGCLowThresholdPercent
        kube-api-burst=kubeAPIBurst kube-api-qps=kubeAPIQPS max-pods node-status-max-images oom-score-adj=oomScoreAdj
        pods-per-core port read-only-port registry-burst registry-qps=registryPullQPS
        """,
    ),
    *_fields(Kind.INT64, "max-open-files pod-max-pids=podPidsLimit"),
    *_fields(
        Kind.DURATION,
        """
        authentication-token-webhook-cache-ttl=authentication.webhook.cacheTTL
        authorization-webhook-cache-authorized-ttl=authorization.webhook.cacheAuthorizedTTL
        authorization-webhook-cache-unauthorized-ttl=authorization.webhook.cacheUnauthorizedTTL
        cpu-cfs-quota-period=cpuCFSQuotaPeriod cpu-manager-reconcile-period eviction-pressure-transition-period
        file-check-frequency http-check-frequency minimum-image-ttl-duration=imageMinimumGCAge node-status-update-frequency
        runtime-request-timeout streaming-connection-idle-timeout sync-frequency volume-stats-agg-period
        """,
    ),
    *_fields(
        Kind.STRING,
        """
        authorization-mode=authorization.mode cgroup-driver cgroup-root client-ca-file=authentication.x509.clientCAFile
        cluster-domain container-log-max-size container-runtime-endpoint cpu-manager-policy hairpin-mode
        image-service-endpoint kube-api-content-type=contentType kube-reserved-cgroup kubelet-cgroups manifest-url=staticPodURL
        memory-manager-policy pod-cidr=podCIDR pod-manifest-path=staticPodPath reserved-cpus=reservedSystemCPUs
        resolv-conf system-cgroups system-reserved-cgroup tls-cert-file tls-min-version tls-private-key-file
        topology-manager-policy topology-manager-scope volume-plugin-dir logging-format=logging.format
        log-text-info-buffer-size=logging.options.text.infoBufferSize
        log-json-info-buffer-size=logging.options.json.infoBufferSize
        """,
    ),
    *_fields(Kind.IP, "address healthz-bind-address"),
    *_fields(Kind.STRINGS, "allowed-unsafe-sysctls cluster-dns=clusterDNS enforce-node-allocatable tls-cipher-suites"),
    *_fields(
        Kind.MAP, "eviction-minimum-reclaim eviction-soft-grace-period kube-reserved qos-reserved system-reserved"
    ),
    *_fields(Kind.MAP_ONE, "cpu-manager-policy-options topology-manager-policy-options"),
    *_fields(Kind.SIGNALS, "eviction-hard eviction-soft"),
    *_fields(Kind.BOOLS, "feature-gates"),
    *_fields(Kind.HEADERS, "manifest-url-header=staticPodURLHeader"),
    *_fields(Kind.TAINTS, "register-with-taints"),
    *_fields(Kind.RESERVED_MEMORY, "reserved-memory"),
    _kept(Kind.INT32, "iptables-drop-bit", "iptablesDropBit", deprecated=_NONE_LEFT),
    _kept(Kind.INT32, "iptables-masquerade-bit", "iptablesMasqueradeBit", deprecated=_NONE_LEFT),
    _kept(Kind.STRING, "provider-id", "providerID"),
    _kept(Kind.DURATION, "log-flush-frequency", "logging.flushFrequency"),
    _kept(Kind.LEVEL, "v", "logging.verbosity", shorthand="v"),
    _kept(Kind.VMODULE, "vmodule", "logging.vmodule"),
)

_OF_THIS_PROGRAM = (
    _option(Kind.STRING, "bootstrap-kubeconfig", "Asks for a client certificate where --kubeconfig has no valid one."),
    _option(Kind.STRING, "cert-dir", "Where certificates are kept.", "/var/lib/kubelet/pki"),
    _option(Kind.STRING, "cloud-provider", 'Empty, or "external": the node waits for its cloud controller.'),
    _option(Kind.STRING, "config", "A KubeletConfiguration file."),
    _option(Kind.STRING, "config-dir", "A folder of *.conf files that are merged over --config, by name."),
    _option(Kind.BOOL, "help", "Prints this.", shorthand="h"),
    _option(Kind.STRING, "hostname-override", "The name of the node, instead of the machine's."),
    _option(Kind.STRING, "image-credential-provider-bin-dir", "Where the programs of credential providers are."),
    _option(Kind.STRING, "image-credential-provider-config", "CredentialProviderConfig: a file or a folder."),
    _option(Kind.STRING, "kubeconfig", "How to reach the API server; without it, only static pods run."),
    _option(Kind.STRING, "lock-file", "Waits until nobody else holds the lock on this file."),
    _option(Kind.STRING, "node-ip", "The node's address, or one of each family."),
    _option(Kind.MAP, "node-labels", "Labels that the node registers with."),
    _option(
        Kind.BOOL,
        "register-schedulable",
        "Registers the node as one for pods.",
        "true",
        "will be removed in a future version",
    ),
    _option(Kind.STRING, "root-dir", "Pod volumes and plugin sockets.", "/var/lib/kubelet"),
    _option(Kind.BOOL, "seccomp-default", "Pods without a seccomp profile get RuntimeDefault."),
    _option(Kind.VERSION, "version", "--version, --version=raw print version information and quit.", "false"),
)

_NOT_HERE = (
    *_idle(Kind.BOOL, "exit-on-lock-contention", "who waits for the lock file goes on waiting"),
    *_idle(Kind.STRING, "runtime-cgroups", "the runtime's processes are not accounted for on their own"),
    *_idle(
        Kind.DURATION,
        "minimum-container-ttl-duration",
        "dead containers go as soon as a newer one is there",
        _EVICTION,
    ),
    *_idle(
        Kind.INT32,
        "maximum-dead-containers maximum-dead-containers-per-container",
        "the last dead container of each is kept, and no other",
        _EVICTION,
    ),
    *_idle(Kind.DURATION, "housekeeping-interval", "statistics are read when somebody asks for them"),
    *_idle(
        Kind.STRING,
        "experimental-mounter-path",
        "volumes are mounted by system calls",
        "will be removed in 1.25 or later. in favor of using CSI.",
    ),
    *_idle(
        Kind.BOOL,
        "experimental-allocatable-ignore-eviction",
        "eviction thresholds are always taken off what is allocatable",
        "will be removed in 1.25 or later.",
    ),
    *_idle(
        Kind.BOOL,
        "keep-terminated-pod-volumes",
        "a pod's volumes go with the pod",
        "will be removed in a future version",
    ),
    *_idle(
        Kind.STRING,
        "cloud-config",
        "cloud controllers run elsewhere",
        "will be removed in 1.25 or later, in favor of removing cloud provider code from Kubelet.",
    ),
    *_idle(
        Kind.STRING,
        "pod-infra-container-image",
        "runtimes know, and keep, their sandbox image themselves",
        "will be removed in 1.35. Image garbage collector will get sandbox image information from CRI.",
    ),
    *_idle(Kind.BOOL, "enable-load-reader log-cadvisor-usage", "there is no cAdvisor here", _CADVISOR),
    *_idle(
        Kind.STRING,
        """
        boot-id-file container-hints containerd containerd-namespace event-storage-age-limit event-storage-event-limit
        machine-id-file storage-driver-db storage-driver-host storage-driver-password storage-driver-table storage-driver-user
        """,
        "there is no cAdvisor here",
        _CADVISOR,
    ),
    *_idle(
        Kind.DURATION,
        "global-housekeeping-interval storage-driver-buffer-duration",
        "there is no cAdvisor here",
        _CADVISOR,
    ),
    *_idle(Kind.INT64, "application-metrics-count-limit", "there is no cAdvisor here", _CADVISOR),
    *_idle(Kind.BOOL, "storage-driver-secure", "there is no cAdvisor here", _CADVISOR),
)

# in the order of `kubelet --help`
FLAGS: Mapping[str, Flag] = {
    flag.name: flag for flag in sorted((*_OF_FIELDS, *_OF_THIS_PROGRAM, *_NOT_HERE), key=lambda flag: flag.name)
}
SHORTHANDS: Mapping[str, Flag] = {flag.shorthand: flag for flag in FLAGS.values() if flag.shorthand}
