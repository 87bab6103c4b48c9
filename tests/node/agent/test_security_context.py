"""Security contexts and RuntimeClass overhead as seen from inside containers and in the kernel's files.

docs/facts/pod-lifecycle.md 11.4 to 11.6, docs/facts/node-resources.md 14.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, import_image, make_node, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-security")]

DEFAULT_CAPABILITIES = "00000000a80425fb"
NET_BIND_SERVICE = "0000000000000400"
LABEL_FILE = {"path": "k", "fieldRef": {"fieldPath": "metadata.labels['of']"}}
STATUS = "grep -E '^(NoNewPrivs|Seccomp|CapEff):' /proc/self/status; id; "


@pytest.fixture(scope="module")
def node(demo_image: Path) -> Iterator[NodeUnderTest]:
    """A node with seccompDefault, one unsafe sysctl allowed, and folders that pods' own users may pass."""
    folder = Path(tempfile.mkdtemp(prefix="natest-"))
    folder.chmod(0o711)
    made = make_node(folder, kubelet={"seccompDefault": True, "allowedUnsafeSysctls": ["kernel.msg*"]})
    made.directory.mkdir(mode=0o755)
    import_image(made, demo_image)
    made.start()
    for name, overhead in (("crun", None), ("gvisor", None), ("heavy", {"cpu": "250m", "memory": "32Mi"})):
        handler = "runc" if overhead else name
        extra = {"overhead": {"podFixed": overhead}} if overhead else {}
        kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass"}
        made.apply({**kind, "metadata": {"name": name}, "handler": handler, **extra})
    yield made
    made.clean()
    shutil.rmtree(folder)


