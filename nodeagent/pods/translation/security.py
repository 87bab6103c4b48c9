"""Who a container runs as and what it may do: pod and container security context as CRI messages.

A container's own setting wins over the pod's. Source: docs/facts/pod-lifecycle.md 11.4, 11.5, 11.6.
"""

from dataclasses import dataclass
from pathlib import Path

from lightkube.models.core_v1 import (
    AppArmorProfile,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
    SELinuxOptions,
)

from nodeagent.pods.translation.environment import ConfigError
from nodeagent.podspec.annotations import APPARMOR_PREFIX
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri

_MAX_UID = 2**31 - 1
_APPARMOR_LOCALHOST = "localhost/"
_MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySettings:
    """The node's side. `seccomp_dir`: where Localhost profiles are. `seccomp_default`: RuntimeDefault when unset.

    `masked_paths`: files of this machine that tell containers about other workloads.
    """

    seccomp_dir: Path = Path("/var/lib/kubelet/seccomp")
    seccomp_default: bool = False
    masked_paths: tuple[str, ...] = ()


def pod_context(pod: AgentPod) -> PodSecurityContext:
    return pod.spec.securityContext or PodSecurityContext()


def namespace_options(
    pod: AgentPod, *, target_id: str = "", user_namespace: cri.UserNamespace | None = None
) -> cri.NamespaceOption:
    """`target_id`: the container whose PID namespace an ephemeral container joins."""
    spec = pod.spec
    pid = cri.CONTAINER
    if spec.hostPID:
        pid = cri.NODE
    elif spec.shareProcessNamespace:
        pid = cri.POD
    if target_id:
        pid = cri.TARGET
    options = cri.NamespaceOption(
        network=cri.NODE if spec.hostNetwork else cri.POD,
        ipc=cri.NODE if spec.hostIPC else cri.POD,
        pid=pid,
        target_id=target_id,
    )
    options.userns_options.CopyFrom(user_namespace or cri.UserNamespace(mode=cri.NODE))
    return options


def sandbox_security(
    pod: AgentPod, *, user_namespace: cri.UserNamespace | None = None
) -> cri.LinuxSandboxSecurityContext:
    """The sandbox's own processes, if it has any, always run confined."""
    context = pod_context(pod)
    security = cri.LinuxSandboxSecurityContext(
        namespace_options=namespace_options(pod, user_namespace=user_namespace),
        privileged=is_privileged(pod),
        seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault),
        supplemental_groups=_groups(context),
        supplemental_groups_policy=_groups_policy(context),
    )
    if context.runAsUser is not None:
        security.run_as_user.value = context.runAsUser
    if context.runAsGroup is not None:
        security.run_as_group.value = context.runAsGroup
    if context.seLinuxOptions is not None:
        security.selinux_options.CopyFrom(_selinux(context.seLinuxOptions))
    return security


def is_privileged(pod: AgentPod) -> bool:
    """Whether any container of the pod is privileged."""
    holders = (*pod.spec.containers, *(pod.spec.initContainers or ()))
    return any(holder.securityContext is not None and holder.securityContext.privileged for holder in holders)


def container_security(
    pod: AgentPod,
    container: AnyContainer,
    image: cri.Image,
    settings: SecuritySettings,
    *,
    target_id: str = "",
    user_namespace: cri.UserNamespace | None = None,
    volume_groups: tuple[int, ...] = (),
) -> cri.LinuxContainerSecurityContext:
    """Raises ConfigError for a container that must not run as root and would, or cannot be seen not to."""
    of_pod, own = pod_context(pod), container.securityContext or SecurityContext()
    verify_non_root(pod, container, image)
    security = cri.LinuxContainerSecurityContext(
        privileged=bool(own.privileged),
        namespace_options=namespace_options(pod, target_id=target_id, user_namespace=user_namespace),
        readonly_rootfs=bool(own.readOnlyRootFilesystem),
        no_new_privs=own.allowPrivilegeEscalation is False,
        supplemental_groups=(*_groups(of_pod), *volume_groups),
        supplemental_groups_policy=_groups_policy(of_pod),
        seccomp=seccomp_profile(own.seccompProfile or of_pod.seccompProfile, settings),
    )
    _set_user(security, own, of_pod, image)
    if own.procMount != "Unmasked":
        security.masked_paths.extend((*_MASKED_PATHS, *settings.masked_paths))
        security.readonly_paths.extend(_READ_ONLY_PATHS)
    if own.capabilities is not None:
        security.capabilities.add_capabilities.extend(own.capabilities.add or ())
        security.capabilities.drop_capabilities.extend(own.capabilities.drop or ())
    selinux = own.seLinuxOptions or of_pod.seLinuxOptions
    if selinux is not None:
        security.selinux_options.CopyFrom(_selinux(selinux))
    _set_apparmor(security, pod, container.name, own.appArmorProfile, of_pod.appArmorProfile)
    return security


