"""A machine as `kubeadm join` leaves it: its files and ports under their real names, in namespaces of the test's own.

An API server and a containerd run in there. A kubelet is started as its systemd unit does, by the program's path alone.
"""

import contextlib
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from bootstrap_token import bootstrap_kubeconfig, bootstrap_secret
from containerd_under_test import Containerd, containerd
from live_trees import remove_cgroups
from node_under_test import REPO, eventually

# what is written there stays in the machine
_OWN = ("/etc", "/opt", "/run", "/var/lib", "/var/log")

# /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf: what it sets and starts; the program's path is another
UNIT = """
KUBELET_KUBECONFIG_ARGS="--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
KUBELET_CONFIG_ARGS="--config=/var/lib/kubelet/config.yaml"
. /var/lib/kubelet/kubeadm-flags.env
. /etc/default/kubelet
exec /opt/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""

MAX_PODS = 42  # of its drop-in

# /var/lib/kubelet/config.yaml, as kubeadm 1.36 writes it, but for the runtime's endpoint
CONFIG: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"cacheTTL": "0s", "enabled": True},
        "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
    },
    "authorization": {
        "mode": "Webhook",
        "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"},
    },
    "cgroupDriver": "cgroupfs",
    "clusterDNS": ["10.96.0.10"],
    "clusterDomain": "cluster.local",
    "containerRuntimeEndpoint": "",
    "cpuManagerReconcilePeriod": "0s",
    "crashLoopBackOff": {},
    "evictionPressureTransitionPeriod": "0s",
    "fileCheckFrequency": "0s",
    "healthzBindAddress": "127.0.0.1",
    "healthzPort": 10248,
    "httpCheckFrequency": "0s",
    "imageMaximumGCAge": "0s",
    "imageMinimumGCAge": "0s",
    "kind": "KubeletConfiguration",
    "logging": {
        "flushFrequency": 0,
        "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
        "verbosity": 0,
    },
    "memorySwap": {},
    "nodeStatusReportFrequency": "0s",
    "nodeStatusUpdateFrequency": "0s",
    "rotateCertificates": True,
    "runtimeRequestTimeout": "0s",
    "shutdownGracePeriod": "0s",
    "shutdownGracePeriodCriticalPods": "0s",
    "staticPodPath": "/etc/kubernetes/manifests",
    "streamingConnectionIdleTimeout": "0s",
    "syncFrequency": "0s",
    "volumeStatsAggPeriod": "0s",
}


@dataclass
class KubeadmMachine:
    """`inside`: the command that starts another one in the machine. `name`: of its node."""

    folder: Path
    name: str
    inside: tuple[str, ...]
    runtime: Containerd
    kubelet: "subprocess.Popen[bytes] | None" = None

    @property
    def cgroup(self) -> str:
        return f"/{self.name}"

    def run(self, *command: str, text: str = "", check: bool = True) -> str:
        done = subprocess.run(
            [*self.inside, *command], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}{done.stdout}\n{self.log()[-3000:]}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", path, text=text)

    def kubectl(self, *arguments: str) -> str:
        return self.run("kubectl", f"--kubeconfig={self.folder}/api/admin.kubeconfig", *arguments, check=False)

    def get(self, *what: str) -> dict[str, Any]:
        """The object; empty: there is none."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "-o", "json", "--ignore-not-found") or "{}")
        return found

    def prepare(self) -> None:
        """The files, as `kubeadm join` writes them before it starts the kubelet."""
        api = self.folder / "api"
        self.write("/etc/hosts", f"127.0.0.1 localhost\n192.0.2.9 {self.name}\n")
        admin = api / "admin.kubeconfig"
        self.run("kubectl", f"--kubeconfig={admin}", "apply", "-f", "-", text=json.dumps(bootstrap_secret()))
        self.write("/etc/kubernetes/bootstrap-kubelet.conf", yaml.safe_dump(bootstrap_kubeconfig(admin)))
        self.write("/etc/kubernetes/pki/ca.crt", (api / "pki" / "ca.crt").read_text())
        # kubeadm keeps what is this machine's own in a file of its own, and writes the cluster's configuration merged with it
        endpoint = self.runtime.endpoint
        self.write("/var/lib/kubelet/instance-config.yaml", f'containerRuntimeEndpoint: "{endpoint}"\n')
        self.write("/var/lib/kubelet/config.yaml", yaml.safe_dump(CONFIG | {"containerRuntimeEndpoint": endpoint}))
        drop_in = {key: CONFIG[key] for key in ("apiVersion", "kind")} | {"maxPods": MAX_PODS}
        self.write("/etc/kubernetes/kubelet.conf.d/10-pods.conf", yaml.safe_dump(drop_in))
        flags = "--pod-infra-container-image=registry.k8s.io/pause:3.10 --node-labels=disk=ssd"
        self.write("/var/lib/kubelet/kubeadm-flags.env", f'KUBELET_KUBEADM_ARGS="{flags}"\n')
        extra = (
            f"--hostname-override={self.name} --cgroup-root={self.cgroup} --config-dir=/etc/kubernetes/kubelet.conf.d "
            "--fail-swap-on=false --v=4"
        )
        self.write("/etc/default/kubelet", f'KUBELET_EXTRA_ARGS="{extra}"\n')
        self.run("ln", "-s", str(Path(sys.executable).with_name("nodeagent")), "/opt/kubelet")

    def start(self) -> None:
        with (self.folder / "kubelet.log").open("ab") as log:
            self.kubelet = subprocess.Popen(
                [*self.inside, "sh", "-c", UNIT], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status; negative: the signal that ended it."""
        assert self.kubelet is not None
        self.kubelet.send_signal(number)
        status = self.kubelet.wait(60)
        self.kubelet = None
        return status

    def log(self) -> str:
        path = self.folder / "kubelet.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextlib.contextmanager
def kubeadm_machine(folder: Path, image: Path) -> Iterator[KubeadmMachine]:
    """One with its API server and runtime up, its files written, and its kubelet not yet started."""
    (folder / "own").mkdir(parents=True)
    holder = subprocess.Popen(
        ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", _setup(folder / "own")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    name = f"natest-{uuid.uuid4().hex[:8]}"
    inside = ("nsenter", "--mount", "--net", f"--target={holder.pid}")
    (folder / "api").mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(holder.stdout.close)
        stack.callback(holder.wait, 30)
        stack.callback(holder.kill)
        assert holder.stdout.readline() == b"ready\n"
        stack.callback(remove_cgroups, f"/{name}")
        server = _api(folder, name, inside)
        stack.callback(server.wait, 30)
        stack.callback(server.terminate)
        daemon = stack.enter_context(containerd(folder / "c", image, within=inside))
        machine = KubeadmMachine(folder=folder, name=name, inside=inside, runtime=daemon)
        machine.prepare()
        stack.callback(_end, machine)
        yield machine


def _setup(own: Path) -> str:
    lines = ["set -e", f"mount -t tmpfs none {own}"]
    for number, path in enumerate(_OWN):
        upper, work = own / f"{number}", own / f"{number}.work"
        lines += [f"mkdir {upper} {work}"]
        lines += [f"mount -t overlay none -o lowerdir={path},upperdir={upper},workdir={work} {path}"]
    lines += ["ip link set lo up", "ip link add eth9 type veth peer name eth8", "ip link set eth8 up"]
    lines += ["ip addr add 192.0.2.9/24 dev eth9", "ip link set eth9 up", "ip route add default via 192.0.2.1"]
    return "\n".join([*lines, "echo ready", "exec sleep 100000"])


def _api(folder: Path, name: str, inside: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    with (folder / "api.log").open("ab") as log:
        server = subprocess.Popen(
            [
                *(*inside, sys.executable, "-m", "nodeagent.apiserver", f"--state-dir={folder / 'api'}"),
                *(f"--node-name={name}", "--port=0", "--log-level=WARNING", "--exit-with-parent"),
            ],
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert server.stdout is not None
    assert server.stdout.readline(), (folder / "api.log").read_text()[-2000:]
    server.stdout.close()
    return server


def _end(machine: KubeadmMachine) -> None:
    """The static pods go with their manifests, while somebody is there to end them."""
    if machine.kubelet is None:
        machine.start()
    try:
        machine.run("sh", "-c", "rm -f /etc/kubernetes/manifests/*")
        eventually(lambda: not machine.runtime.tasks(), "no container is left")
        eventually(lambda: not any("shim" in leak for leak in machine.runtime.leaks()), "no shim is left")
    finally:
        try:
            machine.stop()
        finally:
            if machine.kubelet is not None:
                machine.kubelet.kill()
