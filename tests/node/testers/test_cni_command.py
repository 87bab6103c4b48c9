"""`nodeagent cni test` over Debian's bridge, and over one that makes a mistake: what it says, and what it leaves."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from components import needs
from testers_under_test import PLUGINS, Interrupted, nodeagent

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs(str(PLUGINS / "bridge"), "iptables-save", "unshare"),
]
FORGETFUL = '#!/bin/sh\n[ "$CNI_COMMAND" = DEL ] || exec {bridge}\n'


def test_a_plugin_by_its_name(tmp_path: Path) -> None:
    """No file: a few checks of bridge by two workers, each told as it ends; what is known of this release is no failure."""
    chosen = ("--run", "v1", "--run", "d[14]", "--run", "s1", "--workers", "2")
    known = ("--known-flaws", "containernetworking-1.1.1")
    done = nodeagent("cni", "test", "--plugin", "bridge", *known, *chosen, "-o", f"json={tmp_path}/r.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())
    assert {each["id"]: each["verdict"] for each in told["records"]} == {
        "V1": "passed",
        "D1": "passed",
        "D4": "known flaw",
        "S1": "not claimed",
    }
    assert told["subject"].startswith("test-bridge (bridge, host-local; version ")
    assert sorted(line.split("]")[0] for line in done.stderr.splitlines()) == ["[1/4", "[2/4", "[3/4", "[4/4"]


def test_a_failure_can_be_tried_again(tmp_path: Path) -> None:
    """It says what was sent, what came back, what is asked; its shell line runs, shows what is left, and leaves nothing."""
    (tmp_path / "bridge").write_text(FORGETFUL.replace("{bridge}", str(PLUGINS / "bridge")))
    (tmp_path / "bridge").chmod(0o755)
    folders = ("--bin-dir", str(tmp_path), "--bin-dir", str(PLUGINS))
    report = tmp_path / "r.json"
    done = nodeagent("cni", "test", "--plugin", "bridge", *folders, "--run", "D1", "-o", f"json={report}")
    assert done.returncode == 1, done.stderr
    (record,) = json.loads(report.read_text())["records"]
    assert record["verdict"] == "failed"
    assert 'CNI 1.1.0, section 2, "DEL"' in record["evidence"]
    assert f"CNI_PATH={tmp_path}:{PLUGINS} {tmp_path}/bridge" in record["evidence"]
    assert "\nexit:   0\n" in record["evidence"]
    line, again = record["reproduce"].splitlines()
    links = sorted(path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith("cni"))
    shown = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count(" exit 0") == 2  # ADD and DEL
    assert "10.88.0.1/24" in shown.stdout
    assert "MASQUERADE" in shown.stdout
    assert sorted(path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith("cni")) == links
    assert again == f"nodeagent cni test --plugin=bridge --bin-dir={tmp_path} --bin-dir={PLUGINS} --run D1"


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c(workers: int) -> None:
    """In the middle of a check: nothing is left, no process, namespace, mount or file; what was seen is told."""
    chosen = ("--run", "d*", "--workers", str(workers))
    with Interrupted("cni", "test", "--plugin", "bridge", *chosen) as done:
        assert done.status == 130
        assert "broken off: interrupted" in done.stdout
        assert done.left() == []
