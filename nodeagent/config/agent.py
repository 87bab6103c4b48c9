"""NodeAgentConfiguration (nodeagent.dev/v1alpha1): what a kubelet has no words for."""

from typing import Any

import msgspec

from nodeagent.config.values import FilePath, Program, Quantity

API_VERSION = "nodeagent.dev/v1alpha1"
KIND = "NodeAgentConfiguration"


class RuntimeSettings(msgspec.Struct):
    """One RuntimeClass handler. `type` oci: `path`, `args`, `annotations`, `podAnnotations`, `infraContainer`; cri: `endpoint`,
    `handler`.

    `annotations` are added to every container. `podAnnotations`: names, with `*` for anything but a slash, of those that a pod
    may add itself; runtimes take cgroups, mounts and flags from annotations, so by default none.

    Types of other packages read their own settings from `options`.
    """

    type: str
    path: Program = Program("")
    args: list[str] = msgspec.field(default_factory=list)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    podAnnotations: list[str] = msgspec.field(default_factory=list)
    infraContainer: str = "auto"
    endpoint: str = ""
    imageEndpoint: str = ""
    handler: str = ""
    options: dict[str, Any] = msgspec.field(default_factory=dict)


class CNISettings(msgspec.Struct):
    """`provider` auto: the network of `confDir`, into which standalone mode writes one when it is empty. native: the agent's own,
    whatever is in `confDir`. programs: as auto, and what standalone mode writes is for the CNI programs.

    `binDirs` are searched in order. The fields from `networkName` on shape the agent's own network; `subnet`: one, or one of each
    family with a comma between.
    """

    provider: str = "auto"
    confDir: FilePath = FilePath("/etc/cni/net.d")
    binDirs: list[FilePath] = msgspec.field(
        default_factory=lambda: [FilePath("/opt/cni/bin"), FilePath("/usr/lib/cni")]
    )
    cacheDir: FilePath = FilePath("/var/lib/cni")
    networkName: str = "nodeagent"
    bridge: str = "nodeagent0"
    subnet: str = "10.88.0.0/16"
    ipamDir: FilePath = FilePath("")


class APIServerSettings(msgspec.Struct):
    """The embedded API of standalone mode; port 0: any free one, told in the kubeconfig."""

    address: str = "127.0.0.1"
    port: int = 6443


class ServicesSettings(msgspec.Struct):
    """Services of standalone mode: addresses and node ports that lead to pods. A cluster has its own proxy for that.

    `enabled` null: if pods get the agent's own, native network. `clusterIPRanges`: one, or one of each family, that of the
    family first which Services have by default.
    """

    enabled: bool | None = None
    clusterIPRanges: list[str] = msgspec.field(default_factory=lambda: ["10.96.0.0/12"])
    nodePortRange: str = "30000-32767"


class StorageSettings(msgspec.Struct):
    """Volumes of standalone mode, for claims of the class `standard` and others of its driver.

    `path`: where they are kept; empty: in the state folder. `capacity`: of all together; "0": that of the path's file system.
    """

    enabled: bool = True
    path: FilePath = FilePath("")
    capacity: Quantity = Quantity("0")


class RegistrySettings(msgspec.Struct):
    """How one registry (`host[:port]`, or `host[:port]/path` for a part of it) is reached: `insecure` (plain HTTP, or a
    certificate that nobody verifies), `certsDir` (ca.crt; client.cert and client.key), `blocked` (not at all).

    `mirrors`, written in the same way, are asked first. One that has an entry of its own is reached as that says, any other
    as its registry is; its login is the node's own (config.json in the root directory), never the pod's.
    """

    insecure: bool = False
    blocked: bool = False
    mirrors: list[str] = msgspec.field(default_factory=list)
    certsDir: FilePath = FilePath("")


class CRIServerSettings(msgspec.Struct):
    """The agent's own sandboxes on a CRI socket, for crictl. `listen` (unix:///path) empty: none."""

    listen: str = ""
    readOnly: bool = True


class NodeAgentConfiguration(msgspec.Struct):
    """`runtimes` empty: what the machine has. `conmon` empty: found on PATH.

    `imageCredentialProvider…`: the kubelet's flags of these names, which win where both are given.
    """

    apiVersion: str = API_VERSION
    kind: str = KIND
    runtimes: dict[str, RuntimeSettings] = msgspec.field(default_factory=dict)
    defaultRuntime: str = ""
    cni: CNISettings = msgspec.field(default_factory=CNISettings)
    apiServer: APIServerSettings = msgspec.field(default_factory=APIServerSettings)
    services: ServicesSettings = msgspec.field(default_factory=ServicesSettings)
    storage: StorageSettings = msgspec.field(default_factory=StorageSettings)
    registries: dict[str, RegistrySettings] = msgspec.field(default_factory=dict)
    conmon: Program = Program("")
    imageCredentialProviderConfig: FilePath = FilePath("")
    imageCredentialProviderBinDir: FilePath = FilePath("")
    criServer: CRIServerSettings = msgspec.field(default_factory=CRIServerSettings)