def run(
    name: str, script: str, own: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A pod that runs a script once; `own` is the container's security context, `pod` the pod's."""
    made = pod_object(name, "sh", "-c", script, restartPolicy="Never", automountServiceAccountToken=False, **spec)
    if own is not None:
        made["spec"]["containers"][0]["securityContext"] = own
    if pod is not None:
        made["spec"]["securityContext"] = pod
    return made


def report(node: NodeUnderTest, name: str) -> str:
    node.pod_when(name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), f"{name} ends")
    return node.kubectl("logs", name)


def fields(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s+(\w+)$", text, re.MULTILINE))


def test_who_a_container_is(node: NodeUnderTest) -> None:
    """User, group, supplemental groups and fsGroup, on runc, crun and gVisor; a volume belongs to fsGroup; the status tells."""
    script = "id; stat -c '%g %a' /data; touch /data/made; stat -c '%u:%g' /data/made; touch /var/tmp/made"
    identity = {"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000], "fsGroup": 4000}
    volume = {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    own = {"readOnlyRootFilesystem": True}
    names = ("runc", "crun", "gvisor")
    for name in names:
        runtime = {} if name == "runc" else {"runtimeClassName": name}
        node.apply(run(f"who-{name}", script, own, identity, **volume, **runtime))
    for name in names:
        lines = report(node, f"who-{name}").splitlines()
        found = re.search(r"uid=(\d+).* gid=(\d+).* groups=(.*)", lines[0])
        assert found is not None
        groups = {int(text.split("(")[0]) for text in found[3].split(",")}
        assert (found[1], found[2], groups) == ("1000", "2000", {2000, 3000, 4000})
        assert lines[1:] == ["4000 2777", "1000:4000", "touch: /var/tmp/made: Read-only file system"]
    user = node.pod("who-runc")["status"]["containerStatuses"][0]["user"]["linux"]
    assert (user["uid"], user["gid"], set(user["supplementalGroups"])) == (1000, 2000, {2000, 3000, 4000})


def test_what_a_container_may_do(node: NodeUnderTest) -> None:
    """Capabilities, no_new_privs and seccomp as asked for; with seccompDefault what says nothing is confined; on crun too."""
    locked = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    loose = {"seccompProfile": {"type": "Unconfined"}, "capabilities": {"drop": ["CHOWN"]}}
    profiles = node.root_dir / "seccomp"
    profiles.mkdir()
    denied = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    (profiles / "no-mkdir.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))
    local = {"seccompProfile": {"type": "Localhost", "localhostProfile": "no-mkdir.json"}}
    node.apply(
        run("plain", STATUS),
        run("locked", STATUS, locked),
        run("locked-crun", STATUS, locked, runtimeClassName="crun"),
        run("loose", STATUS, loose),
        run("local", STATUS + "mkdir /tmp/x", local),
        run("powerful", STATUS + "test -w /proc/sys/kernel/domainname && echo writable", {"privileged": True}),
    )
    assert fields(report(node, "plain")) == {"CapEff": DEFAULT_CAPABILITIES, "NoNewPrivs": "0", "Seccomp": "2"}
    for name in ("locked", "locked-crun"):
        assert fields(report(node, name)) == {"CapEff": NET_BIND_SERVICE, "NoNewPrivs": "1", "Seccomp": "2"}
    assert fields(report(node, "loose")) == {"CapEff": "00000000a80425fa", "NoNewPrivs": "0", "Seccomp": "0"}
    log = report(node, "local")
    assert fields(log)["Seccomp"] == "2"
    assert "Operation not permitted" in log
    log = report(node, "powerful")
    bounding = fields(Path("/proc/self/status").read_text())["CapBnd"]
    assert (fields(log)["CapEff"], fields(log)["Seccomp"]) == (bounding, "0")
    assert "writable" in log


def test_what_a_container_sees_of_proc(node: NodeUnderTest) -> None:
    """procMount: masked and read-only by default, plain when unmasked (for pods with users of their own); sysctls set."""
    script = "grep -E ' /proc/' /proc/self/mounts | cut -d' ' -f2; echo end"
    sysctls = [
        {"name": "net.ipv4.ip_unprivileged_port_start", "value": "100"},
        {"name": "kernel.msgmax", "value": "12345"},
    ]
    read = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax"
    node.apply(
        run("masked", script),
        run("unmasked", script, {"procMount": "Unmasked"}, hostUsers=False),
        run("tuned", read, None, {"sysctls": sysctls}),
    )
    masked = set(report(node, "masked").split())
    hidden = ("keys", "kcore", "timer_list", "latency_stats", "sys", "bus", "fs", "irq", "sysrq-trigger")
    assert {f"/proc/{name}" for name in hidden if Path("/proc", name).exists()} <= masked
    assert report(node, "unmasked").split() == ["end"]
    assert report(node, "tuned").split() == ["100", "12345"]


@pytest.mark.parametrize(
    ("name", "own", "pod", "message"),
    [
        (
            "root-asked",
            {"runAsUser": 0},
            {"runAsNonRoot": True},
            'container\'s runAsUser breaks non-root policy (pod: "{pod}", container: c)',
        ),
        (
            "root-image",
            {"runAsNonRoot": True},
            None,
            'container has runAsNonRoot and image will run as root (pod: "{pod}", container: c)',
        ),
    ],
)
def test_containers_that_must_not_be_root(node: NodeUnderTest, name: str, own: Any, pod: Any, message: str) -> None:
    """runAsNonRoot: CreateContainerConfigError in the words that users know, in the status and in an event."""
    node.apply(run(name, "true", own, pod))

    def waiting(found: dict[str, Any]) -> dict[str, Any]:
        statuses = found["status"].get("containerStatuses", [{}])
        held: dict[str, Any] = statuses[0].get("state", {}).get("waiting", {})
        return held if held.get("reason") == "CreateContainerConfigError" else {}

    found = node.pod_when(name, waiting)
    expected = message.format(pod=f"{name}_default({found['metadata']['uid']})")
    assert waiting(found)["message"] == expected
    assert node.event_when(name, "Failed") == f"Error: {expected}"


@pytest.mark.parametrize("runtime", ["", "crun", "gvisor"])
def test_selinux_on_a_host_without_it(node: NodeUnderTest, runtime: str) -> None:
    """Labels of the pod and of a container mean nothing there: the pod runs, and the log says it once, not for every pod."""
    label = {"seLinuxOptions": {"user": "system_u", "type": "spc_t", "level": "s0:c1,c2"}}
    name = f"labelled-{runtime or 'runc'}"
    classes = {"runtimeClassName": runtime} if runtime else {}
    made = run(name, "cat /c/k", label, {**label, "fsGroup": 2000}, **classes)
    made["spec"]["initContainers"] = [{**made["spec"]["containers"][0], "name": "before", "command": ["true"]}]
    made["spec"]["volumes"] = [{"name": "c", "downwardAPI": {"items": [LABEL_FILE], "defaultMode": 0o440}}]
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "c", "mountPath": "/c"}]
    made["metadata"]["labels"] = {"of": "it"}
    node.apply(made)
    assert report(node, name) == "it"
    assert node.log().count("SELinux options are ignored") == 1


def test_overhead_is_in_the_pods_cgroup(node: NodeUnderTest) -> None:
    """RuntimeClass overhead is added to the pod's cgroup and to what admission counts, not to the container's."""
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    node.apply(pod_object("heavy", "sleep", "100000", resources=resources, runtimeClassName="heavy"))
    pod = node.running("heavy")
    assert pod["spec"]["overhead"] == {"cpu": "250m", "memory": "32Mi"}
    top = f"{node.cgroup.lstrip('/')}/kubepods/burstable/pod{pod['metadata']['uid']}"
    inner = f"{top}/{pod['status']['containerStatuses'][0]['containerID'].split('://')[1]}"
    seen = {cgroup: _limits(cgroup) for cgroup in (top, inner)}
    assert seen == {top: (96 << 20, 45000, 358), inner: (64 << 20, 20000, 102)}
    allocatable = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["allocatable"]["cpu"]
    free = (int(allocatable[:-1]) if allocatable.endswith("m") else int(allocatable) * 1000) - 350
    fitting = {"requests": {"cpu": f"{free + 1}m"}}
    node.apply(pod_object("toobig", "true", resources=fitting, nodeName=node.name, automountServiceAccountToken=False))
    status = node.pod_when("toobig", lambda found: found["status"]["phase"] == "Failed")["status"]
    assert status["reason"] == "OutOfcpu"
    assert f"requested: {free + 1}, used: 350, capacity: {free + 350}" in status["message"]


def _limits(cgroup: str) -> tuple[int, int, int]:
    memory, cpu = Path("/sys/fs/cgroup/memory") / cgroup, Path("/sys/fs/cgroup/cpu") / cgroup
    files = (memory / "memory.limit_in_bytes", cpu / "cpu.cfs_quota_us", cpu / "cpu.shares")
    bytes_, quota, shares = (int(path.read_text()) for path in files)
    return bytes_, quota, shares
