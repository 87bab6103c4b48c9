import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtimes.errors import InvalidArgument, NotFound, RuntimeFault
from runtimes.oci.images.archive import Imported, read_archive
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.platforms import Host

Tar = Callable[..., bytes]
HOST = Host(architecture="amd64", variants=("v2", "v1"))


def pack(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def read(path: Path, layout: Layout) -> list[Imported]:
    return read_archive(path, layout, layout.work_folder(), HOST)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def oci(builder: ModuleType, tar: Tar, tmp_path: Path) -> Path:
    path = tmp_path / "oci.tar"
    layers = [tar([("file", "a", "1")]), tar([("file", "b", "2")])]
    builder.write_archive(path, layers, tag="localhost/demo:1", config={}, architecture="amd64")
    return path


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


@pytest.mark.parametrize("wrap", ["plain", "gzip", "xz", "folder"])
def test_oci(oci: Path, layout: Layout, tmp_path: Path, wrap: str) -> None:
    """An OCI image is taken in from a folder and from a tar, however compressed; all its blobs arrive."""
    files = members(oci)
    if wrap == "folder":
        with tarfile.open(oci) as archive:
            archive.extractall(tmp_path / "folder")
    path = {
        "plain": lambda: oci,
        "gzip": lambda: write(tmp_path / "oci.tgz", gzip.compress(oci.read_bytes())),
        "xz": lambda: write(tmp_path / "oci.txz", lzma.compress(oci.read_bytes())),
        "folder": lambda: tmp_path / "folder",
    }[wrap]()
    (image,) = read(path, layout)
    target = json.loads(files["index.json"])["manifests"][0]["digest"]
    assert (image.names, image.target_digest, digest(image.manifest_data)) == (("localhost/demo:1",), target, target)
    for blob in (image.manifest.config, *image.manifest.layers):
        assert digest(layout.blob(blob.digest).read_bytes()) == blob.digest


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def docker_files(tar: Tar) -> dict[str, bytes]:
    layers = [tar([("file", "a", "1")]), tar([("file", "b", "2")])]
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [digest(x) for x in layers]}}
    ).encode()
    entry = {"Config": "c.json", "RepoTags": ["demo:1", "demo:2"], "Layers": ["1/layer.tar", "2/layer.tar"]}
    return {
        "manifest.json": json.dumps([entry]).encode(),
        "c.json": config,
        "1/layer.tar": layers[0],
        "2/layer.tar": layers[1],
    }


def test_docker(tar: Tar, layout: Layout, tmp_path: Path) -> None:
    """A docker archive keeps its image id and its tags."""
    files = docker_files(tar)
    (image,) = read(pack(tmp_path / "d.tar", files), layout)
    assert (image.names, image.manifest.config.digest) == (("demo:1", "demo:2"), digest(files["c.json"]))
    assert [layer.digest for layer in image.manifest.layers] == [
        digest(files["1/layer.tar"]),
        digest(files["2/layer.tar"]),
    ]
    assert image.target_digest == digest(image.manifest_data)


def test_docker_with_gzip_and_linked_layers(tar: Tar, layout: Layout, tmp_path: Path) -> None:
    """Layers may be compressed, and old docker saves the same layer once and links to it."""
    files = docker_files(tar)
    same = files.pop("2/layer.tar")
    files["1/layer.tar"] = gzip.compress(same)
    config = json.loads(files["c.json"])
    config["rootfs"]["diff_ids"] = [digest(same)] * 2
    files["c.json"] = json.dumps(config).encode()
    (image,) = read(pack(tmp_path / "d.tar", files, {"2/layer.tar": "../1/layer.tar"}), layout)
    assert [layer.digest for layer in image.manifest.layers] == [digest(files["1/layer.tar"])] * 2


