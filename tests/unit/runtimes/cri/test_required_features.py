"""Requests that an older peer would carry out in part."""

import dataclasses
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri import required_features
from runtimes.cri.factory import cri_runtime


def _user_namespace() -> cri.PodSandboxConfig:
    config = cri.PodSandboxConfig()
    config.linux.security_context.namespace_options.userns_options.mode = cri.POD
    return config


def _read_only() -> cri.ContainerConfig:
    return cri.ContainerConfig(mounts=[cri.Mount(container_path="/a"), cri.Mount(recursive_read_only=True)])


def _strict() -> cri.ContainerConfig:
    config = cri.ContainerConfig()
    config.linux.security_context.supplemental_groups_policy = cri.SupplementalGroupsPolicy.Strict
    return config


def test_what_is_asked() -> None:
    """Only what would be less isolation if it were left out; the usual pod asks nothing."""
    host = cri.PodSandboxConfig()
    host.linux.security_context.namespace_options.userns_options.mode = cri.NODE
    assert required_features.of_sandbox(cri.PodSandboxConfig()) == frozenset()
    assert required_features.of_sandbox(host) == frozenset()
    assert required_features.of_sandbox(_user_namespace()) == {required_features.USER_NAMESPACES}
    assert required_features.of_container(cri.ContainerConfig()) == frozenset()
    assert required_features.of_container(_read_only()) == {required_features.RECURSIVE_READ_ONLY}
    assert required_features.of_container(_strict()) == {required_features.STRICT_GROUPS}


ABLE = cri.StatusResponse(
    runtime_handlers=[
        cri.RuntimeHandler(name="runc", features={"user_namespaces": True, "recursive_read_only_mounts": True}),
        cri.RuntimeHandler(name="kata"),
    ],
    features=cri.RuntimeFeatures(supplemental_groups_policy=True),
)


@pytest.mark.parametrize(
    ("status", "handler", "expected"),
    [
        (cri.StatusResponse(), "runc", set()),
        (
            ABLE,
            "runc",
            {required_features.USER_NAMESPACES, required_features.RECURSIVE_READ_ONLY, required_features.STRICT_GROUPS},
        ),
        (ABLE, "kata", {required_features.STRICT_GROUPS}),
        (ABLE, "other", {required_features.STRICT_GROUPS}),
    ],
)
def test_what_a_peer_can(status: cri.StatusResponse, handler: str, expected: set[str]) -> None:
    """By handler; a peer that lists none can nothing of it."""
    assert required_features.met(status, handler) == expected


@pytest.mark.parametrize("able", [False, True])
async def test_refused_before_the_peer_sees_it(tmp_path: Path, peer: Any, able: bool) -> None:
    """NotSupported names what is missing; a peer that can gets the request as it is."""
    seen: list[str] = []

    def answering(name: str, response: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(_request: Any, _context: Any) -> Any:
            seen.append(name)
            return response

        return answer

    status = cri.PodSandboxStatusResponse(status=cri.PodSandboxStatus(runtime_handler="runc"))
    answers = {
        "Status": answering("Status", ABLE if able else cri.StatusResponse()),
        "PodSandboxStatus": answering("PodSandboxStatus", status),
        "RunPodSandbox": answering("RunPodSandbox", cri.RunPodSandboxResponse(pod_sandbox_id="s")),
        "CreateContainer": answering("CreateContainer", cri.CreateContainerResponse(container_id="c")),
    }
    calls = (
        ("run_pod_sandbox", cri.RunPodSandboxRequest(config=_user_namespace()), required_features.USER_NAMESPACES),
        ("create_container", cri.CreateContainerRequest(config=_read_only()), required_features.RECURSIVE_READ_ONLY),
        ("create_container", cri.CreateContainerRequest(config=_strict()), required_features.STRICT_GROUPS),
    )
    async with peer(tmp_path / "s", answers):
        made = cri_runtime("containerd", {"endpoint": f"unix://{tmp_path / 's'}", "handler": "runc"})
        for verb, request, missing in calls:
            if able:
                await getattr(made.service, verb)(request)
                continue
            with pytest.raises(errors.NotSupported, match=missing):
                await getattr(made.service, verb)(request)
        await made.lifecycle.stop()
    assert ("RunPodSandbox" in seen, "CreateContainer" in seen) == (able, able)


@pytest.mark.parametrize(
    ("name", "version", "refusal"),
    [
        (
            "containerd",
            "1.6.20~ds1",
            "image volumes are not supported by containerd 1.6.20~ds1: they need containerd 2.1",
        ),
        ("containerd", "v2.0.4", "image volumes are not supported by containerd v2.0.4: they need containerd 2.1"),
        ("containerd", "v2.1.0", ""),
        ("cri-o", "1.30.1", "image volumes are not supported by cri-o 1.30.1: they need cri-o 1.31"),
        ("cri-o", "1.31.0", ""),
        ("nodeagent", "0.1", ""),
        ("containerd", "unknown", ""),
    ],
)
async def test_image_volumes(tmp_path: Path, peer: Any, name: str, version: str, refusal: str) -> None:
    """Releases that drop an image mount without a word are refused; what nobody knows is taken at its word. It is known from
    the peer's last answer to `version`, and asked again before a container is created that mounts one."""
    told = [cri.VersionResponse(runtime_name=name, runtime_version=version)]
    seen: list[str] = []

    async def tell_version(_request: Any, _context: Any) -> Any:
        return told[0]

    async def create(_request: Any, _context: Any) -> Any:
        seen.append("CreateContainer")
        return cri.CreateContainerResponse(container_id="c")

    image = cri.ContainerConfig(mounts=[cri.Mount(container_path="/i", image=cri.ImageSpec(image="x"))])
    async with peer(tmp_path / "s", {"Version": tell_version, "CreateContainer": create}):
        made = cri_runtime("containerd", {"endpoint": f"unix://{tmp_path / 's'}"})
        before = made.service.capabilities
        await made.service.version(cri.VersionRequest())
        assert made.service.capabilities == dataclasses.replace(before, image_volumes_refusal=refusal)
        if refusal:
            with pytest.raises(errors.NotSupported, match=re.escape(refusal)):
                await made.service.create_container(cri.CreateContainerRequest(config=image))
            told[0] = cri.VersionResponse(runtime_name=name, runtime_version="3.0.0")
        await made.service.create_container(cri.CreateContainerRequest(config=image))
        await made.lifecycle.stop()
    assert seen == ["CreateContainer"]
