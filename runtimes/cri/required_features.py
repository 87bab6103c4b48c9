"""The features that a request requires of a CRI peer, which an older one would leave out in silence. Pure.

A pod that asks for a user namespace, a read-only tree or exactly its own groups, and gets a container without them, is
less isolated than its owner believes: so the request is refused before the peer sees it, unless the peer says that it can.
"""

import re

from proto import cri_pb2 as cri

USER_NAMESPACES = "user namespaces"
RECURSIVE_READ_ONLY = "recursive read-only mounts"
STRICT_GROUPS = "the supplemental groups policy Strict"

# The first releases that mount images; the CRI has no other way to tell. Other peers are taken at their word.
_FIRST_WITH_IMAGE_VOLUMES = {"containerd": (2, 1), "cri-o": (1, 31)}
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


def of_sandbox(config: cri.PodSandboxConfig) -> frozenset[str]:
    options = config.linux.security_context.namespace_options
    found = set()
    if options.HasField("userns_options") and options.userns_options.mode == cri.POD:
        found.add(USER_NAMESPACES)
    if config.linux.security_context.supplemental_groups_policy == cri.SupplementalGroupsPolicy.Strict:
        found.add(STRICT_GROUPS)
    return frozenset(found)


def of_container(config: cri.ContainerConfig) -> frozenset[str]:
    found = set()
    if any(mount.recursive_read_only for mount in config.mounts):
        found.add(RECURSIVE_READ_ONLY)
    if config.linux.security_context.supplemental_groups_policy == cri.SupplementalGroupsPolicy.Strict:
        found.add(STRICT_GROUPS)
    return frozenset(found)


def met(status: cri.StatusResponse, handler: str) -> frozenset[str]:
    """What the peer says it can do, for that handler. A peer that lists no handlers says nothing."""
    found = {STRICT_GROUPS} if status.features.supplemental_groups_policy else set()
    for entry in status.runtime_handlers:
        if entry.name == handler:
            found |= {USER_NAMESPACES} if entry.features.user_namespaces else set()
            found |= {RECURSIVE_READ_ONLY} if entry.features.recursive_read_only_mounts else set()
    return frozenset(found)


def mounts_images(config: cri.ContainerConfig) -> bool:
    return any(mount.HasField("image") for mount in config.mounts)


def image_volumes_refusal(version: cri.VersionResponse) -> str:
    """Why a peer of this version cannot mount images; empty: it can."""
    first, found = _FIRST_WITH_IMAGE_VOLUMES.get(version.runtime_name.lower()), _VERSION.match(version.runtime_version)
    if first is None or found is None or (int(found[1]), int(found[2])) >= first:
        return ""
    return (
        f"image volumes are not supported by {version.runtime_name} {version.runtime_version}: "
        f"they need {version.runtime_name} {first[0]}.{first[1]}"
    )
