import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hand_made_images import OCILayout, compressed, for_platform, named

from runtimes.errors import InvalidArgument, NotFound, RuntimeFault
from runtimes.oci.images.archive import Imported, read_archive
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import OCI_MANIFEST
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


@pytest.mark.parametrize("wrap", ["plain", "gzip", "xz", "bzip2", "zstd", "zstd-unknown", "zstd:chunked", "folder"])
def test_oci(oci: Path, layout: Layout, tmp_path: Path, wrap: str) -> None:
    """An OCI image is taken in from a folder and from a tar, however compressed; all its blobs arrive."""
    files = members(oci)
    if wrap == "folder":
        with tarfile.open(oci) as archive:
            archive.extractall(tmp_path / "folder")
    path = {"plain": oci, "folder": tmp_path / "folder"}.get(wrap)
    if path is None:
        path = write(tmp_path / "oci.packed", compressed(oci.read_bytes(), wrap))
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


@pytest.mark.parametrize("how", ["gzip", "zstd", "xz", "bzip2"])
def test_docker_with_compressed_and_linked_layers(tar: Tar, layout: Layout, tmp_path: Path, how: str) -> None:
    """Layers may be compressed, and old docker saves the same layer once and links to it."""
    files = docker_files(tar)
    same = files.pop("2/layer.tar")
    files["1/layer.tar"] = compressed(same, how)
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


def test_documents_have_a_bound(oci: Path, layout: Layout, tmp_path: Path) -> None:
    """An index of many megabytes is not read to its end (CVE-2023-25153)."""
    files = members(oci)
    files["index.json"] += b" " * (8 << 20)
    with pytest.raises(InvalidArgument, match=r"index\.json is larger than 8388608 bytes"):
        read(pack(tmp_path / "huge.tar", files), layout)


def found(path: Path, layout: Layout) -> dict[str, tuple[tuple[str, ...], str]]:
    """Names and target by the one file's name of the first layer of each image."""
    answer = {}
    for image in read(path, layout):
        with tarfile.open(layout.blob(image.manifest.layers[0].digest)) as archive:
            answer[archive.getnames()[0]] = image.names, image.target_digest
    return answer


def some(oci_layout: OCILayout, tar: Tar, name: str, platform: str = "linux/amd64") -> dict[str, Any]:
    return oci_layout.image((tar([("file", name)]), "gzip"), platform=platform)


def test_several_platforms(tar: Tar, layout: Layout, tmp_path: Path) -> None:
    """Of every named index this machine's image is taken, of its best variant, under the digest of the index; attestations,
    other platforms and nested indexes are no hindrance, and no blob of another platform gets into the store."""
    made = OCILayout()
    arm = for_platform(some(made, tar, "arm", "linux/arm64/v8"), "linux/arm64/v8")
    plain = for_platform(some(made, tar, "v1"), "linux/amd64")
    better = for_platform(some(made, tar, "v2", "linux/amd64/v2"), "linux/amd64/v2")
    best = for_platform(some(made, tar, "v3", "linux/amd64/v3"), "linux/amd64/v3")
    one = made.index(arm, plain, better, best, made.attestation())
    two = made.index(made.attestation(), made.index(arm), made.index(plain))
    path = made.write(
        tmp_path / "multi.tar",
        named(one, full="docker.io/library/one:1", short="1"),
        named(two, short="localhost/two:1"),
    )
    assert found(path, layout) == {
        "v2": (("docker.io/library/one:1",), one["digest"]),
        "v1": (("localhost/two:1",), two["digest"]),
    }
    assert not layout.blob(arm["digest"]).exists()
    assert len(list((layout.blobs / "sha256").iterdir())) == 4  # two configurations, two layers


@pytest.mark.parametrize("platforms", [True, False])
def test_platforms_side_by_side(tar: Tar, layout: Layout, tmp_path: Path, platforms: bool) -> None:
    """An index.json that is itself the list of platforms, with one name or none, whether or not it tells them."""

    def entry(made: OCILayout, name: str, platform: str) -> dict[str, Any]:
        described = some(made, tar, name, platform)
        return for_platform(described, platform) if platforms else described

    for label in ("", "localhost/a:1"):
        made = OCILayout()
        entries = [
            entry(made, "v1", "linux/amd64"),
            entry(made, "v2", "linux/amd64/v2"),
            entry(made, "arm", "linux/arm64"),
        ]
        path = made.write(
            tmp_path / f"side{label[-1:]}.tar", *(named(e, short=label) for e in (*entries, made.attestation()))
        )
        assert found(path, layout) == {"v2": ((label,) if label else (), entries[1]["digest"])}


