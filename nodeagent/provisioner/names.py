"""Names in objects of the API by which claims, volumes and their provisioners find each other."""

from typing import Final

from lightkube.models.core_v1 import PersistentVolumeClaim

from nodeagent.api.resources import metadata_of

PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
# a claim that goes away while it is there may have a volume that nobody knows of
PROVISIONING_FINALIZER: Final = "nodeagent.dev/provisioning"
# a PersistentVolume that goes away while it is there leaves its data to be deleted
RECLAIM_FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"


def volume_name(claim: PersistentVolumeClaim) -> str:
    """Of the PersistentVolume, and of the volume for the driver: whoever asks again gets the same one."""
    return f"pvc-{metadata_of(claim).uid}"
