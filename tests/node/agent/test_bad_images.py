"""Images that are broken, foreign or malicious, all on one node: each pod is told why, the others run, nothing stays behind."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_made_images import make_layer
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from registry_under_test import Registry, running_registry

from runtimes.testing import images

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-bad-images")]

OCI = "application/vnd.oci.image"
OUT = "/tmp/nodeagent-escaped"


class Bad:
    """Pushes images of every kind to a registry whose files can be reached."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.builder = images

    def push(self, name: str, *layers: bytes, **more: Any) -> str:
        archive = self.folder / f"{name}.tar"
        self.builder.write_archive(archive, layers, tag="localhost/x:1", config={}, **more)
        return self.registry.push(archive, f"{name}:1")

    def blob(self, digest: str) -> Path:
        """Where the registry keeps it."""
        value = digest.removeprefix("sha256:")
        return self.folder / f"r/data/docker/registry/v2/blobs/sha256/{value[:2]}/{value}/data"

    def layer_blob(self, name: str) -> Path:
        return self.blob(self.manifest(name)["layers"][-1]["digest"])

    def manifest(self, name: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://{self.registry.host}/v2/{name}/manifests/1", headers={"Accept": f"{OCI}.manifest.v1+json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def broken_configuration(self) -> str:
        """A manifest whose configuration is no JSON, which no tool would push."""
        reference = self.push("config", make_layer(("file", "f", "x")))
        data, manifest = b'{"architecture": ', self.manifest("config")
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        host = f"http://{self.registry.host}/v2/config"
        with urllib.request.urlopen(
            urllib.request.Request(f"{host}/blobs/uploads/", method="POST"), timeout=20
        ) as found:
            place = found.headers["Location"]
        self._put(f"{place}&digest={digest}", data, "application/octet-stream")
        manifest["config"] |= {"digest": digest, "size": len(data)}
        self._put(f"{host}/manifests/1", json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json")
        return reference

    def _put(self, url: str, data: bytes, kind: str) -> None:
        request = urllib.request.Request(url, data, {"Content-Type": kind}, method="PUT")
        urllib.request.urlopen(request, timeout=20).close()

    def base_layer(self, archive: Path) -> bytes:
        """The plain tar of an archive's only layer."""
        with tarfile.open(archive) as tar:
            index = json.load(tar.extractfile("index.json") or io.BytesIO())
            manifest = json.loads(self._member(tar, index["manifests"][0]["digest"]))
            return gzip.decompress(self._member(tar, manifest["layers"][0]["digest"]))

    def _member(self, tar: tarfile.TarFile, digest: str) -> bytes:
        return (tar.extractfile(f"blobs/{digest.replace(':', '/')}") or io.BytesIO()).read()

    def missing_layer(self) -> str:
        reference = self.push("missing", make_layer(("file", "f", "missing")))
        self.layer_blob("missing").unlink()
        return reference

    def changed_layer(self) -> str:
        """As long as it should be, with one byte changed: only its digest tells."""
        reference = self.push("changed", make_layer(("file", "f", os.urandom(5000).hex())))
        blob = self.layer_blob("changed")
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
        return reference

    def other_content(self) -> str:
        """A layer that is whole, and not the one that the image configuration promises."""
        good, other = make_layer(("file", "f", "good")), make_layer(("file", "f", "other"))
        reference = self.push("promised", good)
        self.push("other", other)
        manifest = self.manifest("promised") | {"layers": self.manifest("other")["layers"]}
        digest = manifest["layers"][0]["digest"]
        mount = f"http://{self.registry.host}/v2/promised/blobs/uploads/?mount={digest}&from=other"
        urllib.request.urlopen(urllib.request.Request(mount, method="POST"), timeout=20).close()
        url = f"http://{self.registry.host}/v2/promised/manifests/1"
        self._put(url, json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json")
        return reference


CASES: dict[str, tuple[Callable[[Bad], str], str]] = {
    "config": (Bad.broken_configuration, "image configuration: not JSON"),
    "arch": (lambda bad: bad.push("arch", make_layer(), architecture="riscv64"), "is for linux/riscv64, this node is"),
    "missing": (Bad.missing_layer, "invalid status code from registry 404 (Not Found)"),
    "changed": (Bad.changed_layer, "igest did not match"),
    "promised": (Bad.other_content, "which the image configuration promises"),
    "rubbish": (lambda bad: bad.push("rubbish", b"x" * 2000), "it is not a tar archive, or a damaged one"),
    "dotdot": (
        lambda bad: bad.push("dotdot", make_layer(("file", f"../../..{OUT}", "evil"))),
        "leads out of the image's root",
    ),
    "hardlink": (
        lambda bad: bad.push("hardlink", make_layer(("link", "shadow", "../../../etc/shadow"))),
        "hard link 'shadow' to '../../../etc/shadow' leads out of the image's root",
    ),
    "whiteout": (
        lambda bad: bad.push("whiteout", make_layer(("file", "a/.wh...", ""))),
        "a whiteout of a folder itself",
    ),
    "longname": (
        lambda bad: bad.push("longname", make_layer(("file", "n" * 300, ""))),
        "a name of 300 bytes, of which 255 are possible",
    ),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bad]:
    folder = tmp_path_factory.mktemp("bad")
    with running_registry(folder / "r") as registry:
        yield Bad(registry, folder)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """A node whose image disk counts as full from the first byte, with images that are too young to go."""
    kubelet = {
        "imageGCHighThresholdPercent": 1,
        "imageGCLowThresholdPercent": 0,
        "imageMinimumGCAge": "24h",
        "registryPullQPS": 50,
        "registryBurst": 50,
        "maxParallelImagePulls": 4,
    }
    made = make_node(tmp_path_factory.mktemp("agent"), kubelet=kubelet)
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    yield made
    made.clean()


def test_bad_images(node: NodeUnderTest, bad: Bad, leftovers_of: Callable[[], set[str]]) -> None:
    """Each bad image is an ErrImagePull with its reason in the pod's status and an event; a pod beside them runs on; nothing
    is written outside, and the store holds nothing of them."""
    node.apply(pod_object("good", "sleep", "100000"))
    references = {name: make(bad) for name, (make, _) in CASES.items()}
    node.apply(*(pod_object(f"bad-{name}", image=reference) for name, reference in references.items()))

    def told(pod: dict[str, Any]) -> str:
        states = [status["state"] for status in pod["status"].get("containerStatuses", ())]
        found = [state["waiting"] for state in states if "waiting" in state]
        return next((w["message"] for w in found if w["reason"] in ("ErrImagePull", "ImagePullBackOff")), "")

    seen: dict[str, str] = {}
    for name, (_, why) in CASES.items():
        message = told(node.pod_when(f"bad-{name}", told))
        event = eventually(lambda name=name: failed_event(node, f"bad-{name}"), f"event of bad-{name}")
        seen[name] = "" if why in message and why in event else f"{message} | {event}"
        assert f'failed to pull image "{references[name]}": ' in message
    assert {name: text for name, text in seen.items() if text} == {}
    assert not Path(OUT).exists()
    assert node.running("good")["status"]["containerStatuses"][0]["restartCount"] == 0
    node.kubectl("delete", "pod", *(f"bad-{name}" for name in CASES), "--wait=false")
    eventually(lambda: leftovers_of() == set(), f"nothing left: {leftovers_of()}")


def failed_event(node: NodeUnderTest, pod: str) -> str:
    return next(
        (t for reason, t in node.events(pod) if reason == "Failed" and t.startswith("Failed to pull image")), ""
    )


def test_what_images_may_contain(node: NodeUnderTest, bad: Bad) -> None:
    """Whiteouts, an opaque folder, hard links, setuid, xattrs, devices and names of any bytes are in the container as the
    layers say."""
    base = bad.folder / "base.tar"
    bad.builder.build(base, tag="localhost/base:1", files={"old/gone": "x", "opaque/below": "x", "keep": "y\n"})
    odd = "line\nend \udcff\udcfe " + "n" * 200
    upper = make_layer(
        ("file", "old/.wh.gone", ""),
        ("file", "opaque/.wh..wh..opq", ""),
        ("file", "opaque/above", "new"),
        ("file", "setuid", "s", {"mode": 0o4755, "uid": 65534, "xattrs": {"user.note": "hello"}}),
        ("link", "linked", "setuid"),
        ("symlink", "absolute", "/keep"),
        ("char", "zero", "", {"mode": 0o666, "device": (1, 5)}),
        ("file", odd, "odd"),
    )
    reference = bad.push("odd", bad.base_layer(base), upper)
    script = (
        "ls -A /old | wc -l; ls /opaque; stat -c '%a %u %h' /setuid; stat -c %i /setuid /linked | uniq | wc -l; "
        "cat /absolute; stat -c '%F %t:%T' /zero; cat /line*; echo; sleep 100000"
    )
    node.apply(pod_object("odd", "sh", "-c", script, image=reference))
    node.running("odd")
    node.pod_when("odd", lambda _: node.container_log("odd", "c").endswith("odd"))
    assert node.container_log("odd", "c").splitlines() == [
        "0",
        "above",
        "4755 65534 2",
        "1",
        "y",
        "character special file 1:5",
        "odd",
    ]


def test_a_full_disk_is_an_event_of_the_node(node: NodeUnderTest) -> None:
    """When no image may go, the node says that its disk is full and how little could be freed."""
    events = json.loads(node.kubectl("get", "events", "-A", "-o", "json"))["items"]
    found = [item["message"] for item in events if item["reason"] == "FreeDiskSpaceFailed"]
    assert found[0].startswith("Insufficient free disk space on the node's image filesystem (")
    assert "Failed to free sufficient space by deleting unused images (freed 0 bytes)." in found[0]


@pytest.fixture
def leftovers_of(node: NodeUnderTest) -> Callable[[], set[str]]:
    """What lies in the node's store besides complete images, once nobody works in it."""

    def look() -> set[str]:
        root = node.directory / "state" / "images"
        names: set[str] = set()
        for record in (root / "records").glob("*.json"):
            document = json.loads(record.read_text())
            names |= {document["id"], document["manifest_digest"], *document["layers"]}
        known = {name.partition(":")[2] for name in names}
        folders = ("blobs/sha256", "unpacked", "tmp")
        return {f"{folder}/{path.name}" for folder in folders for path in (root / folder).iterdir()} - {
            f"{folder}/{name}" for folder in folders for name in known
        }

    return look
