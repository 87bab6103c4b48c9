import json
from typing import Any

import pytest

from runtimes.errors import InvalidArgument
from runtimes.oci.images.contract import ImageConfig
from runtimes.oci.images.manifest import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    Manifest,
    check,
    parse_configuration,
    parse_manifest,
)
from runtimes.oci.images.platforms import Host

A, B, C = (f"sha256:{c * 64}" for c in "abc")


def descriptor(digest: str = A, kind: str = OCI_CONFIG, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": 3, **more}


def encode(**document: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **document}).encode()


@pytest.mark.parametrize("kind", [OCI_CONFIG, DOCKER_CONFIG])
def test_manifest(kind: str) -> None:
    """OCI's and Docker's manifests are read alike."""
    manifest = parse_manifest(encode(config=descriptor(A, kind), layers=[descriptor(B, "l"), descriptor(C, "l")]), "x")
    assert isinstance(manifest, Manifest)
    assert (manifest.config.digest, [layer.digest for layer in manifest.layers]) == (A, [B, C])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "x: not JSON"),
        (b"[]", "x: not a JSON object"),
        (b"[" * 100000, "x: not JSON"),
        (b'{"schemaVersion":1}', "x: manifest schema 1 is not supported"),
        (encode(), "x: neither an image manifest nor an index"),
        (encode(config=3), "x: config: a descriptor is not an object"),
        (encode(config=descriptor("sha256:12")), "x: config: 'sha256:12' is not a digest"),
        (encode(config=descriptor("../../etc/passwd")), "x: config: '../../etc/passwd' is not a digest"),
        (encode(config={"digest": A, "size": -1}), f"x: config: {A}: size -1 is not a number of bytes"),
        (encode(config=descriptor(A, "helm")), "x: not a container image (its config is helm)"),
        (encode(config=descriptor(), layers={}), "x: layers is not a list"),
        (encode(manifests=[3]), "x: manifests: a descriptor is not an object"),
    ],
)
def test_broken_manifest(data: bytes, message: str) -> None:
    """A broken manifest is an error that says what is broken; a digest is never taken for a path."""
    with pytest.raises(InvalidArgument) as failure:
        parse_manifest(data, "x")
    assert failure.value.message.startswith(message)


def test_configuration() -> None:
    """What a container is made from is read; the rest is left alone."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "history": [{}],
        "config": {
            "User": "65534:0",
            "Env": ["A=1"],
            "Entrypoint": ["/e"],
            "Cmd": None,
            "Volumes": {"/v": {}},
            "WorkingDir": "/w",
            "Labels": {"l": "1"},
            "StopSignal": "SIGINT",
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": []},
        },
        "rootfs": {"type": "layers", "diff_ids": [A]},
    }
    configuration = parse_configuration(json.dumps(document).encode(), "x")
    assert configuration.diff_ids == (A,)
    assert configuration.config == ImageConfig(
        architecture="amd64",
        os="linux",
        user="65534:0",
        env=("A=1",),
        entrypoint=("/e",),
        volumes=("/v",),
        working_dir="/w",
        labels={"l": "1"},
        stop_signal="SIGINT",
        exposed_ports=("80/tcp",),
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "rootfs is missing"),
        ({"rootfs": {"diff_ids": ["x"]}}, "rootfs.diff_ids: 'x' is not a digest"),
        ({"rootfs": {}, "config": []}, ""),
        ({"rootfs": {}, "config": [1]}, "config is not an object"),
        ({"rootfs": {}, "config": {"Env": "A=1"}}, "Env is not a list"),
        ({"rootfs": {}, "config": {"Cmd": [1]}}, "Cmd is not a list of strings"),
        ({"rootfs": {}, "config": {"Labels": {"a": 1}}}, "Labels is not an object of strings"),
        ({"rootfs": {}, "architecture": 3}, "architecture is not a string"),
    ],
)
def test_broken_configuration(document: dict[str, Any], message: str) -> None:
    """A broken configuration is an error that names the field."""
    data = json.dumps(document).encode()
    if not message:
        assert parse_configuration(data, "x").config == ImageConfig()
        return
    with pytest.raises(InvalidArgument) as failure:
        parse_configuration(data, "x")
    assert failure.value.message == f"x: image configuration: {message}"


@pytest.mark.parametrize(
    ("place", "layers", "message"),
    [
        ({"architecture": "amd64", "os": "linux"}, 1, ""),
        ({}, 1, ""),
        ({"architecture": "x86_64", "os": "linux", "variant": "v3"}, 1, ""),
        ({"architecture": "arm64", "os": "linux"}, 1, "x is for linux/arm64, this node is linux/amd64"),
        ({"architecture": "amd64", "os": "windows"}, 1, "x is for windows/amd64, this node is linux/amd64"),
        ({}, 2, "x: 2 layers in the manifest, 1 in the image configuration"),
    ],
)
def test_image_fits_this_machine(place: dict[str, str], layers: int, message: str) -> None:
    """An image for another machine, or one whose parts do not belong together, is refused."""
    manifest = parse_manifest(encode(config=descriptor(), layers=[descriptor(B)] * layers), "x")
    assert isinstance(manifest, Manifest)
    configuration = parse_configuration(json.dumps({**place, "rootfs": {"diff_ids": [A]}}).encode(), "x")
    if not message:
        check(manifest, configuration, "x", Host(architecture="amd64", variants=("v1",)))
        return
    with pytest.raises(InvalidArgument) as failure:
        check(manifest, configuration, "x", Host(architecture="amd64", variants=("v1",)))
    assert failure.value.message == message
