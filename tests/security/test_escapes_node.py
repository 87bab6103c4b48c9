"""Escapes by what a node leaves within reach: its sockets, folders, kernel files and its network. Real runtimes."""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, import_image, make_node
from pods_under_test import finished, log_of, make_pod, shell, state_of
from runtime_classes import on, runtime_class

from runtimes.linux import syscalls

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-escapes-node")]

RUNTIMES = ("runc", "crun", "gvisor")
NOBODY = 65534
ROUTER_ADVERTISEMENT = 134
PREFIX = "2001:db8:bad:"


@pytest.fixture(scope="module")
def node(demo_image: Path) -> Iterator[NodeUnderTest]:
    """A node in a folder that everybody may pass, so that only its own modes keep others out."""
    folder = Path(tempfile.mkdtemp(prefix="natest-"))
    folder.chmod(0o711)
    made = make_node(folder, kubelet={"allowedUnsafeSysctls": ["net.ipv6.conf.*"]})
    made.directory.mkdir(mode=0o755)
    import_image(made, demo_image)
    made.start()
    for name in RUNTIMES[1:]:
        made.apply(runtime_class(name))
    yield made
    made.clean()
    shutil.rmtree(folder)


def test_pods_believe_no_router(node: NodeUnderTest) -> None:
    """An IPv6 router advertisement on the pods' bridge changes neither a pod's addresses nor its routes, nor the node's
    (CVE-2020-10749, CVE-2020-13401); a pod that was told to by an allowed sysctl still listens."""
    accept = {"sysctls": [{"name": "net.ipv6.conf.default.accept_ra", "value": "1"}]}
    names = ("plain", "listens", "router")
    node.apply(make_pod("plain"), make_pod("listens", securityContext=accept), make_pod("router"))
    ips = {name: node.running(name)["status"]["podIP"] for name in names}
    router = next(
        path
        for path in (node.directory / "run").glob("*/pods/*/net")
        if f" {ips['router']}/" in syscalls.in_namespace(path, lambda: _ip("-4", "addr"))
    )

    def addresses(name: str) -> str:
        return node.kubectl("exec", name, "--", "ip", "-6", "addr")

    def advertised() -> str:
        syscalls.in_namespace(router, _advertise)
        return PREFIX in addresses("listens")

    eventually(advertised, "the pod that listens has an address of the false router's")
    assert PREFIX not in addresses("plain")
    assert "default" not in node.kubectl("exec", "plain", "--", "ip", "-6", "route")
    assert PREFIX not in _ip("-6", "addr", "show", node.bridge)
    assert Path(f"/proc/sys/net/ipv6/conf/{node.bridge}/accept_ra").read_text() == "0\n"


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def _advertise() -> None:
    """Say to all on eth0's link that a router is here, with a prefix to make addresses of (RFC 4861 4.2, 4.6.2)."""
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 3600, 0, socket.inet_pton(socket.AF_INET6, f"{PREFIX}:"))
    message = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 64, 0, 1800, 0, 0) + prefix
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
        index = socket.if_nametoindex("eth0")
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        with contextlib.suppress(OSError):  # while the address is still being looked for among the neighbours
            router.sendto(message, ("ff02::1", 0, 0, index))


