"""What the cgroups of the node, of a QoS class and of a pod are called, by cgroup driver.

Source: docs/facts/node-resources.md 2.1.
"""

from collections.abc import Sequence
from typing import Protocol

QOS_GUARANTEED = "Guaranteed"
QOS_BURSTABLE = "Burstable"
QOS_BEST_EFFORT = "BestEffort"
_QOS_COMPONENTS: dict[str, tuple[str, ...]] = {
    QOS_GUARANTEED: (),
    QOS_BURSTABLE: ("burstable",),
    QOS_BEST_EFFORT: ("besteffort",),
}
_POD_PREFIX = "pod"


class Naming(Protocol):
    """Logical components -> path in the hierarchy, which is also the CRI's cgroup_parent, and back."""

    def path(self, components: Sequence[str]) -> str: ...

    def last_component(self, name: str) -> str:
        """The logical component that a directory name stands for."""
        ...


class CgroupfsNaming:
    """Components as they are: `/kubepods/burstable/pod<uid>`."""

    def path(self, components: Sequence[str]) -> str:
        for component in components:
            check_component(component)
        return "/" + "/".join(components)

    def last_component(self, name: str) -> str:
        return name


class SystemdNaming:
    """Slices, each named after all above it: `/kubepods.slice/kubepods-burstable.slice/…`; `-` inside becomes `_`."""

    def path(self, components: Sequence[str]) -> str:
        slices: list[str] = []
        prefix = ""
        for component in components:
            check_component(component)
            prefix += ("-" if prefix else "") + component.replace("-", "_")
            slices.append(f"{prefix}.slice")
        return "/" + "/".join(slices)

    def last_component(self, name: str) -> str:
        return name.removesuffix(".slice").rpartition("-")[2].replace("_", "-")


def check_component(component: str) -> None:
    """Raises ValueError for what cannot be told apart from a separator."""
    if not component or component in (".", "..") or "/" in component or "_" in component:
        raise ValueError(f"cgroup name component {component!r} must not contain '/' or '_'")


def qos_components(root: Sequence[str], qos: str) -> tuple[str, ...]:
    return (*root, *_QOS_COMPONENTS[qos])


def pod_components(root: Sequence[str], qos: str, uid: str) -> tuple[str, ...]:
    return (*qos_components(root, qos), _POD_PREFIX + uid)


def uid_of_component(component: str) -> str | None:
    """The pod's UID when a component names a pod."""
    return component.removeprefix(_POD_PREFIX) if component.startswith(_POD_PREFIX) else None
