"""Security contexts of pods and containers as CRI messages, field by field."""

from pathlib import Path
from typing import Any

import pytest

from nodeagent.pods.translation.environment import ConfigError
from nodeagent.pods.translation.security import (
    SecuritySettings,
    container_security,
    namespace_options,
    sandbox_security,
    verify_non_root,
)
from proto import cri_pb2 as cri

SETTINGS = SecuritySettings(seccomp_dir=Path("/seccomp"))
Profile = cri.SecurityProfile


def image(uid: int | None = None, username: str = "") -> cri.Image:
    found = cri.Image(id="sha256:1", username=username)
    if uid is not None:
        found.uid.value = uid
    return found


def security(
    pod_of: Any,
    own: dict[str, Any] | None = None,
    of_pod: dict[str, Any] | None = None,
    *,
    img: cri.Image | None = None,
    settings: SecuritySettings = SETTINGS,
    annotations: dict[str, str] | None = None,
    **more: Any,
) -> cri.LinuxContainerSecurityContext:
    container = {"name": "c", "image": "img", **({"securityContext": own} if own is not None else {})}
    spec = {"containers": [container], **({"securityContext": of_pod} if of_pod is not None else {})}
    pod = pod_of(spec, **({"annotations": annotations} if annotations else {}))
    return container_security(pod, pod.spec.containers[0], img or image(), settings, **more)


def test_defaults(pod_of: Any) -> None:
    """Without any context: the image's user, no extra rights, unconfined, the kernel's sensitive paths hidden."""
    found = security(pod_of, settings=SecuritySettings(masked_paths=("/sys/hot",)))
    assert found.masked_paths[:2] == ["/proc/asound", "/proc/acpi"]
    assert found.masked_paths[-1] == "/sys/hot"
    assert list(found.readonly_paths) == ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    del found.masked_paths[:], found.readonly_paths[:]
    assert found == cri.LinuxContainerSecurityContext(
        run_as_user=cri.Int64Value(value=0),
        namespace_options=cri.NamespaceOption(
            network=cri.POD, pid=cri.CONTAINER, ipc=cri.POD, userns_options=cri.UserNamespace(mode=cri.NODE)
        ),
        seccomp=Profile(profile_type=Profile.Unconfined),
    )


@pytest.mark.parametrize(
    ("own", "of_pod", "img", "user", "username"),
    [
        ({}, {}, image(), 0, ""),
        ({}, {}, image(uid=7), 7, ""),
        ({}, {}, image(username="www"), None, "www"),
        ({}, {"runAsUser": 5}, image(uid=7), 5, ""),
        ({"runAsUser": 6}, {"runAsUser": 5}, image(username="www"), 6, ""),
        ({"runAsUser": 0}, {"runAsUser": 5}, image(), 0, ""),
    ],
)
def test_users(
    pod_of: Any, own: dict[str, Any], of_pod: dict[str, Any], img: cri.Image, user: int | None, username: str
) -> None:
    """The container's, else the pod's, else the image's."""
    found = security(pod_of, own, of_pod, img=img)
    assert (found.run_as_user.value if found.HasField("run_as_user") else None, found.run_as_username) == (
        user,
        username,
    )


def test_groups(pod_of: Any) -> None:
    """runAsGroup of container or pod; fsGroup, then supplemental groups, then those of volumes; the policy."""
    of_pod = {"runAsGroup": 1, "fsGroup": 2000, "supplementalGroups": [7, 8], "supplementalGroupsPolicy": "Strict"}
    found = security(pod_of, {"runAsGroup": 2}, of_pod, volume_groups=(9,))
    assert found.run_as_group.value == 2
    assert list(found.supplemental_groups) == [2000, 7, 8, 9]
    assert found.supplemental_groups_policy == cri.Strict
    assert security(pod_of, {}, {"runAsGroup": 1}).run_as_group.value == 1
    assert not security(pod_of).HasField("run_as_group")


