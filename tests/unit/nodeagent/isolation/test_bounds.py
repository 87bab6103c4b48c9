"""The cgroup of an evaluation, and whose it is."""

from pathlib import Path

from nodeagent.isolation.bounds import Bounds
from runtimes.linux.cgroups.v2 import CgroupsV2


def test_who_lives_keeps_its_token(tmp_path: Path) -> None:
    """A second one does not get it, until the first has ended; the lock is gone then."""
    first, second = (Bounds(CgroupsV2(tmp_path / "cgroups"), "abcdef01", tmp_path / "locks") for _ in range(2))
    assert first.claim()
    assert not second.claim()
    assert first.remove() == []
    assert second.claim()
    assert second.remove() == []
    assert list((tmp_path / "locks").iterdir()) == []
