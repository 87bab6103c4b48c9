"""The pod as the agent knows it: parsed once where it comes in, and carried from there to the last call.

An API object may lack its metadata and its spec; the agent's pod has both, and says who it is. What becomes of a pod (other
annotations, other resources) is a new AgentPod: `dataclasses.replace`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NewType

import msgspec
from lightkube.models.core_v1 import ObjectReference, Pod, PodSpec, PodStatus
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec.annotations import MIRROR

PodUID = NewType("PodUID", str)

API, FILE, HTTP = "api", "file", "http"  # the sources of pods


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """A pod of this node. `source`: API, FILE or HTTP. What it holds is shared: do not change it.

    `requests` is a memory of `podspec.effective.requests_of`.
    """

    uid: PodUID
    namespace: str
    name: str
    source: str
    metadata: ObjectMeta
    spec: PodSpec
    status: PodStatus | None = None
    requests: list[Mapping[str, Fraction]] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, pod: Pod, source: str) -> "AgentPod":
        """Take over a pod as `source` gives it. A pod from any source has a UID; one without a spec has no containers."""
        metadata = pod.metadata or ObjectMeta()
        return cls(
            uid=PodUID(metadata.uid or ""),
            namespace=metadata.namespace or "default",
            name=metadata.name or "",
            source=source,
            metadata=metadata,
            spec=pod.spec or PodSpec(containers=[]),
            status=pod.status,
        )

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.namespace, self.name

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.annotations or {}

    @property
    def is_static(self) -> bool:
        """It does not come from the API."""
        return self.source != API

    @property
    def is_mirror(self) -> bool:
        """It is the API's picture of a static pod."""
        return MIRROR in self.annotations

    @property
    def is_deleted(self) -> bool:
        """Its deletion was asked for: it has a deletionTimestamp."""
        return self.metadata.deletionTimestamp is not None

    @property
    def reference(self) -> ObjectReference:
        """The involvedObject of its events."""
        return ObjectReference(
            apiVersion="v1",
            kind="Pod",
            name=self.metadata.name,
            namespace=self.metadata.namespace,
            uid=self.metadata.uid,
            resourceVersion=self.metadata.resourceVersion,
        )

    def with_annotations(self, added: Mapping[str, str]) -> "AgentPod":
        """A copy with these annotations; the original, which others share, stays as it is."""
        metadata = msgspec.structs.replace(self.metadata, annotations={**self.annotations, **added})
        return replace(self, metadata=metadata)

    def describe(self) -> str:
        """`name_namespace(uid)`, as messages name a pod."""
        return f"{self.name}_{self.namespace}({self.uid})"

    def to_api(self) -> Pod:
        """The API object, for what is sent out."""
        return Pod(metadata=self.metadata, spec=self.spec, status=self.status)