@pytest.mark.parametrize(
    ("own", "of_pod", "img", "message"),
    [
        ({"runAsNonRoot": True}, {}, image(uid=1), ""),
        ({"runAsNonRoot": True, "runAsUser": 1}, {}, image(uid=0), ""),
        ({"runAsNonRoot": False}, {"runAsNonRoot": True}, image(uid=0), ""),
        (
            {"runAsNonRoot": True, "runAsUser": 0},
            {},
            image(uid=1),
            'container\'s runAsUser breaks non-root policy (pod: "p_ns(u)", container: c)',
        ),
        (
            {},
            {"runAsNonRoot": True, "runAsUser": 0},
            image(uid=1),
            'container\'s runAsUser breaks non-root policy (pod: "p_ns(u)", container: c)',
        ),
        (
            {"runAsNonRoot": True},
            {},
            image(uid=0),
            'container has runAsNonRoot and image will run as root (pod: "p_ns(u)", container: c)',
        ),
        (
            {"runAsNonRoot": True},
            {},
            image(),
            'container has runAsNonRoot and image will run as root (pod: "p_ns(u)", container: c)',
        ),
        (
            {"runAsNonRoot": True},
            {},
            image(username="www"),
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root "
            '(pod: "p_ns(u)", container: c)',
        ),
        (
            {"runAsNonRoot": True},
            {},
            image(uid=2**31),
            "container has runAsNonRoot and image has an invalid user id (2147483648). (Must be 1-(2147483647)): "
            '(pod: "p_ns(u)", container: c)',
        ),
    ],
)
def test_run_as_non_root(
    pod_of: Any, own: dict[str, Any], of_pod: dict[str, Any], img: cri.Image, message: str
) -> None:
    """Who would be root, or cannot be seen not to be, is refused in the kubelet's words."""
    pod = pod_of({"containers": [{"name": "c", "securityContext": own}], "securityContext": of_pod})
    if not message:
        verify_non_root(pod, pod.spec.containers[0], img)
        return
    with pytest.raises(ConfigError) as caught:
        verify_non_root(pod, pod.spec.containers[0], img)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("own", "of_pod", "default", "expected"),
    [
        (None, None, False, Profile(profile_type=Profile.Unconfined)),
        (None, None, True, Profile(profile_type=Profile.RuntimeDefault)),
        (None, "RuntimeDefault", False, Profile(profile_type=Profile.RuntimeDefault)),
        ("Unconfined", "RuntimeDefault", True, Profile(profile_type=Profile.Unconfined)),
        ("Localhost", None, False, Profile(profile_type=Profile.Localhost, localhost_ref="/seccomp/my/profile.json")),
    ],
)
def test_seccomp(pod_of: Any, own: str | None, of_pod: str | None, default: bool, expected: Profile) -> None:
    """The container's profile, else the pod's, else the node's default."""

    def context(kind: str | None) -> dict[str, Any]:
        if kind is None:
            return {}
        return {
            "seccompProfile": {"type": kind, **({"localhostProfile": "my/profile.json"} if kind == "Localhost" else {})}
        }

    settings = SecuritySettings(seccomp_dir=Path("/seccomp"), seccomp_default=default)
    assert security(pod_of, context(own), context(of_pod), settings=settings).seccomp == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "localhostProfile must be set if seccompProfile type is Localhost."),
        ("", "localhostProfile must be set if seccompProfile type is Localhost."),
        ("../x", "seccompProfile: localhostProfile '../x' is not below the folder of the node's profiles"),
        ("a/../../x", "seccompProfile: localhostProfile 'a/../../x' is not below the folder of the node's profiles"),
        ("/etc/x", "seccompProfile: localhostProfile '/etc/x' is not below the folder of the node's profiles"),
    ],
)
@pytest.mark.parametrize("whose", ["own", "of_pod"])
def test_a_profile_that_cannot_be_told_is_no_missing_one(
    pod_of: Any, name: str | None, message: str, whose: str
) -> None:
    """A Localhost profile without a name, or with one that leads elsewhere, never runs unconfined (CVE-2023-2431)."""
    profile = {"type": "Localhost"} if name is None else {"type": "Localhost", "localhostProfile": name}
    contexts = {"own": {}, "of_pod": {}, whose: {"seccompProfile": profile}}
    with pytest.raises(ConfigError) as caught:
        security(pod_of, contexts["own"], contexts["of_pod"])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("own", "annotation", "of_pod", "text", "profile"),
    [
        (None, None, None, "", None),
        ("RuntimeDefault", "unconfined", "Unconfined", "runtime/default", Profile(profile_type=Profile.RuntimeDefault)),
        (None, "unconfined", "RuntimeDefault", "unconfined", Profile(profile_type=Profile.Unconfined)),
        (None, "localhost/x", None, "localhost/x", Profile(profile_type=Profile.Localhost, localhost_ref="x")),
        (None, None, "Localhost", "localhost/prof", Profile(profile_type=Profile.Localhost, localhost_ref="prof")),
    ],
)
def test_apparmor(
    pod_of: Any, own: str | None, annotation: str | None, of_pod: str | None, text: str, profile: Profile | None
) -> None:
    """The container's field, else the old annotation, else the pod's field; in the new form and in the old."""

    def context(kind: str | None) -> dict[str, Any]:
        return {"appArmorProfile": {"type": kind, "localhostProfile": "prof"}} if kind else {}

    annotations = {"container.apparmor.security.beta.kubernetes.io/c": annotation} if annotation else None
    found = security(pod_of, context(own), context(of_pod), annotations=annotations)
    assert found.apparmor_profile == text
    assert (found.apparmor if found.HasField("apparmor") else None) == profile


