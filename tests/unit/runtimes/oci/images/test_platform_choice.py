import hashlib
import json
from typing import Any

import pytest

from runtimes.errors import InvalidArgument
from runtimes.oci.images.manifest import DOCKER_LIST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Index, parse_manifest
from runtimes.oci.images.platform_choice import Chosen, NoPlatform, choose
from runtimes.oci.images.platforms import Host

HOST = Host(architecture="amd64", variants=("v2", "v1"))
Document = dict[str, Any]


class Blobs:
    """Documents by digest; `descriptor` adds one."""

    def __init__(self) -> None:
        self.by_digest: dict[str, bytes] = {}
        self.asked: list[str] = []

    def descriptor(self, document: Document, kind: str, platform: str = "", **more: Any) -> Document:
        data = json.dumps(document).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.by_digest[digest] = data
        entry = {"mediaType": kind, "digest": digest, "size": len(data), **more}
        if platform:
            entry["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        return entry

    def image(self, name: str, platform: str = "", *, really: str = "linux/amd64", kind: str = OCI_CONFIG) -> Document:
        os, architecture = really.split("/")
        config = {"os": os, "architecture": architecture, "name": name, "rootfs": {}}
        manifest = {"schemaVersion": 2, "config": self.descriptor(config, kind), "layers": []}
        return self.descriptor(manifest, OCI_MANIFEST, platform)

    def index(self, *entries: Document, platform: str = "", kind: str = OCI_INDEX) -> Document:
        return self.descriptor({"schemaVersion": 2, "manifests": list(entries)}, kind, platform)

    def choose(self, *entries: Document) -> str:
        """The name of the chosen image."""
        index = parse_manifest(json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode(), "x")
        assert isinstance(index, Index)
        choosing = choose(index, "x", HOST)
        try:
            needed = next(choosing)
            while True:
                self.asked.append(needed.digest)
                needed = choosing.send(self.by_digest.get(needed.config.digest if needed.config else needed.digest))
        except StopIteration as end:
            chosen: Chosen = end.value
            return str(json.loads(self.by_digest[chosen.manifest.config.digest])["name"])


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


def test_best_variant(blobs: Blobs) -> None:
    """The best variant that runs here is taken, whatever stands first, and nothing else is read."""
    entries = [
        blobs.image("attestation", "unknown/unknown", really="unknown/unknown"),
        blobs.image("arm", "linux/arm64/v8"),
        blobs.image("v1", "linux/amd64"),
        blobs.image("v3", "linux/amd64/v3"),
        blobs.image("v2", "linux/amd64/v2"),
    ]
    assert blobs.choose(*entries) == "v2"
    assert blobs.asked == [entries[4]["digest"]]


def test_nested(blobs: Blobs) -> None:
    """Indexes within indexes are looked through, those without an image for this machine too."""
    foreign = blobs.index(blobs.image("arm", "linux/arm64"), blobs.image("windows", "windows/amd64"))
    deep = blobs.index(foreign, blobs.index(blobs.image("mine", "linux/amd64"), kind=DOCKER_LIST))
    assert blobs.choose(deep) == "mine"


def test_without_platforms(blobs: Blobs) -> None:
    """Where the index says nothing, the images' own configurations tell; what is no image is passed over."""
    signature = blobs.image("signature", kind="application/vnd.dev.cosign.simplesigning.v1+json")
    entries = [signature, blobs.image("arm", really="linux/arm64"), blobs.image("mine")]
    assert blobs.choose(*entries) == "mine"
    assert blobs.choose(*entries, blobs.image("said", "linux/amd64")) == "said"


def test_sparse(blobs: Blobs) -> None:
    """A list of which only a part was copied gives the best that is there; when that is nothing, what is missing is told."""
    gone, there = blobs.image("v2", "linux/amd64/v2"), blobs.image("v1", "linux/amd64")
    del blobs.by_digest[gone["digest"]]
    assert blobs.choose(gone, there) == "v1"
    with pytest.raises(InvalidArgument, match=f"x: blob {gone['digest']} is missing"):
        blobs.choose(gone, blobs.image("arm", "linux/arm64"))


def test_without_media_types(blobs: Blobs) -> None:
    """Where entries do not say what they are, their content does."""
    entries = [blobs.index(blobs.image("arm", "linux/arm64")), blobs.image("mine")]
    assert blobs.choose(*({**entry, "mediaType": ""} for entry in entries)) == "mine"


@pytest.mark.parametrize(
    ("platforms", "message"),
    [
        (("linux/s390x", "linux/arm64/v8", "unknown/unknown"), "linux/amd64 in its list (linux/arm64/v8, linux/s390x)"),
        (("linux/amd64/v3",), "linux/amd64 in its list (linux/amd64/v3); this machine runs v2, v1"),
        (("windows/amd64",), "linux/amd64 in its list (windows/amd64)"),
        ((), "linux/amd64 in its list (empty)"),
    ],
)
def test_nothing_fits(blobs: Blobs, platforms: tuple[str, ...], message: str) -> None:
    """The error names the platforms that are there, of nested indexes too, and the variants where they do not fit."""
    inner = blobs.index(*(blobs.image(p, p) for p in platforms))
    with pytest.raises(NoPlatform) as failure:
        blobs.choose(inner)
    assert failure.value.message == f"x: no manifest for {message}"


def test_no_image_at_all(blobs: Blobs) -> None:
    """A list of charts and signatures says what it is."""
    with pytest.raises(InvalidArgument, match=r"not a container image \(its config is helm\)"):
        blobs.choose(blobs.image("chart", kind="helm"))


def test_hostile(blobs: Blobs) -> None:
    """Deep, wide and wrong indexes end in an error, soon."""
    deep = blobs.index(blobs.image("mine", "linux/amd64"))
    for _ in range(5):
        deep = blobs.index(deep)
    with pytest.raises(InvalidArgument, match="more than 4 deep"):
        blobs.choose(deep)
    level = [blobs.image("arm", really="linux/arm64")]
    for number in range(4):  # every index leads to every one below
        level = [
            blobs.descriptor({"schemaVersion": 2, "manifests": level, "n": n}, OCI_INDEX) for n in range(number, 60)
        ]
    blobs.asked.clear()
    with pytest.raises((InvalidArgument, NoPlatform)):
        blobs.choose(*level)
    assert len(blobs.asked) < 300
    lying = blobs.image("mine", "linux/amd64")
    blobs.by_digest[lying["digest"]] = b"{}"
    with pytest.raises(InvalidArgument, match=f"content has digest sha256:.*, not {lying['digest']}"):
        blobs.choose(lying)