def test_sockets_that_a_pod_on_the_nodes_network_can_reach(node: NodeUnderTest) -> None:
    """Nothing of the agent, its API or conmon listens on an abstract socket, which a file mode cannot guard (CVE-2020-15257)."""
    node.apply(make_pod("neighbour", hostNetwork=True), make_pod("beside"))
    for name in ("neighbour", "beside"):
        node.running(name)
    own = {
        f"socket:[{line.split()[6]}]": line.split()[7]
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if len(line.split()) == 8 and line.split()[7].startswith("@")
    }
    held = [
        (process.parent.name, own[target])
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if str(node.directory).encode() in _bytes(process)
        for target in _sockets(process.parent)
        if target in own
    ]
    assert held == []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _sockets(process: Path) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):
        found += [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
    return found


def test_another_user_of_the_node(node: NodeUnderTest) -> None:
    """A user of the node who is not root reads no image, no file of a container, no volume, no key, and reaches no socket
    (CVE-2021-41103, CVE-2024-25621, CVE-2021-41091)."""
    volume = {"volumes": [{"name": "v", "emptyDir": {}}]}
    made = shell("c", "echo x > /v/file; sleep 100000", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    node.apply(make_pod("private", made, **volume))
    node.running("private")
    uid = node.pod("private")["metadata"]["uid"]
    places = [
        node.directory / "state/images/unpacked",
        node.directory / "state/images/blobs",
        node.directory / "state/pki/ca.key",
        node.directory / "state/state.db",
        node.kubeconfig,
        node.root_dir / "pods" / uid / "volumes",
        *(node.directory / "state/runtimes").glob("*/containers/*/upper"),
        *(node.directory / "state/runtimes").glob("*/containers/*/rootfs"),
        *(node.directory / "state/runtimes").glob("*/containers/*/state.json"),
        *(node.directory / "run").rglob("*.sock"),
        *(node.directory / "run").rglob("attach"),
    ]
    there = [path for path in places if path.exists()]
    assert len(there) >= 8, [str(path) for path in places]

    reading = "import os,sys\nfor p in sys.argv[1:]:\n if os.access(p, os.R_OK) or os.access(p, os.W_OK): print(p)"
    found = subprocess.run(
        ["/usr/bin/python3", "-c", reading, *map(str, there)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert found.stdout == "", found.stdout


FORBIDDEN = {
    "device": "mknod /tmp/disk b 254 0 && : < /tmp/disk",
    "memory": "mknod /tmp/mem c 1 1 && : < /tmp/mem",
    "mount": "mount -t tmpfs none /mnt",
    "remount": "mount -o remount,rw /proc/sys",
    "bind": "mount --bind /proc /mnt",
    "unshare": "unshare -m true",
    "core": "echo x > /proc/sys/kernel/core_pattern",
    "host": "echo x > /proc/sys/kernel/hostname",
    "modprobe": "echo x > /proc/sys/kernel/modprobe",
    "sysrq": "echo h > /proc/sysrq-trigger",
    "kcore": "test $(head -c 16 /proc/kcore | wc -c) -gt 0",
    "keys": "test $(wc -c < /proc/keys) -gt 0",
    "timers": "test $(wc -c < /proc/timer_list) -gt 0",
    "interrupts": "test $(wc -c < /proc/interrupts) -gt 0",
    "acpi": 'test -n "$(ls /proc/acpi; ls /proc/scsi; ls /proc/asound)"',
    "firmware": 'test -n "$(ls /sys/firmware)"',
    "power": 'test -n "$(ls /sys/devices/virtual/powercap)"',
    "thermal": 'test -n "$(ls /sys/devices/system/cpu/cpu0/thermal_throttle)"',
    "irq": "echo 1 > /proc/irq/0/smp_affinity",
    "score": "echo 1 > /proc/1/oom_score_adj && echo -1000 > /proc/1/oom_score_adj",
    "sys": "mkdir /sys/fs/cgroup/memory/evil || mkdir /sys/fs/cgroup/evil",
    "limit": "echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
    "release": "echo /evil > /sys/fs/cgroup/memory/release_agent",
    "devices": "echo a > /sys/fs/cgroup/devices/devices.allow",
    "reboot": "reboot -f",
    "ptrace": "ls /proc/1/root/../../home/nobody",
}


@pytest.mark.parametrize("user", [0, 1000])
def test_what_a_container_cannot_do(node: NodeUnderTest, user: int) -> None:
    """With the capabilities of every container: no device, mount, namespace, kernel setting, masked file, cgroup or reboot
    (CVE-2017-16539, CVE-2018-10892, CVE-2022-0492, CVE-2023-25809); on runc and crun."""
    lines = "\n".join(f"({command}) > /dev/null 2>&1 && echo {name}" for name, command in FORBIDDEN.items())
    script = f"{lines}\ngrep -E '^Cap(Inh|Amb)' /proc/self/status\ntrue"
    own = {"runAsUser": user}
    names = {runtime: f"tries{user}-{runtime}" for runtime in RUNTIMES[:2]}
    node.apply(
        *(
            make_pod(name, shell("c", script, securityContext=own), restartPolicy="Never", **on(runtime))
            for runtime, name in names.items()
        )
    )
    for name in names.values():
        node.pod_when(name, finished)
        assert log_of(node, name).splitlines() == ["CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"]


def test_odd_pods(node: NodeUnderTest) -> None:
    """NUL and newline wherever text goes, and numbers beyond all measure: each pod is refused, told why it waits, or runs; the
    agent is the same one afterwards, without a traceback in its log, and the next pod runs."""
    odd = "a\nb", "a\0b"
    own: list[dict[str, Any]] = [
        *({"env": [{"name": "E", "value": text}]} for text in odd),
        *({"command": ["sh", "-c", "true", text]} for text in odd),
        *({"workingDir": f"/{text}"} for text in odd),
        *({"terminationMessagePath": f"/{text}"} for text in odd),
        *({"volumeMounts": [{"name": "v", "mountPath": f"/{text}"}]} for text in odd),
        *({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": text}]} for text in odd),
        {"resources": {"limits": {"memory": "1E"}}},
        {
            "livenessProbe": {
                "exec": {"command": ["true"]},
                "periodSeconds": 2**31 - 1,
                "initialDelaySeconds": 2**31 - 1,
            }
        },
        {"image": "localhost/demo:1\nx"},
    ]
    hosts = "1.2.3.4"
    of_pod: list[dict[str, Any]] = [
        {"metadata": {"annotations": {"note": "a\nb\0c", "kubernetes.io/ingress-bandwidth": "9" * 5000}}},
        {"metadata": {"labels": {"app": "a\nb"}}},
        {"securityContext": {"supplementalGroups": list(range(1, 70000))}},
        {
            "securityContext": {
                "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "1\n+kernel.core_pattern=x"}]
            }
        },
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": [hosts], "searches": ["a\nnameserver 6.6.6.6"]}},
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": [hosts], "options": [{"name": "a\nnameserver 6.6.6.6"}]}},
        {"hostAliases": [{"ip": hosts, "hostnames": ["a\n6.6.6.6 b"]}]},
        {"hostname": "a\nb"},
        {"volumes": [{"name": "v", "hostPath": {"path": "/tmp/a\0b"}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/tmp/a\nb"}}]},
    ]
    volumes = [{"name": "v", "emptyDir": {}}]
    pods = [
        make_pod(
            f"odd{n}", shell("c", "cat /etc/hosts /etc/resolv.conf", **fields), restartPolicy="Never", volumes=volumes
        )
        for n, fields in enumerate(own)
    ]
    pods += [
        make_pod(f"odder{n}", shell("c", "cat /etc/hosts /etc/resolv.conf"), restartPolicy="Never", **fields)
        for n, fields in enumerate(of_pod)
    ]
    assert node.agent is not None
    before, pattern = node.agent.pid, Path("/proc/sys/kernel/core_pattern").read_text()
    taken = [pod["metadata"]["name"] for pod in pods if "created" in _create(node, pod)]
    for name in taken:
        node.pod_when(name, lambda pod: finished(pod) or _told(pod) or node.events(pod["metadata"]["name"]))
    node.apply(make_pod("after"))
    node.running("after")
    assert (node.agent.poll(), node.agent.pid) == (None, before)
    assert "Traceback" not in node.log()
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    written = {name for name in taken if "6.6.6.6" in log_of(node, name).replace(" ", "\n").splitlines()}
    assert written <= {
        "odder5"
    }  # options of the DNS are not looked at, as upstream: the pod's own file, which it may fill anyway


def _create(node: NodeUnderTest, pod: dict[str, Any]) -> str:
    return node.kubectl("create", "-f", "-", stdin=json.dumps(pod), check=False)


def _told(pod: dict[str, Any]) -> bool:
    return state_of(pod)[1] not in ("", "ContainerCreating", "PodInitializing") or bool(pod["status"].get("reason"))
