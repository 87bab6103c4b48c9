"""The node's status as a function of what is known now. Pure. Source: docs/facts/node-resources.md 8.2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from lightkube.models.core_v1 import (
    ContainerImage,
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeDaemonEndpoints,
    NodeFeatures,
    NodeRuntimeHandler,
    NodeRuntimeHandlerFeatures,
    NodeStatus,
    NodeSwapStatus,
    NodeSystemInfo,
)

from nodeagent.node.conditions import Pressure, conditions, missing_capacity
from nodeagent.node.facts import Machine
from nodeagent.podspec.validation.resources import is_extended

MAX_NAMES_PER_IMAGE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOnNode:
    """An image in some runtime's store."""

    id: str
    size_bytes: int
    digests: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeHandler:
    """A RuntimeClass handler of this node, and what it can do. The default one has the name "".

    `image_volumes_refusal`: why its containers cannot mount images; empty: they can.
    """

    name: str
    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False
    image_volumes_refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """The runtimes, as last seen. `version`: "runc://1.1.5". `errors`: why the node is not ready, none: it is.

    `handler_errors`: what is wrong with the others than the default one, None where there is no other.
    """

    version: str = ""
    errors: tuple[str, ...] = ("container runtime status check may not have completed yet",)
    handler_errors: tuple[str, ...] | None = None
    handlers: tuple[RuntimeHandler, ...] = ()
    supplemental_groups_policy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What stays as it is while the agent runs. `max_images` -1: no limit. `version`: of the agent ("v1.36.0")."""

    name: str
    machine: Machine
    version: str
    port: int = 10250
    max_images: int = 50
    account_storage: bool = True
    cfs_quota: bool = True
    lacking_controllers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What changes. `volumes_in_use` None: not known yet. `errors`: of anything but the runtime that stops Ready.

    `reset_extended`: extended resources that the Node shows, and `capacity` does not, are none.
    """

    addresses: Sequence[NodeAddress]
    runtime: RuntimeState
    capacity: Mapping[str, str]
    allocatable: Mapping[str, str]
    declared_features: Sequence[str] = ()
    images: Sequence[ImageOnNode] = ()
    pressure: Pressure = field(default_factory=Pressure)
    volumes_in_use: Sequence[str] | None = None
    errors: Sequence[str] = ()
    reset_extended: bool = False


def node_status(config: NodeConfig, observed: Observed, before: Node, now: datetime) -> NodeStatus:
    """Return the whole status to report. What others own (volumesAttached, foreign conditions, extended resources that somebody
    has written down as the node's) is left as it was.
    """
    old = before.status or NodeStatus()
    extended = {
        name: "0" if observed.reset_extended else amount
        for name, amount in (old.capacity or {}).items()
        if is_extended(name) and name not in observed.capacity
    }
    missing = missing_capacity(observed.capacity, storage=config.account_storage)
    errors = [*observed.runtime.errors, *observed.errors, *([missing] if missing else [])]
    own = conditions(
        old.conditions or (),
        observed.pressure,
        errors,
        cfs_quota=config.cfs_quota,
        lacking=config.lacking_controllers,
        now=now,
        handler_errors=observed.runtime.handler_errors,
    )
    own_types = {condition.type for condition in own}
    foreign = [condition for condition in old.conditions or () if condition.type not in own_types]
    in_use = old.volumesInUse if observed.volumes_in_use is None else sorted(observed.volumes_in_use) or None
    runtime = observed.runtime
    return msgspec.structs.replace(
        old,
        addresses=list(observed.addresses),
        capacity={**extended, **observed.capacity},
        allocatable={**extended, **observed.allocatable},
        nodeInfo=system_info(config, runtime),
        daemonEndpoints=NodeDaemonEndpoints(kubeletEndpoint=DaemonEndpoint(Port=config.port)),
        images=images(observed.images, config.max_images) or None,
        runtimeHandlers=_handlers(runtime.handlers) or None,
        features=NodeFeatures(supplementalGroupsPolicy=runtime.supplemental_groups_policy),
        declaredFeatures=sorted(observed.declared_features) or None,
        conditions=[*foreign, *own],
        volumesInUse=in_use,
    )


def system_info(config: NodeConfig, runtime: RuntimeState) -> NodeSystemInfo:
    machine = config.machine
    return NodeSystemInfo(
        machineID=machine.machine_id,
        systemUUID=machine.system_uuid,
        bootID=machine.boot_id,
        kernelVersion=machine.kernel_version,
        osImage=machine.os_image,
        containerRuntimeVersion=runtime.version or "unknown://Unknown",
        kubeletVersion=config.version,
        kubeProxyVersion="",
        operatingSystem=machine.operating_system,
        architecture=machine.architecture,
        swap=NodeSwapStatus(capacity=machine.swap_bytes) if machine.swap_bytes else None,
    )


def images(found: Sequence[ImageOnNode], limit: int) -> list[ContainerImage]:
    """Return the largest images first, then the higher id; at most `limit` (-1: all), each with at most five names."""
    ordered = sorted(found, key=lambda image: (image.size_bytes, image.id), reverse=True)
    chosen = ordered if limit < 0 else ordered[:limit]
    return [
        ContainerImage(
            names=[*image.digests, *image.tags][:MAX_NAMES_PER_IMAGE] or None,
            sizeBytes=image.size_bytes,
        )
        for image in chosen
    ]


def _handlers(handlers: Sequence[RuntimeHandler]) -> list[NodeRuntimeHandler]:
    return [
        NodeRuntimeHandler(
            name=handler.name,
            features=NodeRuntimeHandlerFeatures(
                recursiveReadOnlyMounts=handler.recursive_read_only_mounts, userNamespaces=handler.user_namespaces
            ),
        )
        for handler in sorted(handlers, key=lambda handler: handler.name)
    ]
