"""Symbolic links that a pod has laid where the node, or the runtime, looks up a path for another."""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import override

from nodeagent.isolation.contract import (
    By,
    Experiment,
    Finding,
    Probe,
    Risk,
    Sight,
    Stage,
    StageError,
    Verdict,
)
from nodeagent.isolation.groups import facts
from nodeagent.isolation.groups.escapes.pods import looking
from nodeagent.isolation.node import PARENT
from nodeagent.isolation.probe.output import facts_of
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import end_tasks, leave_behind

_SECONDS = 45.0
_AT, _OTHER = "/niso", "/niso-other"
_UNDER = "under"


@dataclass(frozen=True, slots=True)
class _Traps:
    """`volume`: what a pod may write, with the link `out` in it; `outside`: where that leads, with the word in a file."""

    volume: Path
    outside: Path
    word: str

    @property
    def source(self) -> dict[str, Any]:
        return {"name": "trap", "hostPath": {"path": str(self.volume), "type": "Directory"}}


class Links(Experiment):
    """The link stands for what a pod with the same volume would have laid: nobody else than these pods meets it."""

    @property
    @override
    def name(self) -> str:
        return "links"

    @property
    @override
    def about(self) -> str:
        return f"pods with a volume (a directory of its own below {PARENT}) in which a link leads outside"

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        folder = await leave_behind(asyncio.to_thread(_laid, stage.token), _removed)
        tasks: list[asyncio.Task[Mapping[str, Any]]] = []
        try:
            traps = _Traps(folder / "volume", folder / "outside", (folder / "outside" / "word").read_text())
            tasks += [asyncio.create_task(each(stage, traps)) for each in (_through, _sub_path, _target)]
            through, sub_path, target = await asyncio.gather(*tasks)
            return {**through, "sub path": sub_path, "mount target": target}
        finally:
            await end_tasks(*tasks, then=partial(asyncio.to_thread, _removed, folder))


def _laid(token: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"niso-{token}-links-", dir=PARENT))
    folder.chmod(0o755)
    for name in ("volume", "outside"):
        (folder / name).mkdir(mode=0o755)
        (folder / name / "word").write_text(uuid.uuid4().hex)
    (folder / "volume" / "out").symlink_to(folder / "outside")
    return folder


def _removed(folder: Path) -> None:
    with contextlib.suppress(OSError):
        remove_tree(folder)  # crosses no mount: something may be mounted where the link leads


async def _through(stage: Stage, traps: _Traps) -> Mapping[str, Any]:
    """A look through the link within the volume, and a volume whose path is the link. The volume itself is there: `volume`."""
    changes = {
        "volumes": [traps.source, {"name": "link", "hostPath": {"path": str(traps.volume / "out")}}],
        "container": {"volumeMounts": [{"name": "trap", "mountPath": _AT}, {"name": "link", "mountPath": _OTHER}]},
    }
    paths = {"volume": f"{_AT}/word", "through the volume": f"{_AT}/out/word", "path of the volume": f"{_OTHER}/word"}
    arguments = (f"files={','.join(paths.values())}",)
    ended = await stage.run(looking("links", arguments, changes), deadline_seconds=_SECONDS)
    read = facts.fact(facts_of(ended.output, ("files",)), "files")
    return {name: _read(read.get(path, {}), traps) for name, path in paths.items()}


def _read(found: Mapping[str, Any], traps: _Traps) -> Mapping[str, Any]:
    return {"read": found.get("read", ""), "outside": "yes" if found.get("start") == traps.word else "no"}


async def _sub_path(stage: Stage, traps: _Traps) -> Mapping[str, Any]:
    mount = {"name": "trap", "mountPath": _AT, "subPath": "out"}
    changes = {"volumes": [traps.source], "container": {"volumeMounts": [mount]}}
    pod = looking("links-sub-path", (f"files={_AT}/word",), changes)
    try:
        ended = await stage.run(pod, deadline_seconds=_SECONDS)
    except StageError as error:
        return {"refused": str(error)[:400]}
    return _read(facts.fact(facts_of(ended.output, ("files",)), "files", f"{_AT}/word"), traps)


