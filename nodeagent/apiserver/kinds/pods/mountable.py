"""Service accounts whose pods may name only the secrets that the account lists (kubernetes.io/enforce-mountable-secrets).

Every way of naming a secret counts, in containers of every kind: what was forgotten upstream were ephemeral containers
(CVE-2023-2728) and envFrom (CVE-2024-3177).
"""

from collections.abc import Iterator
from typing import Any

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.podspec.container_lists import LISTS, containers
from runtimes.kube.json_object import JsonObject

ENFORCED = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_KINDS = {
    "containers": "container",
    "initContainers": "init container",
    "ephemeralContainers": "ephemeral container",
}


def limit_secrets(pod: JsonObject, account: JsonObject) -> None:
    """Raises ApiError 403 for a new pod that names a secret which its account does not list."""
    if not _limits(account):
        return
    spec, listed = pod["spec"], _names(account.get("secrets"))
    for secret in _of_volumes(spec):
        if secret not in listed:
            raise _refused(pod, account, f'volume with secret.secretName="{secret}"')
    _limit_containers(pod, account, *LISTS)
    pulling = _names(account.get("imagePullSecrets"))
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        name = reference.get("name") or ""
        if name not in pulling:
            raise _refused(pod, account, f'imagePullSecrets[{index}].name="{name}"', what="imagePullSecret")


def limit_ephemeral(pod: JsonObject, ctx: AdmissionContext) -> None:
    """The same for containers that join a pod later. An account that is gone by then limits nothing, as upstream."""
    account = ctx.get("serviceaccounts", ctx.namespace, pod["spec"].get("serviceAccountName") or "default")
    if account is not None and _limits(account):
        _limit_containers(pod, account, "ephemeralContainers")


def _limit_containers(pod: JsonObject, account: JsonObject, *lists: str) -> None:
    listed = _names(account.get("secrets"))
    for path, container in containers(pod["spec"], *lists):
        who = f"{_KINDS[path.split('.')[1].split('[')[0]]} {container.get('name', '')}"
        for where, secret in _of_environment(container):
            if secret not in listed:
                raise _refused(pod, account, f'{who} with {where} referencing secret.secretName="{secret}"')


def _limits(account: JsonObject) -> bool:
    return ((account.get("metadata") or {}).get("annotations") or {}).get(ENFORCED) in _TRUE


def _names(references: Any) -> frozenset[str]:
    return frozenset(reference.get("name") or "" for reference in references or ())


def _of_volumes(spec: JsonObject) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        if volume.get("secret"):
            yield volume["secret"].get("secretName") or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("secret"):
                yield source["secret"].get("name") or ""


def _of_environment(container: JsonObject) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference:
            yield f"envVar {variable.get('name', '')}", reference.get("name") or ""
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "envFrom", source["secretRef"].get("name") or ""


def _refused(pod: JsonObject, account: JsonObject, which: str, *, what: str = "secret") -> ApiError:
    why = f"{which} is not allowed because service account {name_of(account)} does not reference that {what}"
    return ApiError.forbidden("pods", name_of(pod), why)
