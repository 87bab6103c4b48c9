"""What is attached, on disk: the configuration and result of every ADD, for the DEL to come.

Files are those of the reference library (`results/<network>-<container id>-<interface>`, kind cniCacheV1), so that other
tools that clean up by them find what they expect. A file is there whole or not at all; it is not synced: after a
power cut the namespaces that it speaks of are gone as well, and the IPAM plugin's own files are what GC goes by.
"""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.linux.files import replace_file
from runtimes.linux.removal import remove_tree

KIND = "cniCacheV1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAttachment:
    """One attachment as it was made. `config` is the network's file as it was then."""

    network: str
    container_id: str
    ifname: str
    netns: str
    config: bytes
    args: tuple[tuple[str, str], ...]
    capabilities: Mapping[str, Any]
    result: Mapping[str, Any]


class ResultCache:
    """The attachments recorded below one folder."""

    def __init__(self, cache_dir: Path) -> None:
        self._folder = cache_dir / "results"

    def write(self, attachment: CachedAttachment) -> None:
        """Raises OSError: an ADD that cannot be recorded must be undone."""
        document = {
            "kind": KIND,
            "containerId": attachment.container_id,
            "config": base64.b64encode(attachment.config).decode(),
            "ifName": attachment.ifname,
            "networkName": attachment.network,
            "netns": attachment.netns,
            "cniArgs": [list(pair) for pair in attachment.args],
            "capabilityArgs": dict(attachment.capabilities),
            "result": dict(attachment.result),
        }
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(attachment.network, attachment.container_id, attachment.ifname)
        replace_file(path, json.dumps(document).encode(), durable=False)

    def read(self, network: str, container_id: str, ifname: str) -> CachedAttachment | None:
        found = self._load(self._path(network, container_id, ifname))
        # names may contain the separator, so that two attachments may share a file name
        if found is None or (found.network, found.container_id, found.ifname) != (network, container_id, ifname):
            return None
        return found

    def delete(self, network: str, container_id: str, ifname: str) -> None:
        path = self._path(network, container_id, ifname)
        remove_tree(path)  # a folder is a damaged disk's: nothing was recorded there

    def all(self) -> Iterator[CachedAttachment]:
        """Every attachment, to whatever network."""
        return self._matching("")

    def of_network(self, network: str) -> Iterator[CachedAttachment]:
        """Every attachment of one network."""
        return (found for found in self._matching(f"{network}-") if found.network == network)

    def of_container(self, container_id: str) -> Iterator[CachedAttachment]:
        """Every attachment of one container, to whatever network."""
        return (found for found in self._matching(f"-{container_id}-") if found.container_id == container_id)

    def _matching(self, part: str) -> Iterator[CachedAttachment]:
        """Attachments with `part` in the file's name. Names may contain the separator, so only the contents tell."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self._folder.iterdir()):
                cached = self._load(path) if part in path.name else None
                if cached is not None:
                    yield cached

    def _path(self, network: str, container_id: str, ifname: str) -> Path:
        return self._folder / f"{network}-{container_id}-{ifname}"

    def _load(self, path: Path) -> CachedAttachment | None:
        """A missing file is no attachment; neither is one that is not ours to read."""
        try:
            document = json.loads(path.read_bytes())
            if document.get("kind") != KIND:
                return None
            return CachedAttachment(
                network=document["networkName"],
                container_id=document["containerId"],
                ifname=document["ifName"],
                netns=document.get("netns") or "",
                config=base64.b64decode(document["config"]),
                args=tuple((key, value) for key, value in document.get("cniArgs") or ()),
                capabilities=document.get("capabilityArgs") or {},
                result=document.get("result") or {},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
