"""Statistics of pods whose runtime has none: of the pods from the kernel, of their containers from the runtime, as upstream does.

Runtimes older than the CRI's verbs for it (containerd 1.5 and before) have figures of containers only.
Source: docs/facts/node-resources.md 7.1.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.figures import read_figures
from runtimes.usage import CgroupUsage, net_dev, network_usage


class PodCgroupReader:
    """`find`: the path of a pod's cgroup by its uid, None: it has none; it may block. `proc`: where procfs is."""

    def __init__(self, cgroups: Cgroups, find: Callable[[str], str | None], *, proc: Path = Path("/proc")) -> None:
        self._cgroups = cgroups
        self._find = find
        self._proc = proc
        self._usages: defaultdict[RuntimeService, CgroupUsage] = defaultdict(lambda: CgroupUsage(cgroups))

    async def read(
        self, service: RuntimeService, sandboxes: Iterable[cri.PodSandbox], containers: Iterable[cri.Container]
    ) -> list[cri.PodSandboxStats]:
        """What `list_pod_sandbox_stats` would have said of `sandboxes`. Raises RuntimeFault."""
        sandbox_of = {container.id: container.pod_sandbox_id for container in containers}
        answer = await service.list_container_stats(cri.ListContainerStatsRequest())
        found: dict[str, cri.PodSandboxStats] = {}
        for sandbox in sandboxes:
            attributes = cri.PodSandboxAttributes(
                id=sandbox.id, metadata=sandbox.metadata, labels=sandbox.labels, annotations=sandbox.annotations
            )
            found[sandbox.id] = cri.PodSandboxStats(attributes=attributes)
        for item in answer.stats:
            pod = found.get(sandbox_of.get(item.attributes.id, ""))
            if pod is not None:
                pod.linux.containers.append(item)
        await read_figures(self._fill, self._usages[service], tuple(found.values()))
        return list(found.values())

    def _fill(self, usage: CgroupUsage, pods: Iterable[cri.PodSandboxStats]) -> None:
        seen: set[str] = set()
        for pod in pods:
            cgroup = self._find(pod.attributes.labels.get(LABEL_POD_UID, ""))
            if cgroup is None:
                continue
            seen.add(cgroup)
            usage.fill_pod(pod.linux, cgroup)
            if (text := self._net_dev(cgroup)) is not None:
                pod.linux.network.CopyFrom(network_usage(net_dev(text)))
        usage.keep(seen)

    def _net_dev(self, cgroup: str) -> str | None:
        """As a process of the pod sees it; None: nothing runs in it, or it is on the host's network."""
        host = (self._proc / "self/ns/net").readlink()
        for pid in sorted(self._cgroups.processes(cgroup)):
            try:
                if (self._proc / str(pid) / "ns/net").readlink() == host:
                    return None
                return (self._proc / str(pid) / "net/dev").read_text()
            except OSError:  # it has ended meanwhile
                continue
        return None