async def _target(stage: Stage, traps: _Traps) -> Mapping[str, Any]:
    """A second volume, to be mounted below the link in the first one."""
    changes = {
        "volumes": [traps.source, {"name": "empty", "emptyDir": {}}],
        "container": {
            "volumeMounts": [
                {"name": "trap", "mountPath": _AT},
                {"name": "empty", "mountPath": f"{_AT}/out/{_UNDER}"},
            ]
        },
    }
    pod = looking("links-mount-target", ("mounts",), changes)
    try:
        ended = await stage.run(pod, deadline_seconds=_SECONDS)
    except StageError as error:
        return {"refused": str(error)[:400], "made": _made(traps)}
    mounts = facts.fact(facts_of(ended.output, ("mounts",)), "mounts", "mounts")
    points = [str(each.get("point")) for each in mounts if str(each.get("point", "")).endswith(f"/{_UNDER}")]
    return {"points": points, "made": _made(traps)}


def _made(traps: _Traps) -> str:
    return "yes" if (traps.outside / _UNDER).exists() else "no"


EXPERIMENTS: tuple[Experiment, ...] = (Links(),)


def probes() -> tuple[Probe, ...]:
    """From what a container looks up itself to what is looked up for it."""
    return (
        Probe(
            id="escapes.link_in_volume",
            title="a link in a volume leads to the host's files",
            risk=Risk.HIGH,
            why="any pod that writes a shared volume chooses what others read",
            judge=_read_through("escapes.link_in_volume", "through the volume", By.NAMESPACE),
            on_host=False,
        ),
        Probe(
            id="escapes.link_as_host_path",
            title="a hostPath that is a link is followed on the host",
            risk=Risk.LOW,
            why="who writes the directory that it is in chooses what the next pod gets",
            judge=_read_through("escapes.link_as_host_path", "path of the volume", By.AGENT),
            on_host=False,
        ),
        Probe(
            id="escapes.link_as_sub_path",
            title="a subPath that is a link leads to the host's files",
            risk=Risk.HIGH,
            why="any file of the host in the container (CVE-2017-1002101, CVE-2021-25741)",
            judge=_sub_path_judged,
            on_host=False,
        ),
        Probe(
            id="escapes.link_as_mount_target",
            title="a mount below a link in a volume lands on the host",
            risk=Risk.HIGH,
            why="directories are made, and things mounted, where the link says (CVE-2021-30465)",
            judge=_target_judged,
            on_host=False,
        ),
    )


def _read_through(probe: str, name: str, by: By) -> Callable[[Sight], Finding]:
    def judge(sight: Sight) -> Finding:
        if facts.text(sight.own, "links", "volume", "read") != "ok":
            raise facts.NoFact(f"the volume itself cannot be read: {facts.text(sight.own, 'links', 'volume', 'read')}")
        found = facts.fact(sight.own, "links", name)
        if found.get("outside") == "yes":
            evidence = "a file outside of the volume's directory was read through the link"
            change = "no hostPath volumes (Pod Security Standards: baseline)"
            return Finding(probe=probe, verdict=Verdict.OPEN, value="followed", evidence=evidence, change=change)
        evidence = f"the file there: {found.get('read')}; the link is looked up within the container's own root"
        who = By.RUNTIME if by is By.NAMESPACE and facts.own_kernel(sight) else by
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=who, value=str(found.get("read")), evidence=evidence)

    return judge


def _sub_path_judged(sight: Sight) -> Finding:
    probe = "escapes.link_as_sub_path"
    found = facts.fact(sight.own, "links", "sub path")
    if found.get("outside") == "yes":
        evidence = "a file outside of the volume's directory was read where the subPath is mounted"
        change = "no subPath in volumes that others write"
        return Finding(probe=probe, verdict=Verdict.OPEN, value="followed", evidence=evidence, change=change)
    if "refused" in found:  # pods with the same volume and no subPath ran
        refused = str(found["refused"])
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.AGENT, value="refused", evidence=refused)
    evidence = f"the file there: {found.get('read')}"
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.AGENT, value=str(found.get("read")), evidence=evidence)


def _target_judged(sight: Sight) -> Finding:
    probe = "escapes.link_as_mount_target"
    found = facts.fact(sight.own, "links", "mount target")
    if found.get("made") == "yes":
        evidence = "the mount point was made in the directory of the host that the link leads to"
        change = "another release of the runtime; no mounts within volumes that others write"
        return Finding(probe=probe, verdict=Verdict.OPEN, value="on the host", evidence=evidence, change=change)
    if "refused" in found:
        refused = str(found["refused"])
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="refused", evidence=refused)
    evidence = f"mounted at {', '.join(map(str, found.get('points', ()))) or 'no place that it sees'}, in its own root"
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="in its own root", evidence=evidence)
