"""Security contexts of pods and containers."""

from nodeagent.podspec.validation.rules import id_range, no_way_up, relative_path
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")
_POLICIES = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex "
    r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def pod_security(path: str, context: JsonObject, spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        errors += id_range(f"{path}.{name}", context.get(name))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += id_range(f"{path}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid("spec.shareProcessNamespace", True, text))
    for name, supported in _POLICIES.items():
        value = context.get(name)
        if value is not None and value not in supported:
            errors.append(not_supported(f"{path}.{name}", value, supported))
    errors += _sysctls(f"{path}.sysctls", context.get("sysctls") or [], spec)
    return errors + _profiles(path, context) + _host_users(spec)


def container_security(path: str, context: JsonObject | None, spec: JsonObject) -> list[FieldError]:
    if context is None:
        return []
    errors = id_range(f"{path}.runAsUser", context.get("runAsUser"))
    errors += id_range(f"{path}.runAsGroup", context.get("runAsGroup"))
    mount = context.get("procMount")
    if mount is not None and mount not in _PROC_MOUNTS:
        errors.append(not_supported(f"{path}.procMount", mount, _PROC_MOUNTS))
    if mount == "Unmasked" and spec.get("hostUsers", True):
        text = "`hostUsers` must be false to use `Unmasked`"
        errors.append(invalid(f"{path}.procMount", mount, text))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(path, context, text))
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added:
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(path, context, text))
    return errors + _profiles(path, context)


def _profiles(path: str, context: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, shown in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(name)
        if profile is not None:
            errors += _profile(f"{path}.{name}", profile, shown)
    return errors


def _profile(path: str, profile: JsonObject, shown: str) -> list[FieldError]:
    kind = profile.get("type") or ""
    local = profile.get("localhostProfile")
    if not kind:
        return [required(f"{path}.type", "type is required when seccompProfile is set" if shown == "seccomp" else "")]
    if kind not in _PROFILE_TYPES:
        return [not_supported(f"{path}.type", kind, _PROFILE_TYPES)]
    where = f"{path}.localhostProfile"
    if kind != "Localhost":
        if local is None:
            return []
        return [invalid(where, local, f"can only be set when {shown} type is Localhost")]
    if not local:
        return [required(where, f"must be set when {shown} type is Localhost")]
    return relative_path(where, local) if shown == "seccomp" else no_way_up(where, local)


def _sysctls(path: str, sysctls: list[JsonObject], spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            errors.append(required(where))
            continue
        if not names.sysctl_name(name):
            errors.append(invalid(where, name, _SYSCTL_TEXT))
        dotted = name.replace("/", ".")
        if dotted in seen:
            errors.append(duplicate(where, name))
        seen.add(dotted)
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(invalid(where, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and dotted.startswith(_IPC_SYSCTLS):
            errors.append(invalid(where, name, "may not be specified when 'hostIPC' is true"))
    return errors


def _host_users(spec: JsonObject) -> list[FieldError]:
    if spec.get("hostUsers", True):
        return []
    return [
        forbidden(f"spec.{name}", "when `hostUsers` is false")
        for name in ("hostNetwork", "hostPID", "hostIPC")
        if spec.get(name)
    ]
