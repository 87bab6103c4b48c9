"""Which package a program belongs to. What dpkg says was read on Debian 12; test_in_force.py asks it itself."""

from pathlib import Path

from nodeagent.node.installed_versions import _owners

SAID = """\
runc: /usr/sbin/runc
libc6:amd64: /usr/lib/x86_64-linux-gnu/libc.so.6
one, two: /usr/share/doc
diversion by dash from: /bin/sh
local diversion from: /usr/bin/crun
local diversion to: /usr/bin/crun.distrib
crun: /usr/bin/crun
"""


def test_owners() -> None:
    """The first package of each path; a diversion, local or not, names none."""
    assert dict(_owners(SAID)) == {
        Path("/usr/sbin/runc"): "runc",
        Path("/usr/lib/x86_64-linux-gnu/libc.so.6"): "libc6",
        Path("/usr/share/doc"): "one",
        Path("/usr/bin/crun"): "crun",
    }