def test_what_only_containers_have(pod_of: Any) -> None:
    """Privileges, capabilities, read-only root and no_new_privs; escalation must be forbidden explicitly."""
    found = security(
        pod_of,
        {
            "privileged": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "procMount": "Unmasked",
        },
    )
    assert (found.privileged, found.readonly_rootfs, found.no_new_privs) == (True, True, True)
    assert found.capabilities == cri.Capability(add_capabilities=["NET_ADMIN"], drop_capabilities=["ALL"])
    assert (list(found.masked_paths), list(found.readonly_paths)) == ([], [])
    assert not security(pod_of, {"allowPrivilegeEscalation": True}).no_new_privs


def test_selinux_of_the_container_wins(pod_of: Any) -> None:
    """Whole options, not field by field."""
    found = security(pod_of, {"seLinuxOptions": {"level": "s0:c1"}}, {"seLinuxOptions": {"type": "t", "level": "s0"}})
    assert found.selinux_options == cri.SELinuxOption(level="s0:c1")
    assert security(pod_of, {}, {"seLinuxOptions": {"type": "t"}}).selinux_options == cri.SELinuxOption(type="t")


@pytest.mark.parametrize(
    ("spec", "target", "expected"),
    [
        ({}, "", (cri.POD, cri.CONTAINER, cri.POD)),
        ({"hostNetwork": True, "hostIPC": True, "hostPID": True}, "", (cri.NODE, cri.NODE, cri.NODE)),
        ({"shareProcessNamespace": True}, "", (cri.POD, cri.POD, cri.POD)),
        ({"shareProcessNamespace": True}, "id1", (cri.POD, cri.TARGET, cri.POD)),
    ],
)
def test_namespaces(pod_of: Any, spec: dict[str, Any], target: str, expected: tuple[int, int, int]) -> None:
    """Network, PID and IPC modes; an ephemeral container joins the PID namespace of its target."""
    options = namespace_options(pod_of(spec), target_id=target)
    assert (options.network, options.pid, options.ipc, options.target_id) == (*expected, target)


def test_user_namespace_mappings_are_passed_on(pod_of: Any) -> None:
    """Sandbox and container get the same ones."""
    mapping = cri.IDMapping(host_id=65536, container_id=0, length=65536)
    namespace = cri.UserNamespace(mode=cri.POD, uids=[mapping], gids=[mapping])
    pod = pod_of()
    assert sandbox_security(pod, user_namespace=namespace).namespace_options.userns_options == namespace
    assert security(pod_of, user_namespace=namespace).namespace_options.userns_options == namespace


def test_sandbox_context(pod_of: Any) -> None:
    """The sandbox is always confined, privileged if any container is, and has the pod's user and groups."""
    pod = pod_of(
        {
            "containers": [{"name": "a"}, {"name": "b", "securityContext": {"privileged": True}}],
            "securityContext": {
                "runAsUser": 5,
                "runAsGroup": 6,
                "fsGroup": 7,
                "supplementalGroups": [8],
                "seLinuxOptions": {"level": "s0"},
                "seccompProfile": {"type": "Unconfined"},
            },
        }
    )
    assert sandbox_security(pod) == cri.LinuxSandboxSecurityContext(
        namespace_options=namespace_options(pod),
        selinux_options=cri.SELinuxOption(level="s0"),
        run_as_user=cri.Int64Value(value=5),
        run_as_group=cri.Int64Value(value=6),
        supplemental_groups=[7, 8],
        privileged=True,
        seccomp=Profile(profile_type=Profile.RuntimeDefault),
    )