def verify_non_root(pod: AgentPod, container: AnyContainer, image: cri.Image) -> None:
    """runAsNonRoot. Raises ConfigError with the words that users know."""
    of_pod, own = pod_context(pod), container.securityContext or SecurityContext()
    if not (of_pod.runAsNonRoot if own.runAsNonRoot is None else own.runAsNonRoot):
        return
    where = f'(pod: "{pod.describe()}", container: {container.name})'
    user = of_pod.runAsUser if own.runAsUser is None else own.runAsUser
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    uid = image.uid.value if image.HasField("uid") else None
    if uid is None and image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if not uid:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not 0 < uid <= _MAX_UID:
        raise ConfigError(
            f"container has runAsNonRoot and image has an invalid user id ({uid}). (Must be 1-({_MAX_UID})): {where}"
        )


def seccomp_profile(profile: SeccompProfile | None, settings: SecuritySettings) -> cri.SecurityProfile:
    kinds = cri.SecurityProfile
    match profile.type if profile is not None else None:
        case None:
            return kinds(profile_type=kinds.RuntimeDefault if settings.seccomp_default else kinds.Unconfined)
        case "RuntimeDefault":
            return kinds(profile_type=kinds.RuntimeDefault)
        case "Localhost":
            assert profile is not None
            path = _profile_file(settings.seccomp_dir, profile.localhostProfile or "")
            return kinds(profile_type=kinds.Localhost, localhost_ref=str(path))
    return kinds(profile_type=kinds.Unconfined)


def _profile_file(folder: Path, name: str) -> Path:
    """The file of a Localhost profile. Raises ConfigError where none is named or it is not below the node's folder.

    An API server refuses such pods; here a profile that is unknown never becomes no profile (CVE-2023-2431).
    """
    if not name:
        raise ConfigError("localhostProfile must be set if seccompProfile type is Localhost.")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ConfigError(f"seccompProfile: localhostProfile {name!r} is not below the folder of the node's profiles")
    return folder / name


def thermal_throttle_paths() -> tuple[str, ...]:
    """The files in which this machine's CPUs tell how hot other workloads make them. Blocks for a moment."""
    cpus = Path("/sys/devices/system/cpu")
    return tuple(sorted(str(path) for path in cpus.glob("cpu[0-9]*/thermal_throttle")))


def _set_user(
    security: cri.LinuxContainerSecurityContext, own: SecurityContext, of_pod: PodSecurityContext, image: cri.Image
) -> None:
    user = of_pod.runAsUser if own.runAsUser is None else own.runAsUser
    group = of_pod.runAsGroup if own.runAsGroup is None else own.runAsGroup
    if user is not None:
        security.run_as_user.value = user
    elif image.HasField("uid"):
        security.run_as_user.value = image.uid.value
    elif image.username:
        security.run_as_username = image.username
    else:
        security.run_as_user.value = 0
    if group is not None:
        security.run_as_group.value = group


def _set_apparmor(
    security: cri.LinuxContainerSecurityContext,
    pod: AgentPod,
    container: str,
    own: AppArmorProfile | None,
    of_pod: AppArmorProfile | None,
) -> None:
    """The field of the container, the annotation of older days, the field of the pod; in the new form and the old."""
    annotation: str = pod.annotations.get(APPARMOR_PREFIX + container, "")
    kinds = cri.SecurityProfile
    if own is not None:
        text = _apparmor_text(own)
    elif annotation:
        text = annotation
    elif of_pod is not None:
        text = _apparmor_text(of_pod)
    else:
        return
    security.apparmor_profile = text
    if text == "runtime/default":
        security.apparmor.profile_type = kinds.RuntimeDefault
    elif text == "unconfined":
        security.apparmor.profile_type = kinds.Unconfined
    else:
        security.apparmor.profile_type = kinds.Localhost
        security.apparmor.localhost_ref = text.removeprefix(_APPARMOR_LOCALHOST)
    security.apparmor.SetInParent()


def _apparmor_text(profile: AppArmorProfile) -> str:
    match profile.type:
        case "Localhost":
            return _APPARMOR_LOCALHOST + (profile.localhostProfile or "")
        case "RuntimeDefault":
            return "runtime/default"
    return "unconfined"


def _groups(context: PodSecurityContext) -> tuple[int, ...]:
    fs_group = () if context.fsGroup is None else (context.fsGroup,)
    return (*fs_group, *(context.supplementalGroups or ()))


def _groups_policy(context: PodSecurityContext) -> cri.SupplementalGroupsPolicy:
    return cri.Strict if context.supplementalGroupsPolicy == "Strict" else cri.Merge


def _selinux(options: SELinuxOptions) -> cri.SELinuxOption:
    return cri.SELinuxOption(
        user=options.user or "", role=options.role or "", type=options.type or "", level=options.level or ""
    )
