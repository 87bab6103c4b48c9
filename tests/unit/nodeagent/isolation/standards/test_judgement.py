"""Pods against the Pod Security Standards: every control with values that it lets pass and values that it does not."""

from typing import Any

import pytest

from nodeagent.isolation.profiles import PROFILES, profile
from nodeagent.isolation.standards.control import Level, Version
from nodeagent.isolation.standards.judgement import CONTROLS, LATEST, Judgement, judge

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(
    spec: dict[str, Any] | None = None, *, annotations: dict[str, str] | None = None, **context: Any
) -> dict[str, Any]:
    """Restricted but for what is given: fields of the spec, and of the container's securityContext (None: not set)."""
    hardened = {key: value for key, value in {**HARDENED, **context}.items() if value is not None}
    whole = {"containers": [{"name": "c", "securityContext": hardened}], **(spec or {})}
    return {"metadata": {"annotations": annotations or {}}, "spec": whole}


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "securityContext": HARDENED, **fields}]}


def said(judgement: Judgement) -> list[tuple[str, str]]:
    return [(violation.control, str(violation)) for violation in judgement.violations]


AT_C = "spec.containers[0].securityContext"
VIOLATIONS: list[tuple[str, dict[str, Any], str, str, tuple[str, ...]]] = [
    (
        "hostNamespaces",
        pod({"hostNetwork": True, "hostPID": True, "hostIPC": False}),
        "host namespaces",
        "hostNetwork=true, hostPID=true",
        ("spec.hostNetwork", "spec.hostPID"),
    ),
    ("hostNamespaces", pod({"hostIPC": True}), "host namespaces", "hostIPC=true", ("spec.hostIPC",)),
    (
        "privileged",
        pod(privileged=True),
        "privileged",
        'container "c" must not set securityContext.privileged=true',
        (f"{AT_C}.privileged",),
    ),
    (
        "capabilities_baseline",
        pod(capabilities={"drop": ["ALL"], "add": ["NET_RAW", "CHOWN", "SYS_ADMIN"]}),
        "non-default capabilities",
        'container "c" must not include "NET_RAW", "SYS_ADMIN" in securityContext.capabilities.add',
        (f"{AT_C}.capabilities.add[0]", f"{AT_C}.capabilities.add[2]"),
    ),
    (
        "hostPathVolumes",
        pod({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}}]}),
        "hostPath volumes",
        'volume "b"',
        ("spec.volumes[1].hostPath",),
    ),
    (
        "hostPorts",
        pod(container(ports=[{"containerPort": 80, "hostPort": 80}, {"hostPort": 0}, {"hostPort": 443}])),
        "hostPort",
        'container "c" uses hostPorts 443, 80',
        ("spec.containers[0].ports[0].hostPort", "spec.containers[0].ports[2].hostPort"),
    ),
    (
        "hostProbesAndHostLifecycle",
        pod(
            container(
                livenessProbe={"httpGet": {"host": "10.0.0.1"}},
                readinessProbe={"tcpSocket": {"host": ""}},
                lifecycle={"preStop": {"tcpSocket": {"host": "b"}}},
            )
        ),
        "probe or lifecycle host",
        'container "c" uses probe or lifecycle hosts "10.0.0.1", "b"',
        ("spec.containers[0].livenessProbe.httpGet.host", "spec.containers[0].lifecycle.preStop.tcpSocket.host"),
    ),
    (
        "appArmorProfile",
        pod({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
        "forbidden AppArmor profile",
        'pod must not set AppArmor profile type to "Unconfined"',
        ("spec.securityContext.appArmorProfile.type",),
    ),
    (
        "appArmorProfile",
        pod(
            annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
            appArmorProfile={"type": "Unconfined"},
        ),
        "forbidden AppArmor profiles",
        'container "c" and annotation must not set AppArmor profile type to "Unconfined", '
        '"container.apparmor.security.beta.kubernetes.io/c="unconfined""',
        (f"{AT_C}.appArmorProfile.type", "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]"),
    ),
    (
        "seLinuxOptions",
        pod({"securityContext": {"seLinuxOptions": {"user": "u"}}}, seLinuxOptions={"type": "spc_t", "role": "r"}),
        "seLinuxOptions",
        'pod and container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; '
        "role may not be set",
        (
            f"{AT_C}.seLinuxOptions.type",
            "spec.securityContext.seLinuxOptions.user",
            f"{AT_C}.seLinuxOptions.role",
        ),
    ),
    (
        "procMount_baseline",
        pod(procMount="Unmasked"),
        "procMount",
        'container "c" must not set securityContext.procMount to "Unmasked"',
        (f"{AT_C}.procMount",),
    ),
    (
        "seccompProfile_baseline",
        pod({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
        "seccompProfile",
        'pod must not set securityContext.seccompProfile.type to "Unconfined"',
        ("spec.securityContext.seccompProfile.type",),
    ),
    (
        "sysctls",
        pod({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced"}, {"name": "kernel.msgmax"}]}}),
        "forbidden sysctls",
        "kernel.msgmax",
        ("spec.securityContext.sysctls[1].name",),
    ),
    (
        "windowsHostProcess",
        pod({"securityContext": {"windowsOptions": {"hostProcess": True}}}),
        "hostProcess",
        "pod must not set securityContext.windowsOptions.hostProcess=true",
        ("spec.securityContext.windowsOptions.hostProcess",),
    ),
    (
        "allowPrivilegeEscalation",
        pod(allowPrivilegeEscalation=None),
        "allowPrivilegeEscalation != false",
        'container "c" must set securityContext.allowPrivilegeEscalation=false',
        (f"{AT_C}.allowPrivilegeEscalation",),
    ),
    (
        "capabilities_restricted",
        pod(capabilities={"drop": ["NET_RAW"], "add": ["CHOWN", "NET_BIND_SERVICE"]}),
        "unrestricted capabilities",
        'container "c" must set securityContext.capabilities.drop=["ALL"]; '
        'container "c" must not include "CHOWN" in securityContext.capabilities.add',
        (f"{AT_C}.capabilities.drop", f"{AT_C}.capabilities.add[0]"),
    ),
    (
        "restrictedVolumes",
        pod({"volumes": [{"name": "a", "nfs": {}}, {"name": "b", "image": {}}, {"name": "c", "secret": {}}]}),
        "restricted volume types",
        'volumes "a", "b" use restricted volume types "nfs", "unknown"',
        ("spec.volumes[0].nfs", "spec.volumes[1].unknown"),
    ),
    (
        "runAsNonRoot",
        pod(runAsNonRoot=False),
        "runAsNonRoot != true",
        'container "c" must not set securityContext.runAsNonRoot=false',
        (f"{AT_C}.runAsNonRoot",),
    ),
    (
        "runAsNonRoot",
        pod(runAsNonRoot=None),
        "runAsNonRoot != true",
        'pod or container "c" must set securityContext.runAsNonRoot=true',
        (f"{AT_C}.runAsNonRoot",),
    ),
    (
        "runAsUser",
        pod({"securityContext": {"runAsUser": 0}}, runAsUser=0),
        "runAsUser=0",
        'pod and container "c" must not set runAsUser=0',
        ("spec.securityContext.runAsUser", f"{AT_C}.runAsUser"),
    ),
    (
        "seccompProfile_restricted",
        pod(seccompProfile=None),
        "seccompProfile",
        'pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
        (f"{AT_C}.seccompProfile.type",),
    ),
    (
        "procMount_restricted",
        pod({"hostUsers": False}, procMount="Unmasked"),
        "procMount",
        'container "c" must not set securityContext.procMount to "Unmasked"',
        (f"{AT_C}.procMount",),
    ),
]


@pytest.mark.parametrize(("control", "bad", "reason", "detail", "fields"), VIOLATIONS)
def test_what_a_control_does_not_let_pass(
    control: str, bad: dict[str, Any], reason: str, detail: str, fields: tuple[str, ...]
) -> None:
    """In the admission plugin's words, with the path of each field; the level is the next looser one."""
    found = judge(bad)
    violation = next(each for each in found.violations if each.control == control)
    assert (violation.reason, violation.detail, violation.fields) == (reason, detail, fields)
    loosest = Level.PRIVILEGED if violation.level is Level.BASELINE else Level.BASELINE
    assert found.level is loosest


def test_every_control_is_violated_above() -> None:
    """None is left without a bad value."""
    assert {control.id for control in CONTROLS} == {control for control, *_ in VIOLATIONS}


PASSED: list[dict[str, Any]] = [
    pod(),
    pod({"hostNetwork": False, "hostPID": None}),
    pod(privileged=False),
    pod(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    pod(container(ports=[{"containerPort": 80, "hostPort": 0}])),
    pod(container(livenessProbe={"httpGet": {"host": ""}}, lifecycle={"postStart": {"exec": {}}})),
    pod({"securityContext": {"appArmorProfile": {"type": "Localhost"}}}, appArmorProfile={"type": "RuntimeDefault"}),
    pod(annotations={"container.apparmor.security.beta.kubernetes.io/c": "localhost/x", "other": "unconfined"}),
    pod(seLinuxOptions={"type": "container_engine_t", "level": "s0"}),
    pod(procMount="Default"),
    pod({"securityContext": {"seccompProfile": {"type": "Localhost"}}}, seccompProfile=None),
    pod({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_wmem"}, {"name": "net.ipv4.tcp_fin_timeout"}]}}),
    pod({"securityContext": {"windowsOptions": {"hostProcess": False}}}),
    pod({"securityContext": {"runAsNonRoot": True}}, runAsNonRoot=None),
    pod(runAsUser=1),
    pod({"hostUsers": False}, runAsUser=0, runAsNonRoot=False),
    pod({"os": {"name": "windows"}}, allowPrivilegeEscalation=None, capabilities=None, seccompProfile=None),
    pod(
        {
            "volumes": [
                {"name": kind, kind: {}}
                for kind in (
                    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
                )
            ]
        }
    ),
]  # fmt: skip


@pytest.mark.parametrize("good", PASSED)
def test_what_every_control_lets_pass(good: dict[str, Any]) -> None:
    """Restricted, with nothing to say."""
    assert judge(good) == Judgement(Level.RESTRICTED, ())


@pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
@pytest.mark.parametrize(
    ("context", "control"),
    [
        ({**HARDENED, "privileged": True}, "privileged"),
        ({**HARDENED, "procMount": "Unmasked"}, "procMount_baseline"),
        ({**HARDENED, "seccompProfile": {"type": "Unconfined"}}, "seccompProfile_baseline"),
        ({**HARDENED, "runAsUser": 0}, "runAsUser"),
        ({**HARDENED, "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}, "capabilities_baseline"),
        (
            {key: value for key, value in HARDENED.items() if key != "allowPrivilegeEscalation"},
            "allowPrivilegeEscalation",
        ),
    ],
)
def test_every_kind_of_container(kind: str, context: dict[str, Any], control: str) -> None:
    """Init and ephemeral containers are held to it too, and are named by their own path."""
    spec = {"containers": [{"name": "c", "securityContext": HARDENED}]}
    more = [*spec.get(kind, []), {"name": "bad", "securityContext": context}]
    violations = judge({"spec": {**spec, kind: more}}).violations
    fields = {field for violation in violations for field in violation.fields}
    assert control in {violation.control for violation in violations}
    assert all(field.startswith(f"spec.{kind}[{len(more) - 1}].securityContext.") for field in fields)
    assert all('"bad"' in violation.detail for violation in violations)


def test_containers_in_their_order() -> None:
    """Init containers first, each by its name; the pod is named before them."""
    bad = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    spec = {
        "securityContext": {"seccompProfile": {"type": "Other"}},
        "containers": [{"name": "b", **bad}, {"name": "c", **bad}],
        "initContainers": [{"name": "a", **bad}],
    }
    found = {violation.control: violation.detail for violation in judge({"spec": spec}).violations}
    assert found["seccompProfile_baseline"] == (
        'pod and containers "a", "b", "c" must not set securityContext.seccompProfile.type to "Other", "Unconfined"'
    )


@pytest.mark.parametrize(
    ("bad", "version", "control"),
    [
        (pod({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}), (1, 31), "sysctls"),
        (pod({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}}), (1, 26), "sysctls"),
        (pod(seLinuxOptions={"type": "container_engine_t"}), (1, 30), "seLinuxOptions"),
        (pod({"hostUsers": False}, runAsUser=0), (1, 34), "runAsUser"),
        (pod({"hostUsers": False}, runAsNonRoot=None), (1, 34), "runAsNonRoot"),
        (pod({"hostUsers": False}, procMount="Unmasked"), (1, 34), "procMount_baseline"),
        (pod({"os": {"name": "windows"}}, seccompProfile=None), (1, 24), "seccompProfile_restricted"),
        (pod({"os": {"name": "windows"}}, allowPrivilegeEscalation=None), (1, 24), "allowPrivilegeEscalation"),
        (pod({"os": {"name": "windows"}}, capabilities=None), (1, 24), "capabilities_restricted"),
    ],
)
def test_what_has_become_looser(bad: dict[str, Any], version: Version, control: str) -> None:
    """The version before still minds."""
    assert control in {violation.control for violation in judge(bad, version).violations}
    assert control not in {violation.control for violation in judge(bad).violations}


def test_what_has_become_stricter() -> None:
    """Versions before the control's own do not know it."""
    hosts = pod(container(livenessProbe={"httpGet": {"host": "h"}}))
    assert judge(hosts, (1, 33)).level is Level.RESTRICTED
    assert judge(hosts, (1, 34)).level is Level.PRIVILEGED
    assert judge(pod(runAsUser=0), (1, 22)).level is Level.RESTRICTED
    assert judge(pod(capabilities=None), (1, 21)).level is Level.RESTRICTED


def test_what_two_controls_say_alike_is_told_once() -> None:
    """Unconfined is against both levels."""
    found = said(judge(pod(seccompProfile={"type": "Unconfined"})))
    assert [control for control, _ in found] == ["seccompProfile_baseline"]


def test_capabilities_in_a_user_namespace() -> None:
    """Are judged as anybody's."""
    bad = pod({"hostUsers": False}, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})
    assert judge(bad).level is Level.PRIVILEGED


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"spec": None},
        {"spec": []},
        {"spec": {"containers": [None, 1], "volumes": {"a": 1}, "securityContext": "x"}},
    ],
)
def test_what_is_no_pod(strange: Any) -> None:
    """Is judged without an error: it comes from a file."""
    judge(strange, LATEST)


@pytest.mark.parametrize("name", list(PROFILES))
def test_each_profile_meets_its_level(name: str) -> None:
    """And no stricter one."""
    assert profile(name).judgement.level == name