def break_manifest(files: dict[str, bytes], **change: Any) -> None:
    (entry,) = json.loads(files["manifest.json"])
    files["manifest.json"] = json.dumps([{**entry, **change}]).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("manifest.json"), "neither an OCI archive (index.json) nor a docker archive (manifest.json)"),
        (lambda f: f.update({"manifest.json": b"{"}), "manifest.json: not JSON"),
        (lambda f: f.update({"manifest.json": b"[]"}), "manifest.json: there is no image in it"),
        (lambda f: f.update({"manifest.json": b"[1]"}), "manifest.json: Config is missing"),
        (lambda f: f.pop("c.json"), "c.json is missing"),
        (lambda f: f.pop("2/layer.tar"), "2/layer.tar is missing"),
        (lambda f: f.update({"c.json": b"rubbish"}), "image configuration: not JSON"),
        (lambda f: f.update({"1/layer.tar": b"other"}), "layer 1/layer.tar: content has digest"),
        (lambda f: break_manifest(f, Layers=["1/layer.tar"]), "1 layers, 2 in the image configuration"),
        (lambda f: break_manifest(f, Layers="1"), "manifest.json: Layers: not a list of strings"),
        (lambda f: break_manifest(f, Config="../../../../etc/passwd"), "../../../../etc/passwd is missing"),
    ],
)
def test_broken_docker(
    tar: Tar, layout: Layout, tmp_path: Path, change: Callable[[dict[str, bytes]], object], message: str
) -> None:
    """A broken docker archive is an error that says what is wrong with it, and nothing of the host is read."""
    files = docker_files(tar)
    change(files)
    with pytest.raises(RuntimeFault) as failure:
        read(pack(tmp_path / "d.tar", files), layout)
    assert message in failure.value.message


@pytest.mark.parametrize("which", ["config", "layer"])
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_broken_oci(oci: Path, layout: Layout, tmp_path: Path, which: str, damage: str) -> None:
    """A missing or changed blob is named."""
    files = members(oci)
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/" + index["manifests"][0]["digest"].replace(":", "/")])
    victim = manifest["config"] if which == "config" else manifest["layers"][1]
    name = "blobs/" + victim["digest"].replace(":", "/")
    if damage == "missing":
        del files[name]
    else:
        files[name] += b"x"
    with pytest.raises(InvalidArgument) as failure:
        read(pack(tmp_path / "broken.tar", files), layout)
    assert (f"blob {victim['digest']} is missing" if damage == "missing" else f"not {victim['digest']}") in str(
        failure.value
    )


def test_wrong_architecture_in_index(oci: Path, layout: Layout, tmp_path: Path) -> None:
    """An index without an entry for this machine says what it has."""
    files = members(oci)
    inner = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [
                {
                    **json.loads(files["index.json"])["manifests"][0],
                    "platform": {"os": "linux", "architecture": "s390x"},
                }
            ],
        }
    ).encode()
    files["blobs/" + digest(inner).replace(":", "/")] = inner
    kind = "application/vnd.oci.image.index.v1+json"
    files["index.json"] = json.dumps(
        {"schemaVersion": 2, "manifests": [{"mediaType": kind, "digest": digest(inner), "size": len(inner)}]}
    ).encode()
    with pytest.raises(NotFound, match=r"no manifest for linux/amd64 in its list \(linux/s390x\)"):
        read(pack(tmp_path / "multi.tar", files), layout)


def test_not_an_archive(layout: Layout, tmp_path: Path) -> None:
    """Anything else is refused in one sentence."""
    with pytest.raises(InvalidArgument, match="not a tar archive"):
        read(write(tmp_path / "x", b"hello" * 1000), layout)
    with pytest.raises(InvalidArgument, match="not a tar archive"):
        read(write(tmp_path / "x.gz", gzip.compress(b"hello" * 1000)[:40]), layout)
    with pytest.raises(NotFound, match="no such file"):
        read(tmp_path / "absent", layout)
    with pytest.raises(InvalidArgument, match=r"index\.json is missing"):
        read(tmp_path, layout)
