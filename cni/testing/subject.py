"""A network under test on a host of its own, with few words: pods, verbs, and what is left when they are gone."""

import asyncio
import contextlib
import copy
import ipaddress
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from cni import plugin, version
from cni.attachment import Attachment
from cni.config import NetworkConfig
from cni.errors import CNIError
from cni.result import Result
from cni.testing import namespaces
from cni.testing.flaws import Leftovers
from cni.testing.host import Host, look
from cni.testing.implementation import Implementation, Verbs, parts
from cni.testing.pod import Pod

# where plugins are known to keep files about single containers
_FOLDERS = (Path("/run/cni"), Path("/var/lib/cni"))
RANGE_KEYS = ("subnet", "rangeStart", "rangeEnd", "gateway")
_MOST_BYTES = 65536
# a namespace that nobody holds any more is taken down by the kernel in its own time, its links with it
_SETTLING_SECONDS = 5.0
_SETTLING_POLL_SECONDS = 0.05


@dataclass(kw_only=True)
class Subject:
    """`document`: the configuration. `memory`: where attachments are remembered. `kept`: what this network keeps on a host
    when no pod is left (a bridge, chains), lines of `host.look`.

    `pods`, `attached`: what was made and not taken down yet, for the end of the check; variants of a subject share them.
    """

    implementation: Implementation
    host: Host
    folder: Path
    document: Mapping[str, Any]
    memory: Path
    kept: frozenset[str] = frozenset()
    pods: list[Pod] = field(default_factory=list)
    attached: dict[tuple[str, str], tuple["Subject", Attachment]] = field(default_factory=dict)

    @cached_property
    def _opened(self) -> tuple[NetworkConfig, Verbs]:
        return self.implementation.open(self.document, self.memory)

    @property
    def config(self) -> NetworkConfig:
        return self._opened[0]

    @property
    def verbs(self) -> Verbs:
        return self._opened[1]

    # pods

    def pod(self, **fields: Any) -> Pod:
        """A fresh namespace, not attached to anything. `fields` are those of `Attachment`."""
        container_id = fields.pop("container_id", "") or f"natest-{secrets.token_hex(6)}"
        path = self.folder / f"ns-{secrets.token_hex(4)}"
        namespaces.create(path)
        pod = Pod(Attachment(container_id=container_id, netns=str(path), **fields), path)
        self.pods.append(pod)
        return pod

    async def add(self, pod: Pod) -> Result:
        # what fails half-way counts, too: only a DEL that succeeds says that nothing is left
        self.attached[_key(pod.attachment)] = (self, pod.attachment)
        return await self.verbs.add(pod.attachment)

    async def attach(self, **fields: Any) -> tuple[Pod, Result]:
        """A pod that is on the network."""
        pod = self.pod(**fields)
        return pod, await self.add(pod)

    async def check(self, pod: Pod) -> None:
        await self.verbs.check(pod.attachment)

    async def delete(self, pod: Pod, **changes: Any) -> None:
        """`changes`: what the caller says of the attachment now, beside its names."""
        await self.verbs.delete(replace(pod.attachment, **changes))
        self.attached.pop(_key(pod.attachment), None)

    def forget(self, pod: Pod) -> None:
        """Somebody else has detached it: its DEL is not to come again."""
        del self.attached[_key(pod.attachment)]

    async def close(self) -> None:
        """End of a check: every pod gets its DEL, and then nothing may be left of them. Raises Leftovers, or what DELs raised."""
        failed: list[Exception] = []
        for subject, attachment in self.attached.values():
            try:
                await subject.verbs.delete(attachment)
            except Exception as error:
                failed.append(error)
        if failed:
            said = "; ".join(dict.fromkeys(map(str, failed)))
            raise failed[0] if len(failed) == 1 else ExceptionGroup(f"DELs after the check: {said}", failed)
        await self.left_behind()

    def remove_namespaces(self) -> None:
        for pod in self.pods:
            namespaces.delete(pod.namespace)

    async def left_behind(self) -> None:
        """Raises Leftovers where the host has more than the network keeps without pods."""
        deadline = asyncio.get_running_loop().time()
        if any(pod.has_lost_namespace for pod in self.pods):
            deadline += _SETTLING_SECONDS
        while left := self.leftovers():
            settles = any(line.startswith(("link", "address", "route")) for line in left)
            if not settles or asyncio.get_running_loop().time() >= deadline:
                raise Leftovers(left)
            await asyncio.sleep(_SETTLING_POLL_SECONDS)

    def leftovers(self) -> list[str]:
        """What is on the host, beyond what the network keeps, and every file that names one of the pods. Blocks."""
        return sorted([*(self.host.run(look) - self.kept), *self._files()])

    def reservations(self, pod: Pod, result: Result) -> list[Path]:
        """Files about the addresses of one interface of a pod, as host-local has them. Blocks."""
        ips = set(result.pod_ips(pod.attachment.ifname))
        return sorted(path for path in self._files_naming({pod.attachment.container_id}) if path.name in ips)

    def files_about(self, pod: Pod) -> list[str]:
        """Every file that names the pod. Blocks."""
        return sorted(str(path) for path in self._files_naming({pod.attachment.container_id}))

    def _files(self) -> Iterator[str]:
        ids = {pod.attachment.container_id for pod in self.pods}
        return (f"file {path.name}" for path in self._files_naming(ids))

    def _files_naming(self, ids: Collection[str]) -> Iterator[Path]:
        for path in (path for folder in (self.folder, *_FOLDERS) if folder.is_dir() for path in folder.rglob("*")):
            try:
                if not path.is_file() or path.parent.name == "bin":
                    continue
                with path.open("rb") as file:
                    text = file.read(_MOST_BYTES).decode(errors="replace")
            except OSError:  # gone meanwhile: somebody else's
                continue
            if any(name in path.name or name in text for name in ids):
                yield path

    # other subjects over the same host

    def variant(self, document: Mapping[str, Any]) -> "Subject":
        """The same network by another configuration."""
        return replace(self, document=document)

    def forgetful(self) -> "Subject":
        """The same network as one sees it who has lost the memory of what is attached."""
        return replace(self, memory=self.folder / f"memory-{secrets.token_hex(4)}")

    def with_chain(self, *more: dict[str, Any]) -> "Subject":
        """With more plugins at the end."""
        rest, chain = dict(self.document), self.document.get("plugins")
        if chain is None:
            rest, chain = {key: rest[key] for key in ("cniVersion", "name") if key in rest}, [self.document]
        return self.variant({**rest, "plugins": [*chain, *more]})

    def with_bin_dir(self, folder: Path, *, alone: bool = False) -> "Subject":
        """With the programs of a folder before those that are there, or `alone`."""
        bin_dirs = (folder,) if alone else (folder, *self.implementation.bin_dirs)
        return replace(self, implementation=replace(self.implementation, bin_dirs=bin_dirs))

    def with_pool_of(self, size: int) -> "Subject":
        """With room for `size` addresses in every range. Skips the check where the addresses are not configured as ranges."""
        document = copy.deepcopy(dict(self.document))
        for part in parts(document):
            ipam = part.get("ipam") or {}
            if "subnet" in ipam:
                ipam["ranges"] = [[{key: ipam.pop(key) for key in RANGE_KEYS if key in ipam}], *ipam.get("ranges", [])]
            if ipam.get("ranges"):
                ipam["ranges"] = [[_shortened(choices[0], size)] for choices in ipam["ranges"]]
                return self.variant(document)
        pytest.skip("not claimed: no ranges of addresses in the configuration")

    # what it can do

    def declares(self, capability: str) -> bool:
        return any(capability in part.capabilities for part in self.config.plugins)

    def needs_capability(self, capability: str) -> None:
        """Skip the check where no plugin asks for values of that kind."""
        if not self.declares(capability):
            pytest.skip(f"not claimed: no plugin has the capability {capability}")

    def needs_check(self) -> None:
        self.needs_version(version.CHECK, "CHECK")
        if self.config.disable_check:
            pytest.skip("not claimed: the configuration has disableCheck")

    def needs_version(self, first: str, what: str) -> None:
        """Skip the check where the configuration is of an older version than `first`."""
        if not self.config.supports(first):
            pytest.skip(f"not claimed: version {self.config.cni_version} has no {what}")

    @cached_property
    def programs(self) -> tuple[Path, ...]:
        """The programs of the chain. Skips the check where the network is not made of programs."""
        if self.implementation.make is not None:
            pytest.skip("a network inside this process has no programs")
        found = [(part.type, plugin.find(part.type, self.implementation.bin_dirs)) for part in self.config.plugins]
        missing = [name for name, path in found if path is None]
        assert not missing, f"no program of {', '.join(missing)} in {':'.join(map(str, self.implementation.bin_dirs))}"
        return tuple(path for _, path in found if path is not None)

    # by hand

    def request(self, place: int = 0, **changes: Any) -> dict[str, Any]:
        """What the plugin at `place` of the chain is sent; `changes` are keys, None to leave one out."""
        raw = {key: value for key, value in self.config.plugins[place].raw.items() if key != "capabilities"}
        request = {**raw, "name": self.config.name, "cniVersion": self.config.cni_version, **changes}
        return {key: value for key, value in request.items() if value is not None}

    def environment(self, command: str, pod: Pod, **changes: str | None) -> dict[str, str]:
        """The parameters of a command; `changes` are variables without CNI_, None to leave one out."""
        values: dict[str, str | None] = {
            "COMMAND": command,
            "CONTAINERID": pod.attachment.container_id,
            "NETNS": pod.attachment.netns,
            "IFNAME": pod.attachment.ifname,
            "PATH": ":".join(map(str, self.implementation.bin_dirs)),
            **changes,
        }
        return {f"CNI_{name}": value for name, value in values.items() if value is not None}


def _shortened(one: Mapping[str, Any], size: int) -> dict[str, Any]:
    """A range of host-local with `size` addresses, the third of its subnet first: the gateway is before them."""
    first = ipaddress.ip_network(one["subnet"])[2]
    return {**one, "rangeStart": str(first), "rangeEnd": str(first + size - 1)}


def _key(attachment: Attachment) -> tuple[str, str]:
    return attachment.container_id, attachment.ifname


async def kept_by(subject: Subject) -> frozenset[str]:
    """What a host holds after the first pod has come and gone; of a network that does not work, what it holds by then."""
    ports = [{"hostPort": 65001, "containerPort": 80, "protocol": protocol} for protocol in ("tcp", "udp")]
    with contextlib.suppress(CNIError):  # a check says so
        pod, _ = await subject.attach(capabilities={"portMappings": ports})
        await subject.delete(pod)
    return subject.host.run(look)
