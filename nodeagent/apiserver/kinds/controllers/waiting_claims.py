"""What a claim waits for when there is no volume for it: a rule, in upstream's words."""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.apiserver.kinds.controllers.recorder import NORMAL, WARNING
from nodeagent.apiserver.kinds.scheduling.claims import SELECTED_NODE
from runtimes.kube.json_object import JsonObject

# who is to make the volume: external provisioners act on claims that carry their name; the second is what older ones read
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
OLD_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_WAITS = "WaitForFirstConsumer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """An event about the claim. `provisioner`: who is asked for a volume; empty: nobody yet."""

    type: str = NORMAL
    reason: str
    message: str
    provisioner: str = ""


def outlook(claim: JsonObject, classes: Mapping[str, JsonObject]) -> Outlook | None:
    """None: it has named its volume, and waits for that one."""
    if claim["spec"].get("volumeName"):
        return None
    name = claim["spec"].get("storageClassName") or ""
    if not name:
        text = "no persistent volumes available for this claim and no storage class is set"
        return Outlook(reason="FailedBinding", message=text)
    storage_class = classes.get(name)
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        return Outlook(type=WARNING, reason="ProvisioningFailed", message=text)
    annotations = claim["metadata"].get("annotations") or {}
    if storage_class.get("volumeBindingMode") == _WAITS and not annotations.get(SELECTED_NODE):
        return Outlook(reason=_WAITS, message="waiting for first consumer to be created before binding")
    provisioner = storage_class["provisioner"]
    if provisioner == _NO_PROVISIONER:
        text = f"no volume plugin matched name: {provisioner}"
        return Outlook(type=WARNING, reason="ProvisioningFailed", message=text)
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system"
        " administrator. If volume creation is delayed, please verify that the provisioner is running and correctly"
        " registered."
    )
    return Outlook(reason="ExternalProvisioning", message=text, provisioner=provisioner)


def lacks_provisioner(claim: JsonObject, provisioner: str) -> bool:
    """Whether its annotations do not name `provisioner` yet."""
    annotations = claim["metadata"].get("annotations") or {}
    return any(annotations.get(key) != provisioner for key in (PROVISIONER, OLD_PROVISIONER))
