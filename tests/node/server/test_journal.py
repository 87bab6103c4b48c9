"""The node's journal, by a real systemd-journald and journalctl in a mount namespace of the test's own."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from node_under_test import REPO

JOURNALD = Path("/lib/systemd/systemd-journald")
pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not JOURNALD.exists() or shutil.which("journalctl") is None, reason="needs systemd's journal"),
]

# journald tells a line's unit by its writer's cgroup: of the unified hierarchy where there is one
SCRIPT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/journald.conf.d
printf '[Journal]\\nReadKMsg=no\\n' > /run/systemd/journald.conf.d/test.conf
setpriv --pdeathsig KILL -- {journald} >/dev/null 2>&1 & journald=$! # it goes when this script is killed, too
mkdir -p {cgroup}
end() {{ kill $journald; wait $journald || true; rmdir {cgroup} {parent} || true; }}
trap end EXIT
while ! test -S /run/systemd/journal/stdout; do sleep 0.05; done
sh -c 'echo $$ > {cgroup}/cgroup.procs; {{ printf "first\\nsecond\\nthird\\n"; sleep 3; }} | systemd-cat -t speaker'
# the unit is read as the line comes: its writer has to be there still
until journalctl --field _SYSTEMD_UNIT | grep -q . && journalctl -t speaker | grep -q third; do sleep 0.1; done
{python} - <<'END'
import asyncio, json
from datetime import UTC, datetime, timedelta
from nodeagent.server.journal import Journal
from nodeagent.server.node_log_query import LogFilter

async def main():
    journal, now = Journal(), datetime.now(UTC)
    wanted = (
        LogFilter(), LogFilter(tail_lines=1), LogFilter(pattern="SEC.*D"), LogFilter(boot=0),
        LogFilter(since=now - timedelta(hours=1), until=now + timedelta(seconds=1)), LogFilter(since=now + timedelta(hours=1)),
    )
    units = sorted(await journal.units())
    logs = [b"".join([piece async for piece in journal.lines([units[0]], each)]).decode() for each in wanted]
    print(json.dumps([units, logs]))

asyncio.run(main())
END
"""


def _hierarchy() -> Path:
    root = Path("/sys/fs/cgroup")
    candidates = (root / "unified", root, root / "systemd")
    return next(path for path in candidates if (path / "cgroup.procs").exists())


def test_a_services_lines() -> None:
    """Its unit is known, and each filter gives the lines that it is for: the last, what matches, those of a time, of a boot."""
    unit = f"natest-{uuid.uuid4().hex[:8]}.service"
    parent = _hierarchy() / unit.replace("service", "slice")
    script = SCRIPT.format(journald=JOURNALD, parent=parent, cgroup=parent / unit, python=sys.executable)
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script], cwd=REPO, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not parent.exists()
    units, logs = json.loads(done.stdout)
    said = [[line.rpartition(": ")[2] for line in log.splitlines()] for log in logs]
    everything = ["first", "second", "third"]
    assert (units, said) == (
        [unit],
        [everything, ["third"], ["second"], everything, everything, ["-- No entries --"]],
    )
