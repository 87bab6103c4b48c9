"""The runtimes that the project brings, as the conformance suite meets them; what each cannot do, and why."""

import shutil

from components import require

from runtimes.testing.host import mount_hugetlb
from runtimes.testing.implementation import Implementation

_NOT_PROCESSES = {
    "privileged by the sandbox": "the engine's sandboxes are no processes that could be privileged or not",
}
_GVISOR = {
    "container limits": "one gVisor sandbox holds all containers of a pod: only the pod's limit is the kernel's",
    "statistics of one container": "the processes of all containers are the sandbox's",
    "orphans of execs": "the sandbox tells parents of processes only, and an orphan's is the container's first",
    "host files in proc": "gVisor has a /proc of its own, without these files",
    "mount propagation": "mounts made on the host later are not seen by the sandbox's file server",
    "host namespaces": "a sandbox has its own kernel: the host's PID and IPC namespaces cannot be shared",
    "target pid": "runsc takes no path of a PID namespace to join",
    "seccomp in proc": "the profile is the sandbox's own; the guest kernel reports none",
    "sysctls": "gVisor keeps its own values of kernel settings",
    "devices": "gVisor shows only devices that it implements itself",
    "recursive read-only": "runsc has no rro mount option",
    "no_new_privs in proc": "the guest kernel always behaves as if it were set and reports nothing",
}
# containerd 1.6 was made for the CRI of Kubernetes 1.23: fields and verbs that came later are unknown to it
_CONTAINERD_1_6 = {
    "cgroups are removed": "those of pods are the agent's, which makes and removes them",
    "error codes": "1.6 answers UNKNOWN, or whatever lies below, for a wrong state, a taken name and a bad argument",
    "joining repeated requests": "a name is reserved as long as it is being made: the second is refused",
    "stop signals in the configuration": "ContainerConfig.stop_signal came with CRI of 1.33",
    "relative host paths": "1.6 makes them, below its own working directory",
    "runtime configuration": "the RuntimeConfig verb came with containerd 2.0",
    "recursive read-only": "came with containerd 2.0; refused by runtimes/cri",
    "image volumes": "came with containerd 2.1; it refuses them, in words of its own",
    "declared volumes of any kind": "it copies folders only",
    "group policies": "came with containerd 2.0; Strict is refused by runtimes/cri",
    "users in the status": "ContainerStatus.user came with containerd 2.0",
    "capabilities with a prefix": "1.6 puts CAP_ before every name, and leaves out what it does not know",
    "ambient capabilities": "came with containerd 1.7",
    "AppArmor's default without AppArmor": "1.6 refuses every profile on a host that has none",
    "a writable /sys": "the pause container mounts the pod's sysfs read-only, and a network namespace has one of it",
    "no update after the end": "1.6 notes the new limits of a container that has ended",
    "figures of the running only": "1.6 lists created containers among the others, without figures",
    "metrics": "came with containerd 2.2; runtimes/serve makes them from the statistics",
    "list one image": "ListImages answers all there are, whatever the filter, up to this day",
    "execs end with their children": "1.6 waits for everyone who holds the command's output open",
    "execs end with their client": "1.6 leaves the command running when its client goes away",
}
_SIMULATED = {
    "processes": "nothing runs: there are no processes, no files and no output",
    "streams": "nothing runs that could be streamed from",
    "statistics": "what does not run takes nothing",
    "metrics": "what does not run has nothing to measure",
    "container limits": "there are no cgroups",
    "joining repeated requests": "making takes no time, so that nothing is under way to be joined",
    "registries": "images are names: nothing is fetched",
    "validation": "no kernel and no image is looked at, so what only they refuse is taken",
}


def oci(name: str) -> Implementation:
    """runc, crun or runsc under the engine; skips where it is not installed."""
    require(name)
    if name == "crun":
        mount_hugetlb()
    settings: dict[str, object] = {"path": shutil.which(name)}
    if name == "runsc":
        settings["args"] = ["--platform=ptrace", "--network=host", "--net-raw"]
    exceptions = _NOT_PROCESSES | (_GVISOR if name == "runsc" else {})
    return Implementation(name=name, type="oci", settings=settings, exceptions=exceptions)


def containerd_at(endpoint: str) -> Implementation:
    settings = {"endpoint": endpoint, "handler": "runc"}
    return Implementation(name="containerd", type="cri", settings=settings, exceptions=_CONTAINERD_1_6)


def served_at(endpoint: str) -> Implementation:
    """`nodeagent runtime serve`: the engine with runc behind a socket of its own, met as any CRI endpoint is."""
    settings = {"endpoint": endpoint, "handler": "runc"}
    return Implementation(name="serve", type="cri", settings=settings, exceptions=_NOT_PROCESSES)


def hollow() -> Implementation:
    return Implementation(name="hollow", type="hollow", exceptions=_SIMULATED)
