"""Known escapes with real runtimes: what a strict pod is kept from, and what a weakened one is not."""

from pathlib import Path
from typing import Any

import pytest
from components import needs
from isolation_laboratory import Laboratory, laboratory

from nodeagent.isolation.contract import By, Finding, Verdict
from nodeagent.isolation.groups.escapes.group import GROUP

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("isolation")]


def context(**fields: Any) -> dict[str, Any]:
    return {"container": {"securityContext": fields}}


# Root without any capability: what holds is the runtime, not the user.
STRICT = context(
    allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"]}, seccompProfile={"type": "RuntimeDefault"}
)
HELD = {
    "escapes.descriptors.exec": (Verdict.BLOCKED, By.RUNTIME),
    "escapes.working_directory": (Verdict.BLOCKED, By.RUNTIME),
    "escapes.runtime_program": (Verdict.BLOCKED, By.CAPABILITY),
    "escapes.link_in_volume": (Verdict.BLOCKED, By.NAMESPACE),
    "escapes.link_as_host_path": (Verdict.OPEN, By.UNKNOWN),
    "escapes.link_as_sub_path": (Verdict.BLOCKED, By.AGENT),
    "escapes.link_as_mount_target": (Verdict.BLOCKED, By.RUNTIME),
    "escapes.arp_spoofing": (Verdict.BLOCKED, By.CAPABILITY),
    "escapes.source_spoofing": (Verdict.BLOCKED, By.CAPABILITY),
    "escapes.host_abstract_sockets": (Verdict.BLOCKED, By.NAMESPACE),
}
"""The probes of experiments, but for the one that depends on this machine's routes."""


# Those that a capability or a namespace of the pod's could change.
CHANGED = {"entering", "spoofing", "outside"}
UNCHANGED = {probe for probe in HELD if probe.startswith(("escapes.link_", "escapes.working_"))}


async def changed(machine: Laboratory, changes: dict[str, Any]) -> dict[str, Finding]:
    """The probes that a weakened pod has other answers to."""
    found = await machine.of_experiments(changes, [each for each in GROUP.experiments if each.name in CHANGED])
    return {
        probe: found[probe]
        for probe, held in HELD.items()
        if probe not in UNCHANGED and (found[probe].verdict, found[probe].by) != held
    }


@needs("runc", "cc")
async def test_what_pods_are_kept_from(probe_cache: Path) -> None:
    """With runc: a strict pod is kept from all of them by what the evidence names; NET_RAW deceives its neighbour, the host's
    network reaches the host's sockets (and deceives nobody, as that network is real), SYS_PTRACE gets at the runtime's program,
    which is a copy or read-only. Nothing of it is left on this machine."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    async with laboratory("runc", STRICT, probe_cache) as machine:
        strict = await machine.of_experiments({}, GROUP.experiments)
        assert {probe: (strict[probe].verdict, strict[probe].by) for probe in HELD} == HELD, strict
        raw = await changed(machine, context(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}))
        assert {probe: finding.verdict for probe, finding in raw.items()} == {
            "escapes.arp_spoofing": Verdict.OPEN,
            "escapes.source_spoofing": Verdict.OPEN,
        }
        ptrace = context(capabilities={"drop": ["ALL"], "add": ["SYS_PTRACE"]})
        found = await changed(machine, {"hostNetwork": True, **ptrace})
        assert {probe: finding.verdict for probe, finding in found.items()} == {
            "escapes.host_abstract_sockets": Verdict.OPEN,
            "escapes.arp_spoofing": Verdict.FAILED,
            "escapes.source_spoofing": Verdict.FAILED,
            "escapes.runtime_program": Verdict.BLOCKED,
        }
        assert found["escapes.runtime_program"].by in (By.MOUNT, By.RUNTIME), found
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    assert list(Path("/var/tmp").glob("niso-*-links-*")) == []


@needs("runsc", "cc")
async def test_gvisor_keeps_them_with_a_kernel_of_its_own(probe_cache: Path) -> None:
    """Even a pod with raw sockets and every capability deceives no neighbour, and meets no process of the runtime."""
    async with laboratory("gvisor", context(privileged=True), probe_cache) as machine:
        found = await machine.of_experiments({}, GROUP.experiments)
        for probe in ("runtime_program", "arp_spoofing", "source_spoofing", "host_abstract_sockets", "link_in_volume"):
            finding = found[f"escapes.{probe}"]
            assert (finding.verdict, finding.by) == (Verdict.BLOCKED, By.RUNTIME), finding
        assert found["escapes.working_directory"].verdict is Verdict.BLOCKED
        assert found["escapes.link_as_sub_path"].by is By.AGENT
