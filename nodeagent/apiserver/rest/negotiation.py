"""Which form of the answer the client accepts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nodeagent.apiserver.errors import ApiError

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
Shape = Literal["object", "table", "partial"]
_BROWSERS = re.compile(r"^(?:curl|Wget|Mozilla/)", re.IGNORECASE)
_META = "meta.k8s.io"
_SHAPES: Mapping[str, Shape] = {
    "Table": "table",
    "PartialObjectMetadata": "partial",
    "PartialObjectMetadataList": "partial",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """`table` and `partial` come in the `version` of meta.k8s.io that was asked for."""

    media: str = JSON
    shape: Shape = "object"
    version: str = "v1"
    pretty: bool = False

    @property
    def plain(self) -> bool:
        """Whether stored bytes can be sent as they are."""
        return self.media == JSON and self.shape == "object" and not self.pretty


@dataclass(frozen=True, slots=True)
class Offer:
    """One media range of an Accept header."""

    media: str
    parameters: Mapping[str, str]
    quality: float


def offers(accept: str) -> list[Offer]:
    """In order of preference: quality, then position."""
    found = []
    for part in accept.split(","):
        media, *rest = part.split(";")
        pairs = dict(item.strip().partition("=")[::2] for item in rest if "=" in item)
        try:
            quality = float(pairs.get("q", "1"))
        except ValueError:
            quality = 1.0
        if media.strip() and quality > 0:
            found.append(Offer(media.strip().lower(), pairs, quality))
    return sorted(found, key=lambda offer: -offer.quality)


def negotiate(accept: str, *, pretty: str = "", user_agent: str = "", tables: bool = True) -> Representation:
    """The first representation of the header that this server has. Raises `ApiError` 406."""
    indent = pretty in ("true", "1") if pretty else bool(_BROWSERS.match(user_agent))
    for offer in offers(accept or "*/*"):
        media = {"*/*": JSON, "application/*": JSON, JSON: JSON, YAML: YAML}.get(offer.media)
        if media is None:
            continue
        wanted = offer.parameters.get("as")
        if wanted is None:
            return Representation(media=media, pretty=indent)
        version = offer.parameters.get("v", "v1")
        if tables and wanted in _SHAPES and offer.parameters.get("g") == _META and version in ("v1", "v1beta1"):
            return Representation(media=media, shape=_SHAPES[wanted], version=version, pretty=indent)
    raise not_acceptable()


def not_acceptable() -> ApiError:
    """406 with the list of what there is."""
    available = f"406: Not Acceptable\n\nAvailable representations: {JSON}, {YAML}"
    return ApiError(406, "NotAcceptable", available, details={})
