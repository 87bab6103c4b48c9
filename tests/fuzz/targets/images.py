"""Images of strangers: manifests, configurations, layer headers, archives, and the account files inside of them."""

import contextlib
import hashlib
import io
import tarfile
from typing import Any

from hypothesis import strategies as st

from proto import cri_pb2 as cri
from runtimes.errors import InvalidArgument, NotFound, RuntimeFault
from runtimes.oci.images.archive import read_archive
from runtimes.oci.images.layer_entries import LayerEntries
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import check, parse_configuration, parse_manifest
from runtimes.oci.images.plain_layer import PlainLayer
from runtimes.oci.images.platforms import Host
from runtimes.oci.spec.bundle import arguments, environment
from runtimes.oci.users import resolve_user
from tests.fuzz import scratch
from tests.fuzz.contract import Target
from tests.fuzz.grammar import lines, near

_DIGEST = "sha256:" + "a" * 64
_HOST = Host(architecture="amd64", variants=("v2", "v1"))
_CONFIG: Any = {
    "architecture": "amd64",
    "os": "linux",
    "variant": "v1",
    "config": {
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "x"],
        "Env": ["PATH=/bin", "A=b"],
        "User": "0:0",
        "WorkingDir": "/w",
        "StopSignal": "SIGTERM",
        "Volumes": {"/v": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
    },
    "rootfs": {"type": "layers", "diff_ids": [_DIGEST]},
}
_MANIFEST: Any = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _DIGEST, "size": 2},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": _DIGEST, "size": 3}],
}
_INDEX: Any = {
    "schemaVersion": 2,
    "manifests": [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": _DIGEST,
            "size": 1,
            "platform": {"os": "linux", "architecture": "arm64", "variant": "8"},
            "annotations": {"org.opencontainers.image.ref.name": "a:1"},
        }
    ],
}
_DOCKER: Any = [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"]}]


def _manifest(data: bytes) -> None:
    parse_manifest(data, "x")


def _configuration(data: bytes) -> None:
    configuration = parse_configuration(data, "x")
    manifest = parse_manifest(near_manifest(), "x")
    check(manifest, configuration, "x", _HOST)  # type: ignore[arg-type]
    arguments(cri.ContainerConfig(), configuration.config)
    environment(cri.ContainerConfig(), configuration.config, "h", "/")


def near_manifest() -> bytes:
    import json

    return json.dumps(_MANIFEST).encode()


def _layer(data: bytes) -> None:
    with contextlib.closing(PlainLayer(io.BytesIO(data), "sha256")) as layer:
        for _ in LayerEntries(layer, digest=_DIGEST, diff_id="sha256:" + hashlib.sha256(data).hexdigest()):
            pass


def _archive(data: bytes) -> None:
    """The bytes are the one document of an archive: of a docker one, of an OCI one."""
    for name in ("manifest.json", "index.json"):
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as tar:
            for member, content in ((name, data), ("oci-layout", b"{}"), ("c.json", b"{}"), ("l.tar", b"")):
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        path = scratch.file("archive.tar", whole.getvalue())
        layout = Layout(path.parent / "store")
        layout.create()
        work = path.parent / "work"
        work.mkdir(exist_ok=True)
        try:
            read_archive(path, layout, work, _HOST)
        except (InvalidArgument, NotFound, RuntimeFault):
            continue


def _accounts(data: bytes) -> None:
    """One text as both files of an image, and its first line as the user that the image names."""
    root = scratch.file("rootfs/etc/passwd", data).parents[1]
    scratch.file("rootfs/etc/group", data)
    user = data.split(b"\n")[0].decode(errors="replace")
    resolve_user(cri.LinuxContainerSecurityContext(), user, root)


def _tar(draw: Any) -> bytes:
    whole = io.BytesIO()
    formats = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    with tarfile.open(fileobj=whole, mode="w", format=draw(formats), errors="surrogateescape") as tar:
        for _ in range(draw(st.integers(0, 4))):
            entry = tarfile.TarInfo(
                draw(st.sampled_from(["a", "a/b", "../x", "/etc", ".wh.a", ".wh..wh..opq", ".wh..", "x" * 150, "é"]))
            )
            entry.type = draw(
                st.sampled_from([b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"x", b"g", b"L", b"K", b"Z"])
            )
            entry.linkname = draw(st.sampled_from(["", "a", "../../etc", "/proc/self/exe", "y" * 150]))
            entry.mode = draw(st.sampled_from([0o644, 0o7777]))
            content = draw(st.binary(max_size=600)) if entry.type == b"0" else b""
            entry.size = len(content)
            entry.pax_headers = draw(
                st.sampled_from(
                    [
                        {},
                        {"size": "9" * 17},
                        {"path": "../x"},
                        {"SCHILY.xattr.trusted.overlay.redirect": "/"},
                        {"a": "b" * 600},
                        {"GNU.sparse.major": "1", "GNU.sparse.realsize": "9"},
                        {"GNU.sparse.map": "0,1,5,2", "GNU.sparse.size": "9"},
                        {"mtime": "-1.5", "uid": "1", "gid": ""},
                    ]
                )
            )
            try:
                tar.addfile(entry, io.BytesIO(content))
            except ValueError:  # too long for a format
                continue
    return whole.getvalue()


TARGETS = (
    Target(name="image-manifest", run=_manifest, allowed=(RuntimeFault,), inputs=near(_MANIFEST, _INDEX)),
    Target(name="image-config", run=_configuration, allowed=(RuntimeFault,), inputs=near(_CONFIG)),
    Target(
        name="image-layer",
        run=_layer,
        allowed=(RuntimeFault,),
        inputs=st.composite(_tar)(),
        words=(
            b"ustar\0",
            b"\x80" + b"\xff" * 11,
            b"00000000000\0",
            b"30 path=../../../../../../etc\n",
            b"BZh9",
            b"\xfd7zXZ\0",
        ),
        largest_bytes=64 * 1024,
    ),
    Target(name="image-archive", run=_archive, inputs=near(_DOCKER, _INDEX), allowed=(RuntimeFault,)),
    Target(
        name="image-accounts",
        run=_accounts,
        allowed=(RuntimeFault,),
        inputs=lines(
            ("root", ":", "x", "0", "1000", "4294967296", "-1", "9" * 5000, "²", "/"),
            ("1000:1000", "root:x:0:0:r:/root:/bin/sh", "g:x:5:a,b"),
        ),
    ),
)
