"""The fields that a Pod gets when its author left them out (docs/facts/embedded-api.md 13). Idempotent, in place."""

from fractions import Fraction

from nodeagent.podspec.container_lists import containers
from nodeagent.podspec.effective import is_pod_level
from nodeagent.podspec.unchecked_amounts import container_total
from runtimes.kube.canonical_quantity import MILLI, canonical_map, canonical_or_same
from runtimes.kube.json_object import JsonObject

TOKEN_LIFETIME_SECONDS = 3600
FILE_MODE = 0o644  # shown as 420 in JSON
_FALSE_IS_ABSENT = ("hostNetwork", "hostPID", "hostIPC")
_MODE_SOURCES = ("secret", "configMap", "downwardAPI", "projected")
_SOURCE_DEFAULTS: dict[str, JsonObject] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "hostPath": {"type": ""},
}


def default_pod(pod: JsonObject) -> None:
    default_spec(pod.setdefault("spec", {}))


def default_spec(spec: JsonObject) -> None:
    """Defaults of a PodSpec."""
    for name, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
    ):
        if not spec.get(name):
            spec[name] = value
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("securityContext", {})
    grace = spec.setdefault("terminationGracePeriodSeconds", 30)
    if grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for name in _FALSE_IS_ABSENT:
        if spec.get(name) is False:
            del spec[name]
    _service_account(spec)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for path, container in containers(spec):
        _default_container(container, host_network=spec.get("hostNetwork", False), ephemeral="ephemeral" in path)
    canonical_map(spec.get("overhead"))
    _pod_level_resources(spec)


def pull_policy(image: str) -> str:
    """`Always` for the tag `latest` or none (and no digest), else `IfNotPresent`."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _service_account(spec: JsonObject) -> None:
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _default_container(container: JsonObject, *, host_network: bool, ephemeral: bool) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    resources = container.setdefault("resources", {})
    canonical_map(resources.get("limits"), digits=MILLI)
    canonical_map(resources.get("requests"), digits=MILLI)
    if not ephemeral:
        _requests_from_limits(resources)
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if host_network and not port.get("hostPort") and "containerPort" in port:
            port["hostPort"] = port["containerPort"]
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http_get(hook)
    for variable in container.get("env") or ():
        _default_value_from(variable.get("valueFrom") or {})
    context = container.get("securityContext")
    if context is not None and context.get("procMount") == "":
        context["procMount"] = "Default"


def _requests_from_limits(resources: JsonObject) -> None:
    limits = resources.get("limits")
    if not limits:
        return
    stated = resources.setdefault("requests", {})
    for name, amount in limits.items():
        stated.setdefault(name, amount)


def _default_probe(probe: JsonObject) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    _default_http_get(probe)
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _default_http_get(handler: JsonObject) -> None:
    request = handler.get("httpGet")
    if request is not None:
        if not request.get("path"):
            request["path"] = "/"
        if not request.get("scheme"):
            request["scheme"] = "HTTP"


def _default_value_from(source: JsonObject) -> None:
    if source.get("fieldRef") is not None and not source["fieldRef"].get("apiVersion"):
        source["fieldRef"]["apiVersion"] = "v1"
    if source.get("resourceFieldRef") is not None:
        _default_divisor(source["resourceFieldRef"])
    if source.get("fileKeyRef") is not None:
        source["fileKeyRef"].setdefault("optional", False)


def _default_divisor(reference: JsonObject) -> None:
    reference["divisor"] = canonical_or_same(reference.get("divisor", "0"))


def _default_volume(volume: JsonObject) -> None:
    if not any(name != "name" for name in volume):
        volume["emptyDir"] = {}
    for name, defaults in _SOURCE_DEFAULTS.items():
        if volume.get(name) is not None:
            for field, value in defaults.items():
                volume[name].setdefault(field, value)
    for name in _MODE_SOURCES:
        if volume.get(name) is not None:
            volume[name].setdefault("defaultMode", FILE_MODE)
    directory = volume.get("emptyDir")
    if directory and "sizeLimit" in directory:
        directory["sizeLimit"] = canonical_or_same(directory["sizeLimit"])
    if volume.get("image") is not None and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = pull_policy(volume["image"].get("reference") or "")
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    _default_files((volume.get("downwardAPI") or {}).get("items"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _default_files((source.get("downwardAPI") or {}).get("items"))
        token = source.get("serviceAccountToken")
        if token is not None:
            token.setdefault("expirationSeconds", TOKEN_LIFETIME_SECONDS)


def _default_files(items: list[JsonObject] | None) -> None:
    for item in items or ():
        if item.get("fieldRef") is not None and not item["fieldRef"].get("apiVersion"):
            item["fieldRef"]["apiVersion"] = "v1"
        if item.get("resourceFieldRef") is not None:
            _default_divisor(item["resourceFieldRef"])


def _pod_level_resources(spec: JsonObject) -> None:
    """Fill pod-level requests: from the containers where they say something, else from the pod-level limit."""
    resources = spec.get("resources")
    if not resources:
        return
    canonical_map(resources.get("limits"), digits=MILLI)
    canonical_map(resources.get("requests"), digits=MILLI)
    stated = resources.setdefault("requests", {})
    for name, amount in container_total(spec, "requests").items():
        if is_pod_level(name) and name not in stated:
            stated[name] = canonical_or_same(_text(name, amount))
    for name, amount in (resources.get("limits") or {}).items():
        if is_pod_level(name):
            stated.setdefault(name, amount)
    if not stated:
        del resources["requests"]


def _text(name: str, amount: Fraction) -> str:
    """A sum as text, in the suffix family of the resource: milli for CPU, bytes for the rest."""
    if name == "cpu":
        return f"{int(amount * 1000)}m"
    whole = int(amount)
    return f"{whole // 1024}Ki" if whole % 1024 == 0 else str(whole)