def test_several_images(tar: Tar, layout: Layout, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every image of the archive, each with all of its names; what is for other machines, or no image, is told and left."""
    made = OCILayout()
    one, two, three, arm = (
        some(made, tar, name, f"linux/{cpu}")
        for name, cpu in (("one", "amd64"), ("two", "amd64"), ("three", "amd64"), ("arm", "arm64"))
    )
    chart = made.blob(
        b'{"schemaVersion":2,"config":' + json.dumps(made.blob(b"{}", "helm")).encode() + b"}", OCI_MANIFEST
    )
    path = made.write(
        tmp_path / "several.tar",
        named(one, full="docker.io/library/one:1"),
        named(one, full="docker.io/library/one:2", short="2"),
        named(two, short="latest"),  # a bare tag is no name
        three,
        named(arm, short="localhost/arm:1"),
        named(chart, short="localhost/chart:1"),
    )
    assert found(path, layout) == {
        "one": (("docker.io/library/one:1", "docker.io/library/one:2"), one["digest"]),
        "two": ((), two["digest"]),
        "three": ((), three["digest"]),
    }
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == ["left out", "left out"]
    assert "localhost/arm:1: no manifest for linux/amd64 in its list (linux/arm64)" in caplog.text


def test_saved_by_docker(tar: Tar, layout: Layout, tmp_path: Path) -> None:
    """Today's `docker save` writes an OCI layout with manifest.json beside it: the layout counts."""
    made = OCILayout()
    mine, arm = (for_platform(some(made, tar, cpu, f"linux/{cpu}"), f"linux/{cpu}") for cpu in ("amd64", "arm64"))
    index = made.index(arm, mine, made.attestation())
    old = {"Config": "blobs/none", "RepoTags": ["other:1"], "Layers": []}
    entry = named(index, full="docker.io/library/saved:1", short="1")
    path = made.write(tmp_path / "saved.tar", entry, **{"manifest.json": json.dumps([old]).encode()})
    assert found(path, layout) == {"amd64": (("docker.io/library/saved:1",), index["digest"])}


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_nothing_for_this_machine(tar: Tar, layout: Layout, tmp_path: Path, form: str) -> None:
    """An archive without an image for this machine is one error with all platforms that it has."""
    if form == "oci":
        made = OCILayout()
        entries = [for_platform(some(made, tar, c, f"linux/{c}"), f"linux/{c}") for c in ("s390x", "arm64")]
        path = made.write(tmp_path / "foreign.tar", made.index(entries[0], made.attestation()), entries[1])
    else:
        files = docker_files(tar)
        (entry,) = json.loads(files["manifest.json"])
        config = json.loads(files["c.json"])
        for cpu in ("s390x", "arm64"):
            files[f"{cpu}.json"] = json.dumps({**config, "architecture": cpu}).encode()
        files["manifest.json"] = json.dumps([{**entry, "Config": f"{cpu}.json"} for cpu in ("s390x", "arm64")]).encode()
        path = pack(tmp_path / "foreign.tar", files)
    with pytest.raises(NotFound) as failure:
        read(path, layout)
    assert failure.value.message == f"{path}: no manifest for linux/amd64 in its list (linux/arm64, linux/s390x)"
    assert list((layout.blobs / "sha256").iterdir()) == []


def test_docker_for_several_machines(tar: Tar, layout: Layout, tmp_path: Path) -> None:
    """A docker archive of several images gives those for this machine."""
    files = docker_files(tar)
    (entry,) = json.loads(files["manifest.json"])
    files["arm.json"] = json.dumps({**json.loads(files["c.json"]), "architecture": "arm64"}).encode()
    arm = {**entry, "Config": "arm.json", "RepoTags": ["arm:1"]}
    files["manifest.json"] = json.dumps([arm, entry]).encode()
    (image,) = read(pack(tmp_path / "d.tar", files), layout)
    assert image.names == ("demo:1", "demo:2")


def test_not_an_archive(layout: Layout, tmp_path: Path) -> None:
    """Anything else is refused in one sentence."""
    with pytest.raises(InvalidArgument, match="not a tar archive"):
        read(write(tmp_path / "x", b"hello" * 1000), layout)
    with pytest.raises(InvalidArgument, match="not a tar archive"):
        read(write(tmp_path / "x.gz", gzip.compress(b"hello" * 1000)[:40]), layout)
    with pytest.raises(InvalidArgument, match="not a tar archive"):
        read(write(tmp_path / "x.zst", compressed(b"hello" * 1000, "zstd")[:-1] + b"rubbish"), layout)
    with pytest.raises(InvalidArgument, match="not a tar archive"):
        read(write(tmp_path / "x.bz2", b"BZh" + b"rubbish" * 1000), layout)
    with pytest.raises(NotFound, match="no such file"):
        read(tmp_path / "absent", layout)
    with pytest.raises(InvalidArgument, match=r"index\.json is missing"):
        read(tmp_path, layout)
