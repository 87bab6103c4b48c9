"""The controls of the level baseline: what no workload needs that is not the cluster's own."""

from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.isolation.standards.control import (
    Container,
    Control,
    Found,
    Level,
    Place,
    PodView,
    containers_of,
    distinct,
    mapping,
    owners,
    plural,
    quoted,
    setters,
    values,
)

CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
PROFILES = frozenset({"RuntimeDefault", "Localhost"})

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_SELINUX_TYPES = {"": (1, 0), "container_t": (1, 0), "container_init_t": (1, 0), "container_kvm_t": (1, 0)} | {
    "container_engine_t": (1, 31)
}
_SYSCTLS = {
    "kernel.shm_rmid_forced": (1, 0),
    "net.ipv4.ip_local_port_range": (1, 0),
    "net.ipv4.tcp_syncookies": (1, 0),
    "net.ipv4.ping_group_range": (1, 0),
    "net.ipv4.ip_unprivileged_port_start": (1, 0),
    "net.ipv4.ip_local_reserved_ports": (1, 27),
    "net.ipv4.tcp_keepalive_time": (1, 29),
    "net.ipv4.tcp_fin_timeout": (1, 29),
    "net.ipv4.tcp_keepalive_intvl": (1, 29),
    "net.ipv4.tcp_keepalive_probes": (1, 29),
    "net.ipv4.tcp_rmem": (1, 32),
    "net.ipv4.tcp_wmem": (1, 32),
}
"""Sysctl -> the version since which it may be set."""
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def in_contexts(view: PodView, *names: str, bad: Callable[[Any], bool]) -> tuple[Place, ...]:
    """The pod's and every container's `securityContext.NAMES`, where it is set and bad."""
    path = ".".join(names)
    found = [Place(f"spec.securityContext.{path}", value=text_of(value)) for value in _at(view.context, names, bad)]
    return (*found, *in_containers(view, *names, bad=bad))


def in_containers(view: PodView, *names: str, bad: Callable[[Any], bool]) -> tuple[Place, ...]:
    """As `in_contexts`, of containers alone."""
    path = ".".join(names)
    return tuple(
        Place(f"{each.path}.securityContext.{path}", each.name, text_of(value))
        for each in view.containers()
        for value in _at(each.context, names, bad)
    )


