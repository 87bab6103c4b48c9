"""Delegation of what is new in 1.1.0, which Debian's plugins have not: their bridge and host-local in coats of shell."""

from pathlib import Path

import pytest

from cni.testing.cases.test_delegates import test_g8_gc_is_passed_on, test_s6_status_is_passed_on
from cni.testing.cases.test_gc_and_status import test_g1_what_is_valid_stays, test_s3_the_ipam_program_is_missing
from cni.testing.implementation import Implementation

from .conftest import PLUGINS, debian

__all__ = [
    "test_g1_what_is_valid_stays",
    "test_g8_gc_is_passed_on",
    "test_s3_the_ipam_program_is_missing",
    "test_s6_status_is_passed_on",
]

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

BRIDGE = f"""#!/bin/sh
case $CNI_COMMAND in GC | STATUS) PATH="$CNI_PATH:$PATH"; exec host-local ;; esac
answer=$(sed 's/"1[.]1[.]0"/"1.0.0"/g' | {PLUGINS}/bridge)
code=$?
echo "$answer" | sed 's/"1[.]0[.]0"/"1.1.0"/g'
exit $code
"""
IPAM = f"""#!/bin/sh
case $CNI_COMMAND in GC | STATUS) exit 0 ;; esac
exec {PLUGINS}/host-local
"""


@pytest.fixture
def network_implementation(tmp_path: Path) -> Implementation:
    for name, text in (("bridge", BRIDGE), ("host-local", IPAM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]]}
    document = {"cniVersion": "1.1.0", "name": "natest", "type": "bridge", "bridge": "cni0", "ipam": ipam}
    debian("", document)  # skips where they are not installed
    return Implementation(name="delegating", document=document, bin_dirs=(tmp_path, PLUGINS))
