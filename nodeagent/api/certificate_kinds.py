"""The kinds of certificates.k8s.io that projected volumes are made of, in the version that the API serves.

They became v1 in 1.37 and were v1beta1 before; an API may have one of them, both or neither. They are the same in what is used.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from lightkube.models import certificates_v1, certificates_v1beta1

from nodeagent.api import wire
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import NotFound, NotServed
from nodeagent.api.resources import resource_of

T = TypeVar("T", bound=msgspec.Struct)
ClusterTrustBundle = certificates_v1.ClusterTrustBundle | certificates_v1beta1.ClusterTrustBundle
PodCertificateRequest = certificates_v1.PodCertificateRequest | certificates_v1beta1.PodCertificateRequest
TRUST_BUNDLES: Sequence[type[ClusterTrustBundle]] = (
    certificates_v1.ClusterTrustBundle,
    certificates_v1beta1.ClusterTrustBundle,
)
CERTIFICATE_REQUESTS: Sequence[type[PodCertificateRequest]] = (
    certificates_v1.PodCertificateRequest,
    certificates_v1beta1.PodCertificateRequest,
)


async def served(client: ApiClient, kinds: Sequence[type[T]]) -> type[T] | None:
    """The first of the kinds that the API has; None: it has none. Raises ApiError."""
    for kind in kinds:
        resource = resource_of(kind)
        try:
            found = wire.decode_any(await client.request("GET", f"/apis/{resource.api_version}"))
        except (NotFound, NotServed):
            continue
        if any(each.get("name") == resource.plural for each in found.get("resources") or ()):
            return kind
    return None
