"""A static pod's manifest: bytes to the Pod that the agent runs. Source: docs/facts/pod-lifecycle.md 1.3.

Whatever a manifest says, and whatever the API's rules (`podspec.static_pod`) make of it, the answer is a pod or
InvalidManifest: one file never troubles the others, or the agent.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from lightkube.models.core_v1 import Pod

from nodeagent.podspec import annotations
from nodeagent.podspec.references import config_map_names, secret_names
from nodeagent.podspec.static_pod import prepare_pod, read_pod
from runtimes.kube import bounded_yaml
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

Read = Callable[[JsonObject], JsonObject]
"""Returns a pod with every field of the type that the API gives it. Raises ValueError that names the field."""
Prepare = Callable[[JsonObject], Sequence[str]]
"""Sets the API's defaults in a pod, in place, and returns all reasons to refuse it."""

# msgspec learns a class at its first use, and two threads that learn one at the same moment end the process with SIGSEGV
# (0.22): Pod, which the watch reads in the loop and the file source in a thread, is learnt here, before there are threads.
msgspec.json.Decoder(Pod)

MAX_BYTES = 10 * 1024 * 1024
MAX_REASONS = 16
MAX_REASON_CHARS = 4096
NO_EXECUTE_TOLERATION = {"operator": "Exists", "effect": "NoExecute"}


class InvalidManifest(ValueError):
    """The manifest is not a pod that can run as a static pod. The reason is a line of the log, whatever of the file it quotes."""

    def __init__(self, reason: str) -> None:
        line = reason.replace("\n", "\\n")
        super().__init__(line if len(line) <= MAX_REASON_CHARS else f"{line[:MAX_REASON_CHARS]}…")


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRules:
    """What makes a manifest a pod of this node. `tolerate`: the file source's toleration of every NoExecute taint."""

    node_name: str
    tolerate: bool
    read: Read = read_pod
    prepare: Prepare = prepare_pod


def decode(data: bytes) -> JsonObject:
    """Return the one object in YAML or JSON `data`, at a bounded cost. Raises InvalidManifest."""
    if len(data) > MAX_BYTES:
        raise InvalidManifest(f"the manifest is larger than {MAX_BYTES} bytes")
    try:
        documents = [document.value for document in bounded_yaml.read_all(data) if document.value is not None]
    except bounded_yaml.YamlError as error:
        raise InvalidManifest(f"not valid YAML or JSON: {error}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise InvalidManifest(f"one object is expected, {len(documents)} documents found")
    return documents[0]


def static_pod(manifest: JsonObject, origin: str, rules: StaticRules) -> Pod:
    """Return the pod of a manifest from `origin` (a path or URL). Raises InvalidManifest with every reason."""
    try:
        return _static_pod(manifest, origin, rules)
    except InvalidManifest:
        raise
    except Exception as error:
        # a bug, met by this manifest: it is reported with the file's name, and ends nothing
        log.debug("%s", origin, exc_info=True)
        raise InvalidManifest(f"cannot be judged: {type(error).__name__}: {error}") from error


def _static_pod(manifest: JsonObject, origin: str, rules: StaticRules) -> Pod:
    plain = _plain(manifest)
    if (plain.get("apiVersion"), plain.get("kind")) != ("v1", "Pod"):
        raise InvalidManifest(f"a v1 Pod is expected, not {plain.get('apiVersion')} {plain.get('kind')}")
    for field in ("metadata", "spec"):
        if field not in plain:
            raise InvalidManifest(f"{field} is missing")
    try:
        pod = rules.read(plain)
    except ValueError as error:
        raise InvalidManifest(str(error)) from error
    metadata, spec = pod["metadata"], pod["spec"]
    if not metadata.get("uid"):
        metadata["uid"] = content_hash(plain, rules.node_name, origin)
    metadata["name"] = f"{metadata.get('name') or ''}-{rules.node_name.lower()}"
    metadata["namespace"] = metadata.get("namespace") or "default"
    metadata["annotations"] = {**(metadata.get("annotations") or {}), annotations.HASH: metadata["uid"]}
    spec["nodeName"] = rules.node_name
    if rules.tolerate and NO_EXECUTE_TOLERATION not in (spec.get("tolerations") or ()):
        spec["tolerations"] = [*(spec.get("tolerations") or ()), NO_EXECUTE_TOLERATION]
    pod["status"] = {"phase": "Pending"}
    return _checked(pod, rules)


def content_hash(manifest: JsonObject, *parts: str) -> str:
    """Return 32 hex digits that change with the manifest, the node or the origin."""
    digest = hashlib.blake2b(msgspec.json.encode(manifest, order="sorted"), digest_size=16)
    for part in parts:
        digest.update(b"\0" + part.encode())
    return digest.hexdigest()


def api_reference(pod: Pod) -> str:
    """Say which kind of API object a pod refers to, which a static pod may not; empty: to none."""
    spec = pod.spec
    if spec is None:
        return ""
    if spec.serviceAccountName:
        return "serviceaccounts"
    if secret_names(spec):
        return "secrets"
    if config_map_names(spec):
        return "configmaps"
    if spec.resourceClaims:
        return "resourceclaims"
    for volume in spec.volumes or ():
        direct = (
            (volume.ephemeral, "persistentvolumeclaims (via ephemeral volumes)"),
            (volume.persistentVolumeClaim, "persistentvolumeclaims"),
            (volume.csi, "csidrivers (via CSI volumes)"),
            (volume.glusterfs, "endpoints (via glusterFS volumes)"),
        )
        for source, name in direct:
            if source is not None:
                return name
        for projection in (volume.projected.sources if volume.projected else None) or ():
            projected = (
                (projection.clusterTrustBundle, "clustertrustbundles"),
                (projection.podCertificate, "podcertificates"),
                (projection.serviceAccountToken, "serviceaccounts"),
            )
            for part, name in projected:
                if part is not None:
                    return f"{name} (via projected volumes)"
    return ""


def _checked(pod: JsonObject, rules: StaticRules) -> Pod:
    if reasons := rules.prepare(pod):
        more = [f"and {len(reasons) - MAX_REASONS} more"] if len(reasons) > MAX_REASONS else []
        raise InvalidManifest("; ".join([*reasons[:MAX_REASONS], *more]))
    typed = _typed(pod)
    if reference := api_reference(typed):
        raise InvalidManifest(f"static pods may not reference {reference}")
    return typed


def _typed(pod: JsonObject) -> Pod:
    try:
        return msgspec.convert(pod, Pod)
    except msgspec.ValidationError as error:
        raise InvalidManifest(str(error)) from error


def _plain(manifest: JsonObject) -> JsonObject:
    # a copy with JSON's types only, and without nulls: null is the same as absent
    try:
        plain: JsonObject = _without_nulls(msgspec.json.decode(msgspec.json.encode(manifest), type=dict[str, Any]))
    except (TypeError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidManifest(f"not a JSON object: {error}") from error
    return plain


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
