"""nfs volumes of a real server: this machine's kernel has no NFS, User-Mode Linux has."""

import sys
from pathlib import Path

import pytest
from uml import run_in_uml

pytestmark = pytest.mark.node

SUITE = Path(__file__).parents[2] / "conformance/volumes"
MORE = Path(__file__).with_name("nfs_from_a_server.py")


@pytest.mark.timeout(300)
def test_on_a_kernel_that_has_it() -> None:
    """Every promise of a volume type, and what a server adds to them, with the kernel's own client and server."""
    chosen = ("-k", "(nfs and server and plain and not memory) or from_a_server", str(SUITE), str(MORE))
    done = run_in_uml(
        sys.executable, "-m", "pytest", *chosen, "-q", "-p", "no:cacheprovider", "-W", "ignore", seconds=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
