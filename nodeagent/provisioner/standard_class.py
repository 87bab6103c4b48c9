"""What the API has of the node's own storage from its first start on.

The CSIDriver object is made last, and is what says later that this has been done: a class that a user has changed or deleted
stays as it is. Who deletes the CSIDriver object, too, gets both anew at the next start.
"""

import contextlib
from typing import Final

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.storage_v1 import CSIDriver, CSIDriverSpec, StorageClass

from nodeagent.api import errors
from nodeagent.api.client import ApiClient

NAME: Final = "standard"
_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"


async def make_once(client: ApiClient, driver: str) -> None:
    """Raises ApiError."""
    try:
        await client.get(CSIDriver, driver)
        return
    except errors.NotFound:
        pass
    for each in (standard_class(driver), csi_driver(driver)):
        with contextlib.suppress(errors.AlreadyExists):
            await client.create(each)


def standard_class(driver: str) -> StorageClass:
    """Immediate: there is one node, so that waiting for a pod would tell nothing."""
    return StorageClass(
        apiVersion="storage.k8s.io/v1",
        kind="StorageClass",
        metadata=ObjectMeta(name=NAME, annotations={_DEFAULT: "true"}),
        provisioner=driver,
        reclaimPolicy="Delete",
        volumeBindingMode="Immediate",
        allowVolumeExpansion=True,
    )


def csi_driver(driver: str) -> CSIDriver:
    """Nothing is attached; files get the group of the pod (fsGroup) in directories, too."""
    return CSIDriver(
        apiVersion="storage.k8s.io/v1",
        kind="CSIDriver",
        metadata=ObjectMeta(name=driver),
        spec=CSIDriverSpec(
            attachRequired=False, podInfoOnMount=False, fsGroupPolicy="File", volumeLifecycleModes=["Persistent"]
        ),
    )
