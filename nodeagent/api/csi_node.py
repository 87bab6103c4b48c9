"""The CSINode object, as servers write it: a list that is empty comes as null, which the general model does not take."""

import msgspec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.storage_v1 import CSINodeDriver


class CSINodeSpec(msgspec.Struct, kw_only=True):
    drivers: list[CSINodeDriver] | None = None


class CSINode(msgspec.Struct, kw_only=True):
    """What the agent reads and writes of it."""

    apiVersion: str = "storage.k8s.io/v1"  # noqa: N815 - wire name
    kind: str = "CSINode"
    metadata: ObjectMeta | None = None
    spec: CSINodeSpec = msgspec.field(default_factory=CSINodeSpec)

    @property
    def drivers(self) -> list[CSINodeDriver]:
        return self.spec.drivers or []
