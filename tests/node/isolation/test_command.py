"""`nodeagent isolation` with real runtimes: columns beside each other, one that does not start, and an end without a trace."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from components import needs
from live_trees import cgroups_below
from node_under_test import eventually

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("isolation"), needs("runc", "crun", "runsc", "cc")]

REPO = Path(__file__).resolve().parents[3]
# What pods of their own are for is in test_limits_and_costs.py.
LOOKED_AT = ("--only=surface", "--only=leaks", "--only=identity")
# A runtime that says its version, and cannot make a container: no KVM, for example.
NO_CONTAINERS = """#!/bin/sh
case "$*" in *--version*|*features*) exec crun "$@" ;; esac
echo "this machine has no /dev/kvm" >&2
exit 1
"""


def left_overs(said: str) -> set[str]:
    """What an evaluation has made on the machine that is still there; `said`: what it wrote on stderr."""
    token = said.partition("/nodeagent-isolation-")[2].partition(";")[0]
    assert len(token) == 8, said
    found = {str(path) for path in Path("/var/tmp").glob(f"niso-{token}*")}
    found |= {str(path) for path in Path("/sys/class/net").glob(f"niso{token}")}
    found |= {str(path) for path in cgroups_below("/") if token in path.name}
    found |= {line for line in Path("/proc/self/mounts").read_text().splitlines() if token in line}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found |= {line} if token in line else set()
    return found


def started(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "nodeagent", "isolation", *arguments],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def by_probe(column: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["probe"]: finding for finding in column["findings"]}


def test_runtimes_beside_each_other(tmp_path: Path) -> None:
    """runc, crun, gVisor, and one that makes no containers: its column says why, and each of the others has all its answers.

    gVisor shows a kernel of its own where the others show the host's. A report is passed on: it has nothing of the pods' tokens.
    """
    broken = tmp_path / "broken"
    broken.write_text(NO_CONTAINERS)
    broken.chmod(0o755)
    gvisor = {"args": ["--platform=ptrace", "--network=host"], "infraContainer": "always"}
    runtimes: dict[str, Any] = {
        "runc": {"type": "oci", "path": shutil.which("runc")},
        "broken": {"type": "oci", "path": str(broken)},
        "crun": {"type": "oci", "path": shutil.which("crun")},
        "gvisor": {"type": "oci", "path": shutil.which("runsc"), **gvisor},
        "gone": {"type": "cri", "endpoint": f"unix://{tmp_path}/nobody.sock"},
    }
    agent = {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration", "runtimes": runtimes}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(agent, sort_keys=False))
    work = started(f"--config={tmp_path / 'config.yaml'}", "--output=json", *LOOKED_AT)
    out, said = work.communicate(timeout=110)
    assert work.returncode == 1, said
    assert "eyJ" not in out  # as every token begins
    report = json.loads(out)
    columns = {column["name"]: column for column in report["columns"]}
    assert list(columns) == ["host", "runc", "broken", "crun", "gvisor", "gone"]
    assert "this machine has no /dev/kvm" in columns["broken"]["error"]
    assert "nobody.sock does not answer" in columns["gone"]["error"]
    findings = {name: by_probe(columns[name]) for name in ("runc", "crun", "gvisor")}
    for found in findings.values():
        assert sorted(found) == sorted(question["id"] for question in report["questions"])
        assert [finding for finding in found.values() if finding["verdict"] == "failed"] == []
    kernel = {name: found["surface.host_kernel"] for name, found in findings.items()}
    assert [kernel[name]["verdict"] for name in ("runc", "crun", "gvisor")] == ["open", "open", "blocked"]
    assert kernel["gvisor"]["by"] == "runtime"
    assert os.uname().release in kernel["crun"]["value"]
    assert os.uname().release not in kernel["gvisor"]["value"]
    differs = {
        probe for probe, finding in findings["runc"].items() if finding["verdict"] != findings["crun"][probe]["verdict"]
    }
    assert differs == set()
    assert findings["gvisor"]["leaks.uptime"]["by"] == "runtime"
    assert left_overs(said) == set()


def test_nothing_is_left_when_it_is_interrupted() -> None:
    """Ctrl-C while a pod runs: the node, its pods, its cgroup and its folder go, and the exit status says so."""
    work = started("--runtime=crun")
    assert work.stderr is not None
    first = work.stderr.readline()
    token = first.partition("/nodeagent-isolation-")[2].partition(";")[0]
    eventually(lambda: any(Path("/var/tmp").glob(f"niso-{token}*/logs/default_*")), "a pod", 60)
    work.send_signal(signal.SIGINT)
    work.send_signal(signal.SIGINT)
    out, said = work.communicate(timeout=60)
    said = first + said
    assert (work.returncode, out) == (130, ""), said
    assert left_overs(said) == set()


def test_what_a_killed_evaluation_has_left_is_taken_away_by_the_next() -> None:
    """`kill -9` while a pod runs leaves an agent, its pods, a bridge and a folder; the next evaluation says so, and they go."""
    work = started("--runtime=crun")
    assert work.stderr is not None
    first = work.stderr.readline()
    token = first.partition("/nodeagent-isolation-")[2].partition(";")[0]
    eventually(lambda: any(Path("/var/tmp").glob(f"niso-{token}*/logs/default_*")), "a pod", 60)
    work.kill()
    work.communicate(timeout=60)
    assert len(left_overs(first)) > 5
    later = started("--runtime=crun", "--only=identity")
    _, said = later.communicate(timeout=110)
    assert later.returncode == 0, said
    assert f"evaluation {token} was killed: what it left is taken away" in said
    assert "left behind" not in said
    assert left_overs(first) == left_overs(said.partition("taken away")[2]) == set()