def text_of(value: Any) -> str:
    """As JSON writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(context: Mapping[str, Any], names: tuple[str, ...], bad: Callable[[Any], bool]) -> list[Any]:
    value: Any = context
    for name in names:
        value = mapping(value).get(name)
    return [value] if value is not None and bad(value) else []


def proc_mount(view: PodView) -> Found | None:
    """For every level that does not let go of it."""
    places = in_containers(view, "procMount", bad=lambda value: value != "Default")
    if not places:
        return None
    detail = f"{containers_of(places)} must not set securityContext.procMount to {quoted(distinct(places))}"
    return "procMount", detail, places


def _proc_mount(view: PodView) -> Found | None:
    return None if view.has_own_users else proc_mount(view)


def _app_armor(view: PodView) -> Found | None:
    places = in_contexts(view, "appArmorProfile", "type", bad=lambda value: value not in PROFILES)
    bad = {
        key: str(value)
        for key, value in view.annotations.items()
        if str(key).startswith(_APPARMOR_ANNOTATION)
        and value
        and value != "runtime/default"
        and not str(value).startswith("localhost/")
    }
    annotations = tuple(Place(f"metadata.annotations[{key}]", value=value) for key, value in bad.items())
    if not places and not annotations:
        return None
    shown = distinct(places) + sorted(f'{key}="{value}"' for key, value in bad.items())
    who = [part for part in (setters(places), plural("annotation", len(bad)) if bad else "") if part]
    detail = f"{' and '.join(who)} must not set AppArmor profile type to {quoted(shown)}"
    return plural("forbidden AppArmor profile", len(shown)), detail, (*places, *annotations)


def _capabilities(view: PodView) -> Found | None:
    places = added(view, CAPABILITIES)
    if not places:
        return None
    return (
        "non-default capabilities",
        f"{containers_of(places)} must not include {quoted(distinct(places))} in securityContext.capabilities.add",
        places,
    )


def added(view: PodView, allowed: frozenset[str]) -> tuple[Place, ...]:
    """Capabilities that are added beyond those."""
    return tuple(
        Place(f"{each.path}.securityContext.capabilities.add[{at}]", each.name, str(name))
        for each in view.containers()
        for at, name in enumerate(values(mapping(each.context.get("capabilities")).get("add")))
        if name not in allowed
    )


def _host_namespaces(view: PodView) -> Found | None:
    names = [name for name in _HOST_NAMESPACES if view.spec.get(name) is True]
    if not names:
        return None
    return (
        "host namespaces",
        ", ".join(f"{name}=true" for name in names),
        tuple(Place(f"spec.{name}", value="true") for name in names),
    )


def _host_paths(view: PodView) -> Found | None:
    found = [
        (at, str(mapping(volume).get("name", "")))
        for at, volume in enumerate(values(view.spec.get("volumes")))
        if mapping(volume).get("hostPath") is not None
    ]
    if not found:
        return None
    detail = f"{plural('volume', len(found))} {quoted(name for _, name in found)}"
    return "hostPath volumes", detail, tuple(Place(f"spec.volumes[{at}].hostPath") for at, _ in found)


def _host_ports(view: PodView) -> Found | None:
    places = tuple(
        Place(f"{each.path}.ports[{at}].hostPort", each.name, str(mapping(port)["hostPort"]))
        for each in view.containers()
        for at, port in enumerate(values(each.fields.get("ports")))
        if mapping(port).get("hostPort")
    )
    if not places:
        return None
    ports, many = distinct(places), len(owners(places))
    detail = (
        f"{containers_of(places)} {plural('uses', many, 'use')} {plural('hostPort', len(ports))} {', '.join(ports)}"
    )
    return "hostPort", detail, places


def _hosts_of_probes(view: PodView) -> Found | None:
    places = tuple(place for each in view.containers() for place in _hosts(each))
    if not places:
        return None
    hosts, names = distinct(places), sorted(owners(places))
    detail = (
        f"{plural('container', len(names))} {quoted(names)} {plural('uses', len(names), 'use')} "
        f"{plural('probe or lifecycle host', len(hosts))} {quoted(hosts)}"
    )
    return "probe or lifecycle host", detail, places


def _hosts(container: Container) -> list[Place]:
    handlers = {name: mapping(container.fields.get(name)) for name in _PROBES}
    lifecycle = mapping(container.fields.get("lifecycle"))
    handlers |= {f"lifecycle.{name}": mapping(lifecycle.get(name)) for name in ("postStart", "preStop")}
    return [
        Place(f"{container.path}.{name}.{kind}.host", container.name, str(mapping(handler.get(kind))["host"]))
        for name, handler in handlers.items()
        for kind in ("httpGet", "tcpSocket")
        if mapping(handler.get(kind)).get("host")
    ]


def _privileged(view: PodView) -> Found | None:
    places = in_containers(view, "privileged", bad=lambda value: value is True)
    if not places:
        return None
    return "privileged", f"{containers_of(places)} must not set securityContext.privileged=true", places


def _selinux(view: PodView) -> Found | None:
    allowed = {name for name, since in _SELINUX_TYPES.items() if view.version >= since}
    types = in_contexts(view, "seLinuxOptions", "type", bad=lambda value: value not in allowed)
    users = in_contexts(view, "seLinuxOptions", "user", bad=bool)
    roles = in_contexts(view, "seLinuxOptions", "role", bad=bool)
    places = (*types, *users, *roles)
    if not places:
        return None
    order = [each.name for each in view.containers()]
    told = sorted(places, key=lambda place: order.index(place.owner) if place.owner in order else -1)
    wrong = [f"{plural('type', len(distinct(types)))} {quoted(distinct(types))}"] if types else []
    wrong += ["user may not be set"] if users else []
    wrong += ["role may not be set"] if roles else []
    detail = f"{setters(told)} set forbidden securityContext.seLinuxOptions: {'; '.join(wrong)}"
    return "seLinuxOptions", detail, places


def _seccomp(view: PodView) -> Found | None:
    return unconfined(in_contexts(view, "seccompProfile", "type", bad=lambda value: value not in PROFILES))


def unconfined(places: tuple[Place, ...]) -> Found | None:
    """What sets a profile that is not allowed."""
    if not places:
        return None
    detail = f"{setters(places)} must not set securityContext.seccompProfile.type to {quoted(distinct(places))}"
    return "seccompProfile", detail, places


def _sysctls(view: PodView) -> Found | None:
    places = tuple(
        Place(f"spec.securityContext.sysctls[{at}].name", value=name)
        for at, entry in enumerate(values(view.context.get("sysctls")))
        if view.version < _SYSCTLS.get(name := str(mapping(entry).get("name", "")), (99, 0))
    )
    return ("forbidden sysctls", ", ".join(place.value for place in places), places) if places else None


def _host_process(view: PodView) -> Found | None:
    places = in_contexts(view, "windowsOptions", "hostProcess", bad=lambda value: value is True)
    if not places:
        return None
    return "hostProcess", f"{setters(places)} must not set securityContext.windowsOptions.hostProcess=true", places


CONTROLS = (
    Control("hostNamespaces", Level.BASELINE, _host_namespaces),
    Control("privileged", Level.BASELINE, _privileged),
    Control("capabilities_baseline", Level.BASELINE, _capabilities),
    Control("hostPathVolumes", Level.BASELINE, _host_paths),
    Control("hostPorts", Level.BASELINE, _host_ports),
    Control("hostProbesAndHostLifecycle", Level.BASELINE, _hosts_of_probes, since=(1, 34)),
    Control("appArmorProfile", Level.BASELINE, _app_armor),
    Control("seLinuxOptions", Level.BASELINE, _selinux),
    Control("procMount_baseline", Level.BASELINE, _proc_mount),
    Control("seccompProfile_baseline", Level.BASELINE, _seccomp, since=(1, 19)),
    Control("sysctls", Level.BASELINE, _sysctls),
    Control("windowsHostProcess", Level.BASELINE, _host_process),
)
