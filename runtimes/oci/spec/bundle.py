"""config.json of a container (OCI runtime-spec 1.0), from the CRI's configuration, the image's and the sandbox's."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.kube.json_object import JsonObject
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.hostfacts import HostFacts
from runtimes.oci.idmap import UserMapping
from runtimes.oci.images.contract import ImageConfig
from runtimes.oci.spec import cdi, mac
from runtimes.oci.spec.capabilities import container_capabilities
from runtimes.oci.spec.devices import container_devices
from runtimes.oci.spec.mounts import MountPlan, SandboxFiles, container_mounts
from runtimes.oci.spec.resources import CgroupFeatures, linux_resources
from runtimes.oci.spec.seccomp import container_seccomp
from runtimes.oci.users import User

CGROUPS = Path("/sys/fs/cgroup")

OCI_VERSION = "1.0.2"
_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedNamespaces:
    """What the container shares: a path to join, None to share the host's, and for `pid` "" for one of its own."""

    net: Path | None
    ipc: Path | None
    uts: Path | None
    pid: str | None
    user: Path | None = None
    users: UserMapping | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleInputs:
    """Everything that config.json is made of. `cgroups_path` in the form that the cgroup driver takes."""

    config: cri.ContainerConfig
    image: ImageConfig
    rootfs: Path
    user: User
    hostname: str
    namespaces: JoinedNamespaces
    sandbox_files: SandboxFiles
    sources: Mapping[int, Path]
    declared: Mapping[str, Path]
    cgroups_path: str
    annotations: Mapping[str, str]
    runtime: OCIRuntimeConfig
    host: HostFacts
    cgroups: CgroupFeatures
    recursive_read_only: bool
    read_only_superblocks: bool
    block_devices: bool
    guest_hostname: bool  # the runtime has a kernel of its own, which no UTS namespace tells the name


def build(inputs: BundleInputs) -> JsonObject:
    """Raises InvalidArgument, NotSupported. Blocks for a few file system calls."""
    security = inputs.config.linux.security_context
    plan = container_mounts(
        list(inputs.config.mounts),
        inputs.sandbox_files,
        inputs.sources,
        inputs.declared,
        privileged=security.privileged,
        read_only_root=security.readonly_rootfs,
        recursive_read_only=inputs.recursive_read_only,
        read_only_superblocks=inputs.read_only_superblocks,
    )
    process = _process(inputs)
    spec: JsonObject = {
        "ociVersion": OCI_VERSION,
        "root": {"path": str(inputs.rootfs), "readonly": security.readonly_rootfs},
        "process": process,
        "mounts": plan.mounts,
        "annotations": {**inputs.annotations, **dict(inputs.runtime.annotations)},
        "linux": _linux(inputs, frozenset(process["capabilities"]["bounding"]), plan),
    }
    if inputs.guest_hostname:
        spec["hostname"] = inputs.hostname
    cdi.inject(spec, [device.name for device in inputs.config.CDI_devices], inputs.runtime.cdi_dirs)
    return spec


def _process(inputs: BundleInputs) -> JsonObject:
    config, security, host = inputs.config, inputs.config.linux.security_context, inputs.host
    user = inputs.user
    limits = [host.clamp_rlimit(limit) for limit in inputs.runtime.rlimits]
    process: JsonObject = {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": arguments(config, inputs.image),
        "env": environment(config, inputs.image, inputs.hostname, user.home),
        "cwd": config.working_dir or inputs.image.working_dir or "/",
        "capabilities": container_capabilities(security, user.uid, host),
        "noNewPrivileges": security.no_new_privs,
        "oomScoreAdj": host.clamp_oom_score_adj(config.linux.resources.oom_score_adj),
        "rlimits": [{"type": f"RLIMIT_{limit.name}", "soft": limit.soft, "hard": limit.hard} for limit in limits],
    }
    if profile := mac.apparmor_profile(security, inputs.runtime.apparmor_profile, host):
        process["apparmorProfile"] = profile
    if label := mac.selinux_label(security, host):
        process["selinuxLabel"] = label
    return process


def arguments(config: cri.ContainerConfig, image: ImageConfig) -> list[str]:
    """`command` replaces the image's entrypoint and its arguments; `args` alone replace only the arguments."""
    found = [*config.command, *config.args]
    if not config.command:
        found = [*image.entrypoint, *(config.args or image.cmd)]
    if not found:
        raise errors.InvalidArgument("no command specified")
    return found


def environment(config: cri.ContainerConfig, image: ImageConfig, hostname: str, home: str) -> list[str]:
    """Later ones win: defaults, the image's, the container's; each name once, so that no program sees the other one."""
    found: dict[str, str] = {}
    for entry in (_DEFAULT_PATH, f"HOSTNAME={hostname}", *(("TERM=xterm",) if config.tty else ()), *image.env):
        name, _, value = entry.partition("=")
        found[name] = value
    for variable in config.envs:
        found[variable.key] = variable.value.decode(errors="replace")
    if home:
        found.setdefault("HOME", home)
    return [f"{name}={value}" for name, value in found.items()]


@functools.cache
def cgroup_v1_paths() -> tuple[str, ...]:
    """What is to be made read-only below /sys/fs/cgroup, besides the mount's own option: with v1 that option is the
    controllers', and the tmpfs that holds them is writable. The controllers are named too: crun makes the mounts read-only that
    lie below those which a read-only path makes of them.
    """
    return (str(CGROUPS), *sorted(str(path) for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()))


def _linux(inputs: BundleInputs, capabilities: frozenset[str], plan: MountPlan) -> JsonObject:
    config, security = inputs.config, inputs.config.linux.security_context
    devices, rules = container_devices(
        list(config.devices), privileged=security.privileged, block_devices=inputs.block_devices
    )
    linux: JsonObject = {
        "cgroupsPath": inputs.cgroups_path,
        "namespaces": _namespaces(inputs.namespaces, cgroup=inputs.cgroups.unified),
        "resources": {**linux_resources(config.linux.resources, inputs.cgroups), "devices": rules},
        "devices": devices,
    }
    if not security.privileged:
        linux["maskedPaths"] = list(security.masked_paths)
        linux["readonlyPaths"] = [*security.readonly_paths, *plan.readonly_paths]
        if not inputs.cgroups.unified and not any(Path(mount.container_path) == CGROUPS for mount in config.mounts):
            linux["readonlyPaths"] += cgroup_v1_paths()
    if inputs.namespaces.users is not None:
        linux |= inputs.namespaces.users.oci()
    if plan.root_propagation:
        linux["rootfsPropagation"] = plan.root_propagation
    seccomp = container_seccomp(security, capabilities, inputs.runtime.seccomp_profile, inputs.host)
    if seccomp is not None:
        linux["seccomp"] = seccomp
    if label := mac.selinux_label(security, inputs.host):
        linux["mountLabel"] = label
    return linux


def _namespaces(joined: JoinedNamespaces, *, cgroup: bool) -> list[JsonObject]:
    found: list[JsonObject] = [{"type": "mount"}]
    for kind, path in (("user", joined.user), ("network", joined.net), ("ipc", joined.ipc), ("uts", joined.uts)):
        if path is not None:
            found.append({"type": kind, "path": str(path)})
    if joined.pid is not None:
        found.append({"type": "pid", "path": joined.pid} if joined.pid else {"type": "pid"})
    if cgroup:
        found.append({"type": "cgroup"})  # on v1 a namespace would hide nothing: the mounts show the host's paths
    return found
